/*
 * Descriptors: small integers for open files.
 *
 * Concepts.  A table points to an array: file pointers, and bitmaps of used
 * and close-on-exec slots.  A slot is reserved (used bit set, pointer NULL)
 * before its file is opened, so that an open can't fail half-way.  Growing
 * makes a new array; the old one goes after a grace period.
 *
 * Lookups.  A table that one thread owns is changed by that thread alone, so a
 * lookup by it takes no reference (a light one): who closes a descriptor is the
 * one who looks it up.  A shared table is read under RCU: take a reference
 * unless the count is zero, then check that the slot still holds the file.
 * struct file comes from a cache whose memory keeps its type, so that the
 * count may be touched even when the file has just been freed.
 *
 * Invariants.
 *   (1) used bit set wherever the pointer is not NULL.
 *   (2) no slot below next_hint is free.
 *   (3) bit w of full_words is set only if word w of `used` is all ones.
 *   (4) no used slot at or above array->bound: what walks all slots stops there.
 *       It rises where a slot beyond it is taken and falls when a copy is made.
 *
 * Locking.  `lock` (rank FD_TABLE) serialises changes of a shared table; the
 * owner of an unshared one is alone, and does without.
 *
 * Rejected.  A reference count for every lookup (two locked instructions on
 * each call); a hash; tiers by descriptor number.
 */
#include "internal.h"

#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <nos/init.h>

#define INITIAL_SLOTS 64

static struct slab_cache *table_cache __ro_after_init;
u32 sysctl_nr_open = 1024 * 1024;

/*
 * Only the thread that owns an unshared table changes it, and the readers of /proc look under RCU:
 * then there is nothing to lock out.  It cannot become shared meanwhile.
 */
static inline bool table_lock(struct fd_table *t) __no_lock_check
{
	if (likely(ref_read(&t->refs) == 1))
		return false;
	spin_lock(&t->lock);
	return true;
}

static inline void table_unlock(struct fd_table *t, bool locked) __no_lock_check
{
	if (unlikely(locked))
		spin_unlock(&t->lock);
}

/* ---- arrays ---- */

static void array_free_rcu(struct rcu_head *head)
{
	struct fd_array *a = container_of(head, struct fd_array, rcu);

	kfree(a->files);
	kfree(a->used);
	kfree(a);
}

/* size: a multiple of 64. */
static struct fd_array *array_alloc(u32 size)
{
	struct fd_array *a = kzalloc(sizeof(*a), 0);
	size_t words = size / 64, full = (words + 63) / 64;

	if (!a)
		return NULL;
	a->size = size;
	a->files = kcalloc(size, sizeof(a->files[0]), 0);
	a->used = kcalloc(2 * words + full, sizeof(u64), 0);
	if (!a->files || !a->used) {
		array_free_rcu(&a->rcu);
		return NULL;
	}
	a->close_on_exec = a->used + words;
	a->full_words = a->close_on_exec + words;
	return a;
}

static void array_copy(struct fd_array *to, const struct fd_array *from, u32 slots)
{
	size_t words = slots / 64;

	to->bound = slots;
	memcpy(to->files, from->files, slots * sizeof(to->files[0]));
	memcpy(to->used, from->used, words * sizeof(u64));
	memcpy(to->close_on_exec, from->close_on_exec, words * sizeof(u64));
	for (size_t w = 0; w < words; w++)
		if (from->used[w] == ~0ull)
			bitmap_set(to->full_words, w);
}

/* A table of the cache is empty while it is free, too: a copy then costs what is open, not what could be. */
static void table_construct(void *object)
{
	struct fd_table *t = object;

	memset(t, 0, sizeof(*t));
	spin_init(&t->lock, RANK_FD_TABLE);
	t->first.size = INITIAL_SLOTS;
	t->first.bound = INITIAL_SLOTS;
	t->first.files = t->first_files;
	t->first.used = &t->first_used;
	t->first.close_on_exec = &t->first_cloexec;
	t->first.full_words = &t->first_full;
	t->array = &t->first;
}

static void table_free_rcu(struct rcu_head *head)
{
	slab_free(table_cache, container_of(head, struct fd_table, first.rcu));
}

/* Nobody uses the table any more, and none of its array's slots has a file: as it was constructed. */
static void table_free(struct fd_table *t)
{
	if (unlikely(t->array != &t->first)) {
		rcu_call(&t->array->rcu, array_free_rcu);
		t->array = &t->first;
		/* What it had before it grew was copied, not moved. */
		memset(t->first_files, 0, sizeof(t->first_files));
	}
	t->next_hint = 0;
	t->first_used = t->first_cloexec = t->first_full = 0;
	rcu_call(&t->first.rcu, table_free_rcu);
}

static bool is_as_constructed(const struct fd_table *t)
{
	for (u32 fd = 0; fd < INITIAL_SLOTS; fd++)
		if (t->first_files[fd])
			return false;
	return t->array == &t->first && t->first.bound == INITIAL_SLOTS && !t->next_hint &&
	       !t->first_used && !t->first_cloexec && !t->first_full;
}

/* At least `need` slots.  The lock is held and given up meanwhile: the caller looks again. */
static int grow_locked(struct fd_table *t, u32 need, bool locked) __no_lock_check
{
	struct fd_array *old = t->array, *a;
	u32 size = old->size;

	while (size < need)
		size *= 2;
	table_unlock(t, locked);
	a = array_alloc(size);
	if (locked)
		spin_lock(&t->lock);
	if (!a)
		return -ENOMEM;
	if (t->array->size >= need) { /* someone else did */
		array_free_rcu(&a->rcu);
		return 0;
	}
	old = t->array;
	array_copy(a, old, old->bound);
	rcu_store(t->array, a);
	if (old != &t->first)
		rcu_call(&old->rcu, array_free_rcu);
	return 0;
}

/* ---- lookup ---- */

static struct file *lookup_counted(struct fd_table *t, u32 fd)
{
	struct file *f;

	rcu_read_lock();
	for (;;) {
		struct fd_array *a = rcu_load(t->array);

		if (fd >= a->size) {
			f = NULL;
			break;
		}
		f = rcu_load(a->files[fd]);
		if (!f)
			break;
		if (!ref_get_unless_zero(&f->refs))
			continue; /* being closed: the slot is empty or reused at once */
		if (likely(rcu_load(t->array) == a && rcu_load(a->files[fd]) == f))
			break;
		rcu_read_unlock();
		file_put(f); /* freed and reused between the two loads */
		rcu_read_lock();
	}
	rcu_read_unlock();
	return f;
}

static struct fd_ref lookup(int fd, u32 refuse)
{
	struct fd_table *t = fd_table_current();
	struct fd_ref r = { 0 };

	if (likely(ref_read(&t->refs) == 1)) {
		const struct fd_array *a = t->array;

		if (likely((u32)fd < a->size))
			r.file = a->files[fd];
		if (unlikely(r.file && (r.file->mode & refuse)))
			r.file = NULL;
		return r;
	}
	r.file = lookup_counted(t, (u32)fd);
	if (r.file && unlikely(r.file->mode & refuse)) {
		file_put(r.file);
		r.file = NULL;
	}
	r.counted = r.file != NULL;
	return r;
}

struct fd_ref fd_lookup_shared(int fd)
{
	return lookup(fd, FILE_PATH);
}

struct fd_ref fd_lookup_shared_any(int fd)
{
	return lookup(fd, 0);
}

/* Not in line: hardly anyone gets here. */
__noinline void fd_release_counted(struct file *f)
{
	file_put(f);
}

struct file *fd_get_file(int fd)
{
	return lookup_counted(fd_table_current(), (u32)fd);
}

struct file *fd_table_get_file(struct fd_table *t, u32 fd)
{
	return lookup_counted(t, fd);
}

/* ---- slots ---- */

/* First free slot ≥ from; array->size if none. */
static u32 find_free(const struct fd_table *t, u32 from)
{
	const struct fd_array *a = t->array;
	u32 words = a->size / 64, w = from / 64;
	u64 free;

	if (from >= a->size)
		return from;
	free = ~a->used[w] & (~0ull << (from % 64));
	if (!free) {
		w = (u32)bitmap_find_zero(a->full_words, words, w + 1);
		while (w < words && a->used[w] == ~0ull)
			w++;
		if (w >= words)
			return a->size;
		free = ~a->used[w];
	}
	return w * 64 + (u32)__builtin_ctzll(free);
}

static inline void bound_raise(struct fd_array *a, u32 fd)
{
	if (fd >= a->bound)
		a->bound = (fd | 63) + 1;
}

static inline __always_inline void mark_used(struct fd_array *a, u32 fd, u32 flags)
{
	u64 mask = 1ull << (fd % 64), used = a->used[fd / 64] | mask;

	a->used[fd / 64] = used;
	if (unlikely(flags & O_CLOEXEC))
		a->close_on_exec[fd / 64] |= mask;
	else
		a->close_on_exec[fd / 64] &= ~mask;
	if (unlikely(used == ~0ull))
		bitmap_set(a->full_words, fd / 64);
}

static inline __always_inline void mark_free(struct fd_table *t, u32 fd)
{
	struct fd_array *a = t->array;
	u64 used = a->used[fd / 64];

	if (unlikely(used == ~0ull))
		bitmap_clear(a->full_words, fd / 64);
	a->used[fd / 64] = used & ~(1ull << (fd % 64));
	if (fd < t->next_hint)
		t->next_hint = fd;
}

static inline __always_inline int allocate_locked(struct fd_table *t, u32 first, u32 limit,
						  u32 flags, bool locked)
{
	u32 hint = t->next_hint;

	/* Nearly always: the slot after the ones that are used. */
	if (likely(first <= hint && hint < min(limit, t->array->bound) &&
		   !((t->array->used[hint / 64] >> (hint % 64)) & 1))) {
		mark_used(t->array, hint, flags);
		t->next_hint = hint + 1;
		return (int)hint;
	}
	for (;;) {
		u32 fd = find_free(t, max(first, t->next_hint));
		int err;

		if (fd >= limit)
			return -EMFILE;
		if (fd < t->array->size) {
			bound_raise(t->array, fd);
			mark_used(t->array, fd, flags);
			if (first <= t->next_hint)
				t->next_hint = fd + 1;
			return (int)fd;
		}
		err = grow_locked(t, fd + 1, locked);
		if (err)
			return err;
	}
}

static u32 fd_limit(void)
{
	return (u32)min(process_nofile_limit(), (u64)sysctl_nr_open);
}

static __noinline int allocate_any(u32 first, u32 flags)
{
	struct fd_table *t = fd_table_here();
	u32 limit = fd_limit();
	bool locked;
	int fd;

	if (first && first >= limit)
		return -EINVAL;
	locked = table_lock(t);
	fd = allocate_locked(t, first, limit, flags, locked);
	table_unlock(t, locked);
	return fd;
}

/* Nearly always: the slot after the ones that are used, of a table that is one thread's own. */
static inline __always_inline bool is_free_slot(const struct fd_table *t, const struct fd_array *a,
						u32 fd, u32 limit)
{
	return likely(ref_read(&t->refs) == 1 && fd < min(limit, a->bound) &&
		      !((a->used[fd / 64] >> (fd % 64)) & 1));
}

__hot int fd_allocate(u32 first, u32 flags)
{
	u32 limit = fd_limit();
	struct fd_table *t = fd_table_here();
	u32 fd = t->next_hint;

	if (unlikely(first > fd || !is_free_slot(t, t->array, fd, limit)))
		return allocate_any(first, flags);
	mark_used(t->array, fd, flags);
	t->next_hint = fd + 1;
	return (int)fd;
}

static inline __always_inline void slot_fill(struct fd_table *t, u32 fd, struct file *f)
{
	ASSERT(bitmap_test(t->array->used, fd) && !t->array->files[fd]);
	rcu_store(t->array->files[fd], f);
}

static __noinline void install_shared(struct fd_table *t, u32 fd, struct file *f)
{
	scoped_spin(&t->lock);
	slot_fill(t, fd, f);
}

__hot void fd_install(int fd, struct file *f)
{
	struct fd_table *t = fd_table_here();

	if (likely(ref_read(&t->refs) == 1))
		slot_fill(t, (u32)fd, f);
	else
		install_shared(t, (u32)fd, f);
}

void fd_cancel(int fd)
{
	struct fd_table *t = fd_table_here();
	bool locked = table_lock(t);

	mark_free(t, (u32)fd);
	table_unlock(t, locked);
}

int fd_add(struct file *f, u32 flags)
{
	struct fd_table *t = fd_table_here();
	u32 limit = fd_limit();
	bool locked = table_lock(t);
	int fd = allocate_locked(t, 0, limit, flags, locked);

	if (fd >= 0)
		rcu_store(t->array->files[fd], f);
	table_unlock(t, locked);
	if (fd < 0)
		file_put(f);
	return fd;
}

/* What each close of a descriptor does, the slot being empty already. */
static inline __always_inline int close_file(struct file *f, struct fd_table *t)
{
	int err = 0;

	if (unlikely(f->ops->flush != NULL)) {
		err = f->ops->flush(f);
		/* The descriptor is gone: a restart would close another one. */
		if (err <= -ERESTARTSYS)
			err = -EINTR;
	}
	if (unlikely(READ_ONCE(file_lock_inode(f)->locks) != NULL))
		file_locks_close(f, t);
	file_put(f);
	return err;
}

/* Empties the slot; NULL if it held no file. */
static inline __always_inline struct file *take_locked(struct fd_table *t, u32 fd)
{
	struct fd_array *a = t->array;
	struct file *f = fd < a->size ? a->files[fd] : NULL;

	if (!f)
		return NULL;
	rcu_store(a->files[fd], NULL);
	mark_free(t, fd);
	return f;
}

static __noinline int close_shared(struct fd_table *t, u32 fd)
{
	struct file *f;

	spin_lock(&t->lock);
	f = take_locked(t, fd);
	spin_unlock(&t->lock);
	return f ? close_file(f, t) : -EBADF;
}

__hot int fd_close(int fd)
{
	struct fd_table *t = fd_table_here();
	struct file *f;

	if (unlikely(ref_read(&t->refs) != 1))
		return close_shared(t, (u32)fd);
	f = take_locked(t, (u32)fd);
	return likely(f) ? close_file(f, t) : -EBADF;
}

int fd_close_range(u32 first, u32 last, u32 flags)
{
	struct fd_table *t = fd_table_current();

	if (first > last)
		return -EINVAL;
	for (u32 fd = first;;) {
		struct file *f = NULL;
		int next = fd_table_next(t, fd);

		if (next < 0 || (u32)next > last)
			return 0;
		fd = (u32)next;
		spin_lock(&t->lock);
		if (flags & CLOSE_RANGE_CLOEXEC) {
			if (fd < t->array->size && bitmap_test(t->array->used, fd))
				bitmap_set(t->array->close_on_exec, fd);
		} else {
			f = take_locked(t, fd);
		}
		spin_unlock(&t->lock);
		if (f)
			(void)close_file(f, t);
		if (fd++ == last)
			return 0;
	}
}

/* Full, shared, or not the first free slot: with all the rules. */
static __noinline int dup_any(int old, u32 first, u32 flags)
{
	struct fd_table *t = fd_table_here();
	u32 limit = fd_limit();
	struct file *f;
	bool locked;
	int fd;

	if (unlikely(first && first >= limit))
		return (u32)old < t->array->size && t->array->files[old] ? -EINVAL : -EBADF;
	locked = table_lock(t);
	f = (u32)old < t->array->size ? t->array->files[old] : NULL;
	if (!f) {
		table_unlock(t, locked);
		return -EBADF;
	}
	file_get(f);
	fd = allocate_locked(t, first, limit, flags, locked);
	if (fd >= 0)
		rcu_store(t->array->files[fd], f);
	table_unlock(t, locked);
	if (fd < 0)
		file_put(f);
	return fd;
}

__hot int fd_dup(int old, u32 first, u32 flags)
{
	u32 limit = fd_limit();
	struct fd_table *t = fd_table_here();
	struct fd_array *a = t->array;
	u32 fd = t->next_hint;

	if (likely((u32)old < a->size && first <= fd && is_free_slot(t, a, fd, limit))) {
		struct file *f = a->files[old];

		if (unlikely(!f))
			return -EBADF;
		file_get(f);
		mark_used(a, fd, flags);
		t->next_hint = fd + 1;
		rcu_store(a->files[fd], f);
		return (int)fd;
	}
	return dup_any(old, first, flags);
}

int fd_dup_to(int old, int new, u32 flags)
{
	struct fd_table *t = fd_table_current();
	struct file *f, *was;

	if ((u32) new >= fd_limit())
		return -EBADF;
	spin_lock(&t->lock);
	while ((u32) new >= t->array->size) {
		int err;

		if ((u32)old >= t->array->size || !t->array->files[old]) {
			spin_unlock(&t->lock);
			return -EBADF;
		}
		err = grow_locked(t, (u32) new + 1, true);
		if (err) {
			spin_unlock(&t->lock);
			return err;
		}
	}
	f = (u32)old < t->array->size ? t->array->files[old] : NULL;
	was = t->array->files[new];
	if (!f || (!was && bitmap_test(t->array->used, (u32) new))) {
		/* EBUSY: an open in another thread has reserved the slot (dup(2)). */
		spin_unlock(&t->lock);
		return f ? -EBUSY : -EBADF;
	}
	file_get(f);
	bound_raise(t->array, (u32) new);
	mark_used(t->array, (u32) new, flags);
	rcu_store(t->array->files[new], f);
	spin_unlock(&t->lock);
	if (was)
		(void)close_file(was, t);
	return new;
}

/* The lock, not RCU: a close that comes after it sees what the caller did, one before it is seen. */
bool fd_is_file(int fd, const struct file *f)
{
	struct fd_table *t = fd_table_current();

	scoped_spin(&t->lock);
	return (u32)fd < t->array->size && t->array->files[fd] == f;
}

bool fd_is_cloexec(int fd)
{
	struct fd_table *t = fd_table_here();

	scoped_rcu();
	return (u32)fd < t->array->size && bitmap_test(t->array->close_on_exec, (u32)fd);
}

int fd_set_cloexec(int fd, bool on)
{
	struct fd_table *t = fd_table_current();

	scoped_spin(&t->lock);
	if ((u32)fd >= t->array->size || !t->array->files[fd])
		return -EBADF;
	if (on)
		bitmap_set(t->array->close_on_exec, (u32)fd);
	else
		bitmap_clear(t->array->close_on_exec, (u32)fd);
	return 0;
}

int fd_table_next(struct fd_table *t, u32 from)
{
	u32 fd;

	scoped_spin(&t->lock);
	if (from >= t->array->size)
		return -1;
	for (fd = from;; fd++) {
		fd = (u32)bitmap_find_one(t->array->used, t->array->size, fd);
		if (fd >= t->array->size)
			return -1;
		if (t->array->files[fd])
			return (int)fd;
	}
}

/* ---- tables ---- */

struct fd_table *fd_table_create(void)
{
	struct fd_table *t = slab_alloc(table_cache, 0);

	if (!t)
		return NULL;
	ASSERT(is_as_constructed(t));
	ref_init(&t->refs, 1);
	return t;
}

/* How many slots a copy needs; the bound falls to what is used. */
static u32 slots_in_use_locked(struct fd_table *t, u32 max_fd)
{
	struct fd_array *a = t->array;
	u32 words = a->bound / 64;

	while (words > 1 && !a->used[words - 1])
		words--;
	a->bound = words * 64;
	return (u32)min((u64)words * 64, align_up((u64)max_fd, 64ul) ?: 64);
}

/* The files of the first `slots` slots, each with a reference more; `to` is empty. */
static void files_copy_locked(struct fd_table *to, const struct fd_table *from, u32 slots,
			      u32 max_fd)
{
	const struct fd_array *source = from->array;
	struct fd_array *a = to->array;
	u32 hint = min(from->next_hint, max_fd);

	a->bound = slots;
	for (u32 w = 0; w < slots / 64; w++) {
		u64 used = source->used[w];

		for (u64 left = used; left; left &= left - 1) {
			u32 fd = w * 64 + (u32)__builtin_ctzll(left);
			struct file *f = source->files[fd];

			if (likely(f && fd < max_fd)) {
				file_get(f);
				a->files[fd] = f;
			} else { /* reserved by an open that is not ours, or cut off */
				used &= ~(left & -left);
				hint = min(hint, fd);
			}
		}
		a->used[w] = used;
		a->close_on_exec[w] = source->close_on_exec[w];
		if (unlikely(used == ~0ull))
			bitmap_set(a->full_words, w);
	}
	to->next_hint = hint;
}

struct fd_table *fd_table_copy(struct fd_table *from, u32 max_fd)
{
	struct fd_table *t = fd_table_create();
	u32 slots;

	if (!t)
		return err_ptr(-ENOMEM);
	spin_lock(&from->lock);
	for (;;) {
		struct fd_array *a;

		slots = slots_in_use_locked(from, max_fd);
		if (slots <= t->array->size)
			break;
		spin_unlock(&from->lock);
		if (t->array != &t->first)
			array_free_rcu(&t->array->rcu);
		t->array = &t->first;
		a = array_alloc(slots);
		if (!a) {
			table_free(t);
			return err_ptr(-ENOMEM);
		}
		t->array = a;
		spin_lock(&from->lock);
	}
	files_copy_locked(t, from, slots, max_fd);
	spin_unlock(&from->lock);
	return t;
}

void fd_table_put(struct fd_table *t)
{
	struct fd_array *a;

	if (!ref_put(&t->refs))
		return;
	a = t->array;
	for (u32 w = 0; w < a->bound / 64; w++) {
		u64 bits = a->used[w];

		while (bits) {
			u32 fd = w * 64 + (u32)__builtin_ctzll(bits);
			struct file *f = a->files[fd];

			bits &= bits - 1;
			rcu_store(a->files[fd], NULL);
			if (f)
				(void)close_file(f, t);
		}
	}
	table_free(t);
}

void fd_table_close_on_exec(struct fd_table *t)
{
	for (u32 w = 0; w < t->array->bound / 64; w++) {
		u64 bits = t->array->close_on_exec[w] & t->array->used[w];

		while (bits) {
			u32 fd = w * 64 + (u32)__builtin_ctzll(bits);
			struct file *f;

			bits &= bits - 1;
			spin_lock(&t->lock);
			f = take_locked(t, fd);
			spin_unlock(&t->lock);
			if (f)
				(void)close_file(f, t);
		}
	}
}

static int fd_table_init(void)
{
	static const struct slab_cache_info info = { .name = "fd_table",
						     .size = sizeof(struct fd_table),
						     .construct = table_construct };

	if (!table_cache)
		table_cache = slab_cache_create(&info);
	return table_cache ? 0 : -ENOMEM;
}
INIT_STEP(INIT_SUBSYSTEM, fd_table_init);
