/* io_uring by raw calls: what a request costs in batches. */
#define SUITE "io_uring"
#include "bench.h"

#include <linux/io_uring.h>
#include <sys/mman.h>

enum { ENTRIES = 128 };

struct ring {
	int fd;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
	struct io_uring_params p;
};

static char *ring_map(const struct ring *r, size_t len, off_t at)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, at);

	if (p == MAP_FAILED)
		bench_skip("mmap of the ring");
	return p;
}

static void ring_open(struct ring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = (int)syscall(__NR_io_uring_setup, ENTRIES, &r->p);
	if (r->fd < 0)
		bench_skip("io_uring_setup");
	r->sq = ring_map(r, r->p.sq_off.array + ENTRIES * sizeof(uint32_t), IORING_OFF_SQ_RING);
	r->cq = ring_map(r, r->p.cq_off.cqes + 2 * ENTRIES * sizeof(struct io_uring_cqe),
			 IORING_OFF_CQ_RING);
	r->sqes = (struct io_uring_sqe *)ring_map(r, ENTRIES * sizeof(*r->sqes), IORING_OFF_SQES);
}

static uint32_t *sq_word(const struct ring *r, uint32_t offset)
{
	return (uint32_t *)(r->sq + offset);
}

/* Submits `batch` copies of a request and waits until all of them are done. */
static void ring_do(const struct ring *r, const struct io_uring_sqe *request, unsigned batch)
{
	uint32_t *tail = sq_word(r, r->p.sq_off.tail);
	uint32_t mask = *sq_word(r, r->p.sq_off.ring_mask);
	uint32_t *array = sq_word(r, r->p.sq_off.array);
	uint32_t *cq_head = (uint32_t *)(r->cq + r->p.cq_off.head);
	uint32_t *cq_tail = (uint32_t *)(r->cq + r->p.cq_off.tail);

	for (unsigned i = 0; i < batch; i++) {
		uint32_t slot = (*tail + i) & mask;

		r->sqes[slot] = *request;
		array[slot] = slot;
	}
	__atomic_store_n(tail, *tail + batch, __ATOMIC_RELEASE);
	NEED(raw_syscall6(__NR_io_uring_enter, r->fd, batch, batch, IORING_ENTER_GETEVENTS, 0, 0));
	struct io_uring_cqe *done = (struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes);

	errno = -done[*cq_head & *(uint32_t *)(r->cq + r->p.cq_off.ring_mask)].res;
	if (errno > 0)
		bench_skip("io_uring request");
	__atomic_store_n(cq_head, __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

static void ring_run(unsigned n, const struct io_uring_sqe *request, unsigned batch)
{
	struct ring r;

	ring_open(&r);
	bench_start();
	for (unsigned i = 0; i < n; i += batch)
		ring_do(&r, request, batch);
	bench_stop();
	munmap(r.sqes, ENTRIES * sizeof(*r.sqes));
	munmap(r.sq, r.p.sq_off.array + ENTRIES * sizeof(uint32_t));
	munmap(r.cq, r.p.cq_off.cqes + 2 * ENTRIES * sizeof(struct io_uring_cqe));
	close(r.fd);
}

BENCH("io_uring NOP, batch 8, per op", 800, 15)
{
	struct io_uring_sqe request = { .opcode = IORING_OP_NOP };

	ring_run(n, &request, 8);
}

BENCH("io_uring NOP, batch 100, per op", 1000, 15)
{
	struct io_uring_sqe request = { .opcode = IORING_OP_NOP };

	ring_run(n, &request, 100);
}

BENCH("io_uring pread 1 B, batch 100, per op", 1000, 15)
{
	char byte = 0;
	int fd = open("sample-uring", O_RDWR | O_CREAT, 0644);

	NEED(fd);
	NEED(pwrite(fd, &byte, 1, 0));
	struct io_uring_sqe request = {
		.opcode = IORING_OP_READ, .fd = fd, .addr = (uint64_t)&byte, .len = 1
	};

	ring_run(n, &request, 100);
	close(fd);
}
