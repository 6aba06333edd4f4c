/*
 * What the kernel's allocators and mutex stand on, for benchmarks of them on
 * the host (meter M4).  A pthread plays a CPU: its number chooses the per-CPU
 * arrays.  Everything here is small, so that link-time optimisation puts it in
 * line as the kernel's own is; blocking is a futex.
 */
#include "native.h"

#include <nos/cpu.h>
#include <nos/lock.h>
#include <nos/lock_stats.h>
#include <nos/log.h>
#include <nos/memory_policy.h>
#include <nos/page.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <linux/futex.h>
#include <linux/time.h>

extern void abort(void) __noreturn;
extern long syscall(long nr, ...);
extern int clock_gettime(int clock, struct __kernel_timespec *t);
extern ssize_t write(int fd, const void *bytes, size_t len);
extern int sched_yield(void);

enum { FUTEX_CALL = 202, MAX_SPINS = 1000 };

__thread struct thread *host_current;
unsigned nr_cpus = 1;
__thread u32 this_cpu_id;
u64 cpu_feature_map;
DEFINE_STATIC_KEY(lock_stats_key); /* stays off */
__thread u32 this_numa_node;
__thread bool host_in_handler;
struct boot_info boot_info;

unsigned numa_nr_nodes(void)
{
	return 1;
}

unsigned numa_node_of_phys(phys_t p)
{
	(void)p;
	return 0;
}

unsigned numa_distance(unsigned from, unsigned to)
{
	return from == to ? 10 : 20;
}

void static_key_set(struct static_key *k, bool on)
{
	k->on = on;
}

/* ---- threads: a word for each says whether it may run ---- */

static struct native_thread {
	struct thread thread;
	u32 may_run;
} threads[NATIVE_CPUS];

void native_start(unsigned nr)
{
	nr_cpus = nr;
}

void native_thread_start(unsigned cpu)
{
	this_cpu_id = cpu;
	threads[cpu].thread.on_cpu = true;
	threads[cpu].may_run = 1;
	host_current = &threads[cpu].thread;
}

static struct native_thread *native_of(struct thread *t)
{
	return container_of(t, struct native_thread, thread);
}

void thread_set_state(enum thread_state s)
{
	atomic_store(&native_of(current_thread)->may_run, s == THREAD_RUNNABLE);
}

void thread_block(void)
{
	struct native_thread *self = native_of(current_thread);

	atomic_store(&self->thread.on_cpu, false);
	while (!atomic_load(&self->may_run))
		syscall(FUTEX_CALL, &self->may_run, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	atomic_store(&self->thread.on_cpu, true);
}

/*
 * In the kernel nobody runs in the waker's place while it holds a spinlock.
 * Here the host might, and what it woke would spin for the lock for a slice:
 * so the wake-up itself comes after the unlock.
 */
static __thread struct native_thread *to_wake;

bool thread_wake_mask(struct thread *t, u32 mask)
{
	(void)mask;
	to_wake = native_of(t);
	return true;
}

static void wake_now(void)
{
	struct native_thread *t = to_wake;

	if (likely(!t))
		return;
	to_wake = NULL;
	atomic_store(&t->may_run, 1);
	syscall(FUTEX_CALL, &t->may_run, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* As many instructions as in the kernel, which looks on leaving whether it should reschedule. */
static __thread u32 preempt_word = 0x80000000u;

void preempt_disable(void)
{
	__asm__ volatile("incl %0" : "+m"(preempt_word)::"cc", "memory");
}

void preempt_enable(void)
{
	bool due;

	__asm__ volatile("decl %0" : "+m"(preempt_word), "=@ccz"(due)::"memory");
	if (unlikely(due))
		abort();
}

void preempt_enable_no_resched(void)
{
	__asm__ volatile("decl %0" : "+m"(preempt_word)::"cc", "memory");
}

/* ---- spinlocks: taken by one exchange, waited for by looking; the holder may be off its CPU ---- */

void spin_lock(struct spinlock *l)
{
	while (!atomic_cas(&l->value, 0, 1))
		for (u32 i = 0; READ_ONCE(l->value); i++) {
			if (i < MAX_SPINS)
				__builtin_ia32_pause();
			else
				sched_yield();
		}
}

bool spin_try_lock(struct spinlock *l)
{
	return atomic_cas(&l->value, 0, 1);
}

void spin_unlock(struct spinlock *l)
{
	__atomic_store_n(&l->value, 0, __ATOMIC_RELEASE);
}

u64 spin_lock_irq(struct spinlock *l)
{
	spin_lock(l);
	return 0;
}

void spin_unlock_irq(struct spinlock *l, u64 flags)
{
	(void)flags;
	spin_unlock(l);
	wake_now();
}

/* ---- mutexes: the kernel's slow paths (core/lock_mutex.c) behind its fast one ---- */

void mutex_lock_slow(struct mutex *m);
void mutex_unlock_slow(struct mutex *m);

void mutex_lock(struct mutex *m)
{
	u64 free = 0;

	if (unlikely(!__atomic_compare_exchange_n(&m->word, &free, (u64)current_thread, false,
						  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		mutex_lock_slow(m);
}

void mutex_unlock(struct mutex *m)
{
	u64 mine = (u64)current_thread;

	if (unlikely(!__atomic_compare_exchange_n(&m->word, &mine, 0, false, __ATOMIC_RELEASE,
						  __ATOMIC_RELAXED)))
		mutex_unlock_slow(m);
}

static struct mutex the_mutex = MUTEX_INIT(RANK_NONE);

void native_mutex_lock(void)
{
	mutex_lock(&the_mutex);
}

void native_mutex_unlock(void)
{
	mutex_unlock(&the_mutex);
}

/* ---- the rest ---- */

u64 clock_monotonic_ns(void)
{
	struct __kernel_timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NSEC_PER_SEC + (u64)t.tv_nsec;
}

bool boot_opt_enabled(const char *name)
{
	(void)name;
	return true;
}

/* No thread has a policy. */
struct node_choice memory_policy_choose_next(const struct memory_policy *p)
{
	panic("a policy was asked for that nobody set\n");
}

/* lock_stats_key is off */
void lock_stats_add(u64 at, u64 start_ns, bool slept)
{
	panic("a wait was noted that nobody asked for\n");
}

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

void panic(const char *format, ...)
{
	if (write(2, format, strlen(format)) < 0)
		abort();
	abort();
}

bool test_allocation_fails(void)
{
	return false;
}

/* No reader runs beside the benchmark's own threads, which read nothing by RCU. */
void rcu_call(struct rcu_head *head, void (*callback)(struct rcu_head *head))
{
	callback(head);
}

void rcu_synchronize(void)
{
}

/* ---- for the benchmark, which sees libc's headers and not the kernel's ---- */

void *native_page_alloc(void)
{
	return page_alloc(0, 0);
}

void native_page_free(void *p)
{
	page_free(p, 0);
}

static struct slab_cache *objects;

void native_objects_start(void)
{
	static const struct slab_cache_info info = { .name = "objects", .size = 64 };

	objects = slab_cache_create(&info);
	if (!objects)
		abort();
}

void *native_object_alloc(void)
{
	return slab_alloc(objects, 0);
}

void native_object_free(void *p)
{
	slab_free(objects, p);
}

size_t native_bytes_in_use(void)
{
	static u64 at_start;
	u64 nr_free = page_nr_free();

	if (!at_start)
		at_start = nr_free;
	return (at_start - nr_free) * PAGE_SIZE;
}

static struct folio *first_frame;

void native_frames_start(unsigned nr_frames)
{
	native_start(1);
	native_thread_start(0);
	first_frame = phys_to_frame(HUGE_SIZE); /* as tests/host/memory.c has it */
	if (page_nr_free() > nr_frames || page_nr_free() + 64 < nr_frames)
		panic("the host's memory has another size\n");
}

unsigned native_frames_alloc(unsigned order, int is_movable)
{
	struct folio *f = folio_alloc(order, is_movable ? FOLIO_ANON : FOLIO_KERNEL,
				      ALLOC_NOWAIT | (is_movable ? ALLOC_MOVABLE : 0));

	return f ? (u32)(f - first_frame) : NATIVE_NO_FRAMES;
}

void native_frames_free(unsigned at, unsigned order)
{
	(void)order;
	folio_put(first_frame + at);
}
