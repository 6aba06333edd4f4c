/*
 * Runs programs one after the other and prints how long each took:
 *
 *	name TAB microseconds TAB -
 *	name TAB - TAB why there is no figure
 *
 * Usage: runner FILE [NAME]; a line of FILE is name TAB preparation TAB command,
 * both for /bin/sh.  The preparation is not timed.  No address-space
 * randomisation; output is thrown away; the folder is /tmp.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The wait status of a shell that runs the text. */
static int run(const char *text)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -1;
	if (!child) {
		int null = open("/dev/null", O_RDWR), errors;

		errors = open("/tmp/.errors", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		dup2(null, 0);
		dup2(null, 1);
		dup2(errors, 2);
		execl("/bin/sh", "sh", "-c", text, NULL);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

/* The last line that the program wrote on its standard error. */
static const char *last_error(void)
{
	static char text[4096];
	int fd = open("/tmp/.errors", O_RDONLY);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t len;

	if (fd < 0)
		return "";
	len = pread(fd, text, sizeof(text) - 1, size > 4000 ? size - 4000 : 0);
	close(fd);
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len > 0 ? len : 0] = '\0';
	char *line = strrchr(text, '\n');

	return line ? line + 1 : text;
}

static void run_row(char *line)
{
	char *prepare = strchr(line, '\t'), *command;

	if (!prepare || !(command = strchr(prepare + 1, '\t')))
		return;
	*prepare++ = '\0';
	*command++ = '\0';
	if (*prepare && run(prepare)) {
		printf("%s\t-\tpreparation failed: %.200s\n", line, last_error());
		return;
	}
	double start = now_us();
	int status = run(command);
	double took = now_us() - start;

	if (status)
		printf("%s\t-\tstatus %#x: %.200s\n", line, (unsigned)status, last_error());
	else
		printf("%s\t%.0f\t-\n", line, took);
}

int main(int argc, char **argv)
{
	static char line[8192];
	FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (!file || chdir("/tmp") < 0) {
		perror("runner");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	personality(ADDR_NO_RANDOMIZE);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] && line[0] != '#' && (argc < 3 || strstr(line, argv[2])))
			run_row(line);
	}
	return 0;
}
