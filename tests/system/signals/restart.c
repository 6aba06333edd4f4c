#include "../test.h"
#include <sched.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/*
 * Each blocking call is interrupted twice: by a handler with SA_RESTART and
 * by one without.  A call that restarts goes on to end as if nothing had
 * been; one that does not ends with EINTR.
 */
static volatile sig_atomic_t handled;
static int ends[2], sync_pipe[2];

static void handler(int sig TEST_UNUSED)
{
	handled++;
}

struct call {
	long (*enter)(void);	/* the call that blocks */
	void (*finish)(void);	/* lets it end, run by the parent */
	long result;
	bool restarts;
};

static void interrupt_with(const struct call *c, bool restart)
{
	struct sigaction a = { .sa_handler = handler,
			       .sa_flags = restart ? SA_RESTART : 0 };
	bool goes_on = restart && c->restarts;
	char byte;
	pid_t pid;

	CHECK_OK(pipe(sync_pipe));
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	CHILD(pid) {
		long r;

		CHECK_EQ(write(sync_pipe[1], "x", 1), 1);
		errno = 0;
		r = c->enter();
		CHECK_EQ(handled, 1);
		if (goes_on)
			CHECK_EQ(r, c->result);
		else
			CHECK(r == -1 && errno == EINTR);
	}
	CHECK_EQ(read(sync_pipe[0], &byte, 1), 1);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	if (goes_on) {
		/* Asleep again, the handler behind it. */
		for (int i = 0; i < 20; i++)
			sched_yield();
		test_wait_state(pid, 'S');
		c->finish();
	}
	CHECK_EXIT(pid, 0);
	close(sync_pipe[0]);
	close(sync_pipe[1]);
}

static void interrupt(const struct call *c)
{
	interrupt_with(c, false);
	interrupt_with(c, true);
}

static char buf[1 << 16];

static long read_pipe(void)
{
	return read(ends[0], buf, 5);
}

static void write_pipe(void)
{
	CHECK_EQ(write(ends[1], "hello", 5), 5);
}

TEST(pipe_read)
{
	CHECK_OK(pipe(ends));
	interrupt(&(struct call){ read_pipe, write_pipe, 5, true });
}

static long fill_pipe(void)
{
	return write(ends[1], buf, 100);
}

static void drain_pipe(void)
{
	CHECK_EQ(read(ends[0], buf, sizeof(buf)), sizeof(buf));
}

TEST(pipe_write)
{
	CHECK_OK(pipe(ends));
	CHECK_EQ(write(ends[1], buf, sizeof(buf)), sizeof(buf));
	interrupt(&(struct call){ fill_pipe, drain_pipe, 100, true });
}

static long open_fifo(void)
{
	return open("fifo", O_RDONLY) >= 0 ? 0 : -1;
}

static void open_other_end(void)
{
	CHECK_OK(open("fifo", O_RDWR));
}

TEST(fifo_open)
{
	CHECK_OK(mkfifo("fifo", 0600));
	interrupt(&(struct call){ open_fifo, open_other_end, 0, true });
}

static long receive(void)
{
	return recv(ends[0], buf, 5, 0);
}

TEST(socket_receive)
{
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	interrupt(&(struct call){ receive, write_pipe, 5, true });
}

static struct sockaddr_un address;

static long do_accept(void)
{
	return accept(ends[0], NULL, NULL) >= 0 ? 0 : -1;
}

static void do_connect(void)
{
	int fd = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));

	CHECK_OK(connect(fd, (void *)&address, sizeof(address)));
}

TEST(socket_accept)
{
	address.sun_family = AF_UNIX;
	strcpy(address.sun_path, "sock");
	ends[0] = CHECK_OK(socket(AF_UNIX, SOCK_STREAM, 0));
	CHECK_OK(bind(ends[0], (void *)&address, sizeof(address)));
	CHECK_OK(listen(ends[0], 5));
	interrupt(&(struct call){ do_accept, do_connect, 0, true });
}

static pid_t sleeper;

static long wait_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGUSR1, SIG_DFL);
		if (read(ends[0], buf, 5) < 0)
			_exit(1);
		_exit(3);
	}
	handled = 0;
	long r = waitpid(pid, NULL, 0);

	if (r < 0) {
		int e = errno;

		kill(pid, SIGKILL);
		errno = e;
	}
	return r == pid ? 7 : r;
}

TEST(wait_for_a_child)
{
	(void)sleeper;
	CHECK_OK(pipe(ends));
	interrupt(&(struct call){ wait_child, write_pipe, 7, true });
}

static long lock_file(void)
{
	int fd = open("f", O_RDWR);

	return flock(fd, LOCK_EX);
}

static void unlock_file(void)
{
	CHECK_OK(flock(ends[0], LOCK_UN));
}

TEST(flock_wait)
{
	ends[0] = CHECK_OK(open("f", O_CREAT | O_RDWR, 0600));
	CHECK_OK(flock(ends[0], LOCK_EX));
	interrupt(&(struct call){ lock_file, unlock_file, 0, true });
}

static long lock_record(void)
{
	struct flock l = { .l_type = F_WRLCK };

	return fcntl(ends[0], F_SETLKW, &l);
}

static void unlock_record(void)
{
	struct flock l = { .l_type = F_UNLCK };

	CHECK_OK(fcntl(ends[0], F_SETLK, &l));
}

TEST(record_lock_wait)
{
	struct flock l = { .l_type = F_WRLCK };

	ends[0] = CHECK_OK(open("f", O_CREAT | O_RDWR, 0600));
	CHECK_OK(fcntl(ends[0], F_SETLK, &l));
	interrupt(&(struct call){ lock_record, unlock_record, 0, true });
}

static long read_event(void)
{
	uint64_t v;

	return read(ends[0], &v, 8);
}

static void write_event(void)
{
	CHECK_EQ(write(ends[0], &(uint64_t){ 1 }, 8), 8);
}

TEST(eventfd_read)
{
	ends[0] = CHECK_OK(eventfd(0, 0));
	interrupt(&(struct call){ read_event, write_event, 8, true });
}

static uint32_t *word;

static long futex_wait(void)
{
	return syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL);
}

static void futex_wake(void)
{
	CHECK_EQ(syscall(SYS_futex, word, FUTEX_WAKE, 1), 1);
}

TEST(futex_without_a_timeout)
{
	word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	interrupt(&(struct call){ futex_wait, futex_wake, 0, true });
}

/* These never restart, whatever the handler says. */

static long do_poll(void)
{
	struct pollfd p = { .fd = ends[0], .events = POLLIN };

	return poll(&p, 1, -1);
}

static long do_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	return select(ends[0] + 1, &set, NULL, NULL, NULL);
}

static long do_epoll(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int fd = epoll_create1(0);

	epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &e);
	return epoll_wait(fd, &e, 1, -1);
}

static long do_sleep(void)
{
	return nanosleep(&(struct timespec){ .tv_sec = 100 }, NULL);
}

static long do_pause(void)
{
	return pause();
}

static long do_timed_receive(void)
{
	struct timeval t = { .tv_sec = 100 };

	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	return recv(ends[0], buf, 5, 0);
}

static long do_timed_futex(void)
{
	/* Restarted by the kernel itself: seen as EINTR only without. */
	return syscall(SYS_futex, word, FUTEX_WAIT, 0,
		       &(struct timespec){ .tv_sec = 100 });
}

TEST(poll_never_restarts)
{
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	interrupt(&(struct call){ do_poll, NULL, 0, false });
	interrupt(&(struct call){ do_select, NULL, 0, false });
	interrupt(&(struct call){ do_epoll, NULL, 0, false });
}

TEST(sleep_never_restarts)
{
	interrupt(&(struct call){ do_sleep, NULL, 0, false });
	interrupt(&(struct call){ do_pause, NULL, 0, false });
}

TEST(timed_receive_never_restarts)
{
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	interrupt(&(struct call){ do_timed_receive, NULL, 0, false });
}

TEST(futex_with_a_timeout)
{
	word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	interrupt_with(&(struct call){ do_timed_futex, NULL, 0, false },
		       false);
}
