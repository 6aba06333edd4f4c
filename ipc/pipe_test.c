/* Tests of pipes below their files: bytes in and out of the ring, extents, limits. */
/* needs: ipc/pipe_splice.c core/iobuf.c core/wait.c */
#include "pipe_internal.h"

#include <nos/errno.h>
#include <nos/init.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/test.h>

#ifdef NOS_HOST
/* A little memory of the host: frame n is page n. */
#define NR_FRAMES 64u
static struct folio frames[NR_FRAMES];
static u8 pages[NR_FRAMES][4096] __aligned(4096);
struct folio *host_frame_table = frames;
static u64 live_folios;

struct folio *folio_alloc(unsigned order, enum folio_kind kind, u32 flags)
{
	void *may = kmalloc(1, 0); /* fails when the test says so */

	kfree(may);
	for (u32 n = 0; may && n < NR_FRAMES; n++) {
		if (frames[n].refs.count)
			continue;
		frames[n] = (struct folio){ .kind = (u8)kind, .refs = { 1 } };
		live_folios++;
		return &frames[n];
	}
	return NULL;
}

void folio_get(struct folio *f)
{
	f->refs.count++;
}

void folio_put(struct folio *f)
{
	if (--f->refs.count == 0)
		live_folios--;
}

void *phys_to_virt(phys_t p)
{
	return (u8 *)pages + p;
}

static u32 signals;

void process_signal_self(int signo)
{
	signals++;
}

extern const struct init_step __start_init_steps[], __stop_init_steps[];

static void prepare(void)
{
	static bool done;

	for (const struct init_step *s = __start_init_steps; s < __stop_init_steps && !done; s++)
		if (!strcmp(s->name, "pipe_init"))
			done = s->run() == 0;
}
#else
static void prepare(void)
{
}
#endif

static struct pipe *make(void)
{
	struct pipe *p;

	prepare();
	p = pipe_create();
	if (p)
		p->readers = p->writers = 1;
	return p;
}

static void end(struct pipe *p)
{
	p->readers = p->writers = 0;
	pipe_destroy(p);
}

static ssize_t put(struct pipe *p, const void *data, size_t len)
{
	struct iobuf b;

	iobuf_init_kernel(&b, (void *)data, len);
	return pipe_write(p, &b, true, false);
}

static ssize_t take(struct pipe *p, void *to, size_t len)
{
	struct iobuf b;

	iobuf_init_kernel(&b, to, len);
	return pipe_read(p, &b, true);
}

TEST(pipe_bytes_in_order)
{
	struct pipe *p = make();
	char got[16];

	if (!p)
		return;
	EXPECT_EQ(take(p, got, sizeof(got)), -EAGAIN);
	EXPECT_EQ(put(p, "hello ", 6), 6);
	EXPECT_EQ(put(p, "world", 5), 5);
	EXPECT_EQ(p->head - p->tail, 1); /* merged */
	EXPECT_EQ(take(p, got, 3), 3);
	EXPECT_EQ(take(p, got + 3, sizeof(got) - 3), 8);
	EXPECT(!memcmp(got, "hello world", 11));
	EXPECT(p->spare != NULL);
	p->writers = 0;
	EXPECT_EQ(take(p, got, sizeof(got)), 0);
	end(p);
}

TEST(pipe_fills_and_drains)
{
	static u8 data[PIPE_DEFAULT_SLOTS * 4096 + 100], got[sizeof(data) + 8192];
	struct pipe *p = make();

	if (!p)
		return;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + i / 251);
	for (u32 round = 0; round < 3; round++) {
		EXPECT_EQ(put(p, data, sizeof(data)), PIPE_DEFAULT_SLOTS * 4096);
		EXPECT_EQ(put(p, data, 1), -EAGAIN);
		EXPECT(pipe_is_full(p));
		EXPECT_EQ(take(p, got, 5000), 5000);
		EXPECT_EQ(put(p, data, 4096), 4096);
		EXPECT_EQ(take(p, got + 5000, sizeof(got) - 5000),
			  PIPE_DEFAULT_SLOTS * 4096 - 5000 + 4096);
		EXPECT(!memcmp(got, data, PIPE_DEFAULT_SLOTS * 4096));
		EXPECT(pipe_is_empty(p));
	}
	end(p);
}

TEST(pipe_small_writes_are_whole)
{
	static u8 data[4096];
	struct pipe *p = make();

	if (!p)
		return;
	/* A write of PIPE_BUF bytes or less never lies in two pages. */
	EXPECT_EQ(put(p, data, 3000), 3000);
	EXPECT_EQ(put(p, data, 2000), 2000);
	EXPECT_EQ(p->head - p->tail, 2);
	EXPECT_EQ(put(p, data, 2096), 2096);
	EXPECT_EQ(p->head - p->tail, 2);
	end(p);
}

TEST(pipe_packets)
{
	struct pipe *p = make();
	struct iobuf b;
	char got[16];

	if (!p)
		return;
	iobuf_init_kernel(&b, (void *)"one", 3);
	EXPECT_EQ(pipe_write(p, &b, true, true), 3);
	iobuf_init_kernel(&b, (void *)"two", 3);
	EXPECT_EQ(pipe_write(p, &b, true, true), 3);
	EXPECT_EQ(take(p, got, 2), 2); /* the rest of the packet is gone */
	EXPECT_EQ(take(p, got, sizeof(got)), 3);
	EXPECT(!memcmp(got, "two", 3));
	end(p);
}

TEST(pipe_moves_extents)
{
	struct pipe *a = make(), *b = a ? make() : NULL;
	struct pipe_extent e;
	char got[16];

	if (!b)
		return;
	EXPECT_EQ(put(a, "abcdef", 6), 6);
	EXPECT_EQ(pipe_tee(a, b, 4, 2), 4);
	/* The copy must not see what is merged into the original's page. */
	EXPECT_EQ(put(a, "gh", 2), 2);
	EXPECT_EQ(put(b, "XY", 2), 2);
	EXPECT_EQ(take(b, got, sizeof(got)), 6);
	EXPECT(!memcmp(got, "abcdXY", 6));
	EXPECT_EQ(pipe_pull_extent(a, &e, 3, true), 3);
	EXPECT_EQ(e.len, 3);
	EXPECT_EQ(pipe_push_extent(b, &e, true), 0);
	EXPECT_EQ(put(b, "Z", 1), 1);
	EXPECT_EQ(take(b, got, sizeof(got)), 4);
	EXPECT(!memcmp(got, "abcZ", 4));
	EXPECT_EQ(take(a, got, sizeof(got)), 5);
	EXPECT(!memcmp(got, "defgh", 5));
	end(a);
	end(b);
}

TEST(pipe_one_slot)
{
	static u8 data[4096];
	struct pipe *p = make();

	if (!p)
		return;
	p->nr_slots = 1;
	EXPECT_EQ(put(p, data, 4096), 4096);
	EXPECT_EQ(put(p, data, 1), -EAGAIN);
	EXPECT_EQ(take(p, data, 4096), 4096);
	EXPECT_EQ(put(p, data, 1), 1);
	EXPECT_EQ(take(p, data, 1), 1);
	p->nr_slots = PIPE_DEFAULT_SLOTS;
	end(p);
}

#ifdef NOS_HOST
TEST(pipe_without_readers)
{
	struct pipe *p = make();

	p->readers = 0;
	signals = 0;
	EXPECT_EQ(put(p, "x", 1), -EPIPE);
	EXPECT_EQ(signals, 1);
	end(p);
}

TEST(pipe_survives_failing_allocations)
{
	static u8 data[3 * 4096];

	prepare();
	TEST_EACH_ALLOCATION_FAILING({
		struct pipe *p = make();

		if (p) {
			ssize_t n = put(p, data, sizeof(data));

			EXPECT(n == -ENOMEM || (n > 0 && n % 4096 == 0));
			end(p);
		}
	})
	EXPECT_EQ(live_folios, 0);
}
#endif
