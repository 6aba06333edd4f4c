/* Threads, thread-local storage, processes, pipes: what a libc stands on. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static __thread int mine = 4;

static void *run(void *number)
{
	mine += *(int *)number;
	return (void *)(long)mine;
}

static long threads(void)
{
	pthread_t threads[10];
	int numbers[10];
	long sum = 0;
	void *result;

	for (int i = 0; i < 10; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, run, &numbers[i]);
	}
	for (int i = 0; i < 10; i++) {
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	return sum;
}

int main(int argc, char **argv)
{
	long sum = threads();
	char *memory = malloc(1 << 20), line[20] = "";
	int status;

	(void)argv;
	memset(memory, 1, 1 << 20);
	free(memory);
	if (!fork())
		_exit(7);
	wait(&status);

	FILE *pipe = popen("echo from a pipe", "r");

	if (!pipe || !fgets(line, sizeof(line), pipe))
		return 1;
	pclose(pipe);
	printf("%ld %d %s %d %s", sum, WEXITSTATUS(status), getenv("HOME") ? "home" : "-", argc,
	       line);
	return 0;
}
