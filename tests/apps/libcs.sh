# Other libcs and linkages: musl, static, static PIE, busybox.
# timeout: 120
for linkage in dynamic static static-pie no-pie musl-static musl-dynamic; do
	echo "-- $linkage"
	"build/apps/libc-$linkage" argument || echo "status $?"
done
busybox sh -c 'busybox ls / | busybox sort | busybox md5sum; busybox awk "BEGIN { print 1 + 1 }"; busybox ps | busybox wc -l | busybox grep -c .'
busybox sh -c 'busybox seq 1000 | busybox sort -rn | busybox head -1; busybox tar c /etc/passwd 2>/dev/null | busybox tar t'
