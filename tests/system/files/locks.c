#include "../test.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/file.h>

static struct flock range(int type, off_t start, off_t len)
{
	return (struct flock){ .l_type = (short)type, .l_whence = SEEK_SET,
			       .l_start = start, .l_len = len };
}

static int lock(int fd, int command, int type, off_t start, off_t len)
{
	struct flock l = range(type, start, len);

	return fcntl(fd, command, &l);
}

TEST(posix_conflicts)
{
	struct flock l;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid, parent = getpid();

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 30, 10));
	CHILD(pid) {
		l = range(F_RDLCK, 0, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_type, F_WRLCK);
		CHECK_EQ(l.l_pid, parent);
		CHECK_EQ(l.l_start, 10);
		CHECK_EQ(l.l_len, 10);
		CHECK_ERR(lock(fd, F_SETLK, F_RDLCK, 19, 1), EAGAIN);
		CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 20, 1));
		CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 30, 10));
		CHECK_ERR(lock(fd, F_SETLK, F_WRLCK, 30, 10), EAGAIN);
		l = range(F_WRLCK, 100, 5);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_type, F_UNLCK);
	}
	CHECK_EXIT(pid, 0);
	/* One's own locks never conflict. */
	l = range(F_WRLCK, 0, 0);
	CHECK_OK(fcntl(fd, F_GETLK, &l));
	CHECK_EQ(l.l_type, F_UNLCK);
}

TEST(posix_split_and_merge)
{
	struct flock l;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid;

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 100));
	CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 40, 20));
	CHILD(pid) {
		l = range(F_WRLCK, 0, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK(l.l_start == 0 && l.l_len == 40);
		l = range(F_WRLCK, 45, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK(l.l_start == 60 && l.l_len == 40);
		CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 40, 20));
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 40, 20));
	CHILD(pid) {
		l = range(F_WRLCK, 0, 0);
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK(l.l_start == 0 && l.l_len == 100);
	}
	CHECK_EXIT(pid, 0);
}

TEST(posix_close_drops_all)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	int twin = CHECK_OK(open("f", O_RDWR));
	pid_t pid;

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	CHILD(pid)
		CHECK_ERR(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
	CHECK_EXIT(pid, 0);
	CHECK_OK(close(twin));
	CHILD(pid)
		CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	CHECK_EXIT(pid, 0);
}

TEST(posix_arguments)
{
	struct flock l = range(F_WRLCK, -1, 10);
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), ro;

	CHECK_ERR(fcntl(fd, F_SETLK, &l), EINVAL);
	CHECK_ERR(lock(fd, F_SETLK, 77, 0, 0), EINVAL);
	CHECK_ERR(lock(fd, F_GETLK, F_UNLCK, 0, 0), EINVAL);
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 100, -50));
	CHECK_ERR(lock(fd, F_SETLK, F_WRLCK, 10, -50), EINVAL);
	CHECK_ERR(lock(fd, F_SETLK, F_WRLCK, INT64_MAX, 10), EOVERFLOW);
	l = range(F_WRLCK, 0, 0);
	l.l_whence = 9;
	CHECK_ERR(fcntl(fd, F_SETLK, &l), EINVAL);
	CHECK_ERR(fcntl(fd, F_SETLK, WILD), EFAULT);
	CHECK_ERR(fcntl(fd, F_GETLK, WILD), EFAULT);
	ro = CHECK_OK(open("f", O_RDONLY));
	CHECK_ERR(lock(ro, F_SETLK, F_WRLCK, 0, 0), EBADF);
	CHECK_OK(lock(ro, F_SETLK, F_RDLCK, 0, 0));
	CHECK_ERR(lock(-1, F_SETLK, F_RDLCK, 0, 0), EBADF);
	l = range(F_WRLCK, 0, 5);
	l.l_whence = SEEK_END;
	CHECK_OK(fcntl(fd, F_SETLK, &l));
}

TEST(posix_wait_and_inheritance)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), go[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(go));
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	CHILD(pid) {
		/* A child has none of its parent's locks. */
		CHECK_EQ(write(go[1], "x", 1), 1);
		CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	}
	CHECK_EQ(read(go[0], &c, 1), 1);
	test_wait_state(pid, 'S');
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	CHECK_EXIT(pid, 0);
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void on_signal(int sig TEST_UNUSED)
{
}

TEST(posix_wait_is_interrupted)
{
	struct sigaction action = { .sa_handler = on_signal };
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid;

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	sigaction(SIGUSR1, &action, NULL);
	CHILD(pid)
		CHECK_ERR(lock(fd, F_SETLKW, F_WRLCK, 0, 0), EINTR);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
}

TEST(posix_deadlock)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid;

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	CHILD(pid) {
		CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 1, 1));
		CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
	}
	test_wait_state(pid, 'S');
	CHECK_ERR(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 1));
	CHECK_EXIT(pid, 0);
}

TEST(ofd_locks)
{
	struct flock l = range(F_WRLCK, 0, 0);
	int a = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	int b = CHECK_OK(open("f", O_RDWR)), twin = CHECK_OK(dup(a));
	pid_t pid;

	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERR(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
	CHECK_OK(lock(b, F_OFD_SETLK, F_WRLCK, 10, 10));
	CHECK_ERR(lock(b, F_SETLK, F_RDLCK, 0, 1), EAGAIN);
	CHECK_OK(fcntl(b, F_OFD_GETLK, &l));
	CHECK_EQ(l.l_type, F_WRLCK);
	CHECK_EQ(l.l_pid, -1);
	l.l_pid = 5;
	CHECK_ERR(fcntl(b, F_OFD_SETLK, &l), EINVAL);
	CHILD(pid)
		CHECK_OK(lock(a, F_OFD_SETLK, F_RDLCK, 0, 10));
	CHECK_EXIT(pid, 0);
	CHECK_OK(lock(b, F_OFD_SETLK, F_RDLCK, 0, 10));
	CHECK_OK(lock(b, F_OFD_SETLK, F_UNLCK, 0, 0));
	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	/* Held until the last descriptor of the open file is closed. */
	CHECK_OK(close(a));
	CHECK_ERR(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
	CHECK_OK(close(twin));
	CHECK_OK(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST(flock_call)
{
	int a = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	int b = CHECK_OK(open("f", O_RDONLY)), twin = CHECK_OK(dup(a));

	CHECK_OK(flock(a, LOCK_SH));
	CHECK_OK(flock(b, LOCK_SH));
	CHECK_ERR(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(flock(b, LOCK_UN));
	CHECK_OK(flock(a, LOCK_EX | LOCK_NB));
	CHECK_OK(flock(twin, LOCK_EX | LOCK_NB));
	CHECK_ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	/* Separate from record locks. */
	CHECK_OK(lock(a, F_SETLK, F_WRLCK, 0, 0));
	CHECK_OK(close(a));
	CHECK_ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(close(twin));
	CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
	CHECK_ERR(flock(b, LOCK_SH | LOCK_EX), EINVAL);
	CHECK_ERR(flock(b, 0), EINVAL);
	CHECK_ERR(flock(-1, LOCK_SH), EBADF);
	CHECK_ERR(flock(CHECK_OK(open("f", O_PATH)), LOCK_SH), EBADF);
}

/* Nothing stays behind on inodes that outlive everyone (the leak meter of debug kernels looks). */
TEST(on_files_that_stay)
{
	CHECK_OK(flock(CHECK_OK(open("/dev/null", O_RDWR)), LOCK_SH));
	CHECK_OK(flock(CHECK_OK(eventfd(0, 0)), LOCK_SH));
}

static int raced_fd;

static void *close_it(void *arg TEST_UNUSED)
{
	close(raced_fd);
	return NULL;
}

/* A record that is set while another thread closes the descriptor does not outlive it. */
TEST(record_beside_close)
{
	for (int i = 0; i < 300; i++) {
		struct flock l = range(F_WRLCK, 0, 0);
		pthread_t t;
		pid_t pid;

		raced_fd = CHECK_OK(open("g", O_CREAT | O_RDWR, 0666));
		CHECK_EQ(pthread_create(&t, NULL, close_it, NULL), 0);
		fcntl(raced_fd, F_SETLK, &l);
		CHECK_EQ(pthread_join(t, NULL), 0);
		CHILD(pid) {
			CHECK_OK(lock(CHECK_OK(open("g", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
		}
		CHECK_EXIT(pid, 0);
	}
}

TEST(flock_waits)
{
	int a = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid;

	CHECK_OK(flock(a, LOCK_EX));
	CHILD(pid) {
		int b = CHECK_OK(open("f", O_RDWR));

		CHECK_OK(flock(b, LOCK_EX));
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_OK(flock(a, LOCK_UN));
	CHECK_EXIT(pid, 0);
}

TEST(leases)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), ends[2];

	/* No lease is held; whether one is given is up to the system. */
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
	CHECK_ERR(fcntl(fd, F_SETLEASE, 99), EINVAL);
	CHECK_OK(pipe(ends));
	CHECK_ERR(fcntl(ends[0], F_SETLEASE, F_RDLCK), EINVAL);
}

/* Lines of a file of /proc that name this inode. */
static int lines_with(const char *file, ino_t ino, const char *a, const char *b)
{
	char line[512], number[40];
	FILE *f = fopen(file, "r");
	int n = 0;

	CHECK(f != NULL);
	snprintf(number, sizeof(number), ":%lu ", (unsigned long)ino);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, number) && strstr(line, a) && strstr(line, b);
	fclose(f);
	return n;
}

TEST(shown_in_proc)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), ofd, other;
	char mine[64], text[64];
	struct stat st;
	pid_t pid;

	CHECK_OK(fstat(fd, &st));
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 30, 0));
	snprintf(mine, sizeof(mine), "POSIX  ADVISORY  WRITE %d ", getpid());
	CHECK_EQ(lines_with("/proc/locks", st.st_ino, mine, " 10 19\n"), 1);
	snprintf(mine, sizeof(mine), "POSIX  ADVISORY  READ %d ", getpid());
	CHECK_EQ(lines_with("/proc/locks", st.st_ino, mine, " 30 EOF\n"), 1);
	ofd = CHECK_OK(open("f", O_RDWR));
	CHECK_OK(lock(ofd, F_OFD_SETLK, F_RDLCK, 100, 1));
	CHECK_EQ(lines_with("/proc/locks", st.st_ino,
			    "OFDLCK ADVISORY  READ -1 ", " 100 100\n"), 1);
	other = CHECK_OK(open("f", O_RDWR));
	CHECK_OK(flock(other, LOCK_EX));
	snprintf(mine, sizeof(mine), "FLOCK  ADVISORY  WRITE %d ", getpid());
	CHECK_EQ(lines_with("/proc/locks", st.st_ino, mine, " 0 EOF\n"), 1);
	/* Who waits is listed behind what it waits for. */
	CHILD(pid)
		CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 15, 1));
	test_wait_state(pid, 'S');
	snprintf(mine, sizeof(mine), ": -> POSIX  ADVISORY  WRITE %d ", pid);
	CHECK_EQ(lines_with("/proc/locks", st.st_ino, mine, " 15 15\n"), 1);
	/* A descriptor shows its file's and its table's. */
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", fd);
	CHECK_EQ(lines_with(text, st.st_ino, "lock:\t1: POSIX", ""), 1);
	CHECK_EQ(lines_with(text, st.st_ino, "lock:\t", "POSIX"), 2);
	CHECK_EQ(lines_with(text, st.st_ino, "lock:\t", "FLOCK"), 0);
	snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", other);
	CHECK_EQ(lines_with(text, st.st_ino, "lock:\t", "FLOCK"), 1);
	CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	CHECK_EXIT(pid, 0);
	CHECK_EQ(lines_with("/proc/locks", st.st_ino, "POSIX", ""), 0);
	CHECK_OK(close(ofd));
	CHECK_OK(close(other));
	CHECK_EQ(lines_with("/proc/locks", st.st_ino, "", ""), 0);
}
