/*
 * The core services that modules under test stand on, for the host: locks that
 * spin with sched_yield, kmalloc on malloc with the n-th allocation failing on
 * demand, the log on standard error, RCU whose grace period is the end of all
 * readers.  All are weak: a test that links the real thing gets it.
 *
 * Names of libc are declared here, for its headers clash with the kernel's.
 */
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/lock.h>
#include <nos/log.h>
#include <nos/radix.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/stock.h>
#include <nos/string.h>
#include <nos/test.h>
#include <nos/thread.h>
#include <nos/timer.h>

extern void *malloc(size_t size);
extern void *aligned_alloc(size_t align, size_t size);
extern void free(void *p);
extern void abort(void) __noreturn;
extern int sched_yield(void);
extern ssize_t write(int fd, const void *bytes, size_t len);
extern ssize_t getrandom(void *to, size_t len, unsigned flags);

__thread struct thread *host_current;
__thread bool host_in_handler;
__weak unsigned nr_cpus = 1;
__weak __thread u32 this_cpu_id;
__weak u64 cpu_feature_map;
__weak __thread u32 this_numa_node;
__weak struct boot_info boot_info;

__weak unsigned numa_nr_nodes(void)
{
	return 1;
}

__weak unsigned numa_node_of_phys(phys_t p)
{
	(void)p;
	return 0;
}

__weak unsigned numa_distance(unsigned from, unsigned to)
{
	return from == to ? 10 : 20;
}

/* No code is patched on the host: the key is read. */
__weak void static_key_set(struct static_key *k, bool on)
{
	k->on = on;
}

/* ---- log and panic ---- */

__weak void log_write(enum log_level level, const char *format, ...)
{
	char text[300];
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	size_t len = strlen(text);

	text[len++] = '\n';
	if (write(2, text, len) < 0)
		abort();
}

__weak void panic(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_write(LOG_EMERG, "panic: %s", text);
	abort();
}

__weak const char *boot_option(const char *name)
{
	(void)name;
	return NULL;
}

__weak bool boot_opt_enabled(const char *name)
{
	(void)name;
	return true;
}

/* ---- preemption and threads ---- */

__weak void preempt_disable(void)
{
}

__weak void preempt_enable(void)
{
}

__weak void preempt_enable_no_resched(void)
{
}

__weak void thread_yield(void)
{
	sched_yield();
}

/* A sleeper is a thread of the host that looks at its state again and again. */
__weak void thread_set_state(enum thread_state state)
{
	atomic_xchg(&current_thread->state, (u8)state);
}

__weak void thread_block(void)
{
	while (atomic_load(&current_thread->state) != THREAD_RUNNABLE)
		sched_yield();
}

__weak bool thread_block_until(u64 deadline_ns)
{
	while (atomic_load(&current_thread->state) != THREAD_RUNNABLE) {
		if (clock_monotonic_ns() >= deadline_ns) {
			atomic_store(&current_thread->state, THREAD_RUNNABLE);
			return true;
		}
		sched_yield();
	}
	return false;
}

__weak bool thread_wake_mask(struct thread *t, u32 mask)
{
	u8 state = atomic_load(&t->state);

	return state != THREAD_RUNNABLE && (mask & bit(state)) &&
	       atomic_cas(&t->state, state, THREAD_RUNNABLE);
}

__weak bool thread_wake_sync(struct thread *t)
{
	return thread_wake(t);
}

__weak bool thread_wake_atomic(struct thread *t, u32 mask, bool sync)
{
	(void)sync;
	return thread_wake_mask(t, mask);
}

/* ---- locks ---- */

static void word_lock(u64 *word)
{
	while (!atomic_cas(word, 0, 1))
		sched_yield();
}

static void word_unlock(u64 *word)
{
	VERIFY(atomic_xchg(word, 0) == 1);
}

__weak void spin_lock(struct spinlock *l)
{
	while (!atomic_cas(&l->value, 0, 1))
		sched_yield();
}

__weak bool spin_try_lock(struct spinlock *l)
{
	return atomic_cas(&l->value, 0, 1);
}

__weak void spin_unlock(struct spinlock *l)
{
	VERIFY(atomic_xchg(&l->value, 0) == 1);
}

__weak u64 spin_lock_irq(struct spinlock *l)
{
	spin_lock(l);
	return 0;
}

__weak void spin_unlock_irq(struct spinlock *l, u64 flags)
{
	(void)flags;
	spin_unlock(l);
}

__weak bool spin_is_held(const struct spinlock *l)
{
	return atomic_load(&l->value) != 0;
}

__weak void mutex_lock(struct mutex *m)
{
	word_lock(&m->word);
}

__weak int mutex_lock_interruptible(struct mutex *m)
{
	word_lock(&m->word);
	return 0;
}

__weak int mutex_lock_killable(struct mutex *m)
{
	word_lock(&m->word);
	return 0;
}

__weak bool mutex_try_lock(struct mutex *m)
{
	return atomic_cas(&m->word, 0, 1);
}

__weak void mutex_unlock(struct mutex *m)
{
	word_unlock(&m->word);
}

__weak bool mutex_is_held(const struct mutex *m)
{
	return atomic_load(&m->word) != 0;
}

/* The word is the number of readers, or all ones for a writer. */
__weak void rwlock_read(struct rwlock *l)
{
	for (;;) {
		u64 readers = atomic_load(&l->word);

		if (readers != U64_MAX && atomic_cas(&l->word, readers, readers + 1))
			return;
		sched_yield();
	}
}

__weak bool rwlock_try_read(struct rwlock *l)
{
	u64 readers = atomic_load(&l->word);

	return readers != U64_MAX && atomic_cas(&l->word, readers, readers + 1);
}

__weak void rwlock_read_unlock(struct rwlock *l)
{
	atomic_sub(&l->word, 1);
}

__weak void rwlock_write(struct rwlock *l)
{
	while (!atomic_cas(&l->word, 0, U64_MAX))
		sched_yield();
}

__weak int rwlock_write_killable(struct rwlock *l)
{
	rwlock_write(l);
	return 0;
}

__weak void rwlock_write_unlock(struct rwlock *l)
{
	VERIFY(atomic_xchg(&l->word, 0) == U64_MAX);
}

__weak void rwlock_downgrade(struct rwlock *l)
{
	VERIFY(atomic_xchg(&l->word, 1) == U64_MAX);
}

__weak bool rwlock_is_held(const struct rwlock *l)
{
	return atomic_load(&l->word) != 0;
}

/* ---- RCU: callbacks run when no reader is left and someone asks ---- */

static u64 nr_readers;
static struct rcu_head *callbacks;

__weak void rcu_read_lock(void)
{
	atomic_add(&nr_readers, 1);
}

__weak void rcu_read_unlock(void)
{
	atomic_sub(&nr_readers, 1);
}

__weak void rcu_call(struct rcu_head *head, void (*callback)(struct rcu_head *head))
{
	head->callback = callback;
	do {
		head->next = atomic_load(&callbacks);
	} while (!atomic_cas(&callbacks, head->next, head));
}

__weak void rcu_synchronize(void)
{
	while (atomic_load(&nr_readers))
		sched_yield();
}

__weak void rcu_barrier(void)
{
	rcu_synchronize();
	for (struct rcu_head *head = atomic_xchg(&callbacks, NULL); head;) {
		struct rcu_head *next = head->next;

		head->callback(head);
		head = next;
	}
}

/* ---- memory ---- */

static u32 fail_countdown; /* 0: off */
static bool allocation_failed;

__weak void test_fail_allocation(unsigned n)
{
	allocation_failed = false;
	atomic_store(&fail_countdown, n);
}

__weak bool test_allocation_failed(void)
{
	return allocation_failed;
}

/* mm's own, where it is linked, counts frames and what is below together. */
bool test_allocation_fails(void);

__weak bool test_allocation_fails(void)
{
	if (!atomic_load(&fail_countdown) || atomic_sub(&fail_countdown, 1))
		return false;
	allocation_failed = true;
	return true;
}

/* In front of each block of kmalloc. */
struct block {
	size_t size;
	size_t unused;
};

__weak void *kmalloc(size_t size, u32 flags)
{
	struct block *b = test_allocation_fails() ? NULL : malloc(sizeof(*b) + size);

	if (!b)
		return NULL;
	b->size = size;
	memset(b + 1, flags & ALLOC_ZERO ? 0 : 0xa5, size);
	return b + 1;
}

__weak void kfree(void *p)
{
	if (p)
		free((struct block *)p - 1);
}

__weak size_t kmalloc_usable(const void *p)
{
	return ((const struct block *)p - 1)->size;
}

__weak void *kcalloc(size_t nr, size_t size, u32 flags)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes))
		return NULL;
	return kmalloc(bytes, flags | ALLOC_ZERO);
}

__weak void *krealloc(void *p, size_t size, u32 flags)
{
	void *larger = kmalloc(size, flags);

	if (larger && p) {
		memcpy(larger, p, min(size, kmalloc_usable(p)));
		kfree(p);
	}
	return larger;
}

__weak char *kstrdup(const char *s, u32 flags)
{
	size_t len = strlen(s) + 1;
	char *copy = kmalloc(len, flags);

	if (copy)
		memcpy(copy, s, len);
	return copy;
}

__weak void kfree_rcu(void *p)
{
	rcu_synchronize();
	kfree(p);
}

static void *radix_alloc(size_t bytes)
{
	return kzalloc(bytes, 0);
}

__weak const struct radix_allocator radix_default_allocator = { radix_alloc, kfree_rcu };

struct slab_cache {
	struct slab_cache_info info;
	u64 live;
};

__weak struct slab_cache *slab_cache_create(const struct slab_cache_info *info)
{
	struct slab_cache *c = kzalloc(sizeof(*c), 0);

	if (c)
		c->info = *info;
	return c;
}

__weak void slab_cache_destroy(struct slab_cache *c)
{
	VERIFY(c->live == 0);
	kfree(c);
}

__weak void *slab_alloc(struct slab_cache *c, u32 flags)
{
	size_t align = max(c->info.align, 16ul);
	size_t size = align_up(c->info.size, align);
	void *object = test_allocation_fails() ? NULL : aligned_alloc(align, size);

	if (!object)
		return NULL;
	memset(object, flags & ALLOC_ZERO ? 0 : 0xa5, size);
	if (c->info.construct)
		c->info.construct(object);
	atomic_add(&c->live, 1);
	return object;
}

__weak void slab_free(struct slab_cache *c, void *object)
{
	atomic_sub(&c->live, 1);
	free(object);
}

__weak u64 slab_cache_live(const struct slab_cache *c)
{
	return c->live;
}

extern const struct stock __start_stocks[] __weak, __stop_stocks[] __weak;

__weak void stock_drain_all(void)
{
	for (const struct stock *s = __start_stocks; s < __stop_stocks; s++)
		s->drain();
}

/* ---- the rest ---- */

__weak u64 clock_monotonic_ns(void)
{
	static u64 now;

	return atomic_add(&now, 1000);
}

__weak bool cpu_random_u64(u64 *value)
{
	return getrandom(value, sizeof(*value), 0) == sizeof(*value);
}

__weak bool arch_chacha20_stream(const u32 key[8], void *to, size_t len)
{
	return false;
}

/* ---- the tests ---- */

extern const struct unit_test __start_unit_tests[], __stop_unit_tests[];
static u32 nr_failures;
__weak const bool unit_test_is_fatal; /* a fuzzer's: the first failure ends the run */

void unit_test_fail(const char *file, int line, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	atomic_add(&nr_failures, 1);
	log_write(LOG_ERR, "%s:%d: %s", file, line, text);
	if (unit_test_is_fatal)
		abort();
}

int main(int argc, char **argv)
{
	static struct thread thread;
	unsigned passed = 0, failed = 0;

	host_current = &thread;
	for (const struct unit_test *t = __start_unit_tests; t < __stop_unit_tests; t++) {
		if (argc > 1 && !strstr(t->name, argv[1]))
			continue;
		nr_failures = 0;
		t->run();
		rcu_barrier();
		if (nr_failures) {
			log_write(LOG_ERR, "FAIL %s", t->name);
			failed++;
		} else {
			passed++;
		}
	}
	log_write(LOG_INFO, "%u passed, %u failed", passed, failed);
	return failed != 0;
}
