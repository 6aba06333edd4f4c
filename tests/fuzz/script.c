/* The first line of a script: what comes out are two strings within the head. */
/* needs: proc/script.c */
#include "fuzz.h"

#include "../../proc/script.h"

#define HEAD 256

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *head = calloc(1, HEAD), *interpreter = NULL, *argument = NULL;

	VERIFY(head);
	memcpy(head, data, min(size, (size_t)HEAD));
	/* As exec calls it: zeroes behind a short file, the last byte is for the NUL. */
	int err = script_parse(head + 2, head + HEAD - 1, &interpreter, &argument);

	VERIFY(err == 0 || err == -ENOEXEC);
	if (!err) {
		VERIFY(interpreter >= head + 2 && interpreter[0]);
		VERIFY(interpreter + strlen(interpreter) < head + HEAD);
		VERIFY(!strchr(interpreter, ' ') && !strchr(interpreter, '\t') &&
		       !strchr(interpreter, '\n'));
		if (argument) {
			VERIFY(argument > interpreter + strlen(interpreter) && argument[0]);
			VERIFY(argument + strlen(argument) < head + HEAD);
			VERIFY(argument[0] != ' ' && argument[0] != '\t');
			VERIFY(!strchr(argument, '\n'));
		}
	}
	free(head);
	return 0;
}
