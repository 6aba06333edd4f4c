# Bad programs do not hurt the rest: the guest only.
# host: no
# timeout: 150
# mem: 512M
cd "$(mktemp -d)" || exit 1
printf '\177ELF' >short; chmod +x short; ./short 2>/dev/null; [ $? = 126 ] || exit 1
head -c 2000 /bin/true >cut; chmod +x cut; ./cut 2>/dev/null; [ $? -ge 126 ] || exit 1
printf '#!/nonexistent/interpreter\n' >script; chmod +x script; ./script 2>/dev/null; [ $? -ge 126 ] || exit 1
printf '#!%s/loop\n' "$PWD" >loop; chmod +x loop; ./loop 2>/dev/null; [ $? -ge 126 ] || exit 1
cat >deep.c <<'END'
#include <string.h>
int f(int n) { volatile char b[4096]; memset((char *)b, n, sizeof b); return f(n + 1) + b[7]; }
int main(void) { return f(0); }
END
gcc -O0 -w -o deep deep.c; ./deep 2>/dev/null; [ $? = 139 ] || exit 1
echo 'int main(void) { *(volatile int *)8 = 1; }' | gcc -w -x c -o wild -; ./wild 2>/dev/null; [ $? = 139 ] || exit 1
sh -c 'ulimit -u 60; f() { f | f & }; f' >/dev/null 2>&1; sleep 3
pkill -f 'ulimit -u' 2>/dev/null; sleep 1
cat >eat.c <<'END'
#include <stdlib.h>
#include <string.h>
int main(void) { for (;;) { char *p = malloc(1 << 20); if (!p) return 3; memset(p, 1, 1 << 20); } }
END
gcc -O0 -o eat eat.c; ./eat 2>/dev/null; status=$?
[ $status = 137 ] || [ $status = 3 ] || exit 1
echo still here; date >/dev/null && echo good
