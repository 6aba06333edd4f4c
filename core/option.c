/*
 * Boot options: words of the command line, `name` or `name=value`.  A value may
 * be in double quotes.  Words after `--` are for the first program.
 */
#include <nos/arch.h>
#include <nos/log.h>
#include <nos/string.h>

#define LINE_SIZE 2048
#define NR_OPTIONS 128

struct option {
	const char *name, *value;
};

static char line[LINE_SIZE];
static struct option options[NR_OPTIONS];
static unsigned nr_options;
static bool is_parsed;

/* Ends the word that starts at p with a NUL; returns what follows. */
static char *end_word(char *p)
{
	bool quoted = false;

	for (; *p && (quoted || *p != ' '); p++)
		if (*p == '"')
			quoted = !quoted;
	if (*p)
		*p++ = '\0';
	return p;
}

static void add_option(char *word)
{
	char *value = strchr(word, '=');

	if (value) {
		*value++ = '\0';
		if (*value == '"') {
			value++;
			if (*value && value[strlen(value) - 1] == '"')
				value[strlen(value) - 1] = '\0';
		}
	}
	options[nr_options++] = (struct option){ word, value ? value : "" };
}

static void parse(void)
{
	char *p = line;

	is_parsed = true;
	if (boot_info.command_line)
		string_copy(line, boot_info.command_line, sizeof(line));
	while (*p && nr_options < NR_OPTIONS) {
		char *word = p;

		p = end_word(p);
		if (!strcmp(word, "--"))
			break;
		if (*word)
			add_option(word);
	}
}

/* The last one of a name counts. */
const char *boot_option(const char *name)
{
	if (!is_parsed)
		parse();
	for (unsigned i = nr_options; i; i--)
		if (!strcmp(options[i - 1].name, name))
			return options[i - 1].value;
	return NULL;
}

bool boot_opt_enabled(const char *name)
{
	char full[64];

	snprintf(full, sizeof(full), "opt.%s", name);

	const char *value = boot_option(full);

	return !value || (strcmp(value, "off") != 0 && strcmp(value, "0") != 0);
}
