/*
 * Loads that are programs of their own:
 *
 *	loads serve REQUESTS		a server that forks for each connection, and its client
 *	loads groups N LOOPS pipe|socket
 *		N groups of 20 senders and 20 receivers; each sender writes 100
 *		bytes to each receiver of its group, LOOPS times
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PEERS = 20, MESSAGE = 100, REQUEST = 64, ANSWER = 512 };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* All of it, or death. */
static void move(int fd, char *bytes, size_t len, bool out)
{
	while (len) {
		ssize_t n = out ? write(fd, bytes, len) : read(fd, bytes, len);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			die(out ? "write" : "read");
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

static int listen_at(struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	at->sun_family = AF_UNIX;
	snprintf(at->sun_path, sizeof(at->sun_path), "/tmp/serve.%d", (int)getpid());
	unlink(at->sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)at, sizeof(*at)) < 0 || listen(fd, 16) < 0)
		die("listen");
	return fd;
}

static void serve_connection(int fd)
{
	char request[REQUEST], answer[ANSWER] = { 0 };

	move(fd, request, sizeof(request), false);
	move(fd, answer, sizeof(answer), true);
}

static _Noreturn void serve(int listener)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pid_t child = fd < 0 ? -1 : fork();

		if (fd < 0 || child < 0)
			die("accept or fork");
		if (!child) {
			serve_connection(fd);
			_exit(0);
		}
		close(fd);
	}
}

static int run_server(int requests)
{
	struct sockaddr_un at = { 0 };
	int listener = listen_at(&at);
	pid_t server = fork();
	char request[REQUEST] = { 0 }, answer[ANSWER];

	if (!server)
		serve(listener);
	for (int i = 0; i < requests; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
			die("connect");
		move(fd, request, sizeof(request), true);
		move(fd, answer, sizeof(answer), false);
		close(fd);
	}
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(at.sun_path);
	return 0;
}

static void make_pair(int fds[2], bool sockets)
{
	if (sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, fds) : pipe(fds))
		die("pipe or socketpair");
}

/* One group: senders know all writing ends, each receiver its own reading end. */
static void start_group(int loops, bool sockets)
{
	int ends[PEERS][2];
	char message[MESSAGE] = { 0 };

	for (int i = 0; i < PEERS; i++) {
		make_pair(ends[i], sockets);
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (!child) {
			for (int j = 0; j < i; j++)
				close(ends[j][1]);
			close(ends[i][1]);
			for (int n = 0; n < PEERS * loops; n++)
				move(ends[i][0], message, sizeof(message), false);
			_exit(0);
		}
		close(ends[i][0]);
	}
	for (int i = 0; i < PEERS; i++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (!child) {
			for (int n = 0; n < loops; n++)
				for (int j = 0; j < PEERS; j++)
					move(ends[j][1], message, sizeof(message), true);
			_exit(0);
		}
	}
	for (int i = 0; i < PEERS; i++)
		close(ends[i][1]);
}

static int run_groups(int groups, int loops, bool sockets)
{
	int status, failed = 0;

	for (int i = 0; i < groups; i++)
		start_group(loops, sockets);
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return run_server(atoi(argv[2]));
	if (argc == 5 && !strcmp(argv[1], "groups"))
		return run_groups(atoi(argv[2]), atoi(argv[3]), !strcmp(argv[4], "socket"));
	return 2;
}
