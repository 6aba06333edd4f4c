# gcc and make: a program of 20 files, built with make -j4, and run.
# timeout: 290
# smp: 4
set -e
cd "$(mktemp -d)"
objects=
for i in $(seq 20); do
	cat >"part$i.c" <<END
#include <stdio.h>
#include <string.h>
int part$i(int x) { char b[64]; snprintf(b, sizeof b, "%d", x * $i); return (int)strlen(b) + $i; }
END
	objects="$objects part$i.o"
done
{
	echo '#include <stdio.h>'
	seq 20 | sed 's/.*/int part&(int);/'
	echo 'int main(void) { int s = 0;'
	seq 20 | sed 's/.*/s += part&(&00);/'
	echo 'printf("sum %d", s); puts(""); return s & 63; }'
} >main.c
printf 'prog: main.o%s\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O2 -Wall -g -c -o $@ $<\nclean:\n\trm -f *.o prog\n' "$objects" >Makefile
make -s -j4; ./prog || echo "status $?"; make -q && echo "up to date"
touch part3.c; make -n | wc -l; make -s; ls *.o | wc -l; make -s clean; ls
gcc -static -O2 -o static main.c part*.c; ./static || echo "status $?"
echo 'int main() { return 1 }' >bad.c; gcc -c bad.c 2>&1 | head -2 || true
echo '#include <iostream>
#include <vector>
#include <thread>
int main() { std::vector<int> v(100, 2); int s = 0; std::thread t([&] { for (int x : v) s += x; }); t.join(); try { throw 5; } catch (int e) { s += e; } std::cout << s << std::endl; }' >c.cc
g++ -O1 -pthread -o c c.cc && ./c
echo 'int f(int a) { return a * 3; }' | gcc -O2 -S -x c - -o - | grep -c lea; gcc -c part1.c; ar rcs lib.a part1.o; nm -s lib.a | wc -l; objdump -d static | grep -c '<main>:'
