/* What the files of the socket calls share. */
#pragma once

#include <nos/file.h>
#include <nos/types.h>

struct socket;

struct socket_name { /* struct sockaddr_storage */
	u32 len;
	u8 bytes[128] __aligned(8);
};

int socket_lookup(int fd, struct fd_ref *r, struct socket **s);
int socket_name_from_user(struct socket_name *to, const void __user *from, int len);
int socket_name_to_user(const struct socket_name *from, void __user *to, void __user *user_len);

struct user_msghdr;
/* sendmsg and recvmsg once the header is in kernel memory; flags as the calls'. */
long socket_send_header(struct socket *s, u32 file_flags, const struct user_msghdr *h, u32 flags);
/* Updates name_len, control_len and flags of *h. */
long socket_receive_header(struct socket *s, u32 file_flags, struct user_msghdr *h, u32 flags);
