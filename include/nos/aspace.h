/*
 * Address spaces (mm/aspace.c, fault.c, cursor.c).
 *
 * A sorted tree of mappings says what may be at an address; the page table
 * says what is, and a cursor holds the leaf table while it works.  Faults run
 * under RCU and the leaf table's lock; `lock` serialises changes of the tree.
 */
#pragma once

#include <nos/list.h>
#include <nos/lock.h>
#include <nos/page.h>
#include <nos/page_cache.h>
#include <nos/pte.h>
#include <nos/rbtree.h>
#include <nos/types.h>

struct file;
struct kernel_page;

/* mapping flags; PROT_ and MAP_ values are translated once at the call */
#define MAPPING_READ (1u << 0)
#define MAPPING_WRITE (1u << 1)
#define MAPPING_EXEC (1u << 2)
#define MAPPING_RIGHTS (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC)
#define MAPPING_SHARED (1u << 3)
#define MAPPING_MAY_READ (1u << 4) /* mprotect may add it: in the order of the rights */
#define MAPPING_MAY_WRITE (1u << 5)
#define MAPPING_MAY_EXEC (1u << 6)
#define MAPPING_GROWS_DOWN (1u << 7)
#define MAPPING_LOCKED (1u << 8)
#define MAPPING_NORESERVE (1u << 9)
#define MAPPING_DONTFORK (1u << 10)
#define MAPPING_DONTDUMP (1u << 11)
#define MAPPING_WIPEONFORK (1u << 12)
#define MAPPING_SPECIAL (1u << 13) /* vvar, vdso, device: no folio references */
#define MAPPING_STACK (1u << 14)
#define MAPPING_ACCOUNTED (1u << 15)
#define MAPPING_RANDOM (1u << 16)
#define MAPPING_SEQUENTIAL (1u << 17)
#define MAPPING_NOHUGE (1u << 18)
#define MAPPING_HUGE (1u << 19)
#define MAPPING_MERGEABLE (1u << 20)
#define MAPPING_HEAP (1u << 21)
#define MAPPING_WRITTEN (1u << 22) /* was writable once, so that it may have copied pages */

struct mapping { /* "VMA" on Linux */
	u64 start, end; /* half-open, page aligned */
	u32 flags;
	struct rb_node node;
	struct aspace *aspace; /* NULL: not in the tree */
	struct page_cache *cache; /* of file, or of a shared anonymous object */
	u64 page_offset; /* of start in the file, in pages; anonymous: start >> 12 */
	struct file *file; /* NULL: anonymous; holds a reference */
	struct mapping *prev, *next; /* by address; only under `lock` */
	const char *name; /* [heap], [stack], [vdso]: constants; NULL */
	const struct memory_policy *policy; /* NULL: the thread's; holds a reference */
	struct list cache_node; /* in cache->mappings */
};

struct aspace {
	struct ref users; /* threads and those who look (ptrace, /proc) */
	pte_t *table; /* top level */
	phys_t table_phys;
	struct rb_root mappings;
	struct mapping *hint; /* found last; may be stale: see mapping.c */
	struct mapping *spare; /* a blank that left the tree; under `lock`; NULL */
	struct rwlock lock; /* tree: readers may sleep; rank ASPACE */
	struct seqlock tree_sequence; /* lets faults read the tree without `lock` */
	u32 nr_mappings;
	u64 cpus; /* that have it loaded */
	u64 tlb_id, flush_generation; /* with PCIDs: never used again; the number of flushes */
	u64 mmap_base; /* top of the top-down area */
	u64 gap_from, gap_skipped; /* no gap above gap_from is larger than gap_skipped */
	u64 brk_start, brk_end, brk_limit;
	u64 code_start, code_end, data_start, data_end, stack_start;
	u64 arg_start, arg_end, env_start, env_end;
	u64 vdso_base;
	u64 total_pages, locked_pages, committed_pages;
	u64 data_pages, stack_pages, exec_pages;
	u64 peak_total_pages, peak_resident_pages, pinned_pages;
	s64 resident_anon, resident_file, resident_shmem; /* pages; atomic */
	u64 page_table_bytes;
	u32 nr_shared_tables; /* leaf tables that a fork has left to several; atomic */
	struct folio *upper_tables; /* below the top; they stay until the end */
	u64 default_locked; /* mlockall(MCL_FUTURE) flags */
	struct file *exe_file; /* /proc/PID/exe */
	struct start_set *start; /* what starts of the program touch */
	struct start_notes *notes; /* what this one does, to be learnt */
	u64 auxv[48]; /* as given to the program */
	u32 auxv_bytes;
	u32 dumpable;
	u32 membarrier_state;
	bool huge_disabled; /* PR_SET_THP_DISABLE */
	struct mutex exe_lock;
	/* proc/kernel_page.c, under task_list_lock: */
	struct kernel_page *kernel_page; /* NULL until someone reads it; stays until the end */
	u32 nr_vforks; /* processes that run here while those that made them wait; atomic */
	bool is_shared; /* by processes that don't wait for each other */
	struct rcu_head rcu;
};

/* Address spaces as figures for /proc: pages present, of all sorts. */
static inline u64 aspace_resident_pages(const struct aspace *a)
{
	s64 n = READ_ONCE(a->resident_anon) + READ_ONCE(a->resident_file) +
		READ_ONCE(a->resident_shmem);

	return n > 0 ? (u64)n : 0;
}

/* ---- upward: what mm needs of files; defined by vfs ---- */
void file_get_for_mapping(struct file *f);
void file_put_for_mapping(struct file *f);
/* Makes a hole in it (fallocate(2) with FALLOC_FL_PUNCH_HOLE); may sleep. */
int file_punch_for_mapping(struct file *f, u64 offset, u64 len);
/* Device's own fault: physical address to map for page `offset`, or 0 = SIGBUS. */
phys_t file_map_special(struct file *f, u64 page_offset);
/* proc: limits of the current process that mm enforces; `what` is RLIMIT_*. */
u64 process_rlimit(unsigned what);
u64 process_data_limit(void); /* RLIMIT_DATA; where it is 0, the hard one, as on Linux */
bool process_has_capability(int cap);
/* proc: queues SIGSEGV or SIGBUS (si_code, address) to the current thread. */
void process_fault_signal(int signo, int si_code, u64 address, u64 error_code);
/* proc: the page that says who the process of `a` is, made if need be; 0: only for that process itself.  May
 * sleep.  It is let go when no CPU has `a` loaded any more. */
phys_t kernel_page_map(struct aspace *a);
void kernel_page_free(struct kernel_page *k);
/* proc: kills the process that the badness ranking chooses; true if one was (or is being) killed. */
bool process_kill_for_memory(void);

/* ---- life ---- */
struct aspace *aspace_create(void); /* empty, upper half shared; NULL */
struct aspace *aspace_fork(struct aspace *from); /* ERR: -ENOMEM; copy-on-write of all */
/* A new program's, before its first mapping; `cache` is the program's, which `program` holds. */
void aspace_start(struct aspace *a, struct file *program, struct page_cache *cache);
void aspace_get(struct aspace *a);
void aspace_put(struct aspace *a); /* last one unmaps all; sleeps */

/* ---- changes: system calls in linux/mm.c are thin around these; all for the current process's
 * address space unless `a` is given; all take the lock themselves; 0/address or −errno ---- */
struct map_request {
	u64 address, length; /* hint, or fixed */
	u32 prot, map_flags; /* PROT_*, MAP_* of <asm/mman.h> */
	u32 extra_flags; /* MAPPING_ flags to add (exec: STACK …) */
	struct file *file; /* caller's reference is kept by the caller */
	struct page_cache *cache;
	u64 page_offset;
	bool file_may_write; /* opened for writing (shared mappings) */
	bool file_may_exec; /* mount is not noexec */
	/* Pages without a folio: file_map_special serves the faults.  Without a file, kernel pages that all
	 * processes share, page_offset being a frame number: other rights than prot's never come. */
	bool special;
	const char *name;
};
s64 aspace_map(struct aspace *a, const struct map_request *r);
/* The same for private anonymous memory with no other flag; address 0: wherever there is room. */
s64 aspace_map_private(struct aspace *a, u64 address, u64 length, u32 prot);
/* Where mmap(2) would put `length` bytes, or -ENOMEM; `a` is seen by the caller alone. */
s64 aspace_find_room(struct aspace *a, u64 length);
int aspace_unmap(struct aspace *a, u64 address, u64 length);
int aspace_protect(struct aspace *a, u64 address, u64 length, u64 prot);
s64 aspace_remap(struct aspace *a, u64 old, u64 old_len, u64 new_len, u32 flags, u64 new_address);
u64 aspace_brk(struct aspace *a, u64 end); /* the resulting end, as brk(2) */
/* Of a process that is being killed: takes away all private memory, early.  -EINTR. */
int aspace_release_private(struct aspace *a);
int aspace_advise(struct aspace *a, u64 address, u64 length, int advice);
int aspace_sync(struct aspace *a, u64 address, u64 length, int flags);
int aspace_lock_range(struct aspace *a, u64 address, u64 length, bool lock, bool on_fault);
int aspace_lock_all(struct aspace *a, int flags); /* MCL_*; 0 = munlockall */
int aspace_mincore(struct aspace *a, u64 address, u64 nr_pages, u8 *out);
/* Maps the vvar and vdso pages; sets vdso_base. */
int aspace_map_vdso(struct aspace *a);

/* Page faults without an access (populate, mlock, get_user_pages): nr of pages made present. */
s64 aspace_populate(struct aspace *a, u64 address, u64 length, bool write);
/* Reads or writes another process's memory (ptrace, /proc/PID/mem, process_vm_*): bytes moved. */
size_t aspace_access(struct aspace *a, u64 address, void *buffer, size_t len, bool write,
		     bool force);
/* A referenced folio behind a user page of the current process, faulted in; ERR: -EFAULT. */
struct folio *aspace_pin(struct aspace *a, u64 address, bool write, size_t *offset);
/* Physical identity of a futex word: for shared ones (cache, page index), else (aspace, address).
 * 0 or -EFAULT; *object gets a pointer that stays unique while the mapping lives. */
int aspace_futex_key(struct aspace *a, u64 address, bool shared, u64 *object, u64 *offset);

/* ---- looking: /proc ---- */
/* First mapping with end > address, under the lock (shared). */
struct mapping *aspace_find_locked(struct aspace *a, u64 address);
static inline struct mapping *mapping_next(const struct mapping *m)
{
	return m->next;
}
struct mapping_usage { /* bytes, for smaps */
	u64 resident, pss, shared_clean, shared_dirty, private_clean, private_dirty, referenced;
	u64 anonymous, anonymous_huge, shmem_huge, swap, locked;
};
void mapping_usage_locked(struct mapping *m, struct mapping_usage *u);
/* Whether faults of m may bring 2 MiB at once. */
bool mapping_may_be_huge(const struct mapping *m);
/* pagemap bits for one page, as /proc/PID/pagemap gives them. */
u64 aspace_pagemap_entry(struct aspace *a, u64 address);

/* Unmaps pages [start, end) of the cache from every address space (truncate, reclaim);
 * even_private: also copied private pages (truncate). */
void page_cache_unmap(struct page_cache *c, u64 start_page, u64 end_page, bool even_private);
