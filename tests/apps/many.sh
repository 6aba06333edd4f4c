# Many at once: 1,000 threads, 1,000 processes, a pipeline of 50.
# timeout: 200
# mem: 2G
build/apps/many; build/apps/many
line="seq 500"
for i in $(seq 49); do line="$line | sed s/^/x/"; done
sh -c "$line" | md5sum
for i in $(seq 100); do true & done; wait; echo waited
i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done; echo $i
