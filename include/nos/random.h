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
/* nr (at most 124) words of this CPU's buffer; each is erased there as it is taken. */
void random_take(u64 *to, u32 nr);

/* The block function, for tests: 64 bytes of key stream. */
void chacha20_block(const u32 key[8], u64 counter, u64 nonce, u8 out[64]);
