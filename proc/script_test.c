/* Tests of the first line of scripts. */
#include "script.h"

#include <nos/errno.h>
#include <nos/string.h>
#include <nos/test.h>

static char head[64];
static char *interpreter, *argument;

/* As exec reads it: zeroes behind a short file. */
static int parse(const char *text)
{
	memset(head, 0, sizeof(head));
	string_copy(head, text, sizeof(head));
	interpreter = argument = NULL;
	return script_parse(head, head + sizeof(head) - 1, &interpreter, &argument);
}

TEST(script_with_and_without_argument)
{
	EXPECT_EQ(parse("/bin/sh\necho\n"), 0);
	EXPECT_EQ(strcmp(interpreter, "/bin/sh"), 0);
	EXPECT(argument == NULL);
	EXPECT_EQ(parse(" \t/bin/awk  -f  x \t\n"), 0);
	EXPECT_EQ(strcmp(interpreter, "/bin/awk"), 0);
	EXPECT(argument && strcmp(argument, "-f  x") == 0);
}

TEST(script_that_ends_without_a_line)
{
	EXPECT_EQ(parse("/bin/sh"), 0);
	EXPECT_EQ(strcmp(interpreter, "/bin/sh"), 0);
	EXPECT_EQ(parse("/bin/sh -e"), 0);
	EXPECT(argument && strcmp(argument, "-e") == 0);
}

TEST(script_without_a_name)
{
	EXPECT_EQ(parse(""), -ENOEXEC);
	EXPECT_EQ(parse("\n/bin/sh\n"), -ENOEXEC);
	EXPECT_EQ(parse("  \t \n"), -ENOEXEC);
}

/* A name that is cut off must not run another program; a cut argument may. */
TEST(script_longer_than_the_head)
{
	EXPECT_EQ(parse("/0123456789012345678901234567890123456789012345678901234567890123"),
		  -ENOEXEC);
	EXPECT_EQ(parse("/bin/sh 0123456789012345678901234567890123456789012345678901234567"), 0);
	EXPECT_EQ(strcmp(interpreter, "/bin/sh"), 0);
	EXPECT(argument && strlen(argument) == 55);
	EXPECT_EQ(parse("                                                                 /x"),
		  -ENOEXEC);
}
