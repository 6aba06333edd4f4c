# What the kernel counts of itself when asked: run delays, waits for locks.  The guest only.
# host: no
cd "$(mktemp -d)" || exit 1
[ -z "$(cat /proc/nos/histograms)" ] || { echo "counted while off"; exit 1; }
echo on >/proc/nos/histograms
echo on >/proc/nos/locks
for i in 1 2 3 4; do dd if=/dev/zero of=data bs=1M count=60 conv=notrunc 2>/dev/null & done
wait
echo off >/proc/nos/histograms
echo off >/proc/nos/locks
# No thread waited for longer than this took; most were at once on a CPU.
awk '$1 == "sched.run_delay_ns" { n += $3; if ($2 > 60e9) far += $3 }
	END { exit !(n > 20 && !far) }' /proc/nos/histograms || { cat /proc/nos/histograms; exit 1; }
awk 'NR > 1 && $2 >= $3 && $4 >= $5 && $5 > 0 { n++ } END { exit !(n > 0 && n == NR - 1) }' /proc/nos/locks ||
	{ cat /proc/nos/locks; exit 1; }
cat /proc/nos/histograms >before; sleep 0.2
cat /proc/nos/histograms | cmp -s before || { echo "counts while off"; exit 1; }
# A read of 64 pages copies them to the program, which is counted only while it is on.
copied() { sed -n 's/^copy.to_user_bytes //p' /proc/nos/counters; }
before=$(copied); dd if=data of=/dev/null bs=256k count=1 2>/dev/null
[ "$(copied)" = "$before" ] || { echo "copies counted while off"; exit 1; }
echo on >/proc/nos/counters
before=$(copied); dd if=data of=/dev/null bs=256k count=1 2>/dev/null; after=$(copied)
echo off >/proc/nos/counters
[ $((after - before)) -ge 262144 ] && [ $((after - before)) -lt 524288 ] ||
	{ echo "$((after - before)) bytes copied"; exit 1; }
before=$(copied); cat data >/dev/null
[ "$(copied)" = "$before" ] || { echo "copies counted after off"; exit 1; }
echo maybe 2>/dev/null >/proc/nos/locks && { echo "took nonsense"; exit 1; }
echo good
