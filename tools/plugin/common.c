/* See common.h. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { MARK_BYTES = 7 };

static enum mark decode_mark(const uint8_t *bytes, size_t size)
{
	if (size == MARK_BYTES && bytes[0] == 0x0f && bytes[1] == 0x1f && bytes[2] == 0x80 &&
	    !memcmp(bytes + 4, "NOS", 3) && bytes[3] <= MARK_NEXT)
		return bytes[3];
	return MARK_NONE;
}

/* Intel SDM volume 2, appendix A: two-byte opcodes (after 0f). */
static void decode_two_bytes(struct decoded *d, const uint8_t *op, size_t left)
{
	uint8_t modrm = left > 1 ? op[1] : 0;
	bool memory = modrm >> 6 != 3;

	if (op[0] >= 0x80 && op[0] <= 0x8f)
		d->kind = KIND_JUMP;
	else if (op[0] == 0x05)
		d->kind = KIND_SYSCALL;
	else if (op[0] == 0x07 || op[0] == 0x35)
		d->kind = KIND_IRET;
	else if (op[0] == 0x22 && (modrm >> 3 & 7) == 3)
		d->kind = KIND_CR3;
	else if (op[0] == 0x01 && memory && (modrm >> 3 & 7) == 7)
		d->kind = KIND_INVLPG;
	else if (op[0] == 0x38 && left > 1 && op[1] == 0x82)
		d->kind = KIND_INVLPG;
	else if (op[0] == 0x30)
		d->wrmsr = true;
	else if (op[0] == 0xa2 || (op[0] == 0xae && modrm == 0xf0))
		d->serialising = true;
}

/* One-byte opcodes. */
static void decode_one_byte(struct decoded *d, const uint8_t *op, size_t left)
{
	uint8_t modrm = left > 1 ? op[1] : 0, reg = modrm >> 3 & 7;

	switch (op[0]) {
	case 0x70 ... 0x7f:
	case 0xe0 ... 0xe3:
	case 0xe9 ... 0xeb:
		d->kind = KIND_JUMP;
		break;
	case 0xe8:
		d->kind = KIND_CALL;
		break;
	case 0xff:
		d->kind = reg == 2 || reg == 3 ? KIND_CALL :
			  reg == 4 || reg == 5 ? KIND_JUMP :
						 KIND_PLAIN;
		break;
	case 0xc2 ... 0xc3:
	case 0xca ... 0xcb:
		d->kind = KIND_RET;
		break;
	case 0xcf:
		d->kind = KIND_IRET;
		break;
	case 0xcc ... 0xcd:
		d->kind = KIND_SYSCALL;
		break;
	case 0xfa:
		d->kind = KIND_CLI;
		break;
	case 0xfb:
		d->kind = KIND_STI;
		break;
	case 0x9d:
		d->kind = KIND_POPF;
		break;
	case 0xf4:
		d->kind = KIND_HLT;
		break;
	case 0xe4 ... 0xe7:
	case 0xec ... 0xef:
		d->kind = KIND_PORT;
		break;
	case 0x86 ... 0x87:
		d->locked |= modrm >> 6 != 3;
		break;
	}
}

struct decoded decode(const struct qemu_plugin_insn *insn)
{
	const uint8_t *bytes = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn), at = 0;
	struct decoded d = { .mark = decode_mark(bytes, size) };

	for (; at < size && memchr("\x66\x67\xf2\xf3\x2e\x36\x3e\x26\x64\x65\xf0", bytes[at], 11);
	     at++)
		d.locked |= bytes[at] == 0xf0;
	if (at < size && (bytes[at] & 0xf0) == 0x40)
		at++;
	if (at + 1 < size && bytes[at] == 0x0f)
		decode_two_bytes(&d, bytes + at + 1, size - at - 1);
	else if (at < size)
		decode_one_byte(&d, bytes + at, size - at);
	return d;
}

const char *argument(int argc, char **argv, const char *name, const char *otherwise)
{
	size_t len = strlen(name);

	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], name, len) && argv[i][len] == '=')
			return argv[i] + len + 1;
	}
	return otherwise;
}

void *reallocate(void *old, size_t bytes)
{
	void *new = realloc(old, bytes);

	if (!new) {
		fprintf(stderr, "plugin: out of memory\n");
		exit(1);
	}
	return new;
}

void *allocate(size_t bytes)
{
	return memset(reallocate(NULL, bytes), 0, bytes);
}

FILE *open_output(const char *path)
{
	FILE *file = path ? fopen(path, "w") : NULL;

	if (!file) {
		fprintf(stderr, "plugin: cannot write %s\n", path ? path : "(no out=)");
		exit(1);
	}
	return file;
}

struct functions functions_read(const char *path)
{
	struct functions functions = { 0 };
	struct function f;
	FILE *file = path ? fopen(path, "r") : NULL;

	if (!file)
		return functions;
	while (fscanf(file, "%lx %lx", &f.start, &f.end) == 2) {
		if (!(functions.count & (functions.count - 1)))
			functions.all = reallocate(functions.all, (2 * functions.count + 1) *
									  sizeof(*functions.all));
		functions.all[functions.count++] = f;
	}
	fclose(file);
	return functions;
}

int function_at(const struct functions *functions, uint64_t vaddr)
{
	size_t low = 0, high = functions->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (vaddr < functions->all[middle].start)
			high = middle;
		else if (vaddr >= functions->all[middle].end)
			low = middle + 1;
		else
			return (int)middle;
	}
	return -1;
}

static size_t table_slot(const struct table *table, uint64_t key)
{
	size_t at = (key * 0x9e3779b97f4a7c15ul) >> 20 & (table->size - 1);

	while (table->keys[at] && table->keys[at] != key)
		at = (at + 1) & (table->size - 1);
	return at;
}

uint64_t *table_find(const struct table *table, uint64_t key)
{
	if (!table->size)
		return NULL;
	size_t at = table_slot(table, key);

	return table->keys[at] ? &table->values[at] : NULL;
}

uint64_t *table_add(struct table *table, uint64_t key)
{
	if (2 * table->count >= table->size) {
		struct table bigger = { .size = table->size ? 2 * table->size : 1024 };

		bigger.keys = allocate(bigger.size * sizeof(*bigger.keys));
		bigger.values = allocate(bigger.size * sizeof(*bigger.values));
		for (size_t i = 0; i < table->size; i++) {
			if (table->keys[i])
				*table_add(&bigger, table->keys[i]) = table->values[i];
		}
		free(table->keys);
		free(table->values);
		*table = bigger;
	}
	size_t at = table_slot(table, key);

	if (!table->keys[at]) {
		table->keys[at] = key;
		table->count++;
	}
	return &table->values[at];
}
