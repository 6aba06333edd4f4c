/*
 * System calls while their table is patched: two threads make ten million
 * calls and look at each answer, a third switches the counting of calls on and
 * off as fast as it can, which points all slots elsewhere and back.  Then a
 * known number of calls is counted, none lost.
 *
 * Prints "calls N wrong N switches N" and "counted N of N".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS 5000000ul
#define COUNTED 100000ul
#define NO_CALL 511 /* in the table, and not a call */

static unsigned long wrong[2];
static int running = 2;

static void switch_to(int fd, const char *state)
{
	if (pwrite(fd, state, strlen(state), 0) < 0) {
		perror("/proc/nos/calls");
		exit(1);
	}
}

static void *worker(void *arg)
{
	unsigned long me = (unsigned long)arg;
	long pid = getpid(), parent = getppid(), tid = syscall(SYS_gettid), user = getuid();

	for (unsigned long i = 0; i < CALLS / 5; i++) {
		wrong[me] += syscall(SYS_getpid) != pid;
		wrong[me] += syscall(SYS_getppid) != parent;
		wrong[me] += syscall(SYS_gettid) != tid;
		wrong[me] += syscall(SYS_getuid) != user;
		wrong[me] += syscall(NO_CALL) != -1 || errno != ENOSYS;
	}
	__atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
	return NULL;
}

static unsigned long count_of(int fd, const char *name)
{
	static char text[65536];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char *at;

	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, name);
	return at ? strtoul(at + strlen(name), NULL, 10) : 0;
}

int main(void)
{
	int fd = open("/proc/nos/calls", O_RDWR);
	unsigned long switches = 0;
	pthread_t threads[2];

	if (fd < 0) {
		perror("/proc/nos/calls");
		return 1;
	}
	for (unsigned long i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, worker, (void *)i))
			return 1;
	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
		switch_to(fd, "on");
		switch_to(fd, "off");
		switches += 2;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("calls %lu wrong %lu switches %s\n", 2 * CALLS, wrong[0] + wrong[1],
	       switches >= 1000 ? "many" : "few");
	switch_to(fd, "on");
	for (unsigned long i = 0; i < COUNTED; i++)
		syscall(SYS_getppid);
	switch_to(fd, "off");
	printf("counted %lu of %lu\n", count_of(fd, " getppid "), COUNTED);
	return 0;
}
