#!/bin/sh
# Runs test programs inside a guest, with marks that tools/test.py reads.  What a
# program leaves in use in a kernel that counts it is a failure of the program.
leaks=/proc/nos/leaks
[ -w "$leaks" ] || leaks=

# Runs one; its status, 99 if it leaves something.
run() {
	echo "== run $1"
	[ "$leaks" ] && echo mark >"$leaks"
	"$1" </dev/null 2>&1
	status=$?
	if [ "$leaks" ]; then
		while read -r line; do
			echo "FAIL leak: $line"
			status=99
		done <"$leaks"
	fi
	echo "== status $status"
	return $status
}

# On an overlay the folder of temporary files is copied up now, not in the first program.
rmdir "$(mktemp -d)"
# The shell's own pages are there from now on: it has done all that it does for a program.
[ "$leaks" ] && run /bin/true >/dev/null
worst=0
for program; do
	run "$program" || worst=1
done
exit $worst
