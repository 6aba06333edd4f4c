/*
 * Failures on demand.
 *
 * Each point (allocations; user copies, in the sanitizing kernel) counts the
 * calls of threads that are subject to it: the one that armed it and what that
 * starts from then on, not their interrupt handlers.  So a program meets the
 * same sequence each time, and a test can let the 1st, 2nd, 3rd … call fail
 * until none is left, while the rest of the system goes on undisturbed.
 */
#include <nos/fail.h>

#ifdef DEBUG

#include <nos/errno.h>
#include <nos/irq.h>
#include <nos/string.h>
#include <nos/thread.h>

#define NAME_SIZE 32

enum mode { MODE_OFF, MODE_NTH, MODE_RANDOM };

static struct point {
	u32 mode;
	u64 n, seed;
	char name[NAME_SIZE]; /* "" = all */
	u64 calls, failed;
} points[NR_FAIL_POINTS];

static u64 mix(u64 x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
	x = (x ^ x >> 27) * 0x81dadef4bc2dd44dull;
	return x ^ x >> 33;
}

bool fail_now(enum fail_point which, const char *name)
{
	struct point *p = &points[which];
	u32 mode = atomic_load(&p->mode);

	if (likely(mode == MODE_OFF) || !(current_thread->fails & bit(which)) ||
	    irq_is_in_handler())
		return false;
	if (p->name[0] && strcmp(p->name, name) != 0)
		return false;

	u64 call = atomic_add(&p->calls, 1);
	bool fails = mode == MODE_NTH ? call == p->n : mix(p->seed + call) % p->n == 0;

	if (fails)
		(void)atomic_add(&p->failed, 1);
	return fails;
}

/* The next word of *text, at most to a space or line end; false: none. */
static bool next_word(const char **text, char *to, size_t size)
{
	size_t n = 0;

	while (**text == ' ')
		++*text;
	for (; **text && **text != ' ' && **text != '\n'; ++*text)
		if (n < size - 1)
			to[n++] = **text;
	to[n] = '\0';
	return n > 0;
}

static bool next_number(const char **text, u64 *value)
{
	char word[24];

	return next_word(text, word, sizeof(word)) && string_to_u64(word, 10, value) == 0;
}

int fail_arm(enum fail_point which, const char *text)
{
	struct point to = { 0 }, *p = &points[which];
	char word[NAME_SIZE];

	next_word(&text, word, sizeof(word));
	if (!strcmp(word, "nth"))
		to.mode = MODE_NTH;
	else if (!strcmp(word, "random"))
		to.mode = MODE_RANDOM;
	else if (strcmp(word, "off") != 0)
		return -EINVAL;
	if (to.mode != MODE_OFF && (!next_number(&text, &to.n) || to.n == 0))
		return -EINVAL;
	if (to.mode == MODE_RANDOM && !next_number(&text, &to.seed))
		return -EINVAL;
	next_word(&text, to.name, sizeof(to.name));

	atomic_store(&p->mode, (u32)MODE_OFF);
	if (to.mode == MODE_OFF) {
		current_thread->fails &= (u8)~bit(which);
		return 0;
	}
	p->n = to.n;
	p->seed = to.seed;
	string_copy(p->name, to.name, sizeof(p->name));
	p->calls = p->failed = 0;
	current_thread->fails |= (u8)bit(which);
	atomic_store(&p->mode, to.mode);
	return 0;
}

struct fail_state fail_state_read(enum fail_point which)
{
	const struct point *p = &points[which];

	return (struct fail_state){
		.is_armed = atomic_load(&p->mode) != MODE_OFF,
		.calls = atomic_load(&p->calls),
		.failed = atomic_load(&p->failed),
	};
}

#endif
