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

/* Slots that a copy does not have, for they were reserved or cut off, are the first that it gives out. */
TEST(a_copy_gives_its_lowest_slot)
{
	struct fd_table *mine, *copy;

	table_enter();
	mine = world_fds;
	for (int fd = 0; fd < 20; fd++)
		EXPECT_EQ(fd_add(some_file(), 0), fd);
	EXPECT_EQ(fd_close(5), 0);
	EXPECT_EQ(fd_allocate(0, 0), 5);
	for (u32 max_fd = 3; max_fd < 30; max_fd++) {
		copy = fd_table_copy(mine, max_fd);
		EXPECT(!is_err(copy));
		world_fds = copy;
		EXPECT_EQ(fd_dup(0, 0, 0), (int)min(max_fd, 5u));
		EXPECT_EQ(fd_dup(0, 0, 0),
			  max_fd < 5 ? (int)max_fd + 1 : (int)clamp(max_fd, 6u, 20u));
		world_fds = mine;
		fd_table_put(copy);
	}
	fd_cancel(5);
	table_leave();
}

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

/* A table that once was large costs no more than what it holds; what comes back is copied too. */
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

/* A table that two processes share: each change is under its lock, each lookup counts. */
TEST(shared_tables)
{
	struct fd_ref r;
	struct file *f;

	table_enter();
	ref_get(&world_fds->refs);
	f = some_file();
	EXPECT_EQ(fd_allocate(0, 0), 0);
	EXPECT(!fd_get_file(0)); /* reserved only */
	fd_install(0, f);
	EXPECT_EQ(fd_allocate(0, O_CLOEXEC), 1);
	EXPECT_EQ(fd_dup_to(0, 1, 0), -EBUSY); /* somebody's open is about to fill it */
	fd_cancel(1);
	EXPECT_EQ(fd_dup(0, 0, 0), 1);
	EXPECT(fd_is_file(1, f) && !fd_is_file(2, f) && !fd_is_file(-1, f));
	EXPECT(fd_get_file(1) == f);
	EXPECT(fd_table_get_file(world_fds, 0) == f);
	EXPECT(!fd_table_get_file(world_fds, 100000));
	EXPECT_EQ(ref_read(&f->refs), 4u);
	file_put(f);
	file_put(f);
	r = fd_lookup_shared(0);
	EXPECT(r.file == f && r.counted);
	fd_release(r);
	f->mode |= FILE_PATH; /* as O_PATH opens it: only for those who take any */
	EXPECT(!fd_lookup_shared(0).file);
	r = fd_lookup_shared_any(0);
	EXPECT(r.file == f);
	fd_release(r);
	EXPECT_EQ(ref_read(&f->refs), 2u);
	VERIFY(!ref_put(&world_fds->refs));
	EXPECT(!fd_lookup_shared(0).file); /* of a table that is one's own too */
	EXPECT(fd_lookup_shared_any(0).file == f);
	EXPECT(!fd_lookup_shared_any(77).file && !fd_lookup_shared_any(1 << 20).file);
	table_leave();
}

TEST(close_on_exec)
{
	table_enter();
	for (int fd = 0; fd < 10; fd++)
		EXPECT_EQ(fd_add(some_file(), 0), fd);
	EXPECT_EQ(fd_set_cloexec(3, true), 0);
	EXPECT(fd_is_cloexec(3) && !fd_is_cloexec(4) && !fd_is_cloexec(100000));
	EXPECT_EQ(fd_set_cloexec(3, false), 0);
	EXPECT(!fd_is_cloexec(3));
	EXPECT_EQ(fd_set_cloexec(11, true), -EBADF);
	EXPECT_EQ(fd_set_cloexec(-1, true), -EBADF);
	EXPECT_EQ(fd_close_range(2, 1, 0), -EINVAL);
	EXPECT_EQ(fd_close_range(5, 7, CLOSE_RANGE_CLOEXEC), 0);
	EXPECT(!fd_is_cloexec(4) && fd_is_cloexec(5) && fd_is_cloexec(7) && !fd_is_cloexec(8));
	fd_table_close_on_exec(world_fds);
	EXPECT_EQ(fd_table_next(world_fds, 5), 8);
	EXPECT_EQ(fd_table_next(world_fds, 100000), -1);
	EXPECT_EQ(fd_dup_to(42, 8, 0), -EBADF);
	EXPECT_EQ(fd_dup(42, 0, 0), -EBADF);
	EXPECT_EQ(fd_dup(42, 1000, 0), -EBADF); /* that counts more than the limit */
	EXPECT_EQ(fd_dup_to(42, 800, 0), -EBADF); /* before the table grows */
	EXPECT_EQ(fd_allocate(1000, 0), -EINVAL);
	table_leave();
}

static int flush_result, nr_flushes;

static int flush(struct file *f)
{
	nr_flushes++;
	return flush_result;
}

/* A close may fail, but never asks to be repeated: the descriptor is gone. */
TEST(closes_that_fail)
{
	static struct file_ops ops;
	struct file *f;

	table_enter();
	f = some_file();
	ops = *f->ops;
	ops.flush = flush;
	f->ops = &ops;
	nr_flushes = 0;
	for (int fd = 0; fd < 3; fd++)
		file_get(f);
	for (int fd = 0; fd < 4; fd++)
		EXPECT_EQ(fd_add(f, 0), fd);
	flush_result = -EIO;
	EXPECT_EQ(fd_close(0), -EIO);
	EXPECT_EQ(fd_close(0), -EBADF);
	flush_result = -ERESTARTSYS;
	EXPECT_EQ(fd_close(1), -EINTR);
	flush_result = 0;
	EXPECT_EQ(fd_close(2), 0);
	EXPECT_EQ(nr_flushes, 3);
	table_leave(); /* closes the last */
	EXPECT_EQ(nr_flushes, 4);
}

/* What an operation could not do for want of memory it has not done in part. */
TEST(tables_without_memory)
{
	struct fd_table *copy;
	int fd;

	table_enter();
	for (fd = 0; fd < 64; fd++)
		EXPECT_EQ(fd_add(some_file(), 0), fd);
	TEST_EACH_ALLOCATION_FAILING({
		fd = fd_dup(0, 0, 0); /* needs a larger array */
		EXPECT_EQ(fd, test_allocation_failed() ? -ENOMEM : 64);
		if (fd >= 0)
			EXPECT_EQ(fd_close(fd), 0);
		EXPECT_EQ(fd_table_next(world_fds, 64), -1);
	});
	TEST_EACH_ALLOCATION_FAILING({
		fd = fd_dup_to(0, 900, 0);
		EXPECT_EQ(fd, test_allocation_failed() ? -ENOMEM : 900);
	});
	TEST_EACH_ALLOCATION_FAILING({
		copy = fd_table_copy(world_fds, U32_MAX);
		EXPECT_EQ(is_err(copy), test_allocation_failed());
		if (!is_err(copy))
			fd_table_put(copy);
	});
	copy = fd_table_copy(world_fds, 10); /* close_range(2) with CLOSE_RANGE_UNSHARE */
	EXPECT(!is_err(copy));
	EXPECT_EQ(fd_table_next(copy, 9), 9);
	EXPECT_EQ(fd_table_next(copy, 10), -1);
	fd_table_put(copy);
	TEST_EACH_ALLOCATION_FAILING({
		copy = fd_table_create();
		EXPECT_EQ(!copy, test_allocation_failed());
		if (copy)
			fd_table_put(copy);
	});
	table_leave();
}

/* A descriptor's locks go with it. */
TEST(locks_end_with_a_close)
{
	struct file_lock_request r = { .end = 99, .type = F_WRLCK, .pid = 1 };
	struct file *f;

	table_enter();
	f = some_file();
	file_get(f);
	EXPECT_EQ(fd_add(f, 0), 0);
	EXPECT_EQ(file_lock(f, &r), 0);
	EXPECT(f->inode->locks != NULL);
	EXPECT_EQ(fd_close(0), 0);
	r = (struct file_lock_request){ .end = 99, .type = F_WRLCK, .ofd = true };
	EXPECT_EQ(file_lock_test(f, &r), 0);
	EXPECT_EQ(r.type, F_UNLCK);
	file_put(f);
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
