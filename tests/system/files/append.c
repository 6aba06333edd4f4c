#include "../test.h"
#include <pthread.h>

#define WRITERS	4
#define RECORDS	200
#define SIZE	37

static void append_records(int fd, int who)
{
	char record[SIZE];

	memset(record, 'a' + who, SIZE);
	for (int i = 0; i < RECORDS; i++)
		CHECK_EQ(write(fd, record, SIZE), SIZE);
}

static void check_records(int fd)
{
	static char text[WRITERS * RECORDS * SIZE + 1];
	int count[WRITERS] = {};

	CHECK_EQ(pread(fd, text, sizeof(text), 0), sizeof(text) - 1);
	for (int i = 0; i < WRITERS * RECORDS; i++) {
		char *record = text + i * SIZE;

		for (int j = 1; j < SIZE; j++)
			CHECK_EQ(record[j], record[0]);
		CHECK(record[0] >= 'a' && record[0] < 'a' + WRITERS);
		count[record[0] - 'a']++;
	}
	for (int i = 0; i < WRITERS; i++)
		CHECK_EQ(count[i], RECORDS);
}

TEST(processes_with_own_descriptors)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid[WRITERS];

	for (int i = 0; i < WRITERS; i++)
		CHILD(pid[i])
			append_records(CHECK_OK(open("f", O_WRONLY |
						     O_APPEND)), i);
	for (int i = 0; i < WRITERS; i++)
		CHECK_EXIT(pid[i], 0);
	check_records(fd);
}

TEST(processes_that_share_a_position)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid[WRITERS];

	/* Without O_APPEND the common position must be atomic as well. */
	for (int i = 0; i < WRITERS; i++)
		CHILD(pid[i])
			append_records(fd, i);
	for (int i = 0; i < WRITERS; i++)
		CHECK_EXIT(pid[i], 0);
	check_records(fd);
}

static int shared;

static void *thread(void *who)
{
	append_records(shared, (int)(long)who);
	return NULL;
}

TEST(threads_on_one_descriptor)
{
	pthread_t threads[WRITERS];

	shared = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	for (long i = 0; i < WRITERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, thread,
					(void *)i), 0);
	for (int i = 0; i < WRITERS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	check_records(shared);
}
