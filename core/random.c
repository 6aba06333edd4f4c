/*
 * Random numbers for the kernel and for getrandom(2).
 *
 * Concepts.  One *pool* of 256 bits takes in noise; each CPU has a *stream*:
 * a ChaCha20 key and a buffer of key stream that its key made.  A request
 * copies bytes out of the buffer and zeroes them there.
 *
 * How it works.  A refill fills the buffer with 16 blocks of the stream's key;
 * the first 32 bytes become the next key at once ("fast key erasure",
 * Bernstein 2017), so that a later look at memory does not show what was given
 * out.  Noise is absorbed by xor into the pool's key followed by the block
 * function, whose first half is the new pool key.  A reseed of the pool raises
 * `generation`; a stream that sees it changed draws a new key from the pool
 * and refills before it gives anything.
 *
 * A refill is made in vector registers where the processor has them
 * (docs/decisions/random.md); opt.random_vectors=off leaves them alone.
 *
 * Invariants.
 *   (1) bytes that were returned are no longer in memory of the generator,
 *       nor in registers;
 *   (2) no two streams ever have one key: the pool's key changes at each draw.
 *
 * Locking.  A stream belongs to its CPU and is used with interrupts off.  The
 * pool has a spin lock (leaf, interrupts off).
 *
 * Seeding.  RDSEED or RDRAND where the processor has one (credited in full: a
 * hypervisor that lies here can read the memory too), the cycle counter at
 * boot events, devices through random_add_entropy.
 *
 * References: RFC 8439, 2.3 (the block function).
 */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/lock.h>
#include <nos/log.h>
#include <nos/random.h>
#include <nos/string.h>

#define KEY_WORDS 8
#define BLOCK_BYTES 64
#define STREAM_BLOCKS 16
#define STREAM_WORDS (STREAM_BLOCKS * BLOCK_BYTES / 8)
#define KEY_BYTES (KEY_WORDS * 4)
#define SEEDED_BITS 256

struct stream {
	u32 key[KEY_WORDS];
	u64 generation; /* of the pool when the key was drawn; 0 = never */
	u32 used; /* words that are gone, the key's own included */
	u64 words[STREAM_WORDS];
};

static DEFINE_PERCPU(struct stream, random_stream);
static bool vectors_enabled __ro_after_init;

static struct {
	struct spinlock lock;
	u32 key[KEY_WORDS];
	u64 draws;
	u64 generation;
	u32 bits;
	u32 bits_since_reseed;
} pool = { .lock = SPINLOCK_INIT(RANK_LEAF), .generation = 1 };

static inline u32 rotate(u32 x, unsigned n)
{
	return x << n | x >> (32 - n);
}

#define QUARTER(a, b, c, d)                                                                        \
	do {                                                                                       \
		a += b;                                                                            \
		d = rotate(d ^ a, 16);                                                             \
		c += d;                                                                            \
		b = rotate(b ^ c, 12);                                                             \
		a += b;                                                                            \
		d = rotate(d ^ a, 8);                                                              \
		c += d;                                                                            \
		b = rotate(b ^ c, 7);                                                              \
	} while (0)

void chacha20_block(const u32 key[8], u64 counter, u64 nonce, u8 out[64])
{
	u32 in[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	u32 x[16];

	memcpy(in + 4, key, KEY_BYTES);
	in[12] = (u32)counter;
	in[13] = (u32)(counter >> 32);
	in[14] = (u32)nonce;
	in[15] = (u32)(nonce >> 32);
	memcpy(x, in, sizeof(x));
	for (int i = 0; i < 10; i++) {
		QUARTER(x[0], x[4], x[8], x[12]);
		QUARTER(x[1], x[5], x[9], x[13]);
		QUARTER(x[2], x[6], x[10], x[14]);
		QUARTER(x[3], x[7], x[11], x[15]);
		QUARTER(x[0], x[5], x[10], x[15]);
		QUARTER(x[1], x[6], x[11], x[12]);
		QUARTER(x[2], x[7], x[8], x[13]);
		QUARTER(x[3], x[4], x[9], x[14]);
	}
	for (int i = 0; i < 16; i++)
		x[i] += in[i];
	memcpy(out, x, BLOCK_BYTES);
	memset(x, 0, sizeof(x));
	memset(in, 0, sizeof(in));
	barrier();
}

/* Replaces the pool's key by half of a block, gives the other half away. */
static void pool_turn_locked(u32 out[KEY_WORDS])
{
	u8 block[BLOCK_BYTES] __aligned(8);

	chacha20_block(pool.key, pool.draws++, cpu_cycles(), block);
	memcpy(pool.key, block, KEY_BYTES);
	if (out)
		memcpy(out, block + KEY_BYTES, KEY_BYTES);
	memset(block, 0, sizeof(block));
	barrier();
}

static __noinline void stream_refill(struct stream *s)
{
	if (unlikely(s->generation != READ_ONCE(pool.generation))) {
		scoped_spin_irq(&pool.lock);
		pool_turn_locked(s->key);
		s->generation = pool.generation;
	}
	if (!vectors_enabled || !arch_chacha20_stream(s->key, s->words, sizeof(s->words))) {
		for (u32 i = 0; i < STREAM_BLOCKS; i++)
			chacha20_block(s->key, i, 0, (u8 *)s->words + i * BLOCK_BYTES);
	}
	memcpy(s->key, s->words, KEY_BYTES);
	memset(s->words, 0, KEY_BYTES);
	s->used = KEY_BYTES / 8;
}

__hot void random_take(u64 *to, u32 nr)
{
	u64 flags = irq_save();
	struct stream *s = this_cpu_ptr(random_stream);
	u64 *from;

	ASSERT(nr <= STREAM_WORDS - KEY_BYTES / 8);
	if (unlikely(s->generation != READ_ONCE(pool.generation) || STREAM_WORDS - s->used < nr))
		stream_refill(s);
	from = s->words + s->used;
	s->used += nr;
	for (u64 *end = from + nr; from < end; from++) {
		*to++ = *from;
		WRITE_ONCE(*from, 0);
	}
	irq_restore(flags);
}

void random_bytes(void *to, size_t len)
{
	u64 words[32];
	u8 *p = to;

	while (len > 0) {
		size_t n = min(len, sizeof(words));

		random_take(words, (u32)div_round_up(n, 8ul));
		memcpy(p, words, n);
		p += n;
		len -= n;
	}
	memset(words, 0, sizeof(words));
	barrier();
}

u64 random_u64(void)
{
	u64 v;

	random_take(&v, 1);
	return v;
}

/* The high half of a product is even enough for limits far below 2^64. */
u64 random_below(u64 limit)
{
	return (u64)(((unsigned __int128)random_u64() * limit) >> 64);
}

void random_add_entropy(const void *data, size_t len, unsigned bits)
{
	const u8 *p = data;
	scoped_spin_irq(&pool.lock);

	while (len > 0) {
		u8 part[KEY_BYTES] = { 0 };
		size_t n = min(len, sizeof(part));

		memcpy(part, p, n);
		for (unsigned i = 0; i < KEY_WORDS; i++) {
			u32 word;

			memcpy(&word, part + i * 4, 4);
			pool.key[i] ^= word;
		}
		pool_turn_locked(NULL);
		p += n;
		len -= n;
	}
	pool.bits = min(pool.bits + bits, (u32)SEEDED_BITS);
	pool.bits_since_reseed += bits;
	if (pool.bits_since_reseed >= 128) {
		pool.bits_since_reseed = 0;
		pool.generation++;
	}
}

bool random_is_seeded(void)
{
	return READ_ONCE(pool.bits) >= SEEDED_BITS;
}

/* Time that unequal work takes: a little noise even where there is no hardware for it. */
static void add_jitter(void)
{
	u64 times[64];
	volatile u32 sink = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		for (unsigned j = 0; j < (cpu_cycles() & 63); j++)
			sink += j;
		times[i] = cpu_cycles();
	}
	random_add_entropy(times, sizeof(times), 16);
}

void random_init(void)
{
	u64 words[8], wall = arch_wall_clock_ns();
	unsigned good = 0;

	vectors_enabled = boot_opt_enabled("random_vectors");
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (cpu_random_u64(&words[i]))
			good++;
		else
			words[i] = cpu_cycles();
	}
	random_add_entropy(words, sizeof(words), good * 64);
	random_add_entropy(&wall, sizeof(wall), 8);
	add_jitter();
	/* What boot offers is all there is without such hardware; nobody may wait for ever. */
	if (good == 0) {
		for (unsigned i = 0; i < 16; i++)
			add_jitter();
	}
}
