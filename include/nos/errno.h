/* Linux's errno values, and the kernel-internal ones that never reach a user. */
#pragma once

#include <asm/errno.h>

/*
 * What an interrupted call returns to the signal code, which turns it into
 * EINTR or arranges the restart (signal(7), "Interruption of system calls").
 */
#define ERESTARTSYS 512 /* restart if the handler has SA_RESTART */
#define ERESTARTNOINTR 513 /* always restart */
#define ERESTARTNOHAND 514 /* restart only if no handler runs */
#define ERESTART_RESTARTBLOCK 516 /* restart through restart_syscall(2) */
#define ENOIOCTLCMD 515 /* this layer does not know the ioctl: ENOTTY */
