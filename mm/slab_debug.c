/*
 * Checks of debug kernels: free objects are poisoned, a red zone follows each.
 * In the sanitizing kernel the zone also has who allocated and who freed the
 * object, its shadow is closed while it is free, and it stays free for a while.
 */
#include "slab_internal.h"

#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/log.h>
#include <nos/pte.h>
#include <nos/string.h>

#ifdef DEBUG

#define POISON_FREE 0x6b
#define RED_ZONE_FREE 0xbbbbbbbbbbbbbbbbull
#define RED_ZONE_LIVE 0xccccccccccccccccull

static u64 *red_zone(struct slab_cache *c, void *object)
{
	return (u64 *)((char *)object + align_up(c->size, 8u));
}

#ifdef SANITIZE

#define SHOW_MAX 4u /* new objects of one cache */
#define NR_QUARANTINE 4096u
#define QUARANTINE_BYTES (8ul << 20)

static u32 nr_marks;

/* Follow the red zone's word: who allocated the object, who freed it. */
static struct sanitize_trace *traces(struct slab_cache *c, void *object)
{
	return (struct sanitize_trace *)(red_zone(c, object) + 1);
}

void slab_debug_close(struct slab_cache *c, struct folio *f)
{
	for (u32 i = 0; i < c->per_slab; i++) {
		void *object = (char *)folio_address(f) + (size_t)i * c->stride;

		memset(traces(c, object), 0, 2 * sizeof(struct sanitize_trace));
	}
	shadow_poison(folio_address(f), folio_size(f), SHADOW_SLAB_ZONE);
}

void slab_debug_trim(void *object, size_t size)
{
	struct slab_cache *c = phys_to_folio(virt_to_phys(object))->slab_cache;

	shadow_poison(object, c->size, SHADOW_TAIL);
	shadow_unpoison(object, size);
}

static void note_alloc(struct slab_cache *c, void *object)
{
	shadow_unpoison(object, c->size);
	sanitize_trace_here(&traces(c, object)[0], 2);
	traces(c, object)[0].mark = nr_marks;
	traces(c, object)[1].pc[0] = 0;
}

/* Objects of rcu_typed caches may be looked at while they are free. */
static void note_free(struct slab_cache *c, void *object)
{
	sanitize_trace_here(&traces(c, object)[1], 2);
	if (!c->info.rcu_typed)
		shadow_poison(object, c->size, SHADOW_SLAB_FREE);
}

static void check_free(struct slab_cache *c, void *object)
{
	struct folio *f = phys_to_folio(virt_to_phys(object));
	u8 reason = shadow_at(object);

	if (f->kind != FOLIO_SLAB || f->slab_cache != c ||
	    ((char *)object - (char *)folio_address(f)) % c->stride)
		sanitize_report_free(object, "free of what is not an object");
	if (reason == SHADOW_SLAB_FREE || *red_zone(c, object) == RED_ZONE_FREE)
		sanitize_report_free(object, "object freed twice");
}

void sanitize_describe(const void *p)
{
	struct folio *f;
	struct slab_cache *c;

	if ((u64)p < DIRECT_MAP_BASE || (u64)p >= KERNEL_VMAP_BASE ||
	    !kernel_resolve((u64)phys_to_frame(virt_to_phys(p)))) {
		log_write(LOG_EMERG, "  an address outside of memory");
		return;
	}
	f = phys_to_folio(virt_to_phys(p));
	if (f->kind != FOLIO_SLAB) {
		log_write(LOG_EMERG, "  byte %zu of a folio of order %u, kind %u",
			  (size_t)((const char *)p - (char *)folio_address(f)), f->order, f->kind);
		return;
	}
	c = f->slab_cache;
	size_t offset = (size_t)((const char *)p - (char *)folio_address(f));
	char *object = (char *)folio_address(f) + offset / c->stride * c->stride;

	log_write(LOG_EMERG, "  byte %zu of the %u-byte object %p of cache %s", offset % c->stride,
		  c->size, (void *)object, c->info.name);
	sanitize_trace_print("allocated", &traces(c, object)[0]);
	sanitize_trace_print("freed", &traces(c, object)[1]);
}

/* ---- objects that are new since a mark ---- */

void slab_debug_mark(void)
{
	atomic_store(&nr_marks, nr_marks + 1);
}

static void show_new_of(struct slab_cache *c, struct folio *f, unsigned *nr,
			void (*show)(void *arg, const char *line), void *arg)
{
	char line[240];

	for (u32 i = 0; i < c->per_slab && *nr < SHOW_MAX; i++) {
		void *object = (char *)folio_address(f) + (size_t)i * c->stride;
		const struct sanitize_trace *t = traces(c, object);
		int n;

		if (*red_zone(c, object) != RED_ZONE_LIVE || t->mark != nr_marks)
			continue;
		++*nr;
		n = snprintf(line, sizeof(line), "  %p by:", object);
		for (unsigned k = 0; k < TRACE_LENGTH && t->pc[k]; k++)
			n += snprintf(line + n, sizeof(line) - (size_t)n, " [<%016llx>]",
				      0xffffffff00000000ull | t->pc[k]);
		show(arg, line);
	}
}

void slab_debug_show_new(const char *cache, void (*show)(void *arg, const char *line), void *arg)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];

		for (phys_t p = r->start; r->type == 1 && p < r->end; p += PAGE_SIZE) {
			struct folio *f = phys_to_frame(p);
			struct slab_cache *c =
				f->kind == FOLIO_SLAB && !f->is_tail ? f->slab_cache : NULL;

			if (c && !strcmp(c->info.name, cache))
				show_new_of(c, f, &nr, show, arg);
		}
	}
}

/* ---- quarantine: a ring; its oldest objects make room ---- */

static struct {
	struct spinlock lock;
	u32 first, nr;
	size_t bytes;
	struct {
		struct slab_cache *cache;
		void *object;
	} ring[NR_QUARANTINE];
} quarantine = { .lock = SPINLOCK_INIT(RANK_NONE) };

/* The oldest one, if there are more than allowed. */
static void *quarantine_take(u32 max, size_t max_bytes, struct slab_cache **c)
{
	void *object;

	scoped_spin_irq(&quarantine.lock);
	if (quarantine.nr <= max && quarantine.bytes <= max_bytes)
		return NULL;
	*c = quarantine.ring[quarantine.first].cache;
	object = quarantine.ring[quarantine.first].object;
	quarantine.first = (quarantine.first + 1) % NR_QUARANTINE;
	quarantine.nr--;
	quarantine.bytes -= (*c)->stride;
	(*c)->nr_quarantined--;
	return object;
}

bool slab_quarantine_put(struct slab_cache *c, void *object)
{
	struct slab_cache *other;
	void *old;

	if (c->info.rcu_typed || c->capacity == 0)
		return false;
	u64 irq = spin_lock_irq(&quarantine.lock);
	bool room = quarantine.nr < NR_QUARANTINE;

	if (room) {
		u32 at = (quarantine.first + quarantine.nr++) % NR_QUARANTINE;

		quarantine.ring[at].cache = c;
		quarantine.ring[at].object = object;
		quarantine.bytes += c->stride;
		c->nr_quarantined++;
	}
	spin_unlock_irq(&quarantine.lock, irq);
	while ((old = quarantine_take(NR_QUARANTINE - 64, QUARANTINE_BYTES, &other)))
		slab_free_now(other, old);
	return room;
}

void slab_quarantine_drain(void)
{
	struct slab_cache *c;
	void *object;

	while ((object = quarantine_take(0, 0, &c)))
		slab_free_now(c, object);
}

#else
static inline void note_alloc(struct slab_cache *c, void *object)
{
}
static inline void note_free(struct slab_cache *c, void *object)
{
}
static inline void check_free(struct slab_cache *c, void *object)
{
}
#endif

void slab_debug_prepare(struct slab_cache *c, void *object)
{
	*red_zone(c, object) = RED_ZONE_FREE;
	if (c->poisoned)
		memset(object, POISON_FREE, c->size);
}

void slab_debug_alloc(struct slab_cache *c, void *object)
{
	const u8 *bytes = object;

	if (*red_zone(c, object) != RED_ZONE_FREE)
		panic("slab %s: red zone of free object %p is %llx", c->info.name, object,
		      (unsigned long long)*red_zone(c, object));
	*red_zone(c, object) = RED_ZONE_LIVE;
	/* the link occupies the first word */
	for (u32 i = 8; c->poisoned && i < c->size; i++)
		if (bytes[i] != POISON_FREE)
			panic("slab %s: free object %p was written at byte %u", c->info.name,
			      object, i);
	note_alloc(c, object);
}

void slab_debug_free(struct slab_cache *c, void *object)
{
	check_free(c, object);
	u64 zone = *red_zone(c, object);

	if (zone == RED_ZONE_FREE)
		panic("slab %s: object %p freed twice", c->info.name, object);
	if (zone != RED_ZONE_LIVE)
		panic("slab %s: object %p was overrun (%llx)", c->info.name, object,
		      (unsigned long long)zone);
	*red_zone(c, object) = RED_ZONE_FREE;
	if (c->poisoned) {
		shadow_unpoison(object, c->size);
		memset(object, POISON_FREE, c->size);
	}
	note_free(c, object);
}

#endif
