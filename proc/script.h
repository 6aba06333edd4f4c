/* Scripts (script.c). */
#pragma once

#include <nos/types.h>

/*
 * Splits the line that begins at `line` (behind "#!") in place: the interpreter, and the rest of the
 * line as one argument, or NULL.  [line, end) is all that was read of the file, *end is writable.
 * -ENOEXEC: no name, or one that `end` cuts off.
 */
int script_parse(char *line, char *end, char **interpreter, char **argument);
