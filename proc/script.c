/* The first line of a script: execve(2), "Interpreter scripts". */
#include "script.h"

#include <nos/errno.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int script_parse(char *line, char *end, char **interpreter, char **argument)
{
	char *stop = line, *name, *p;

	while (stop < end && *stop != '\n')
		stop++;
	if (stop == end) {
		for (p = line; p < end && is_blank(*p); p++)
			;
		while (p < end && !is_blank(*p) && *p)
			p++;
		if (p == end)
			return -ENOEXEC;
	}
	while (stop > line && is_blank(stop[-1]))
		stop--;
	*stop = 0;
	for (name = line; is_blank(*name); name++)
		;
	if (!*name)
		return -ENOEXEC;
	for (p = name; *p && !is_blank(*p); p++)
		;
	*argument = NULL;
	if (*p) {
		*p++ = 0;
		while (is_blank(*p))
			p++;
		if (*p)
			*argument = p;
	}
	*interpreter = name;
	return 0;
}
