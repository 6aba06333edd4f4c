/* 1,000 threads that all live at once, then 1,000 processes. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 1000 };

static pthread_barrier_t all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long sum;

static void *run(void *number)
{
	pthread_barrier_wait(&all);
	for (int i = 0; i < 10; i++) {
		pthread_mutex_lock(&lock);
		sum += (long)number;
		pthread_mutex_unlock(&lock);
	}
	return number;
}

static void threads(void)
{
	static pthread_t threads[MANY];
	pthread_attr_t attributes;
	long results = 0;
	void *result;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	pthread_barrier_init(&all, NULL, MANY);
	for (long i = 0; i < MANY; i++) {
		if (pthread_create(&threads[i], &attributes, run, (void *)i)) {
			perror("pthread_create");
			exit(1);
		}
	}
	for (int i = 0; i < MANY; i++) {
		pthread_join(threads[i], &result);
		results += (long)result;
	}
	printf("threads %ld %ld\n", sum, results);
}

static void processes(void)
{
	int gate[2], status, ended = 0, statuses = 0;
	char byte;

	if (pipe(gate) < 0)
		exit(1);
	fflush(stdout);
	for (int i = 0; i < MANY; i++) {
		pid_t child = fork();

		if (child < 0) {
			perror("fork");
			exit(1);
		}
		if (!child) {
			close(gate[1]);
			_exit(read(gate[0], &byte, 1) == 0 ? i & 63 : 99);
		}
	}
	close(gate[0]);
	close(gate[1]);
	while (wait(&status) > 0) {
		statuses += WEXITSTATUS(status);
		ended++;
	}
	printf("processes %d %d\n", ended, statuses);
}

int main(void)
{
	threads();
	processes();
	return 0;
}
