# Names that the kernel remembers give way when memory is short: the guest only.
# host: no
# timeout: 100
# mem: 128M
programs=$PWD/build/apps
counter() { sed -n "s/^$1 *//p" /proc/nos/counters; }
"$programs"/names 30000 || exit 1
before=$(counter mm.shrunk_objects)
"$programs"/eat 2>/dev/null; status=$?
[ $status = 137 ] || [ $status = 3 ] || { echo "eat: $status"; exit 1; }
after=$(counter mm.shrunk_objects)
[ "$after" -gt "$((before + 1000))" ] || { echo "names kept: $before, then $after"; exit 1; }
"$programs"/names 10 && echo good
