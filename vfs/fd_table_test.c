/* Descriptors: lowest slot, growth, limits, copies; and one shared table under several threads. */
#include "test_world.h"

#include <linux/close_range.h>

#ifdef NOS_HOST /* kernel threads have no table */
extern struct fd_table *world_fds;

static struct file *some_file(void)
{
	struct file *f = file_open_at(AT_FDCWD, "f", O_CREAT | O_RDWR, 0600, 0);

	VERIFY(!is_err(f));
	return f;
}

static void table_enter(void)
{
	world_enter();
	world_fds = fd_table_create();
	VERIFY(world_fds);
}

static void table_leave(void)
{
	fd_table_put(world_fds);
	world_fds = NULL;
	rcu_barrier();
	world_leave();
}

TEST(lowest_free_descriptor)
{
	table_enter();
	for (int fd = 0; fd < 200; fd++)
		EXPECT_EQ(fd_add(some_file(), 0), fd);
	EXPECT_EQ(fd_close(70), 0);
	EXPECT_EQ(fd_close(3), 0);
	EXPECT_EQ(fd_close(3), -EBADF);
	EXPECT_EQ(fd_close(-1), -EBADF);
	EXPECT_EQ(fd_dup(0, 0, 0), 3);
	EXPECT_EQ(fd_dup(0, 0, O_CLOEXEC), 70);
	EXPECT(fd_is_cloexec(70));
	EXPECT_EQ(fd_dup(0, 0, 0), 200);
	EXPECT_EQ(fd_dup(0, 500, 0), 500);
	EXPECT_EQ(fd_dup(0, 1000, 0), -EINVAL);
	EXPECT_EQ(fd_dup(999, 0, 0), -EBADF);
	EXPECT_EQ(fd_dup_to(0, 1000, 0), -EBADF);
	EXPECT_EQ(fd_dup_to(0, 900, 0), 900);
	EXPECT_EQ(fd_table_next(world_fds, 501), 900);
	EXPECT_EQ(fd_close_range(100, 899, 0), 0);
	EXPECT_EQ(fd_table_next(world_fds, 100), 900);
	table_leave();
}

TEST(limit_of_descriptors)
{
	int fd;

	table_enter();
	for (fd = 0; fd_add(some_file(), 0) >= 0; fd++)
		;
	EXPECT_EQ(fd, 1000);
	EXPECT_EQ(fd_dup(0, 0, 0), -EMFILE);
	EXPECT_EQ(fd_close(512), 0);
	EXPECT_EQ(fd_dup(0, 0, 0), 512);
	table_leave();
}

TEST(copies_of_tables)
{
	struct fd_table *copy;

	table_enter();
	for (int fd = 0; fd < 130; fd++)
		EXPECT_EQ(fd_add(some_file(), fd % 2 ? O_CLOEXEC : 0), fd);
	EXPECT_EQ(fd_allocate(0, 0), 130); /* reserved: not copied */
	copy = fd_table_copy(world_fds, U32_MAX);
	EXPECT(!is_err(copy));
	EXPECT_EQ(fd_table_next(copy, 129), 129);
	EXPECT_EQ(fd_table_next(copy, 130), -1);
	fd_table_close_on_exec(copy);
	EXPECT_EQ(fd_table_next(copy, 1), 2);
	fd_table_put(copy);
	fd_cancel(130);
	EXPECT_EQ(fd_dup(0, 0, 0), 130);
	table_leave();
}

/* A table that once was large costs no more than what it holds; what comes back is copied too. */
/* Whatever way a slot was taken, a copy has it, and the end of the table closes it. */
TEST(every_slot_is_copied_and_closed)
{
	struct fd_table *copy;
	struct file *f;

	table_enter();
	f = some_file();
	EXPECT_EQ(fd_add(f, 0), 0);
	for (int fd = 1; fd < 100; fd++)
		EXPECT_EQ(fd_dup(0, 0, 0), fd);
	for (int fd = 100; fd < 200; fd++) {
		EXPECT_EQ(fd_allocate(0, 0), fd);
		file_get(f);
		fd_install(fd, f);
	}
	file_get(f);
	EXPECT_EQ(ref_read(&f->refs), 201u);
	copy = fd_table_copy(world_fds, U32_MAX);
	EXPECT(!is_err(copy));
	EXPECT_EQ(ref_read(&f->refs), 401u);
	fd_table_put(copy);
	EXPECT_EQ(ref_read(&f->refs), 201u);
	EXPECT_EQ(fd_close_range(0, U32_MAX, 0), 0);
	EXPECT_EQ(ref_read(&f->refs), 1u);
	file_put(f);
	table_leave();
}

TEST(copies_of_tables_that_were_large)
{
	struct fd_table *copy;

	table_enter();
	EXPECT_EQ(fd_add(some_file(), 0), 0);
	EXPECT_EQ(fd_dup_to(0, 900, 0), 900);
	EXPECT_EQ(fd_close(900), 0);
	copy = fd_table_copy(world_fds, U32_MAX);
	EXPECT(!is_err(copy));
	EXPECT_EQ(copy->array->size, 64);
	EXPECT_EQ(world_fds->array->bound, 64);
	fd_table_put(copy);
	EXPECT_EQ(fd_dup(0, 0, 0), 1);
	EXPECT_EQ(fd_dup(0, 700, O_CLOEXEC), 700);
	EXPECT_EQ(fd_dup_to(0, 800, O_CLOEXEC), 800);
	copy = fd_table_copy(world_fds, U32_MAX);
	EXPECT(!is_err(copy));
	EXPECT_EQ(fd_table_next(copy, 2), 700);
	EXPECT_EQ(fd_table_next(copy, 701), 800);
	fd_table_close_on_exec(copy);
	EXPECT_EQ(fd_table_next(copy, 2), -1);
	fd_table_put(copy);
	table_leave();
}

typedef unsigned long pthread_t;
extern int pthread_create(pthread_t *t, const void *attributes, void *(*fn)(void *), void *arg);
extern int pthread_join(pthread_t t, void **result);

#define ROUNDS 3000

static void *look_up(void *arg)
{
	static __thread struct thread thread;

	host_current = &thread;
	for (int n = 0; n < ROUNDS; n++) {
		struct fd_ref r = fd_lookup(5);

		if (r.file)
			EXPECT(r.counted && r.file->inode != NULL);
		fd_release(r);
	}
	return arg;
}

static void *change(void *arg)
{
	static __thread struct thread thread;

	host_current = &thread;
	for (int n = 0; n < ROUNDS; n++) {
		EXPECT_EQ(fd_dup_to(n % 2, 5, 0), 5);
		if (n % 3 == 0)
			(void)fd_close(5);
		if (n == ROUNDS / 2)
			(void)fd_close(fd_dup(0, 900, 0)); /* a larger array */
	}
	return arg;
}

TEST(lookups_beside_changes)
{
	pthread_t readers[2], writer;

	table_enter();
	(void)fd_add(some_file(), 0);
	(void)fd_add(some_file(), 0);
	ref_get(&world_fds->refs); /* shared */
	for (int n = 0; n < 2; n++)
		VERIFY(!pthread_create(&readers[n], NULL, look_up, NULL));
	VERIFY(!pthread_create(&writer, NULL, change, NULL));
	for (int n = 0; n < 2; n++)
		pthread_join(readers[n], NULL);
	pthread_join(writer, NULL);
	VERIFY(!ref_put(&world_fds->refs));
	table_leave();
}

/* ---- locks on files ---- */

static int lock(struct file *f, int type, u64 start, u64 end)
{
	struct file_lock_request r = { .start = start, .end = end, .type = type, .pid = 1 };

	return file_lock(f, &r);
}

/* What another owner (an open file description) sees of [start, end]. */
static int held(struct file *f, u64 start, u64 end)
{
	struct file_lock_request r = { .start = start, .end = end, .type = F_WRLCK, .ofd = true };

	EXPECT_EQ(file_lock_test(f, &r), 0);
	return r.type;
}

TEST(record_locks_split_and_merge)
{
	struct file *f;

	table_enter();
	f = some_file();
	EXPECT_EQ(lock(f, F_WRLCK, 0, 99), 0);
	EXPECT_EQ(lock(f, F_UNLCK, 40, 59), 0);
	EXPECT_EQ(held(f, 0, 39), F_WRLCK);
	EXPECT_EQ(held(f, 40, 59), F_UNLCK);
	EXPECT_EQ(held(f, 60, 60), F_WRLCK);
	EXPECT_EQ(lock(f, F_RDLCK, 30, 69), 0);
	EXPECT_EQ(held(f, 45, 45), F_RDLCK);
	EXPECT_EQ(held(f, 29, 29), F_WRLCK);
	EXPECT_EQ(lock(f, F_WRLCK, 0, U64_MAX >> 1), 0);
	EXPECT_EQ(held(f, 1 << 20, 1 << 20), F_WRLCK);
	EXPECT_EQ(lock(f, F_UNLCK, 0, U64_MAX >> 1), 0);
	EXPECT_EQ(held(f, 0, U64_MAX >> 1), F_UNLCK);
	file_put(f);
	table_leave();
}
#endif
