/* /proc/PID/mounts, mountinfo and mountstats (proc(5)). */
#include "internal.h"

#include <linux/fs.h>
#include <nos/pseudo.h>
#include "mount.h"

#define SPECIAL " \t\n\\#"

static void show_flags(struct text_out *out, u32 mount_flags, u32 sb_flags, bool with_ro)
{
	static const struct {
		u32 flag;
		const char *name;
	} names[] = {
		{ MS_NOSUID, ",nosuid" },           { MS_NODEV, ",nodev" },
		{ MS_NOEXEC, ",noexec" },           { MS_NOATIME, ",noatime" },
		{ MS_NODIRATIME, ",nodiratime" },   { MS_RELATIME, ",relatime" },
		{ MS_NOSYMFOLLOW, ",nosymfollow" },
	};

	text_printf(out, "%s", (mount_flags | (with_ro ? sb_flags : 0)) & MS_RDONLY ? "ro" : "rw");
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		if (mount_flags & names[n].flag)
			text_printf(out, "%s", names[n].name);
}

static void show_super_options(struct text_out *out, struct super_block *sb)
{
	char options[256] = "";

	if (sb->flags & MS_SYNCHRONOUS)
		text_printf(out, ",sync");
	if (sb->ops->show_options && sb->ops->show_options(sb, options, sizeof(options)) >= 0)
		text_printf(out, "%s", options);
}

/* The optional fields of mountinfo. */
static void show_propagation(const struct mount *m, struct text_out *out)
{
	u32 group = propagate_dominating_group(m, m->ns);

	if (m->group_id)
		text_printf(out, " shared:%u", m->group_id);
	if (m->master)
		text_printf(out, " master:%u", m->master->group_id);
	if (group)
		text_printf(out, " propagate_from:%u", group);
	if (m->unbindable)
		text_printf(out, " unbindable");
}

static void show_one(const struct mount *m, const char *name, struct text_out *out, int style)
{
	if (style == 1) {
		char root[256];
		struct path p = { NULL, m->root };
		char *r = path_format(&p, NULL, root, sizeof(root));

		text_printf(out, "%u %u %u:%u ", m->id, m->parent ? m->parent->id : m->id,
			    dev_major(m->sb->dev), dev_minor(m->sb->dev));
		text_escape(out, is_err(r) ? "/" : r, SPECIAL);
		text_char(out, ' ');
		text_escape(out, name, SPECIAL);
		text_char(out, ' ');
		show_flags(out, m->flags, 0, false);
		show_propagation(m, out);
		text_printf(out, " - %s ", m->sb->type->name);
		text_escape(out, m->source, SPECIAL);
		text_printf(out, " %s", m->sb->flags & MS_RDONLY ? "ro" : "rw");
		show_super_options(out, m->sb);
		text_char(out, '\n');
		return;
	}
	if (style == 2)
		text_printf(out, "device ");
	text_escape(out, m->source, SPECIAL);
	text_printf(out, style == 2 ? " mounted on " : " ");
	text_escape(out, name, SPECIAL);
	text_printf(out, style == 2 ? " with fstype %s" : " %s ", m->sb->type->name);
	if (style == 0) {
		show_flags(out, m->flags, m->sb->flags, true);
		show_super_options(out, m->sb);
		text_printf(out, " 0 0");
	}
	text_char(out, '\n');
}

void mounts_show(struct mount_namespace *ns, const struct path *root, struct text_out *out,
		 int style)
{
	char *buffer = kmalloc(PATH_MAX, 0);
	struct mount *m;

	if (!buffer) {
		out->failed = true;
		return;
	}
	mutex_lock(&mount_lock);
	list_for_each(m, &ns->mounts, ns_node) {
		struct path p = { m, m->root };
		char *name = path_format(&p, root, buffer, PATH_MAX);

		/* Outside of the process's root: not shown. */
		if (!is_err(name) && name[0] == '/')
			show_one(m, name, out, style);
	}
	mutex_unlock(&mount_lock);
	kfree(buffer);
}
