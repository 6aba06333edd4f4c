# Other libcs and linkages: musl, static, static PIE, busybox, Go.
# timeout: 250
# smp: 2
set -e
cd "$(mktemp -d)"
cat >t.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static __thread int mine = 4;
static void *run(void *p) { mine += *(int *)p; return (void *)(long)mine; }
int main(int argc, char **argv) {
	pthread_t t[10]; long sum = 0; void *r; int n[10];
	for (int i = 0; i < 10; i++) { n[i] = i; pthread_create(&t[i], 0, run, &n[i]); }
	for (int i = 0; i < 10; i++) { pthread_join(t[i], &r); sum += (long)r; }
	char *p = malloc(1 << 20); memset(p, 1, 1 << 20); free(p);
	int st; if (!fork()) _exit(7); wait(&st);
	FILE *f = popen("echo popen", "r"); char line[20]; fgets(line, 20, f); pclose(f);
	printf("%ld %d %s %d %s", sum, WEXITSTATUS(st), getenv("HOME") ? "home" : "-", argc, line);
	return 0;
}
END
gcc -O1 -pthread -o dynamic t.c; ./dynamic x
gcc -O1 -pthread -static -o static t.c; ./static
gcc -O1 -pthread -static-pie -o static-pie t.c; ./static-pie
gcc -O1 -pthread -no-pie -o no-pie t.c; ./no-pie
musl-gcc -O1 -static -o musl t.c; ./musl a b
musl-gcc -O1 -o musl-dynamic t.c; ./musl-dynamic
busybox sh -c 'busybox ls / | busybox sort | busybox md5sum; busybox awk "BEGIN { print 1 + 1 }"; busybox ps | busybox wc -l | busybox grep -c .'
busybox sh -c 'busybox seq 1000 | busybox sort -rn | busybox head -1; busybox tar c /etc/passwd 2>/dev/null | busybox tar t; busybox vi --help 2>&1 | busybox head -1 | cut -c1-10'
