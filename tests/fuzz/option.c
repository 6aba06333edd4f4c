/* The kernel's command line: names and values are strings within the copy of the line. */
#include "fuzz.h"

#include "../../core/option.c"

struct boot_info boot_info;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *text = fuzz_string(data, size);

	memset(line, 0, sizeof(line));
	nr_options = 0;
	is_parsed = false;
	boot_info.command_line = text;
	boot_option("debug");
	VERIFY(nr_options <= NR_OPTIONS);
	for (unsigned i = 0; i < nr_options; i++) {
		const char *name = options[i].name, *value = options[i].value;

		VERIFY(name >= line && name + strlen(name) < line + sizeof(line));
		VERIFY(!strchr(name, '='));
		VERIFY(!*value || (value > name && value + strlen(value) < line + sizeof(line)));
		VERIFY(boot_option(name));
	}
	boot_opt_enabled("a");
	boot_info.command_line = NULL;
	free(text);
	return 0;
}
