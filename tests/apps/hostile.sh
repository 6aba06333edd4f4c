# Bad programs do not hurt the rest: the guest only.
# host: no
# timeout: 200
# mem: 256M
programs=$PWD/build/apps
cd "$(mktemp -d)" || exit 1
printf '\177ELF' >short; chmod +x short; env ./short 2>/dev/null; [ $? -ge 126 ] || { echo short; exit 1; }
head -c 2000 /bin/true >cut; chmod +x cut; env ./cut 2>/dev/null; [ $? -ge 126 ] || { echo cut; exit 1; }
printf '#!/nonexistent/interpreter\n' >script; chmod +x script; env ./script 2>/dev/null; [ $? -ge 126 ] || { echo script; exit 1; }
printf '#!%s/loop\n' "$PWD" >loop; chmod +x loop; env ./loop 2>/dev/null; [ $? -ge 126 ] || { echo loop; exit 1; }
"$programs"/deep 2>/dev/null; [ $? = 139 ] || { echo "deep: $?"; exit 1; }
"$programs"/wild 2>/dev/null; [ $? = 139 ] || { echo "wild: $?"; exit 1; }
# Not as root, whom RLIMIT_NPROC does not bind.
nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
timeout 5 $nobody prlimit --nproc=60 sh -c 'f() { f | f & }; f; sleep 2' >/dev/null 2>&1
tasks=$(sed 's#.*/\([0-9]*\) .*#\1#' /proc/loadavg) # at one moment, unlike what ps sees
[ "$tasks" -le 100 ] || { echo "bomb: $tasks tasks"; exit 1; }
sleep 1
$nobody sh -c 'kill -9 -1'
sleep 1
[ -z "$(ps -u 65534 -o pid=)" ] || { echo "bomb: still there"; ps -u 65534; exit 1; }
"$programs"/eat 2>/dev/null; status=$?
[ $status = 137 ] || [ $status = 3 ] || { echo "eat: $status"; exit 1; }
date >/dev/null && echo good
