/*
 * Meter M5: what the kernel counted during an operation.  NOS shows its
 * counters in /proc/nos/counters; Linux those of /proc/vmstat and the
 * interrupts between processors.  What reading them moves is taken off.
 * Those of user copies count only once they are switched on.
 */
#define SUITE "none"
#include "bench.h"

enum { MAX_COUNTERS = 256, NAME_BYTES = 48 };

struct readings {
	unsigned nr;
	char names[MAX_COUNTERS][NAME_BYTES];
	int64_t values[MAX_COUNTERS];
};

/* Of vmstat, only what an operation may cost. */
static const char *const wanted[] = { "pgfault",    "pgmajfault",      "pgalloc_dma32", "pgfree",
				      "pgactivate", "thp_fault_alloc", "pgalloc_normal" };

static int nos_file = -1, vmstat_file = -1, interrupts_file = -1;
static struct readings first, second, after;
static double totals[MAX_COUNTERS];

void counters_open(void)
{
	nos_file = open("/proc/nos/counters", O_RDONLY);
	int control = open("/proc/nos/counters", O_WRONLY);

	if (control >= 0) {
		if (write(control, "on", 2) != 2)
			perror("/proc/nos/counters");
		close(control);
	}
	if (nos_file < 0) {
		vmstat_file = open("/proc/vmstat", O_RDONLY);
		interrupts_file = open("/proc/interrupts", O_RDONLY);
	}
}

static void add(struct readings *to, const char *name, size_t len, int64_t value)
{
	if (to->nr == MAX_COUNTERS)
		return;
	snprintf(to->names[to->nr], NAME_BYTES, "%.*s", (int)len, name);
	to->values[to->nr++] = value;
}

static bool is_wanted(const char *name, size_t len)
{
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (strlen(wanted[i]) == len && !memcmp(wanted[i], name, len))
			return true;
	return false;
}

/* Lines "name value". */
static void read_pairs(struct readings *to, int fd, bool all)
{
	static char text[65536];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return;
	text[len] = '\0';
	for (char *line = text; line && *line; line = strchr(line, '\n') + 1) {
		char *end = strchr(line, '\n'), *space = strchr(line, ' ');

		if (!end || !space || space > end)
			break;
		if (all || is_wanted(line, (size_t)(space - line)))
			add(to, line, (size_t)(space - line), atoll(space + 1));
	}
}

/* Lines "NAME: a column of each processor, then text": those with a name of letters. */
static void read_interrupts(struct readings *to, int fd)
{
	static char text[65536];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return;
	text[len] = '\0';
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *colon = strchr(line, ':'), *at, *end;
		char name[NAME_BYTES];
		int64_t sum = 0;

		while (*line == ' ')
			line++;
		if (!colon || *line < 'A' || *line > 'Z')
			continue;
		for (at = colon + 1;; at = end) {
			int64_t value = strtoll(at, &end, 10);

			if (end == at)
				break;
			sum += value;
		}
		int n = snprintf(name, sizeof(name), "irq.%.*s", (int)(colon - line), line);

		add(to, name, (size_t)n, sum);
	}
}

static void read_all(struct readings *to)
{
	to->nr = 0;
	if (nos_file >= 0)
		read_pairs(to, nos_file, true);
	if (vmstat_file >= 0)
		read_pairs(to, vmstat_file, false);
	if (interrupts_file >= 0)
		read_interrupts(to, interrupts_file);
}

void counters_before(void)
{
	read_all(&first);
	read_all(&second);
}

void counters_after(void)
{
	read_all(&after);
	for (unsigned i = 0; i < after.nr && i < second.nr; i++)
		totals[i] = (double)((after.values[i] - second.values[i]) -
				     (second.values[i] - first.values[i]));
}

void counters_print(double operations)
{
	for (unsigned i = 0; i < after.nr; i++) {
		double each = totals[i] / operations;

		if (each >= 0.005)
			printf(" %s=%.2f", after.names[i], each);
		totals[i] = 0;
	}
}
