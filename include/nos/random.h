/*
 * Random numbers (core/random.c): one ChaCha20 generator per CPU with fast key
 * erasure, seeded and reseeded from what the machine offers.
 */
#pragma once

#include <nos/types.h>

/* Fills `to`; any context but NMI.  What was given out can't be computed from the later state. */
void random_bytes(void *to, size_t len);
u64 random_u64(void);
/* Evenly in [0, limit); limit > 0. */
u64 random_below(u64 limit);
/* Mixes device noise in; bits: a conservative estimate of what it is worth. */
void random_add_entropy(const void *data, size_t len, unsigned bits);
/* True once 256 bits have been counted: getrandom(GRND_NONBLOCK) asks. */
bool random_is_seeded(void);
/* Boot: first seed; before the first process. */
void random_init(void);
/* Bytes that getrandom gives at once from this CPU's buffer (n ≤ 64); each is erased as it is taken. */
void random_take(void *to, size_t n);

/* The block function, for tests: 64 bytes of key stream. */
void chacha20_block(const u32 key[8], u64 counter, u64 nonce, u8 out[64]);
