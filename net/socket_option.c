/* Options of the level SOL_SOCKET that every family has (socket(7)). */
#include <nos/socket.h>

#include <nos/cred.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <linux/capability.h>
#include <linux/time_types.h>

#define BUFFER_MAX (212992u * 2) /* net.core.[rw]mem_max, doubled as Linux does */
#define SEND_BUFFER_MIN 4608u
#define RECEIVE_BUFFER_MIN 2304u

/* Options that are one flag each, kept as bits by their number. */
#define SOCKET_FLAG_OPTIONS                                                                        \
	(bit(SO_DEBUG) | bit(SO_REUSEADDR) | bit(SO_DONTROUTE) | bit(SO_BROADCAST) |               \
	 bit(SO_KEEPALIVE) | bit(SO_OOBINLINE) | bit(SO_REUSEPORT) | bit(SO_PASSCRED) |            \
	 bit(SO_TIMESTAMP_OLD))

static bool is_flag_option(int option)
{
	return option >= 0 && option < 32 && ((SOCKET_FLAG_OPTIONS >> option) & 1);
}

static u32 buffer_size(u32 asked, u32 least, bool force)
{
	u64 doubled = min((u64)asked, (u64)S64_MAX / 2) * 2;

	if (!force)
		doubled = min(doubled, (u64)BUFFER_MAX);
	return (u32)clamp(doubled, (u64)least, (u64)0x7fffffff);
}

/* struct timeval; both the old and the new form have two 64-bit members. */
static int set_timeout(u64 *timeout_ns, struct user_arg value, u32 len)
{
	struct __kernel_old_timeval t;

	if (len < sizeof(t))
		return -EINVAL;
	if (user_arg_read(value, &t, sizeof(t)))
		return -EFAULT;
	if (t.tv_usec < 0 || t.tv_usec >= 1000000)
		return -EDOM;
	if (t.tv_sec < 0)
		*timeout_ns = 1;
	else if ((u64)t.tv_sec >= (u64)S64_MAX / (u64)NSEC_PER_SEC - 1)
		*timeout_ns = 0;
	else
		*timeout_ns = (u64)(t.tv_sec * NSEC_PER_SEC + t.tv_usec * NSEC_PER_USEC);
	return 0;
}

static int set_linger(struct socket *s, struct user_arg value, u32 len)
{
	struct user_linger l;

	if (len < sizeof(l))
		return -EINVAL;
	if (user_arg_read(value, &l, sizeof(l)))
		return -EFAULT;
	if (l.on)
		atomic_or(&s->flags, (u32)bit(SO_LINGER));
	else
		atomic_and(&s->flags, ~(u32)bit(SO_LINGER));
	s->linger_seconds = l.on ? l.seconds : 0;
	return 0;
}

static int set_number(struct socket *s, int option, s32 v)
{
	switch (option) {
	case SO_SNDBUFFORCE:
	case SO_RCVBUFFORCE:
		if (!capable(CAP_NET_ADMIN))
			return -EPERM;
		break;
	case SO_MARK:
		if (!capable(CAP_NET_ADMIN) && !capable(CAP_NET_RAW))
			return -EPERM;
		s->mark = (u32)v;
		return 0;
	case SO_PRIORITY:
		if ((v < 0 || v > 6) && !capable(CAP_NET_ADMIN))
			return -EPERM;
		s->priority = (u32)v;
		return 0;
	case SO_RCVLOWAT:
		s->low_water = v > 0 ? (u32)v : 1;
		return 0;
	case SO_SNDLOWAT:
		return -ENOPROTOOPT;
	default:
		break;
	}
	if (option == SO_SNDBUF || option == SO_SNDBUFFORCE)
		s->send_buffer = buffer_size((u32)v, SEND_BUFFER_MIN, option == SO_SNDBUFFORCE);
	else if (option == SO_RCVBUF || option == SO_RCVBUFFORCE)
		s->receive_buffer =
			buffer_size((u32)v, RECEIVE_BUFFER_MIN, option == SO_RCVBUFFORCE);
	else
		return -ENOPROTOOPT;
	return 0;
}

int socket_set_option(struct socket *s, int level, int option, struct user_arg value, u32 len)
{
	s32 v;
	int err = -ENOPROTOOPT;

	if (!socket_has_level(s, level))
		return -EOPNOTSUPP;
	if (s->ops->set_option)
		err = s->ops->set_option(s, level, option, value, len);
	if (err != -ENOPROTOOPT || level != SOL_SOCKET)
		return err;
	if (len < sizeof(v))
		return -EINVAL;
	if (user_arg_read(value, &v, sizeof(v)))
		return -EFAULT;
	switch (option) {
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
		return set_timeout(&s->receive_timeout_ns, value, len);
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW:
		return set_timeout(&s->send_timeout_ns, value, len);
	case SO_LINGER:
		return set_linger(s, value, len);
	default:
		break;
	}
	if (is_flag_option(option)) {
		if (v)
			atomic_or(&s->flags, (u32)bit(option));
		else
			atomic_and(&s->flags, ~(u32)bit(option));
		return 0;
	}
	return set_number(s, option, v);
}

/* ---- reading ---- */

static int put_option(struct user_arg value, u32 *len, const void *from, u32 size)
{
	*len = min(*len, size);
	return user_arg_write(value, from, *len);
}

static int get_timeout(u64 timeout_ns, struct user_arg value, u32 *len)
{
	struct __kernel_old_timeval t = {
		.tv_sec = (s64)(timeout_ns / (u64)NSEC_PER_SEC),
		.tv_usec = (s64)(timeout_ns % (u64)NSEC_PER_SEC) / NSEC_PER_USEC,
	};

	return put_option(value, len, &t, sizeof(t));
}

static int get_number(struct socket *s, int option, s32 *v)
{
	switch (option) {
	case SO_TYPE:
		*v = (s32)s->type;
		return 0;
	case SO_DOMAIN:
		*v = (s32)s->family;
		return 0;
	case SO_PROTOCOL:
		*v = (s32)s->protocol;
		return 0;
	case SO_ERROR:
		*v = -socket_take_error(s);
		return 0;
	case SO_SNDBUF:
		*v = (s32)s->send_buffer;
		return 0;
	case SO_RCVBUF:
		*v = (s32)s->receive_buffer;
		return 0;
	case SO_RCVLOWAT:
		*v = (s32)s->low_water;
		return 0;
	case SO_SNDLOWAT:
		*v = 1;
		return 0;
	case SO_PRIORITY:
		*v = (s32)s->priority;
		return 0;
	case SO_MARK:
		*v = (s32)s->mark;
		return 0;
	case SO_ACCEPTCONN:
		*v = 0;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int socket_get_option(struct socket *s, int level, int option, struct user_arg value, u32 *len)
{
	struct user_linger l;
	s32 v;
	int err = -ENOPROTOOPT;

	if (!socket_has_level(s, level))
		return -EOPNOTSUPP;
	if ((s32)*len < 0)
		return -EINVAL;
	if (s->ops->get_option)
		err = s->ops->get_option(s, level, option, value, len);
	if (err != -ENOPROTOOPT || level != SOL_SOCKET)
		return err;
	switch (option) {
	case SO_RCVTIMEO_OLD:
	case SO_RCVTIMEO_NEW:
		return get_timeout(s->receive_timeout_ns, value, len);
	case SO_SNDTIMEO_OLD:
	case SO_SNDTIMEO_NEW:
		return get_timeout(s->send_timeout_ns, value, len);
	case SO_LINGER:
		l = (struct user_linger){ (s->flags & bit(SO_LINGER)) != 0, s->linger_seconds };
		return put_option(value, len, &l, sizeof(l));
	default:
		break;
	}
	if (is_flag_option(option)) {
		v = (s->flags >> option) & 1;
		return put_option(value, len, &v, sizeof(v));
	}
	err = get_number(s, option, &v);
	return err ? err : put_option(value, len, &v, sizeof(v));
}
