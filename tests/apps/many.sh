# Many at once: 1,000 threads, 1,000 processes, a pipeline of 50.
# timeout: 150
# mem: 2G
set -e
cd "$(mktemp -d)"
cat >many.c <<'END'
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static pthread_barrier_t all;
static long sum;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *run(void *p) {
	pthread_barrier_wait(&all);
	for (int i = 0; i < 10; i++) { pthread_mutex_lock(&lock); sum += (long)p; pthread_mutex_unlock(&lock); }
	return p;
}
static void threads(int n) {
	pthread_t *t = calloc(n, sizeof(*t)); pthread_attr_t a; void *r; long back = 0;
	pthread_attr_init(&a); pthread_attr_setstacksize(&a, 65536); pthread_barrier_init(&all, 0, n);
	for (long i = 0; i < n; i++) if (pthread_create(&t[i], &a, run, (void *)i)) { puts("no thread"); exit(1); }
	for (int i = 0; i < n; i++) { pthread_join(t[i], &r); back += (long)r; }
	printf("threads %ld %ld\n", sum, back);
}
static void processes(int n) {
	int p[2], st, sum = 0, count = 0; char c; pipe(p);
	for (int i = 0; i < n; i++) {
		pid_t child = fork();
		if (child < 0) { perror("fork"); exit(1); }
		if (!child) { close(p[1]); read(p[0], &c, 1); _exit(i & 63); }
	}
	close(p[0]); close(p[1]);
	while (wait(&st) > 0) { sum += WEXITSTATUS(st); count++; }
	printf("processes %d %d\n", count, sum);
}
int main(void) { threads(1000); processes(1000); return 0; }
END
gcc -O1 -pthread -o many many.c; ./many; ./many
line="seq 2000"
for i in $(seq 49); do line="$line | sed s/^/x/"; done
sh -c "$line" | md5sum
for i in $(seq 200); do true & done; wait; echo waited
i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done; echo $i
