/* sysfs: the policy for 2 MiB pages, of anonymous memory and of files in memory. */
#include <nos/errno.h>
#include <nos/huge.h>
#include <nos/pseudo.h>
#include <nos/string.h>

#define HUGE_DIR "sys/kernel/mm/transparent_hugepage/"

static const struct {
	const char *name;
	enum huge_mode mode;
} modes[] = {
	{ "always", HUGE_ALWAYS },
	{ "madvise", HUGE_MADVISE },
	{ "never", HUGE_NEVER },
};

static int show_enabled(struct text_out *out, void *arg)
{
	enum huge_mode mode = huge_mode_get();

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
		text_printf(out, modes[i].mode == mode ? "%s[%s]" : "%s%s", i ? " " : "",
			    modes[i].name);
	text_char(out, '\n');
	return 0;
}

static ssize_t store_enabled(const char *text, size_t len, void *arg)
{
	size_t n = len && text[len - 1] == '\n' ? len - 1 : len;

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strlen(modes[i].name) == n && !memcmp(modes[i].name, text, n))
			return huge_mode_set(modes[i].mode) ?: (ssize_t)len;
	}
	return -EINVAL;
}

/* In the order in which Linux shows them. */
static const enum huge_file file_modes[] = { HUGE_FILE_ALWAYS, HUGE_FILE_WITHIN_SIZE,
					     HUGE_FILE_ADVISE, HUGE_FILE_NEVER,
					     HUGE_FILE_DENY,   HUGE_FILE_FORCE };

static int show_files(struct text_out *out, void *arg)
{
	enum huge_file mode = huge_file_system_get();

	for (unsigned i = 0; i < ARRAY_SIZE(file_modes); i++)
		text_printf(out, file_modes[i] == mode ? "%s[%s]" : "%s%s", i ? " " : "",
			    huge_file_name(file_modes[i]));
	text_char(out, '\n');
	return 0;
}

static ssize_t store_files(const char *text, size_t len, void *arg)
{
	int mode = huge_file_parse(text, len && text[len - 1] == '\n' ? len - 1 : len);

	if (mode < 0)
		return mode;
	return huge_file_system_set((enum huge_file)mode) ?: (ssize_t)len;
}

/* Nothing is moved or dropped to get 2 MiB, in a fault or behind it. */
static int show_defrag(struct text_out *out, void *arg)
{
	text_printf(out, "always defer defer+madvise madvise [never]\n");
	return 0;
}

static int show_size(struct text_out *out, void *arg)
{
	text_printf(out, "%lu\n", HUGE_SIZE);
	return 0;
}

/* A load from untouched memory brings 2 MiB of its own, too. */
static int show_zero_page(struct text_out *out, void *arg)
{
	text_printf(out, "0\n");
	return 0;
}

PSEUDO_FILE(thp_enabled, .path = HUGE_DIR "enabled", .mode = 0644, .show = show_enabled,
	    .store = store_enabled);
PSEUDO_FILE(thp_files, .path = HUGE_DIR "shmem_enabled", .mode = 0644, .show = show_files,
	    .store = store_files);
PSEUDO_FILE(thp_defrag, .path = HUGE_DIR "defrag", .show = show_defrag);
PSEUDO_FILE(thp_size, .path = HUGE_DIR "hpage_pmd_size", .show = show_size);
PSEUDO_FILE(thp_zero_page, .path = HUGE_DIR "use_zero_page", .show = show_zero_page);
