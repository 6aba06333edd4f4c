# The table of calls is patched under load, and most calls of real programs go the fast way.  The guest only.
# host: no
# timeout: 400
programs=$PWD/build/apps
[ "$("$programs"/patch)" = "calls 10000000 wrong 0 switches many
counted 100000 of 100000" ] || { "$programs"/patch; exit 1; }
cd "$(mktemp -d)" || exit 1
share() {
	name=$1; shift
	echo on >/proc/nos/calls
	"$@" >/dev/null 2>&1 || { echo "$name failed"; exit 1; }
	echo off >/proc/nos/calls
	awk -v name="$name" '/^total/ { total = $2 } /^fast/ { fast = $2 }
		END { printf "%s: %d of %d calls are fast, %.1f %%\n", name, fast, total, 100 * fast / total >"/dev/stderr"
		      exit !(total > 100 && fast > 0.8 * total) }' /proc/nos/calls || { echo "$name: too few"; exit 1; }
}
printf 'all: a b\na b:\n\techo $@ >$@\n' >Makefile
git init -q repo
share bash bash -c 'for i in $(seq 50); do x=$(echo $i); [ -d /tmp ] && echo $x >f; done'
share git git -C repo status
share make make -j2
share python /usr/bin/python3 -c 'import json, os; print(json.dumps(os.listdir("/")))'
share sqlite sqlite3 data 'create table t(a); insert into t values(1), (2); select sum(a) from t;'
echo good
