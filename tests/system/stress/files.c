#include "../test.h"
#include <pthread.h>

#define NR	4

static void run(void *(*f)(void *))
{
	pthread_t t[NR];

	for (long i = 0; i < NR; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, f, (void *)i), 0);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

static void *open_and_close(void *who TEST_UNUSED)
{
	for (int i = 0; i < 400; i++) {
		int fd = CHECK_OK(open("f", O_RDONLY)), two;

		two = CHECK_OK(dup(fd));
		CHECK(fd != two);
		CHECK_OK(close(fd));
		CHECK_OK(close(two));
	}
	return NULL;
}

TEST_TIMED(a_shared_table, 200)
{
	int before;

	test_make_file("f", "x");
	before = CHECK_OK(dup(0));
	CHECK_OK(close(before));
	run(open_and_close);
	CHECK_EQ(dup(0), before);
}

static int target;

static void *replace(void *who)
{
	char c;

	for (int i = 0; i < 400; i++) {
		if ((long)who == 0) {
			CHECK_EQ(dup2(0, target), target);
		} else {
			ssize_t n = pread(target, &c, 1, 0);

			/* Always one of two open files, never neither. */
			CHECK(n == 0 || n == 1 || errno == ESPIPE);
		}
	}
	return NULL;
}

TEST_TIMED(replacing_a_descriptor, 200)
{
	CHECK_OK(dup2(CHECK_OK(open("/dev/null", O_RDONLY)), 0));
	target = CHECK_OK(dup(0));
	run(replace);
}

TEST_TIMED(rename_storm, 200)
{
	char from[32], to[32];
	pid_t pid[NR];

	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	for (int i = 0; i < NR; i++)
		CHILD(pid[i])
			for (int j = 0; j < 200; j++) {
				snprintf(from, sizeof(from), "%c/x%d",
					 j % 2 ? 'b' : 'a', i);
				snprintf(to, sizeof(to), "%c/x%d",
					 j % 2 ? 'a' : 'b', i);
				if (j == 0)
					test_make_file(from, "x");
				CHECK_OK(rename(from, to));
				CHECK_ERR(access(from, F_OK), ENOENT);
				CHECK_OK(access(to, F_OK));
			}
	for (int i = 0; i < NR; i++)
		CHECK_EXIT(pid[i], 0);
	for (int i = 0; i < NR; i++) {
		snprintf(to, sizeof(to), "a/x%d", i);
		CHECK_OK(unlink(to));
	}
	CHECK_OK(rmdir("a"));
	CHECK_OK(rmdir("b"));
}

/* All directories below the one named, which are a tree of at most three. */
static void remove_directories(const char *name, int depth)
{
	DIR *d = opendir(name);
	struct dirent *e;
	char path[300];

	CHECK(d && depth <= 3);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", name, e->d_name);
			remove_directories(path, depth + 1);
			CHECK_OK(rmdir(path));
		}
	closedir(d);
}

/* Directories moved into each other from many sides: never a cycle. */
TEST_TIMED(directories_into_each_other, 200)
{
	const char *names[] = { "a", "b", "c", "a/b", "b/a", "a/c", "c/a",
				"b/c", "c/b", "a/b/c", "c/b/a" };
	pid_t pid[NR];

	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(mkdir("c", 0755));
	for (int i = 0; i < NR; i++)
		CHILD(pid[i]) {
			unsigned state = (unsigned)i + 1;

			for (int j = 0; j < 300; j++) {
				state = state * 1103515245 + 12345;
				rename(names[(state >> 16) % 11],
				       names[(state >> 24) % 11]);
			}
		}
	for (int i = 0; i < NR; i++)
		CHECK_EXIT(pid[i], 0);
	remove_directories(".", 0);
	for (int i = 0; i < 3; i++)
		CHECK_ERR(access(names[i], F_OK), ENOENT);
}

TEST_TIMED(creating_and_removing_one_name, 200)
{
	pid_t pid[NR];
	int made = 0, *shared;

	shared = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < NR; i++)
		CHILD(pid[i])
			for (int j = 0; j < 200; j++) {
				int fd = open("one", O_CREAT | O_EXCL |
					      O_WRONLY, 0666);

				if (fd < 0) {
					CHECK_EQ(errno, EEXIST);
					continue;
				}
				/* Only one holds it at a time. */
				CHECK_EQ(__atomic_add_fetch(shared, 1,
							__ATOMIC_SEQ_CST), 1);
				__atomic_sub_fetch(shared, 1,
						   __ATOMIC_SEQ_CST);
				CHECK_OK(close(fd));
				CHECK_OK(unlink("one"));
				made++;
			}
	for (int i = 0; i < NR; i++)
		CHECK_EXIT(pid[i], 0);
	CHECK_ERR(access("one", F_OK), ENOENT);
}
