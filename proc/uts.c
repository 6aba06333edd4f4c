/* Names of the system: uname(2), sethostname(2), /proc/sys/kernel. */
#include "internal.h"

#include <nos/pseudo.h>

/* Programs compare these with what they were built for: libc wants a release of 3.2 or newer. */
const char uts_system[] = "Linux";
const char uts_release[] = "6.1.0-nos";
const char uts_version[] = "#1 SMP PREEMPT NOS";
const char uts_machine[] = "x86_64";

struct uts_namespace init_uts = {
	.refs = { 1 },
	.lock = SPINLOCK_INIT(RANK_LEAF),
	.node = "nos",
	.domain = "(none)",
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
	spin_init(&new->lock, RANK_LEAF);
	scoped_spin(&u->lock);
	memcpy(new->node, u->node, sizeof(u->node));
	memcpy(new->domain, u->domain, sizeof(u->domain));
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

static int show_constant(struct text_out *out, void *arg)
{
	text_printf(out, "%s\n", (const char *)arg);
	return 0;
}

PSEUDO_FILE(ostype_file, .path = "proc/sys/kernel/ostype", .show = show_constant,
	    .arg = (void *)uts_system);
PSEUDO_FILE(osrelease_file, .path = "proc/sys/kernel/osrelease", .show = show_constant,
	    .arg = (void *)uts_release);
PSEUDO_FILE(version_file, .path = "proc/sys/kernel/version", .show = show_constant,
	    .arg = (void *)uts_version);

static int show_banner(struct text_out *out, void *arg)
{
	text_printf(out, "%s version %s (gcc %s) %s\n", uts_system, uts_release, __VERSION__,
		    uts_version);
	return 0;
}

PSEUDO_FILE(banner_file, .path = "proc/version", .show = show_banner);

/* arg: offset of the name in the namespace. */
static int show_name(struct text_out *out, void *arg)
{
	struct uts_namespace *u = uts_current();
	char name[UTS_LENGTH + 1];

	{
		scoped_spin(&u->lock);
		memcpy(name, (char *)u + (size_t)arg, sizeof(name));
	}
	text_printf(out, "%s\n", name);
	return 0;
}

static ssize_t store_name(const char *text, size_t len, void *arg)
{
	struct uts_namespace *u = uts_current();
	size_t n = 0;
	scoped_spin(&u->lock);
	char *name = (char *)u + (size_t)arg;

	memset(name, 0, UTS_LENGTH + 1);
	while (n < len && n < UTS_LENGTH && text[n] != '\n' && text[n]) {
		name[n] = text[n];
		n++;
	}
	return (ssize_t)len;
}

PSEUDO_FILE(hostname_file, .path = "proc/sys/kernel/hostname", .mode = 0644, .show = show_name,
	    .store = store_name, .arg = (void *)offsetof(struct uts_namespace, node));
PSEUDO_FILE(domainname_file, .path = "proc/sys/kernel/domainname", .mode = 0644, .show = show_name,
	    .store = store_name, .arg = (void *)offsetof(struct uts_namespace, domain));
