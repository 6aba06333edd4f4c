/*
 * Tests of flushing, on processors that are worse than real ones.
 *
 * tlb.c is compiled here a second time, with its accesses to what processors share, and its
 * instructions, leading to a machine of this file: a few processors, each a thread of the host
 * of which one runs at a time, until its next access (sim_step).  Their TLBs are tagged by PCID,
 * fill themselves at any time, also ahead of any use, cache the way to a page table and pages of
 * two sizes, and forget nothing but what an instruction drops.  Frames and page tables are never
 * used twice, so that a stale translation shows whenever it is used.
 *
 * The processors run random programs: they switch between more address spaces than there are
 * slots, and kernel threads, touch memory, take pages, rights, page tables and whole address
 * spaces away, as the rest of mm does, several at once in one address space, and are preempted.
 *
 * Checked: no translation is used, nor walked through, after what it leads to was given away; no
 * store after the right was taken; a program runs on its own tables; no two sizes at once.
 */
/* needs: tests/host/memory.c */
#include <nos/test.h>

#ifdef NOS_HOST

#define aspace_switch sim_aspace_switch
#define aspace_flush sim_aspace_flush
#define aspace_unload sim_aspace_unload
#define tlb_batch_finish_slow sim_tlb_batch_finish_slow
#define tlb_name_aspace sim_tlb_name_aspace
#define pcid_key sim_pcid_key

#include "aspace_internal.h"
#include "tlb_slots.h"

#include <nos/cpu.h>
#include <nos/string.h>
#include <nos/thread.h>

#define NR_CPUS 3u
#define NR_SPACES (TLB_SLOTS + 3)
#define NR_REGIONS 2u /* of 2 MiB */
#define NR_PAGES 3u /* that are used of each */
#define NR_PCIDS (TLB_SLOTS + 1)
#define NR_FRAMES 200000u
#define NR_TABLES 100000u
#define OPERATIONS 6000u

extern int pthread_create(unsigned long *id, const void *attributes, void *(*fn)(void *),
			  void *arg);
extern int pthread_join(unsigned long id, void **result);
struct semaphore {
	u64 opaque[4];
};
extern int sem_init(struct semaphore *s, int shared, unsigned value);
extern int sem_wait(struct semaphore *s);
extern int sem_post(struct semaphore *s);

/* ---- what there is ---- */

enum state { FRAME_USED, FRAME_READ_ONLY, GIVEN_AWAY };
static u8 frames[NR_FRAMES], tables_given_away[NR_TABLES];
static u32 nr_frames, nr_tables;

struct entry {
	u32 frame; /* 0: not present */
	bool writable;
};
static struct entry tables[NR_TABLES][NR_PAGES];

/* A level-2 entry: a table, a page of 2 MiB, or neither. */
struct upper {
	u32 table;
	struct entry huge;
};

struct space {
	struct aspace a; /* the only part that tlb.c sees */
	struct upper upper[NR_REGIONS];
	/* locks of the rest of mm: who finds one taken does something else */
	u32 nr_operations, nr_in_region[NR_REGIONS];
	bool taken, region_taken[NR_REGIONS], page_taken[NR_REGIONS][NR_PAGES];
	u32 nr_threads;
};
static struct space spaces[NR_SPACES];

struct cpu {
	struct semaphore turn;
	unsigned id;
	struct space *table; /* CR3; NULL: the kernel's */
	u32 pcid;
	struct entry page[NR_PCIDS][NR_REGIONS][NR_PAGES];
	struct entry huge[NR_PCIDS][NR_REGIONS];
	u32 way[NR_PCIDS][NR_REGIONS]; /* to the table; 0: not cached */
	u32 irq_off, preempt_off, depth;
	u64 callers;
	void (*fn)(void *arg);
	void *arg;
	u64 pending;
	struct thread thread;
};
static struct cpu cpus[NR_CPUS];
static __thread struct cpu *self;
static u32 nr_done, nr_reported;
static u64 nr_kept, nr_behind;

static u32 chance(u32 n)
{
	static u64 state = 88172645463325252ull; /* George Marsaglia, Xorshift RNGs (2003) */

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (u32)((state >> 20) % n);
}

/* Often one of two, which many then change at once. */
static struct space *any_space(void)
{
	return &spaces[chance(chance(3) ? 2 : NR_SPACES)];
}

static bool is_broken(void)
{
	return nr_reported != 0;
}

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond) && nr_reported++ < 3)                                                  \
			EXPECT(cond);                                                              \
	} while (0)

/* ---- the hardware ---- */

static void drop_pcid(struct cpu *c, u32 pcid)
{
	memset(c->page[pcid], 0, sizeof(c->page[pcid]));
	memset(c->huge[pcid], 0, sizeof(c->huge[pcid]));
	memset(c->way[pcid], 0, sizeof(c->way[pcid]));
}

/* Makes the translation cached if there is one. */
static void walk(struct cpu *c, u32 region, u32 page)
{
	u32 *way = &c->way[c->pcid][region];

	if (c->huge[c->pcid][region].frame || c->page[c->pcid][region][page].frame)
		return;
	if (!*way) {
		const struct upper *u = &c->table->upper[region];

		c->huge[c->pcid][region] = u->huge;
		*way = u->table;
	}
	if (!*way)
		return;
	REQUIRE(!tables_given_away[*way]);
	c->page[c->pcid][region][page] = tables[*way][page];
}

static void use_memory(struct cpu *c, u32 region, u32 page, bool write)
{
	if (!c->table)
		return;
	walk(c, region, page);
	struct entry small = c->page[c->pcid][region][page], huge = c->huge[c->pcid][region];
	struct entry e = huge.frame ? huge : small;

	if (!e.frame)
		return;
	REQUIRE(!small.frame || !huge.frame);
	REQUIRE(frames[e.frame] != GIVEN_AWAY);
	if (write && e.writable)
		REQUIRE(frames[e.frame] != FRAME_READ_ONLY);
}

static void take_calls(struct cpu *c)
{
	c->irq_off++;
	while (c->callers) {
		unsigned from = chance(NR_CPUS);
		struct cpu *caller = &cpus[from];

		if (!(c->callers & bit(from)))
			continue;
		c->callers &= ~bit(from);
		caller->fn(caller->arg);
		caller->pending &= ~bit(c->id);
	}
	c->irq_off--;
}

static void be_preempted(struct cpu *c);

/* Between any two accesses another processor may go on, this one's may fill its TLB, and be interrupted. */
static void sim_step(void)
{
	struct cpu *c = self, *next = &cpus[chance(NR_CPUS)];

	if (!c || nr_done == NR_CPUS) /* the machine is not yet on, or off */
		return;
	if (chance(4) == 0)
		use_memory(c, chance(NR_REGIONS), chance(NR_PAGES), false);
	if (next != c) {
		sem_post(&next->turn);
		sem_wait(&c->turn);
	}
	if (nr_done == NR_CPUS)
		return;
	if (!c->irq_off && c->callers)
		take_calls(c);
	if (!c->irq_off && !c->preempt_off && !c->depth && chance(12) == 0)
		be_preempted(c);
}

static void sim_load(phys_t top, u32 pcid, bool keep)
{
	struct cpu *c = self;

	sim_step();
	VERIFY(pcid < NR_PCIDS);
	c->table = NULL;
	for (u32 i = 0; i < NR_SPACES; i++)
		if (spaces[i].a.table_phys == top)
			c->table = &spaces[i];
	c->pcid = pcid;
	if (!keep)
		drop_pcid(c, pcid);
	sim_step();
}

static void sim_flush_page(u64 va)
{
	struct cpu *c = self;
	u64 region = va / HUGE_SIZE - 1, page = va % HUGE_SIZE / PAGE_SIZE;

	sim_step();
	memset(c->way[c->pcid], 0, sizeof(c->way[c->pcid]));
	if (region >= NR_REGIONS)
		return;
	c->huge[c->pcid][region].frame = 0;
	if (page < NR_PAGES)
		c->page[c->pcid][region][page].frame = 0;
}

static void sim_flush_all(void)
{
	sim_step();
	drop_pcid(self, self->pcid);
}

/* ---- the kernel below mm ---- */

static u64 sim_irq_save(void)
{
	return self->irq_off++;
}

static void sim_irq_restore(u64 flags)
{
	self->irq_off = (u32)flags;
}

static void sim_preempt_disable(void)
{
	sim_step();
	self->preempt_off++;
}

static void sim_preempt_enable(void)
{
	self->preempt_off--;
	sim_step();
}

static void sim_call_mask(u64 mask, void (*fn)(void *arg), void *arg)
{
	struct cpu *c = self;

	REQUIRE(c->preempt_off && !c->irq_off);
	c->fn = fn;
	c->arg = arg;
	c->pending = mask & ~bit(c->id);
	for (u32 i = 0; i < NR_CPUS; i++)
		if (c->pending & bit(i)) {
			cpus[i].callers |= bit(c->id);
			sim_step();
		}
	if (mask & bit(c->id)) {
		c->irq_off++;
		fn(arg);
		c->irq_off--;
	}
	while (c->pending)
		sim_step();
}

static bool sim_enable(void)
{
	return true;
}

#undef READ_ONCE
#undef atomic_add
#undef atomic_or
#undef atomic_and
#undef memory_fence
#undef INIT_STEP
#define READ_ONCE(x)                                                                               \
	({                                                                                         \
		sim_step();                                                                        \
		*(const volatile typeof(x) *)&(x);                                                 \
	})
#define atomic_add(p, v)                                                                           \
	({                                                                                         \
		sim_step();                                                                        \
		__atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST);                                    \
	})
#define atomic_or(p, v)                                                                            \
	({                                                                                         \
		sim_step();                                                                        \
		(void)__atomic_or_fetch((p), (v), __ATOMIC_SEQ_CST);                               \
	})
#define atomic_and(p, v)                                                                           \
	({                                                                                         \
		sim_step();                                                                        \
		(void)__atomic_and_fetch((p), (v), __ATOMIC_SEQ_CST);                              \
	})
#define memory_fence() sim_step()
#define irq_save sim_irq_save
#define irq_restore sim_irq_restore
#define preempt_disable sim_preempt_disable
#define preempt_enable sim_preempt_enable
#define cpu_call_mask sim_call_mask
#define page_table_load(top) sim_load(top, 0, false)
#define page_table_load_tagged sim_load
#define tlb_flush_page sim_flush_page
#define tlb_flush_all sim_flush_all
#define arch_pcid_enable sim_enable
#include "tlb.c"

/* ---- programs ---- */

/* Interrupts are off in a switch, and the thread is the new one before its tables are. */
static void run_in(struct cpu *c, struct space *s)
{
	struct aspace *old = host_current->aspace, *next = s ? &s->a : NULL;

	c->irq_off++;
	host_current->aspace = next;
	if (old != next)
		aspace_switch(old, next);
	c->irq_off--;
}

static struct space *current_space(void)
{
	return host_current->aspace ? container_of(host_current->aspace, struct space, a) : NULL;
}

/* The thread leaves its address space for another one, or none. */
static void move_to(struct cpu *c, struct space *s)
{
	struct space *old = current_space();

	if (s && (s->taken || s == old))
		return;
	if (s)
		s->nr_threads++;
	run_in(c, s);
	if (old)
		old->nr_threads--;
}

static void run_program(struct cpu *c)
{
	const struct space *s = current_space();

	for (u32 n = 1 + chance(4); s && n; n--) {
		REQUIRE(c->table == s);
		use_memory(c, chance(NR_REGIONS), chance(NR_PAGES), chance(2));
		sim_step();
	}
}

/* Another thread has the processor for a while. */
static void be_preempted(struct cpu *c)
{
	struct space *mine = current_space(), *other = any_space();

	c->depth++;
	if (chance(4) == 0) {
		run_in(c, NULL);
		sim_step();
	} else if (!other->taken) {
		other->nr_threads++;
		run_in(c, other);
		run_program(c);
		other->nr_threads--;
	}
	run_in(c, mine);
	c->depth--;
}

/* ---- changes, as the rest of mm makes them ---- */

static u32 frame_new(void)
{
	VERIFY(nr_frames + 1 < NR_FRAMES);
	return ++nr_frames;
}

static u32 table_new(void)
{
	VERIFY(nr_tables + 1 < NR_TABLES);
	return ++nr_tables;
}

static u64 address(u32 region, u32 page)
{
	return (region + 1) * HUGE_SIZE + page * PAGE_SIZE;
}

static void flush_page(struct space *s, u32 region, u32 page)
{
	aspace_flush(&s->a, address(region, page), address(region, page) + PAGE_SIZE);
}

static struct entry entry_take(struct entry *e)
{
	struct entry old = *e;

	*e = (struct entry){ 0 };
	sim_step();
	return old;
}

static void frame_put(struct entry e)
{
	if (e.frame)
		frames[e.frame] = GIVEN_AWAY;
}

static void change_page(struct space *s, u32 region, u32 page)
{
	u32 table = s->upper[region].table;
	struct entry *e = &tables[table][page], old = *e;

	if (!table)
		return;
	if (!e->frame) {
		*e = (struct entry){ frame_new(), chance(2) };
	} else if (chance(3) == 0) {
		frame_put((entry_take(e), flush_page(s, region, page), old));
	} else if (chance(3) == 0) { /* another takes its place */
		(void)entry_take(e);
		flush_page(s, region, page);
		*e = (struct entry){ frame_new(), true };
		frame_put(old);
	} else if (e->writable) {
		e->writable = false;
		sim_step();
		flush_page(s, region, page);
		frames[e->frame] = FRAME_READ_ONLY;
	} else {
		frames[e->frame] = FRAME_USED;
		e->writable = true;
	}
}

/* The table goes, with what it maps. */
static void drop_table(struct space *s, u32 region)
{
	struct upper *u = &s->upper[region];
	u32 table = u->table, page;
	struct entry old[NR_PAGES];

	for (page = 0; page < NR_PAGES; page++)
		old[page] = entry_take(&tables[table][page]);
	if (chance(2)) { /* at once, or first the pages, then the way to them */
		aspace_flush(&s->a, address(region, 0), address(region, NR_PAGES));
		u->table = 0;
		sim_step();
		flush_page(s, region, 0);
	} else {
		u->table = 0;
		sim_step();
		aspace_flush(&s->a, address(region, 0),
			     address(region, chance(2) ? NR_PAGES : 512));
	}
	tables_given_away[table] = true;
	for (page = 0; page < NR_PAGES; page++)
		frame_put(old[page]);
}

/* Between a table and a page of 2 MiB: by way of neither. */
static void change_size(struct space *s, u32 region)
{
	struct upper *u = &s->upper[region];

	if (u->huge.frame) {
		struct entry huge = entry_take(&u->huge);
		u32 table = table_new();

		aspace_flush(&s->a, address(region, 0), address(region + 1, 0));
		if (chance(2)) {
			tables[table][0] = huge;
			sim_step();
			u->table = table;
		} else {
			frame_put(huge);
		}
		return;
	}
	if (u->table)
		drop_table(s, region);
	if (chance(2))
		u->huge = (struct entry){ frame_new(), true };
	else
		u->table = table_new();
}

/* A fork: all becomes read-only. */
static void protect_all(struct space *s)
{
	struct upper old[NR_REGIONS];

	memcpy(old, s->upper, sizeof(old));
	for (u32 r = 0; r < NR_REGIONS; r++) {
		s->upper[r].huge.writable = false;
		for (u32 p = 0; p < NR_PAGES; p++)
			tables[s->upper[r].table][p].writable = false;
		sim_step();
	}
	aspace_flush(&s->a, 0, USER_ADDRESS_END);
	for (u32 r = 0; r < NR_REGIONS; r++) {
		frames[old[r].huge.frame] = FRAME_READ_ONLY;
		for (u32 p = 0; p < NR_PAGES; p++)
			frames[tables[old[r].table][p].frame] = FRAME_READ_ONLY;
	}
}

/* Its place is taken by a new one, whose frames and tables are others. */
static void end_space(struct space *s)
{
	phys_t top = s->a.table_phys;

	aspace_unload(&s->a);
	for (u32 i = 0; i < NR_CPUS; i++)
		REQUIRE(cpus[i].table != s);
	for (u32 r = 0; r < NR_REGIONS; r++) {
		u32 table = s->upper[r].table;

		for (u32 p = 0; p < NR_PAGES; p++)
			frame_put(tables[table][p]);
		tables_given_away[table] = true;
		frame_put(s->upper[r].huge);
	}
	tables_given_away[0] = false;
	memset(&s->a, 0, sizeof(s->a));
	memset(s->upper, 0, sizeof(s->upper));
	s->a.table_phys = top;
	tlb_init_aspace(&s->a);
}

static void change_space(struct space *s)
{
	u32 region = chance(NR_REGIONS), page = chance(NR_PAGES), what = chance(16);
	bool *lock = &s->page_taken[region][page];

	if (s->taken)
		return;
	if (what < 2) {
		if (s->nr_operations || (what == 0 && s->nr_threads))
			return;
		s->taken = true;
		what == 0 ? end_space(s) : protect_all(s);
		s->taken = false;
		return;
	}
	if (s->region_taken[region] || *lock || (what < 6 && s->nr_in_region[region]))
		return;
	s->nr_operations++;
	s->nr_in_region[region]++;
	if (what < 6)
		lock = &s->region_taken[region];
	*lock = true;
	if (what < 6)
		change_size(s, region);
	else
		change_page(s, region, page);
	*lock = false;
	s->nr_in_region[region]--;
	s->nr_operations--;
}

static void *processor(void *arg)
{
	struct cpu *c = arg;

	self = c;
	host_current = &c->thread;
	this_cpu_id = c->id;
	sem_wait(&c->turn);
	for (u32 n = 0; n < OPERATIONS && !is_broken(); n++) {
		struct space *other = any_space(), *mine = current_space();

		if (chance(3) == 0)
			move_to(c, chance(4) ? other : NULL);
		else if (chance(2))
			run_program(c);
		else
			change_space(mine && chance(2) ? mine : other);
		sim_step();
	}
	move_to(c, NULL);
	nr_kept += counter_switches_kept;
	nr_behind += counter_switches_behind;
	for (nr_done++; nr_done < NR_CPUS;)
		sim_step();
	for (u32 i = 0; i < NR_CPUS; i++)
		sem_post(&cpus[i].turn);
	return NULL;
}

/* One run of the machine, with or without PCIDs. */
static void machine_run(bool tagged)
{
	unsigned long ids[NR_CPUS];

	memset(frames, 0, sizeof(frames));
	memset(tables, 0, sizeof(tables));
	memset(tables_given_away, 0, sizeof(tables_given_away));
	memset(spaces, 0, sizeof(spaces));
	memset(cpus, 0, sizeof(cpus));
	nr_frames = nr_tables = nr_done = nr_reported = 0;
	nr_kept = nr_behind = 0;
	sim_pcid_key.on = false;
	if (tagged)
		pcid_init();
	for (u32 i = 0; i < NR_SPACES; i++) {
		spaces[i].a.table_phys = (i + 1) * PAGE_SIZE;
		tlb_init_aspace(&spaces[i].a);
	}
	for (u32 i = 0; i < NR_CPUS; i++) {
		cpus[i].id = i;
		sem_init(&cpus[i].turn, 0, 0);
		VERIFY(!pthread_create(&ids[i], NULL, processor, &cpus[i]));
	}
	sem_post(&cpus[0].turn);
	for (u32 i = 0; i < NR_CPUS; i++)
		pthread_join(ids[i], NULL);
}

TEST(no_stale_translation_is_used)
{
	machine_run(false);
	EXPECT_EQ(nr_kept, 0);
	for (u32 run = 0; run < 3; run++) {
		machine_run(true);
		EXPECT(nr_kept > 100 && nr_behind > 100);
	}
}

#endif
