# procps and util-linux: what they print is the guest's, so only its shape is compared.
shape() { sed 's/^ *//; s/[0-9][0-9.,:]*/N/g; s/  */ /g; s/ $//'; }
ps -o pid=,comm= -p $$ | shape
ps -eo pid,ppid,stat,comm | head -1; ps aux | head -1 | tr -s ' '; ps -ef | grep -c '[s]h tests' | shape
free -m | head -1 | tr -s ' '; free | awk 'NR == 2 { print ($2 > 0 && $3 < $2) }'
uptime | grep -c 'load average'; vmstat | head -2 | tail -1 | tr -s ' ' | cut -c1-20; cat /proc/loadavg | wc -w
sleep 50 & kill $!; wait $! 2>/dev/null; echo "killed $?"; pgrep -x nosuchprogram || echo none
sleep 51 & pgrep -f 'sleep 5[1]' >/dev/null && echo found; pkill -f 'sleep 5[1]'; wait
top -b -n1 | head -7 | grep -c -E 'top|Tasks|Cpu|Mem|Swap|PID'
mount | grep -c ' on / '; mount | grep -c 'proc on /proc'; setsid -w sh -c 'echo new session'; taskset -p $$ | cut -d: -f1 | shape
taskset 1 sh -c 'taskset -p $$' | sed 's/.*: //'; chrt -p $$ | head -1 | sed 's/.*: //'; chrt -b 0 sh -c 'chrt -p $$' | head -1 | sed 's/.*: //'
nice -n 7 ps -o ni= -p $$ | wc -l; flock /tmp cat /dev/null && echo flock; getopt -o ab: -- -a -b c | tr -d "'"
cat /proc/self/status | head -3 | cut -f1; wc -l </proc/self/maps | awk '{ print ($1 > 5) }'; head -c 10 /proc/cpuinfo | head -1 | cut -c1-9
readlink /proc/self/exe | sed 's,.*/,,'; cat /proc/self/cmdline | tr '\0' ' '; echo; ls /proc/self/fd | head -3 | tr '\n' ' '; echo
grep -c . /proc/filesystems | awk '{ print ($1 > 3) }'; cut -d' ' -f1 /proc/version; test -d /sys/devices/system/cpu/cpu0 && echo cpu0; lscpu 2>/dev/null | grep -c '^CPU(s)'
lsblk >/dev/null 2>&1; echo "lsblk $?" | cut -c1-5; dmesg >/dev/null && echo dmesg; hostname >/dev/null && echo hostname; swapon --show; losetup -a 2>/dev/null; echo end
