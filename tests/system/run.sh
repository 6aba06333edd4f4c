#!/usr/bin/env bash
# Builds the system tests and runs them on this machine.
#
#	tests/system/run.sh [-b] [family | family/topic]...
#
# -b builds only.  Binaries lie in build/system/FAMILY/TOPIC.
cd "$(dirname "$0")/../.." || exit 1
build_only=
[ "$1" = -b ] && { build_only=1; shift; }
out=build/system
flags=(-std=gnu2x -O2 -static -pthread -Wall -Wextra -Werror)
programs=0 bad=()

for source in tests/system/*/*.c; do
	topic=${source#tests/system/}
	topic=${topic%.c}
	if [ $# -gt 0 ]; then
		wanted=
		for w in "$@"; do
			[ "$w" = "$topic" ] || [ "$w" = "${topic%/*}" ] && wanted=1
		done
		[ "$wanted" ] || continue
	fi
	mkdir -p "$out/${topic%/*}"
	if [ "$source" -nt "$out/$topic" ] ||
	   [ tests/system/test.h -nt "$out/$topic" ]; then
		"${CC:-gcc}" "${flags[@]}" -o "$out/$topic" "$source" || {
			bad+=("$topic: does not compile")
			continue
		}
	fi
	[ "$build_only" ] && continue
	programs=$((programs + 1))
	start=${EPOCHREALTIME/./}
	text=$("$out/$topic" 2>&1 </dev/null)
	status=$?
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	echo "$topic: $(tail -n 1 <<<"$text") ($ms ms)"
	grep -E '^(FAIL|skip)' <<<"$text" | sed 's/^/    /'
	[ $status = 0 ] || bad+=("$topic")
done
[ "$build_only" ] || echo "$((programs)) programs run, ${#bad[@]} failed"
[ ${#bad[@]} = 0 ] || { printf '    %s\n' "${bad[@]}"; exit 1; }
