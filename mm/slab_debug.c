/* Checks of debug kernels: free objects are poisoned, a red zone follows each. */
#include "slab_internal.h"

#include <nos/assert.h>
#include <nos/string.h>

#ifdef DEBUG

#define POISON_FREE 0x6b
#define RED_ZONE_FREE 0xbbbbbbbbbbbbbbbbull
#define RED_ZONE_LIVE 0xccccccccccccccccull

static u64 *red_zone(struct slab_cache *c, void *object)
{
	return (u64 *)((char *)object + align_up(c->size, 8u));
}

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
}

void slab_debug_free(struct slab_cache *c, void *object)
{
	u64 zone = *red_zone(c, object);

	if (zone == RED_ZONE_FREE)
		panic("slab %s: object %p freed twice", c->info.name, object);
	if (zone != RED_ZONE_LIVE)
		panic("slab %s: object %p was overrun (%llx)", c->info.name, object,
		      (unsigned long long)zone);
	*red_zone(c, object) = RED_ZONE_FREE;
	if (c->poisoned)
		memset(object, POISON_FREE, c->size);
}

#endif
