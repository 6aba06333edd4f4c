/* Names of the system: uname(2), sethostname(2), /proc/sys/kernel. */
#include "internal.h"

#include <nos/pseudo.h>

/* Programs compare release with what they were built for: libc wants 3.2 or newer. */
struct uts_namespace init_uts = {
	.refs = { 1 },
	.lock = SPINLOCK_INIT(RANK_LEAF),
	.pages = LIST_INIT(init_uts.pages),
	.id = 0xeffffffe, /* as Linux numbers the first one */
	.names = {
		.sysname = "Linux",
		.nodename = "nos",
		.release = "6.1.0-nos",
		.version = "#1 SMP PREEMPT NOS",
		.machine = "x86_64",
		.domainname = "(none)",
	},
};

static struct uts_namespace *uts_current(void)
{
	return current_thread->is_kernel ? &init_uts : task_current()->uts;
}

struct uts_namespace *uts_copy(struct uts_namespace *u)
{
	struct uts_namespace *new = kzalloc(sizeof(*new), 0);

	if (!new)
		return NULL;
	ref_init(&new->refs, 1);
	new->id = namespace_next_id();
	spin_init(&new->lock, RANK_LEAF);
	list_init(&new->pages);
	scoped_spin_irq(&u->lock);
	new->names = u->names;
	return new;
}

void uts_get(struct uts_namespace *u)
{
	if (u != &init_uts)
		ref_get(&u->refs);
}

void uts_put(struct uts_namespace *u)
{
	if (u != &init_uts && ref_put(&u->refs))
		kfree(u);
}

/* field: one of u->names; shorter than UTS_LENGTH + 1 or cut. */
void uts_set_name(struct uts_namespace *u, char *field, const char *name, size_t len)
{
	scoped_spin_irq(&u->lock);

	len = min(len, (size_t)UTS_LENGTH);
	kernel_pages_forget_names_locked(u);
	seq_write_begin(&u->sequence);
	memset(field, 0, UTS_LENGTH + 1);
	memcpy(field, name, len);
	seq_write_end(&u->sequence);
	kernel_pages_tell_names_locked(u);
}

/* arg: offset of the name in struct new_utsname. */
static int show_name(struct text_out *out, void *arg)
{
	struct uts_namespace *u = uts_current();
	char name[UTS_LENGTH + 1];

	{
		scoped_spin_irq(&u->lock);
		memcpy(name, (char *)&u->names + (size_t)arg, sizeof(name));
	}
	text_printf(out, "%s\n", name);
	return 0;
}

static ssize_t store_name(const char *text, size_t len, void *arg)
{
	struct uts_namespace *u = uts_current();
	size_t n = 0;

	while (n < len && text[n] != '\n' && text[n])
		n++;
	uts_set_name(u, (char *)&u->names + (size_t)arg, text, n);
	return (ssize_t)len;
}

#define UTS_FILE(name, field, ...)                                                                 \
	PSEUDO_FILE(name##_file, .path = "proc/sys/kernel/" #name, .show = show_name,              \
		    .arg = (void *)offsetof(struct new_utsname, field) __VA_OPT__(, ) __VA_ARGS__)
UTS_FILE(ostype, sysname);
UTS_FILE(osrelease, release);
UTS_FILE(version, version);
UTS_FILE(hostname, nodename, .mode = 0644, .store = store_name);
UTS_FILE(domainname, domainname, .mode = 0644, .store = store_name);

static int show_banner(struct text_out *out, void *arg)
{
	const struct new_utsname *n = &init_uts.names; /* these three never change */

	text_printf(out, "%s version %s (gcc %s) %s\n", n->sysname, n->release, __VERSION__,
		    n->version);
	return 0;
}
PSEUDO_FILE(banner_file, .path = "proc/version", .show = show_banner);
