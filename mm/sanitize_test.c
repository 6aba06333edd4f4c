/* The allocators, the compiler and the shadow agree on what may be accessed. */
#if !defined(NOS_HOST) && defined(SANITIZE)

#include <nos/page.h>
#include <nos/sanitize.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/test.h>
#include <nos/wait.h>
#include <nos/thread.h>
#include <nos/vmap.h>

TEST(shadow_of_slab_objects)
{
	char *p = kmalloc(13, 0);

	EXPECT(p);
	EXPECT_EQ(shadow_at(p), 0);
	EXPECT_EQ(shadow_at(p + 12), 0);
	EXPECT(shadow_at(p + 13) >= SHADOW_SLAB_ZONE);
	EXPECT_EQ(shadow_at(p + 16), SHADOW_SLAB_ZONE);
	EXPECT_EQ(kmalloc_usable(p), 16);
	EXPECT_EQ(shadow_at(p + 15), 0);
	kfree(p);
	EXPECT_EQ(shadow_at(p), SHADOW_SLAB_FREE);
	EXPECT_EQ(shadow_at(p + 12), SHADOW_SLAB_FREE);
}

/* A freed object is not handed out again at once. */
TEST(shadow_quarantine)
{
	void *p = kmalloc(100, 0), *q;

	kfree(p);
	q = kmalloc(100, 0);
	EXPECT(q != p);
	EXPECT_EQ(shadow_at(p), SHADOW_SLAB_FREE);
	kfree(q);
}

TEST(shadow_of_pages)
{
	char *p = page_alloc(1, 0), *big = kmalloc(9000, 0);

	EXPECT(p && big);
	EXPECT_EQ(shadow_at(p + 2 * PAGE_SIZE - 1), 0);
	page_free(p, 1);
	EXPECT_EQ(shadow_at(p), SHADOW_PAGE_FREE);
	EXPECT_EQ(shadow_at(p + 2 * PAGE_SIZE - 1), SHADOW_PAGE_FREE);
	EXPECT_EQ(shadow_at(big + 8999), 0);
	EXPECT_EQ(shadow_at(big + 9000), SHADOW_TAIL);
	kfree(big);
}

static char global_array[13];

TEST(shadow_of_variables)
{
	char array[13], *volatile p = array, *volatile g = global_array;

	memset(p, 0, sizeof(array));
	EXPECT_EQ(shadow_at(p + 12), 0);
	EXPECT(shadow_at(p + 13) >= SHADOW_STACK_LEFT);
	EXPECT(shadow_at(p - 1) >= SHADOW_STACK_LEFT);
	EXPECT_EQ(shadow_at(g + 12), 0);
	EXPECT_EQ(shadow_at(g + 13), SHADOW_GLOBAL);
}

TEST(shadow_of_areas)
{
	char *p = vmalloc(3 * PAGE_SIZE, 0);

	EXPECT(p);
	memset(p, 1, 3 * PAGE_SIZE);
	EXPECT_EQ(shadow_at(p + 3 * PAGE_SIZE - 1), 0);
	vfree(p);
}

static struct completion traced;

static void trace_main(void *arg)
{
	sanitize_trace_here(arg, 0);
	completion_signal(&traced);
}

/* In a thread that has a stack of its own, which the one that boots has not. */
TEST(trace_has_its_caller)
{
	static struct sanitize_trace t;
	struct thread *thread = kthread_create(trace_main, &t, "trace");

	EXPECT(thread != NULL);
	completion_init(&traced);
	thread_start(thread);
	completion_wait(&traced);
	EXPECT(t.pc[0] > (u32)(u64)unit_test_run_all - (1u << 26));
	EXPECT(t.pc[0] && t.pc[1]);
}

#endif
