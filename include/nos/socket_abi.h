/*
 * Constants and layouts of the socket calls that the kernel's user headers lack
 * (libc's <sys/socket.h> has them): socket(2), send(2), recv(2), cmsg(3).
 */
#pragma once

#include <nos/types.h>
#include <asm/socket.h>
#include <linux/socket.h>

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_MAX 46

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_RDM 4
#define SOCK_SEQPACKET 5
#define SOCK_PACKET 10
#define SOCK_TYPE_MASK 0xf
#define SOCK_CLOEXEC 02000000
#define SOCK_NONBLOCK 04000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#define MSG_OOB 1u
#define MSG_PEEK 2u
#define MSG_DONTROUTE 4u
#define MSG_CTRUNC 8u
#define MSG_TRUNC 0x20u
#define MSG_DONTWAIT 0x40u
#define MSG_EOR 0x80u
#define MSG_WAITALL 0x100u
#define MSG_ERRQUEUE 0x2000u
#define MSG_NOSIGNAL 0x4000u
#define MSG_MORE 0x8000u
#define MSG_WAITFORONE 0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u
#define MSG_CMSG_COMPAT 0x80000000u

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SOCKET_MAX_BACKLOG 4096

struct user_msghdr {
	u64 name;
	s32 name_len, pad1;
	u64 vec, nr_vec;
	u64 control, control_len;
	u32 flags, pad2;
};
static_assert(sizeof(struct user_msghdr) == 56, "struct msghdr");

struct user_mmsghdr {
	struct user_msghdr header;
	u32 len, pad;
};
static_assert(sizeof(struct user_mmsghdr) == 64, "struct mmsghdr");

struct user_cmsghdr { /* data follows, aligned to 8 */
	u64 len; /* with this header */
	s32 level, type;
};

struct user_ucred {
	s32 pid;
	u32 uid, gid;
};

struct user_linger {
	s32 on, seconds;
};
