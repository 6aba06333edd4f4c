#include "../test.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>

#define ROOT_ONLY() do {						\
	if (geteuid() != 0)						\
		SKIP("needs root");					\
} while (0)

static void check_uids(uid_t r, uid_t e, uid_t s)
{
	uid_t gr, ge, gs;

	CHECK_OK(getresuid(&gr, &ge, &gs));
	CHECK_EQ(gr, r);
	CHECK_EQ(ge, e);
	CHECK_EQ(gs, s);
}

static uint64_t capabilities(int which)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	CHECK_OK(syscall(SYS_capget, &h, d));
	if (which == 'e')
		return d[0].effective | (uint64_t)d[1].effective << 32;
	if (which == 'p')
		return d[0].permitted | (uint64_t)d[1].permitted << 32;
	return d[0].inheritable | (uint64_t)d[1].inheritable << 32;
}

TEST(user_ids_as_root)
{
	pid_t pid;

	ROOT_ONLY();
	CHILD(pid) {
		CHECK_OK(setuid(1000));
		check_uids(1000, 1000, 1000);
		CHECK_ERR(setuid(0), EPERM);
		CHECK_ERR(seteuid(0), EPERM);
		CHECK_ERR(setresuid(0, (uid_t)-1, (uid_t)-1), EPERM);
		CHECK_OK(setuid(1000));
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(seteuid(1000));
		check_uids(0, 1000, 0);
		CHECK_ERR(setuid(1001), EPERM);
		CHECK_OK(seteuid(0));
		check_uids(0, 0, 0);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(setresuid(1, 2, 3));
		check_uids(1, 2, 3);
		CHECK_OK(setresuid((uid_t)-1, 3, (uid_t)-1));
		CHECK_OK(setuid(1));
		check_uids(1, 1, 3);
		CHECK_ERR(setresuid(4, (uid_t)-1, (uid_t)-1), EPERM);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(setreuid(1000, 1001));
		check_uids(1000, 1001, 1001);
		CHECK_OK(setreuid(1001, 1000));
		check_uids(1001, 1000, 1000);
	}
	CHECK_EXIT(pid, 0);
	CHECK_ERR(syscall(SYS_getresuid, WILD, WILD, WILD), EFAULT);
}

TEST(group_ids)
{
	gid_t list[4] = { 5, 6, 7 }, got[70000 / 1000], r, e, s;
	pid_t pid;

	ROOT_ONLY();
	CHILD(pid) {
		CHECK_OK(setgroups(3, list));
		CHECK_EQ(getgroups(0, NULL), 3);
		CHECK_EQ(getgroups(70, got), 3);
		CHECK(got[0] == 5 && got[1] == 6 && got[2] == 7);
		CHECK_ERR(getgroups(2, got), EINVAL);
		CHECK_ERR(syscall(SYS_getgroups, -1, got), EINVAL);
		CHECK_ERR(syscall(SYS_setgroups, 70000, list), EINVAL);
		CHECK_ERR(syscall(SYS_setgroups, 3, WILD), EFAULT);
		CHECK_OK(setresgid(1, 2, 3));
		CHECK_OK(getresgid(&r, &e, &s));
		CHECK(r == 1 && e == 2 && s == 3);
		CHECK_OK(setgid(9));
		CHECK_EQ(getegid(), 9);
		CHECK_OK(setuid(1000));
		CHECK_ERR(setgroups(1, list), EPERM);
		CHECK_ERR(setgid(0), EPERM);
		CHECK_OK(setregid(9, 9));
	}
	CHECK_EXIT(pid, 0);
}

TEST(file_system_ids)
{
	pid_t pid;

	ROOT_ONLY();
	CHECK_OK(chmod(".", 0777));
	test_make_file("f", "");
	CHECK_OK(chmod("f", 0600));
	CHILD(pid) {
		struct stat st;

		CHECK_EQ(setfsuid(1000), 0);
		CHECK_EQ(setfsuid((uid_t)-1), 1000);
		CHECK_EQ(setfsgid(2000), 0);
		CHECK_ERR(open("f", O_RDONLY), EACCES);
		CHECK_OK(stat("f", &st));
		CHECK_OK(close(CHECK_OK(open("g", O_CREAT | O_RDWR, 0644))));
		CHECK_OK(stat("g", &st));
		CHECK(st.st_uid == 1000 && st.st_gid == 2000);
		/* An effective id's change moves it as well. */
		CHECK_OK(seteuid(0));
		CHECK_EQ(setfsuid((uid_t)-1), 0);
	}
	CHECK_EXIT(pid, 0);
}

TEST(capabilities_follow_the_ids)
{
	pid_t pid;

	ROOT_ONLY();
	CHECK(capabilities('e') & (1u << CAP_CHOWN));
	CHILD(pid) {
		CHECK_OK(seteuid(1000));
		CHECK_EQ(capabilities('e'), 0);
		CHECK(capabilities('p'));
		CHECK_OK(seteuid(0));
		CHECK(capabilities('e'));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_EQ(capabilities('e') | capabilities('p'), 0);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
		CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_EQ(capabilities('e'), 0);
		CHECK(capabilities('p'));
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
		CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK(capabilities('e'));
	}
	CHECK_EXIT(pid, 0);
}

TEST(capset_rules)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	pid_t pid;

	CHECK_OK(syscall(SYS_capget, &h, d));
	h.version = 0x12345;
	CHECK_ERR(syscall(SYS_capget, &h, d), EINVAL);
	CHECK_EQ(h.version, _LINUX_CAPABILITY_VERSION_3);
	h.pid = -1;
	CHECK_ERR(syscall(SYS_capget, &h, d), EINVAL);
	h.pid = 999999;
	CHECK_ERR(syscall(SYS_capget, &h, d), ESRCH);
	h.pid = 0;
	CHECK_ERR(syscall(SYS_capget, WILD, d), EFAULT);
	CHECK_ERR(syscall(SYS_capget, &h, WILD), EFAULT);
	ROOT_ONLY();
	CHILD(pid) {
		d[0].effective = 0;
		CHECK_OK(syscall(SYS_capset, &h, d));
		CHECK_ERR(chroot("/"), EPERM);
		d[0].effective = d[0].permitted;
		CHECK_OK(syscall(SYS_capset, &h, d));
		CHECK_OK(chroot("/"));
		d[0].permitted &= ~(1u << CAP_SYS_CHROOT);
		d[0].effective = d[0].permitted;
		CHECK_OK(syscall(SYS_capset, &h, d));
		CHECK_ERR(chroot("/"), EPERM);
		d[0].permitted |= 1u << CAP_SYS_CHROOT;
		CHECK_ERR(syscall(SYS_capset, &h, d), EPERM);
	}
	CHECK_EXIT(pid, 0);
}

HELPER(effective)
{
	return (int)geteuid() == atoi(argv[1]) ? 0 : 1;
}

TEST(bounding_and_ambient)
{
	pid_t pid;

	ROOT_ONLY();
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
	CHECK_ERR(prctl(PR_CAPBSET_READ, 99), EINVAL);
	CHILD(pid) {
		CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
		CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
		CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET,
			       CAP_KILL, 0, 0), 0);
		CHECK_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
				CAP_KILL, 0, 0), EPERM);
		CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0,
			       0));
		CHECK_ERR(prctl(PR_CAP_AMBIENT, 77, 0, 0, 0), EINVAL);
	}
	CHECK_EXIT(pid, 0);
}

/* A copy of this program with a set-user-id bit. */
static void set_id_copy(void)
{
	char buf[65536];
	int in = CHECK_OK(open(test_self, O_RDONLY));
	int out = CHECK_OK(open("suid", O_CREAT | O_WRONLY, 0755));
	ssize_t n;

	while ((n = CHECK_OK(read(in, buf, sizeof(buf)))) > 0)
		CHECK_EQ(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
	CHECK_OK(chown("suid", 1234, 1234));
	CHECK_OK(chmod("suid", 04755));
	CHECK_OK(chmod(".", 0755));
}

TEST(set_user_id_programs)
{
	struct statvfs fs;
	pid_t pid;

	ROOT_ONLY();
	CHECK_OK(statvfs(".", &fs));
	if (fs.f_flag & ST_NOSUID)
		SKIP("this mount ignores the bits");
	set_id_copy();
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		execl("./suid", "suid", "helper:effective", "1234", NULL);
		FAIL("exec");
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		CHECK_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
		execl("./suid", "suid", "helper:effective", "1000", NULL);
		FAIL("exec");
	}
	CHECK_EXIT(pid, 0);
}
