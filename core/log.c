/*
 * The kernel log: a ring of records.
 *
 * A record has an index entry (time, level, place of the text) and its text in a
 * ring of bytes.  Positions in the text ring count for ever; a record is there
 * as long as its position is within one ring's length of the head.  Texts are
 * contiguous: one that does not fit before the end starts over at the front.
 *
 * log_write works in any context.  The text is made in a buffer of the CPU with
 * interrupts off; the ring's lock is held for a copy only.  A context that
 * interrupts the holder on its own CPU (NMI, panic) goes to the console
 * only.  Readers are woken at once where that is allowed, else through a
 * reschedule interrupt that the CPU sends to itself.
 */
#include "log.h"

#include "lock.h"

#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/irq.h>
#include <nos/string.h>
#include <nos/timer.h>
#include <nos/wait.h>

#define NR_RECORDS 2048u
#define TEXT_SIZE (128u * 1024)
#define LINE_MAX 960
#define FACILITY_USER 1

struct entry {
	u64 time_ns;
	u64 at; /* position of the text, ever increasing */
	u16 length;
	u8 level, facility;
};

static struct entry entries[NR_RECORDS];
static char text_ring[TEXT_SIZE];
static u64 text_head;
static u64 first_sequence, next_sequence, clear_sequence;

static struct spinlock ring_lock = SPINLOCK_INIT(RANK_NONE);
static struct spinlock console_lock = SPINLOCK_INIT(RANK_NONE);
static u32 ring_holder, console_holder; /* cpu + 1 */
static u32 console_level = LOG_DEBUG;
static struct wait_queue readers = WAIT_QUEUE_INIT(readers);
static u32 delivery_pending;

static DEFINE_PERCPU(char, line_buffer[LINE_MAX]);
static DEFINE_PERCPU(u32, line_depth);

/* ---- the ring ---- */

/* False: this CPU holds the lock already, further down its stack. */
static bool ring_enter(void)
{
	if (READ_ONCE(ring_holder) == cpu_id() + 1)
		return false;
	raw_spin_lock(&ring_lock);
	WRITE_ONCE(ring_holder, cpu_id() + 1);
	return true;
}

static void ring_leave(void)
{
	WRITE_ONCE(ring_holder, 0);
	raw_spin_unlock(&ring_lock);
}

static void ring_append(u64 now, u8 level, u8 facility, const char *text, size_t len)
{
	u64 at = text_head;

	if (at % TEXT_SIZE + len > TEXT_SIZE)
		at = align_up(at, TEXT_SIZE);
	text_head = at + len;
	while (first_sequence < next_sequence &&
	       (next_sequence - first_sequence == NR_RECORDS ||
		entries[first_sequence % NR_RECORDS].at + TEXT_SIZE < text_head))
		first_sequence++;
	memcpy(text_ring + at % TEXT_SIZE, text, len);
	entries[next_sequence % NR_RECORDS] = (struct entry){
		.time_ns = now,
		.at = at,
		.length = (u16)len,
		.level = level,
		.facility = facility,
	};
	next_sequence++;
}

ssize_t log_read(u64 *sequence, struct log_record *record, char *text, size_t size)
{
	u64 flags = irq_save();
	ssize_t len = -EAGAIN;

	if (!ring_enter()) {
		irq_restore(flags);
		return len;
	}
	if (*sequence < first_sequence)
		*sequence = first_sequence;
	if (*sequence < next_sequence) {
		const struct entry *e = &entries[*sequence % NR_RECORDS];

		len = (ssize_t)min((size_t)e->length, size);
		memcpy(text, text_ring + e->at % TEXT_SIZE, (size_t)len);
		*record = (struct log_record){
			.sequence = *sequence,
			.time_ns = e->time_ns,
			.level = e->level,
			.facility = e->facility,
			.length = (u16)len,
		};
	}
	ring_leave();
	irq_restore(flags);
	return len;
}

u64 log_first_sequence(void)
{
	return READ_ONCE(first_sequence);
}

u64 log_next_sequence(void)
{
	return READ_ONCE(next_sequence);
}

u64 log_clear_sequence(void)
{
	return READ_ONCE(clear_sequence);
}

void log_clear(void)
{
	WRITE_ONCE(clear_sequence, READ_ONCE(next_sequence));
}

struct wait_queue *log_wait_queue(void)
{
	return &readers;
}

void log_set_console_level(unsigned level)
{
	WRITE_ONCE(console_level, level);
}

unsigned log_console_level(void)
{
	return READ_ONCE(console_level);
}

/* ---- delivery ---- */

static void console_write(u64 now, const char *text, size_t len)
{
	char stamp[32];
	int n = snprintf(stamp, sizeof(stamp), "[%5llu.%06llu] ",
			 (unsigned long long)(now / (u64)NSEC_PER_SEC),
			 (unsigned long long)(now % (u64)NSEC_PER_SEC / 1000));
	/* An NMI may have come to who writes: then the line is split. */
	bool locked = !panic_is_in_progress() && READ_ONCE(console_holder) != cpu_id() + 1;

	if (locked) {
		raw_spin_lock(&console_lock);
		WRITE_ONCE(console_holder, cpu_id() + 1);
	}
	arch_console_write(stamp, (size_t)n);
	arch_console_write(text, len);
	arch_console_write("\n", 1);
	if (locked) {
		WRITE_ONCE(console_holder, 0);
		raw_spin_unlock(&console_lock);
	}
}

void log_deliver(void)
{
	if (READ_ONCE(delivery_pending) && atomic_xchg(&delivery_pending, 0u))
		wake_all(&readers);
}

/* Waking takes locks that the caller may hold: only from a context that can't hold any. */
static void notify_readers(void)
{
	if (!wait_queue_is_active(&readers))
		return;
	if (preempt_count() == 0 && irq_is_enabled() && !irq_is_in_handler()) {
		wake_all(&readers);
	} else if (!atomic_xchg(&delivery_pending, 1u)) {
		cpu_send_reschedule(cpu_id());
	}
}

/* Interrupts off. */
static void emit(u8 level, u8 facility, const char *text, size_t len)
{
	u64 now = clock_monotonic_ns();

	while (len && text[len - 1] == '\n')
		len--;
	if (ring_enter()) {
		ring_append(now, level, facility, text, len);
		ring_leave();
	}
	if (level < READ_ONCE(console_level))
		console_write(now, text, len);
}

void log_write(enum log_level level, const char *format, ...)
{
	char nested[200];
	u64 flags = irq_save();
	bool is_nested = this_cpu_read(line_depth) != 0;
	char *line = is_nested ? nested : *this_cpu_ptr(line_buffer);
	size_t size = is_nested ? sizeof(nested) : LINE_MAX;
	va_list args;

	this_cpu_add(line_depth, 1);
	va_start(args, format);
	int len = vsnprintf(line, size, format, args);
	va_end(args);
	emit((u8)level, 0, line, min((size_t)len, size - 1));
	this_cpu_add(line_depth, -1);
	irq_restore(flags);
	notify_readers();
}

void log_write_user(unsigned priority, const char *text, size_t len)
{
	u64 flags = irq_save();
	u8 facility = (u8)(priority >> 3);

	emit(priority & 7, facility ? facility : FACILITY_USER, text, min(len, (size_t)LINE_MAX));
	irq_restore(flags);
	notify_readers();
}
