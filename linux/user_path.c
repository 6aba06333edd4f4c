/* Path names and vectors of buffers from the user. */
#include "user_path.h"

#define PATH_BYTES 4096
#define VEC_LIMIT 1024

/* n: what the copy into the small buffer gave. */
int user_path_get_long(struct user_path *p, const char __user *from, ssize_t n)
{
	if (n < 0)
		return (int)n;
	p->large = kmalloc(PATH_BYTES, 0);
	if (!p->large)
		return -ENOMEM;
	p->text = p->large;
	n = string_from_user(p->large, from, PATH_BYTES);
	if (n < 0)
		return (int)n;
	return n >= PATH_BYTES ? -ENAMETOOLONG : 0;
}

int user_vec_get(struct user_vec *v, struct iobuf *b, const void __user *vec, unsigned long nr)
{
	struct iobuf_segment *s = v->small;
	u64 total = 0;

	v->large = NULL;
	if (nr > VEC_LIMIT)
		return -EINVAL;
	if (nr > ARRAY_SIZE(v->small)) {
		s = v->large = kmalloc(nr * sizeof(*s), 0);
		if (!s)
			return -ENOMEM;
	}
	if (nr && copy_from_user(s, vec, nr * sizeof(*s)))
		return -EFAULT;
	for (unsigned long n = 0; n < nr; n++) {
		if ((s64)s[n].len < 0)
			return -EINVAL;
		if (!user_range_ok(s[n].base, s[n].len)) {
			while (++n < nr)
				if ((s64)s[n].len < 0)
					return -EINVAL;
			return -EFAULT;
		}
		if (s[n].len > MAX_RW_BYTES - total)
			s[n].len = MAX_RW_BYTES - total;
		total += s[n].len;
	}
	iobuf_init_segments(b, IOBUF_USER, s, (u32)nr);
	return 0;
}
