/*
 * Virtio console (virtio 1.2 §5.3): one device, many ports.
 *
 * Concepts.  A port is a pair of queues.  A console port is a terminal,
 * /dev/hvcN; any other is a byte stream, /dev/vportNpM, that one process at a
 * time may open.  The control queues announce ports, and tell each side whether
 * the other has its end open.
 *
 * Buffers.  Each port owns IN_BUFFERS pages that wait in its in queue for the
 * host, and up to OUT_BUFFERS larger ones for output.  A page the host has
 * filled stays on `received` until its last byte is read, then it goes back to
 * the queue: the host cannot send more than there is room for.
 *
 * Locking.  port->lock (interrupts off) guards both queues and both lists.
 * Control messages are handled in a work item, one at a time.
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/log.h>
#include <nos/page.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/timer.h>
#include <nos/tty.h>
#include <nos/wait.h>
#include <asm/fcntl.h>
#include <linux/eventpoll.h>
#include <linux/virtio_console.h>

#include "virtio.h"

#define IN_BUFFERS 8
#define OUT_BUFFERS 8
#define OUT_ORDER 3 /* 32 KiB */
#define OUT_BYTES (PAGE_SIZE << OUT_ORDER)
#define CONTROL_BUFFERS 16
#define CONTROL_BYTES 256
#define PORTS_MAX 31
#define VPORT_MAJOR 242
#define HVC_MAJOR 229
#define F_MULTIPORT (1ull << VIRTIO_CONSOLE_F_MULTIPORT)

struct port_buffer {
	struct list node;
	u8 *data;
	u32 len, at;
};

struct port {
	struct console_device *console;
	u32 id;
	struct spinlock lock;
	struct virtqueue *in, *out;
	struct list received; /* filled, not fully read */
	struct list out_free;
	struct port_buffer in_buffers[IN_BUFFERS], out_buffers[OUT_BUFFERS];
	struct wait_queue queue; /* data, room, or the host's end changed */
	bool host_open, guest_open;
	bool is_console, out_was_full;
	u32 unsent; /* bytes that the host has not taken */
	struct tty *tty;
	char name[24], sysfs_path[64], label[64];
	struct char_device device;
	struct pseudo_file label_file;
};

struct console_device {
	struct virtio_device *virtio;
	u32 number;
	struct spinlock control_lock;
	struct virtqueue *control_in, *control_out;
	struct work control_work;
	struct port *ports[PORTS_MAX];
	u8 *control_buffers;
};

static u32 nr_consoles, nr_terminals;

static void send_control(struct console_device *c, u32 id, u16 event, u16 value);

/* ---- data: both kinds of port ---- */

static void offer_in_buffer(struct port *p, struct port_buffer *b)
{
	struct virtio_segment s = { virt_to_phys(b->data), PAGE_SIZE };

	b->at = 0;
	b->len = 0;
	/* The queue was made at least as long as there are buffers. */
	if (virtqueue_add(p->in, NULL, 0, &s, 1, b, NULL) == 0)
		virtqueue_kick(p->in);
}

static void receive_terminal(struct port *p)
{
	struct port_buffer *b;
	u32 len;

	for (;;) {
		u64 flags = spin_lock_irq(&p->lock);

		b = virtqueue_pop(p->in, &len);
		spin_unlock_irq(&p->lock, flags);
		if (!b)
			return;
		tty_receive(p->tty, b->data, min(len, (u32)PAGE_SIZE));
		flags = spin_lock_irq(&p->lock);
		offer_in_buffer(p, b);
		spin_unlock_irq(&p->lock, flags);
	}
}

static void in_ready(struct virtqueue *q)
{
	struct port *p = q->private;

	do {
		if (p->tty) {
			receive_terminal(p);
			continue;
		}

		struct port_buffer *b;
		u32 len;
		bool any = false;
		u64 flags = spin_lock_irq(&p->lock);

		while ((b = virtqueue_pop(q, &len)) != NULL) {
			b->len = min(len, (u32)PAGE_SIZE);
			list_push_back(&p->received, &b->node);
			any = true;
		}
		spin_unlock_irq(&p->lock, flags);
		if (any)
			wake_all_key(&p->queue, EPOLLIN);
	} while (!virtqueue_enable_interrupts(q));
}

static void out_done(struct virtqueue *q)
{
	struct port *p = q->private;
	bool terminal_waits = false;

	do {
		struct port_buffer *b;
		u32 len;
		u64 flags = spin_lock_irq(&p->lock);

		while ((b = virtqueue_pop(q, &len)) != NULL) {
			p->unsent -= b->len;
			list_push_back(&p->out_free, &b->node);
		}
		if (p->tty && p->out_was_full) {
			p->out_was_full = false;
			terminal_waits = true;
		}
		spin_unlock_irq(&p->lock, flags);
	} while (!virtqueue_enable_interrupts(q));
	if (terminal_waits)
		tty_write_ready(p->tty);
	else
		wake_all_key(&p->queue, EPOLLOUT);
}

/* A free output buffer with its memory, or NULL. */
static struct port_buffer *take_out_buffer(struct port *p)
{
	u64 flags = spin_lock_irq(&p->lock);
	struct list *n = list_pop_front(&p->out_free);

	/* Under the lock: out_done would else miss who waits for the last buffers. */
	if (!n)
		p->out_was_full = true;
	spin_unlock_irq(&p->lock, flags);
	return n ? list_entry(n, struct port_buffer, node) : NULL;
}

static int send_buffer(struct port *p, struct port_buffer *b, u32 len)
{
	struct virtio_segment s = { virt_to_phys(b->data), len };

	scoped_spin_irq(&p->lock);
	int err = virtqueue_add(p->out, &s, 1, NULL, 0, b, NULL);

	if (err) {
		list_push_back(&p->out_free, &b->node);
	} else {
		b->len = len;
		p->unsent += len;
		virtqueue_kick(p->out);
	}
	return err;
}

/* ---- terminals ---- */

static size_t terminal_write(struct tty *t, const u8 *data, size_t len)
{
	struct port *p = tty_driver_data(t);
	size_t done = 0;

	while (done < len) {
		struct port_buffer *b = take_out_buffer(p);

		if (!b)
			break;

		u32 n = (u32)min(len - done, (size_t)OUT_BYTES);

		memcpy(b->data, data + done, n);
		if (send_buffer(p, b, n))
			break;
		done += n;
	}
	return done;
}

static size_t terminal_write_room(struct tty *t)
{
	struct port *p = tty_driver_data(t);

	scoped_spin_irq(&p->lock);
	if (!list_is_empty(&p->out_free))
		return OUT_BYTES;
	p->out_was_full = true;
	return 0;
}

static u32 terminal_unsent(struct tty *t)
{
	struct port *p = tty_driver_data(t);

	return READ_ONCE(p->unsent);
}

static const struct tty_driver_ops terminal_ops = {
	.unsent = terminal_unsent,
	.write = terminal_write,
	.write_room = terminal_write_room,
};

/* ---- streams ---- */

static struct port *port_of(const struct file *f)
{
	return f->private;
}

static int port_open(struct inode *i, struct file *f)
{
	struct port *p = f->private;
	u64 flags = spin_lock_irq(&p->lock);
	bool was_open = p->guest_open;

	p->guest_open = true;
	spin_unlock_irq(&p->lock, flags);
	if (was_open)
		return -EBUSY;
	send_control(p->console, p->id, VIRTIO_CONSOLE_PORT_OPEN, 1);
	return 0;
}

static void port_release(struct file *f)
{
	struct port *p = port_of(f);

	send_control(p->console, p->id, VIRTIO_CONSOLE_PORT_OPEN, 0);

	u64 flags = spin_lock_irq(&p->lock);

	/* What nobody read is not for the next one who opens. */
	while (!list_is_empty(&p->received))
		offer_in_buffer(p,
				list_entry(list_pop_front(&p->received), struct port_buffer, node));
	p->guest_open = false;
	spin_unlock_irq(&p->lock, flags);
}

static ssize_t port_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct port *p = port_of(f);
	ssize_t done = 0;

	if (list_is_empty(&p->received)) {
		if (!p->host_open)
			return 0;
		if ((f->flags & O_NONBLOCK) || (to->flags & IOBUF_NOWAIT))
			return -EAGAIN;

		int err = wait_event_interruptible(&p->queue,
						   !list_is_empty(&p->received) || !p->host_open);

		if (err)
			return err;
	}
	while (to->remaining) {
		/* One opener: only this reader takes from the list. */
		u64 flags = spin_lock_irq(&p->lock);
		struct port_buffer *b = list_first(&p->received, struct port_buffer, node);

		if (b)
			list_remove(&b->node);
		spin_unlock_irq(&p->lock, flags);
		if (!b)
			break;

		size_t n = iobuf_put(to, b->data + b->at, b->len - b->at);

		b->at += (u32)n;
		done += (ssize_t)n;
		flags = spin_lock_irq(&p->lock);
		if (b->at == b->len)
			offer_in_buffer(p, b);
		else
			list_push_front(&p->received, &b->node);
		spin_unlock_irq(&p->lock, flags);
		if (n == 0)
			return done ? done : -EFAULT;
	}
	return done;
}

static ssize_t port_write(struct file *f, struct iobuf *from, u64 *pos)
{
	struct port *p = port_of(f);
	bool nonblocking = (f->flags & O_NONBLOCK) || (from->flags & IOBUF_NOWAIT);
	ssize_t done = 0;
	int err = 0;

	while (from->remaining) {
		struct port_buffer *b = p->host_open ? take_out_buffer(p) : NULL;

		if (!b) {
			err = nonblocking ? -EAGAIN :
					    wait_event_interruptible(
						    &p->queue,
						    p->host_open && !list_is_empty(&p->out_free));
			if (err)
				break;
			continue;
		}

		size_t n = iobuf_get(from, b->data, OUT_BYTES);

		if (n == 0) {
			u64 flags = spin_lock_irq(&p->lock);

			list_push_back(&p->out_free, &b->node);
			spin_unlock_irq(&p->lock, flags);
			err = -EFAULT;
			break;
		}
		err = send_buffer(p, b, (u32)n);
		if (err)
			break;
		done += (ssize_t)n;
	}
	return done ? done : err;
}

static u32 port_poll(struct file *f, struct poll_table *t)
{
	struct port *p = port_of(f);
	u32 mask = 0;

	poll_wait(t, &p->queue);
	if (!list_is_empty(&p->received))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (p->host_open && !list_is_empty(&p->out_free))
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (!p->host_open)
		mask |= EPOLLHUP;
	return mask;
}

static const struct file_ops port_ops = {
	.open = port_open,
	.release = port_release,
	.read = port_read,
	.write = port_write,
	.poll = port_poll,
	.flags = FILE_OPS_STREAM,
};

/* ---- ports come ---- */

static int fill_queues(struct port *p)
{
	for (unsigned i = 0; i < OUT_BUFFERS; i++) {
		p->out_buffers[i].data = page_alloc(OUT_ORDER, 0);
		if (!p->out_buffers[i].data)
			return i ? 0 : -ENOMEM; /* fewer will do */
		list_push_back(&p->out_free, &p->out_buffers[i].node);
	}
	return 0;
}

static int fill_in_queue(struct port *p)
{
	for (unsigned i = 0; i < IN_BUFFERS; i++) {
		p->in_buffers[i].data = page_alloc(0, 0);
		if (!p->in_buffers[i].data)
			return i ? 0 : -ENOMEM;

		u64 flags = spin_lock_irq(&p->lock);

		offer_in_buffer(p, &p->in_buffers[i]);
		spin_unlock_irq(&p->lock, flags);
	}
	return 0;
}

static struct port *port_create(struct console_device *c, u32 id)
{
	struct port *p = kzalloc(sizeof(*p), 0);
	u16 first = (u16)(id == 0 ? 0 : 2 * id + 2);

	if (!p)
		return err_ptr(-ENOMEM);
	p->console = c;
	p->id = id;
	spin_init(&p->lock, RANK_DEVICE);
	list_init(&p->received);
	list_init(&p->out_free);
	wait_queue_init(&p->queue);
	p->in = virtqueue_create(c->virtio, first, 16, in_ready, p);
	if (is_err(p->in)) {
		void *err = p->in;

		kfree(p);
		return err;
	}
	p->out = virtqueue_create(c->virtio, (u16)(first + 1), 16, out_done, p);
	if (is_err(p->out))
		return (struct port *)p->out; /* the in queue is the device's now: p stays */
	return p;
}

static int label_show(struct text_out *out, void *arg)
{
	struct port *p = arg;

	text_printf(out, "%s\n", p->label);
	return 0;
}

/* The host has said what the port is: it gets its device file. */
static void port_publish_stream(struct port *p)
{
	if (p->device.ops || p->tty)
		return;
	snprintf(p->name, sizeof(p->name), "vport%up%u", p->console->number, p->id);
	p->device = (struct char_device){
		.name = p->name,
		.major = VPORT_MAJOR,
		.minor = p->console->number * (PORTS_MAX + 1) + p->id,
		.nr_minors = 1,
		.mode = 0600,
		.ops = &port_ops,
		.private = p,
	};
	fill_in_queue(p);
	char_device_register(&p->device);
	snprintf(p->sysfs_path, sizeof(p->sysfs_path), "sys/class/virtio-ports/%s/name", p->name);
	p->label_file = (struct pseudo_file){
		.path = p->sysfs_path, .mode = 0444, .show = label_show, .arg = p
	};
	pseudo_file_register(&p->label_file);
}

static void port_publish_terminal(struct port *p)
{
	char name[16];

	if (p->tty || p->device.ops)
		return;
	p->is_console = true;
	snprintf(name, sizeof(name), "hvc%u", nr_terminals);
	p->tty = tty_create(name, HVC_MAJOR, nr_terminals, &terminal_ops, p);
	if (!p->tty)
		return;
	nr_terminals++;
	fill_in_queue(p);
	tty_register_console(p->tty);
	send_control(p->console, p->id, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* ---- control ---- */

static void send_control(struct console_device *c, u32 id, u16 event, u16 value)
{
	struct virtio_console_control *m = kmalloc(sizeof(*m), 0);
	void *old;
	u32 len;

	if (!m || !c->control_out) {
		kfree(m);
		return;
	}
	*m = (struct virtio_console_control){ .id = id, .event = event, .value = value };

	struct virtio_segment s = { virt_to_phys(m), sizeof(*m) };
	u64 flags = spin_lock_irq(&c->control_lock);
	struct virtio_console_control *dead[4] = { NULL };
	unsigned nr = 0;

	while (nr < ARRAY_SIZE(dead) && (old = virtqueue_pop(c->control_out, &len)) != NULL)
		dead[nr++] = old;

	int err = virtqueue_add(c->control_out, &s, 1, NULL, 0, m, NULL);

	if (!err)
		virtqueue_kick(c->control_out);
	spin_unlock_irq(&c->control_lock, flags);
	while (nr)
		kfree(dead[--nr]);
	if (err) {
		kfree(m);
		log_warning("virtio-console: control message lost (%d)", -err);
	}
}

static void handle_control(struct console_device *c, const u8 *data, u32 len)
{
	struct virtio_console_control m;

	if (len < sizeof(m))
		return;
	memcpy(&m, data, sizeof(m));
	if (m.id >= PORTS_MAX)
		return;

	struct port *p = c->ports[m.id];

	if (!p) {
		if (m.event != VIRTIO_CONSOLE_PORT_ADD)
			return;
		p = port_create(c, m.id);
		if (is_err(p) || fill_queues(p)) {
			log_warning("virtio-console: port %u: no memory or no queue", m.id);
			send_control(c, m.id, VIRTIO_CONSOLE_PORT_READY, 0);
			return;
		}
		c->ports[m.id] = p;
		send_control(c, m.id, VIRTIO_CONSOLE_PORT_READY, 1);
		return;
	}
	switch (m.event) {
	case VIRTIO_CONSOLE_CONSOLE_PORT:
		if (m.value)
			port_publish_terminal(p);
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		string_copy(p->label, (const char *)data + sizeof(m),
			    min(len - (u32)sizeof(m) + 1, (u32)sizeof(p->label)));
		port_publish_stream(p);
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		if (!p->tty)
			port_publish_stream(p);
		WRITE_ONCE(p->host_open, m.value != 0);
		wake_all(&p->queue);
		break;
	case VIRTIO_CONSOLE_RESIZE:
		if (p->tty && len >= sizeof(m) + 4) {
			u16 size[2];

			memcpy(size, data + sizeof(m), sizeof(size));
			tty_set_window_size(p->tty, size[1], size[0]);
		}
		break;
	default:
		break;
	}
}

static void offer_control_buffer(struct console_device *c, u8 *b)
{
	struct virtio_segment s = { virt_to_phys(b), CONTROL_BYTES };

	scoped_spin_irq(&c->control_lock);
	if (virtqueue_add(c->control_in, NULL, 0, &s, 1, b, NULL) == 0)
		virtqueue_kick(c->control_in);
}

static void control_run(struct work *w)
{
	struct console_device *c = container_of(w, struct console_device, control_work);
	u8 data[CONTROL_BYTES + 1];

	do {
		for (;;) {
			u32 len;
			u64 flags = spin_lock_irq(&c->control_lock);
			u8 *b = virtqueue_pop(c->control_in, &len);

			spin_unlock_irq(&c->control_lock, flags);
			if (!b)
				break;
			len = min(len, (u32)CONTROL_BYTES);
			memcpy(data, b, len);
			data[len] = 0;
			offer_control_buffer(c, b);
			handle_control(c, data, len);
		}
	} while (!virtqueue_enable_interrupts(c->control_in));
}

static void control_ready(struct virtqueue *q)
{
	struct console_device *c = q->private;

	work_queue(&c->control_work);
}

/* Without the multiport feature there is one port, and it is a console. */
static int probe_single(struct console_device *c)
{
	struct port *p = port_create(c, 0);

	if (is_err(p))
		return (int)ptr_err(p);
	c->ports[0] = p;

	int err = fill_queues(p);

	if (err)
		return err;
	virtio_device_ready(c->virtio);
	p->host_open = true;
	port_publish_terminal(p);
	return 0;
}

static int probe(struct virtio_device *d)
{
	struct console_device *c = kzalloc(sizeof(*c), 0);

	if (!c)
		return -ENOMEM;
	c->virtio = d;
	c->number = nr_consoles++;
	spin_init(&c->control_lock, RANK_DEVICE);
	work_init(&c->control_work, control_run);
	d->driver_data = c;
	if (!(d->features & F_MULTIPORT))
		return probe_single(c);
	c->control_buffers = page_alloc(0, ALLOC_ZERO);
	c->control_in = virtqueue_create(d, 2, CONTROL_BUFFERS, control_ready, c);
	c->control_out = virtqueue_create(d, 3, CONTROL_BUFFERS, NULL, c);
	if (!c->control_buffers || is_err(c->control_in) || is_err(c->control_out))
		return -ENOMEM; /* the queues are the device's: c stays */
	virtio_device_ready(d);
	for (unsigned i = 0; i < CONTROL_BUFFERS; i++)
		offer_control_buffer(c, c->control_buffers + i * CONTROL_BYTES);
	send_control(c, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	/* What the host has said by now is there before the first process starts. */
	work_flush(&c->control_work);
	return 0;
}

static const struct virtio_driver console_driver = {
	.name = "virtio_console",
	.id = VIRTIO_ID_CONSOLE,
	.features = F_MULTIPORT,
	.probe = probe,
};
REGISTER_VIRTIO_DRIVER(console_driver);
