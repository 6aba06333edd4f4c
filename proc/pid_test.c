/*
 * Tests of the table of numbers: what it gives, keeps and gives again.
 */
#ifndef NOS_HOST
#include "internal.h"

#include <nos/test.h>

TEST(pid_numbers_are_found_until_their_last_role_ends)
{
	struct pid_entry *e = pid_allocate(0), *again;
	s32 nr;

	EXPECT(!is_err(e));
	nr = e->nr;
	again = pid_get(nr);
	EXPECT(again == e);
	{
		scoped_spin_irq(&task_list_lock);
		pid_attach_locked(e);
		pid_detach_locked(e);
	}
	rcu_read_lock();
	EXPECT(pid_find(nr) == e);
	rcu_read_unlock();
	{
		scoped_spin_irq(&task_list_lock);
		pid_detach_locked(e);
	}
	rcu_read_lock();
	EXPECT(pid_find(nr) == NULL);
	rcu_read_unlock();
	pid_put(again);
}

TEST(pid_wanted_numbers)
{
	struct pid_entry *e = pid_allocate(31999), *twice;

	EXPECT(!is_err(e));
	EXPECT_EQ(e->nr, 31999);
	twice = pid_allocate(31999);
	EXPECT_EQ(ptr_err(twice), -EEXIST);
	EXPECT_EQ(ptr_err(pid_allocate((s32)pid_max)), -EINVAL);
	{
		scoped_spin_irq(&task_list_lock);
		pid_detach_locked(e);
	}
	EXPECT(pid_find(-1) == NULL && pid_find(INT32_MAX) == NULL);
}

/* Late reuse: a number that was just given back does not come again at once. */
TEST(pid_numbers_rise)
{
	struct pid_entry *a = pid_allocate(0), *b;
	s32 nr = a->nr;

	{
		scoped_spin_irq(&task_list_lock);
		pid_detach_locked(a);
	}
	b = pid_allocate(0);
	EXPECT(b->nr > nr);
	scoped_spin_irq(&task_list_lock);
	pid_detach_locked(b);
}
#endif
