/*
 * Static keys: the list of sites and their switching.  Sites in code that was
 * thrown away after the boot are left alone.
 */
#include <nos/arch.h>
#include <nos/lock.h>
#include <nos/preempt.h>
#include <nos/static_key.h>

extern const struct static_key_site __start_static_key_sites[] __weak;
extern const struct static_key_site __stop_static_key_sites[] __weak;
extern const char kernel_text_start[], kernel_text_end[];

static struct mutex switch_lock = MUTEX_INIT(RANK_STATIC_KEY);

void static_key_set(struct static_key *k, bool on)
{
	scoped_mutex(&switch_lock);
	if (k->on == on)
		return;
	WRITE_ONCE(k->on, on);
	for (const struct static_key_site *s = __start_static_key_sites;
	     s < __stop_static_key_sites; s++)
		if (s->key == k && s->at >= (u64)kernel_text_start &&
		    s->at < (u64)kernel_text_end) {
			/* Calls to other CPUs go through the slot of this one. */
			preempt_disable();
			text_patch_site(s, on);
			preempt_enable();
		}
}
