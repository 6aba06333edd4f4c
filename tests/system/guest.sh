#!/bin/sh
# Runs test programs inside a guest, with marks that tools/test.py reads.  What a
# program leaves in use in a kernel that counts it is a failure of the program.
leaks=/proc/nos/leaks
[ -w "$leaks" ] || leaks=
# On an overlay the folder of temporary files is copied up now, not in the first program.
rmdir "$(mktemp -d)"
if [ "$leaks" ]; then # the shell's own pages are there from now on
	echo mark >"$leaks"
	/bin/true
	while read -r line; do :; done <"$leaks"
fi
worst=0
for program; do
	echo "== run $program"
	[ "$leaks" ] && echo mark >"$leaks"
	"$program" </dev/null 2>&1
	status=$?
	if [ "$leaks" ]; then
		while read -r line; do
			echo "FAIL leak: $line"
			status=99
		done <"$leaks"
	fi
	echo "== status $status"
	[ $status = 0 ] || worst=1
done
exit $worst
