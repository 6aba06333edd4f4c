/*
 * Serial lines: the 16550 UART of PCs (National Semiconductor PC16550D data
 * sheet), as ttyS0 … ttyS3, driven by interrupts.
 *
 * Output waits in a ring that the transmit interrupt empties, 16 bytes at a
 * time; input goes to tty_receive.  The kernel log's own early output polls the
 * same port and needs nothing of this.
 *
 * Locking.  One spin lock a port, taken with interrupts off; wake-ups and
 * tty_receive are called without it.
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/irq.h>
#include <nos/log.h>
#include <nos/ring.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/major.h>

#include "serial_8250.h"
#include "tty_internal.h"

#define SERIAL_RING 8192u
#define SERIAL_FIFO 16u
#define SERIAL_FIRST_MINOR 64u

enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCRATCH };
#define UART_FCR UART_IIR
#define IER_RECEIVE 1u
#define IER_TRANSMIT 2u
#define IIR_NONE 1u
#define FCR_ENABLE_AND_CLEAR 7u
#define LCR_8N1 3u
#define LCR_TWO_STOP 4u
#define LCR_PARITY 8u
#define LCR_EVEN 0x10u
#define LCR_STICK 0x20u
#define LCR_DIVISOR 0x80u /* the first two registers are the divisor's */
#define MCR_DTR_RTS 3u
#define MCR_OUT2 8u /* lets interrupts through */
#define LSR_DATA 1u
#define LSR_EMPTY 0x20u
#define LSR_IDLE 0x40u

struct serial_port {
	u16 base;
	u8 irq;
	char name[8];
	struct tty *tty;
	struct spinlock lock;
	u8 enabled; /* interrupts: the IER's value */
	u16 divisor; /* of 115,200; 0: as the firmware left it */
	struct ring ring;
	struct wait_queue drained;
};

static struct serial_port serial_ports[] = {
	{ .base = 0x3f8, .irq = 4 },
	{ .base = 0x2f8, .irq = 3 },
	{ .base = 0x3e8, .irq = 4 },
	{ .base = 0x2e8, .irq = 3 },
};

static u8 serial_in(const struct serial_port *p, u16 reg)
{
	return port_in8(p->base + reg);
}

static void serial_out(const struct serial_port *p, u16 reg, u8 value)
{
	port_out8(p->base + reg, value);
}

static void serial_enable_locked(struct serial_port *p, u8 set, u8 clear)
{
	u8 next = (p->enabled | set) & (u8)~clear;

	if (next != p->enabled)
		serial_out(p, UART_IER, next);
	p->enabled = next;
}

static void serial_send_locked(struct serial_port *p)
{
	u8 bytes[SERIAL_FIFO];
	u32 n;

	if (!(serial_in(p, UART_LSR) & LSR_EMPTY))
		return;
	n = ring_read(&p->ring, bytes, sizeof(bytes));
	for (u32 i = 0; i < n; i++)
		serial_out(p, UART_DATA, bytes[i]);
	if (ring_used(&p->ring))
		serial_enable_locked(p, IER_TRANSMIT, 0);
	else
		serial_enable_locked(p, 0, IER_TRANSMIT);
}

static u32 serial_receive_locked(struct serial_port *p, u8 *to, u32 max)
{
	u32 n = 0;

	while (n < max && (p->enabled & IER_RECEIVE) && (serial_in(p, UART_LSR) & LSR_DATA))
		to[n++] = serial_in(p, UART_DATA);
	return n;
}

static void serial_interrupt(void *arg)
{
	struct serial_port *p = arg;
	u8 input[64];
	bool room, empty;
	u32 n;

	do {
		u64 flags = spin_lock_irq(&p->lock);

		n = serial_receive_locked(p, input, sizeof(input));
		if (p->enabled & IER_TRANSMIT)
			serial_send_locked(p);
		room = ring_free(&p->ring) >= SERIAL_RING / 2;
		empty = ring_used(&p->ring) == 0;
		spin_unlock_irq(&p->lock, flags);
		if (n)
			tty_receive(p->tty, input, n);
	} while (n || !(serial_in(p, UART_IIR) & IIR_NONE));
	if (room)
		tty_write_ready(p->tty);
	if (empty)
		wake_all(&p->drained);
}

static size_t serial_write(struct tty *t, const u8 *data, size_t len)
{
	struct serial_port *p = tty_driver_data(t);
	u32 n;

	scoped_spin_irq(&p->lock);
	n = ring_write(&p->ring, data, (u32)len);
	serial_send_locked(p);
	if (ring_used(&p->ring))
		serial_enable_locked(p, IER_TRANSMIT, 0);
	return n;
}

static size_t serial_write_room(struct tty *t)
{
	struct serial_port *p = tty_driver_data(t);

	return ring_free(&p->ring);
}

static void serial_throttle(struct tty *t, bool stop)
{
	struct serial_port *p = tty_driver_data(t);

	scoped_spin_irq(&p->lock);
	serial_enable_locked(p, stop ? 0 : IER_RECEIVE, stop ? IER_RECEIVE : 0);
}

static void serial_drain(struct tty *t)
{
	struct serial_port *p = tty_driver_data(t);

	(void)wait_event_interruptible(&p->drained, ring_used(&p->ring) == 0);
}

static void serial_flush(struct tty *t)
{
	struct serial_port *p = tty_driver_data(t);

	scoped_spin_irq(&p->lock);
	p->ring.tail = p->ring.head;
}

/* The chip does not tell how much its FIFO holds, only whether it still sends. */
static u32 serial_unsent(struct tty *t)
{
	struct serial_port *p = tty_driver_data(t);
	bool sending = !(serial_in(p, UART_LSR) & LSR_IDLE);

	return max(ring_used(&p->ring), (u32)sending);
}

/* ---- speed and form of characters ---- */

u16 serial_divisor(u32 speed)
{
	return speed && speed <= SERIAL_SPEED_MAX ?
		       (u16)min((SERIAL_SPEED_MAX + speed / 2) / speed, 0xffffu) :
		       0;
}

u8 serial_line_control(u32 cflag)
{
	u8 lcr = (u8)((cflag & CSIZE) >> 4);

	static_assert(CS5 == 0 && CS6 == 0x10 && CS7 == 0x20 && CS8 == 0x30, "LCR's own codes");
	if (cflag & CSTOPB)
		lcr |= LCR_TWO_STOP;
	if (cflag & PARENB)
		lcr |= LCR_PARITY | (cflag & PARODD ? 0 : LCR_EVEN) |
		       (cflag & CMSPAR ? LCR_STICK : 0);
	return lcr;
}

/*
 * Interrupts off: who polls the port for the log's sake must not meet the divisor's registers where
 * the data register was, so these are touched only for a new speed.
 */
static void serial_program_locked(struct serial_port *p, u16 divisor, u8 lcr)
{
	if (divisor && divisor != p->divisor) {
		serial_out(p, UART_LCR, LCR_DIVISOR | lcr);
		serial_out(p, UART_DATA, (u8)divisor);
		serial_out(p, UART_IER, (u8)(divisor >> 8));
		p->divisor = divisor;
	}
	serial_out(p, UART_LCR, lcr);
}

/* A speed that the chip can't do leaves the old one; speed 0 hangs up (termios(3)). */
static void serial_set_termios(struct tty *t, const struct ktermios *old)
{
	struct serial_port *p = tty_driver_data(t);
	struct ktermios *s = &t->line.termios;

	if (s->c_ospeed && !serial_divisor(s->c_ospeed)) {
		s->c_cflag =
			(s->c_cflag & ~(u32)(CBAUD | CIBAUD)) | (old->c_cflag & (CBAUD | CIBAUD));
		s->c_ispeed = old->c_ispeed;
		s->c_ospeed = old->c_ospeed;
	}
	scoped_spin_irq(&p->lock);
	serial_program_locked(p, serial_divisor(s->c_ospeed), serial_line_control(s->c_cflag));
	serial_out(p, UART_MCR, (u8)(MCR_OUT2 | (s->c_ospeed ? MCR_DTR_RTS : 0)));
}

static const struct tty_driver_ops serial_ops = {
	.set_termios = serial_set_termios,
	.unsent = serial_unsent,
	.write = serial_write,
	.write_room = serial_write_room,
	.throttle = serial_throttle,
	.drain = serial_drain,
	.flush = serial_flush,
};

/* A UART answers in its scratch register. */
static bool serial_is_present(const struct serial_port *p)
{
	serial_out(p, UART_SCRATCH, 0x5a);
	if (serial_in(p, UART_SCRATCH) != 0x5a)
		return false;
	serial_out(p, UART_SCRATCH, 0xa5);
	return serial_in(p, UART_SCRATCH) == 0xa5;
}

static int serial_start(struct serial_port *p, u32 number)
{
	u8 *ring = kmalloc(SERIAL_RING, 0);
	int err;

	if (!ring)
		return -ENOMEM;
	ring_init(&p->ring, ring, SERIAL_RING);
	spin_init(&p->lock, RANK_DEVICE);
	wait_queue_init(&p->drained);
	snprintf(p->name, sizeof(p->name), "ttyS%u", number);
	serial_out(p, UART_IER, 0);
	serial_out(p, UART_LCR, LCR_8N1);
	serial_out(p, UART_FCR, FCR_ENABLE_AND_CLEAR);
	serial_out(p, UART_MCR, MCR_DTR_RTS | MCR_OUT2);
	p->tty = tty_create(p->name, TTY_MAJOR, SERIAL_FIRST_MINOR + number, &serial_ops, p);
	if (!p->tty)
		return -ENOMEM;
	err = irq_request_isa(p->irq, serial_interrupt, p, p->name);
	if (err)
		return err;
	u64 flags = spin_lock_irq(&p->lock);

	serial_enable_locked(p, IER_RECEIVE, 0);
	spin_unlock_irq(&p->lock, flags);
	return 0;
}

static int serial_init(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(serial_ports); i++) {
		int err;

		if (!serial_is_present(&serial_ports[i]))
			continue;
		err = serial_start(&serial_ports[i], i);
		if (err)
			log_err("ttyS%u: not started (%d)", i, err);
		else
			log_info("ttyS%u: 16550 at port %x, irq %u", i, serial_ports[i].base,
				 serial_ports[i].irq);
	}
	/* The first of them stays the console, unless the command line chooses. */
	for (u32 i = ARRAY_SIZE(serial_ports); i--;)
		if (serial_ports[i].tty)
			tty_register_console(serial_ports[i].tty);
	return 0;
}
INIT_STEP(INIT_DRIVER, serial_init);
