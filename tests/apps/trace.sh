# strace and gdb say what is missing, and don't hang.  The guest only.
# host: no
strace -o /dev/null true 2>/dev/null
[ $? -lt 128 ] && echo "strace ended"
if [ -x /usr/bin/gdb ]; then gdb -batch -ex run /bin/true </dev/null >/dev/null 2>&1; [ $? -lt 128 ] && echo "gdb ended"; fi
echo good
