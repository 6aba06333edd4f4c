#include "../test.h"
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/*
 * Each way to block for ever.  Whoever is in it can be killed, stopped,
 * continued and interrupted, as one of many threads as well.
 */
static char buf[1 << 16];
static uint32_t word;
static int ends[2], full[2], sockets[2], lock_fd, listener;

static void block_read(void) { read(ends[0], buf, 1); }

static void block_write(void)
{
	for (;;)
		write(full[1], buf, sizeof(buf));
}

static void block_pause(void) { pause(); }

static void block_sleep(void)
{
	nanosleep(&(struct timespec){ .tv_sec = 1000 }, NULL);
}

static void block_poll(void)
{
	poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, -1);
}

static void block_select(void) { select(0, NULL, NULL, NULL, NULL); }

static void block_epoll(void)
{
	struct epoll_event e;

	epoll_wait(epoll_create1(0), &e, 1, -1);
}

static void block_futex(void)
{
	syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL);
}

static void block_eventfd(void) { read(eventfd(0, 0), buf, 8); }

static void block_timerfd(void)
{
	read(timerfd_create(CLOCK_MONOTONIC, 0), buf, 8);
}

static void block_inotify(void) { read(inotify_init(), buf, 100); }

static void block_receive(void) { recv(sockets[0], buf, 1, 0); }

static void block_send(void)
{
	for (;;)
		send(sockets[0], buf, sizeof(buf), 0);
}

static void block_accept(void) { accept(listener, NULL, NULL); }

static void block_flock(void) { flock(open("lock", O_RDWR), LOCK_EX); }

static void block_record(void)
{
	struct flock l = { .l_type = F_WRLCK };

	fcntl(open("lock2", O_RDWR), F_SETLKW, &l);
}

static void block_fifo(void) { open("fifo", O_WRONLY); }

static void block_wait(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		close(ends[1]);
		read(ends[0], buf, 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void block_sigwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMAX);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigwaitinfo(&set, NULL);
}

static void block_splice(void)
{
	int other[2];

	if (pipe(other) == 0)
		splice(ends[0], NULL, other[1], NULL, 100, 0);
}

static void block_pty(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	read(master, buf, 1);
}

static void (*const blockers[])(void) = {
	block_read, block_write, block_pause, block_sleep, block_poll,
	block_select, block_epoll, block_futex, block_eventfd, block_timerfd,
	block_inotify, block_receive, block_send, block_accept, block_flock,
	block_record, block_fifo, block_wait, block_sigwait, block_splice,
	block_pty,
};
#define NR	(sizeof(blockers) / sizeof(*blockers))

static void setup(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "s" };
	struct flock l = { .l_type = F_WRLCK };

	CHECK_OK(pipe(ends));
	CHECK_OK(pipe(full));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	lock_fd = CHECK_OK(open("lock", O_CREAT | O_RDWR, 0600));
	CHECK_OK(flock(lock_fd, LOCK_EX));
	lock_fd = CHECK_OK(open("lock2", O_CREAT | O_RDWR, 0600));
	CHECK_OK(fcntl(lock_fd, F_SETLK, &l));
	CHECK_OK(mkfifo("fifo", 0600));
	listener = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(bind(listener, (void *)&a, sizeof(a)));
	CHECK_OK(listen(listener, 5));
}

static void handler(int sig TEST_UNUSED)
{
}

static pid_t start(size_t i)
{
	pid_t pid;

	CHILD(pid) {
		for (;;)
			blockers[i]();
	}
	test_wait_state(pid, 'S');
	return pid;
}

TEST_TIMED(killing, 30)
{
	setup();
	for (size_t i = 0; i < NR; i++) {
		pid_t pid = start(i);

		CHECK_OK(kill(pid, SIGKILL));
		CHECK_KILLED(pid, SIGKILL);
	}
}

TEST_TIMED(stopping_then_killing, 30)
{
	int status;

	setup();
	for (size_t i = 0; i < NR; i++) {
		pid_t pid = start(i);

		CHECK_OK(kill(pid, SIGSTOP));
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(WIFSTOPPED(status));
		CHECK_OK(kill(pid, SIGCONT));
		test_wait_state(pid, 'S');
		CHECK_OK(kill(pid, SIGTERM));
		CHECK_KILLED(pid, SIGTERM);
	}
}

TEST_TIMED(many_signals, 30)
{
	signal(SIGUSR1, handler);
	setup();
	for (size_t i = 0; i < NR; i++) {
		pid_t pid = start(i);

		for (int j = 0; j < 20; j++)
			CHECK_OK(kill(pid, SIGUSR1));
		test_wait_state(pid, 'S');
		CHECK_OK(kill(pid, SIGKILL));
		CHECK_KILLED(pid, SIGKILL);
	}
}

static void *block_thread(void *i)
{
	for (;;)
		blockers[(size_t)i]();
	return NULL;
}

TEST_TIMED(all_at_once_in_threads, 30)
{
	pthread_t t;
	pid_t pid;

	setup();
	for (int how = 0; how < 3; how++) {
		CHILD(pid) {
			for (size_t i = 0; i < NR; i++)
				pthread_create(&t, NULL, block_thread,
					       (void *)i);
			if (how == 0)
				_exit(5);
			if (how == 1)
				raise(SIGKILL);
			pause();
		}
		if (how == 2) {
			test_wait_state(pid, 'S');
			CHECK_OK(kill(pid, SIGKILL));
		}
		if (how == 0)
			CHECK_EXIT(pid, 5);
		else
			CHECK_KILLED(pid, SIGKILL);
	}
}

static volatile pid_t reader_tid;

static void *reading(void *fd)
{
	reader_tid = gettid();
	return (void *)read(*(int *)fd, buf, 1);
}

TEST(closing_under_a_reader)
{
	void *result;
	pthread_t t;

	/* The reader holds the open file: it goes on until there is data. */
	CHECK_OK(pipe(ends));
	CHECK_EQ(pthread_create(&t, NULL, reading, &ends[0]), 0);
	while (!reader_tid)
		usleep(100);
	test_wait_state(reader_tid, 'S');
	CHECK_OK(close(ends[0]));
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(pthread_join(t, &result), 0);
	CHECK_EQ((long)result, 1);
	/* Replacing the descriptor does not matter to it either. */
	reader_tid = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	CHECK_EQ(pthread_create(&t, NULL, reading, &sockets[0]), 0);
	while (!reader_tid)
		usleep(100);
	test_wait_state(reader_tid, 'S');
	CHECK_OK(dup2(1, sockets[0]));
	CHECK_EQ(write(sockets[1], "y", 1), 1);
	CHECK_EQ(pthread_join(t, &result), 0);
	CHECK_EQ((long)result, 1);
}
