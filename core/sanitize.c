/*
 * Reports of the sanitizing kernel: what an access that the shadow forbids, or
 * a wrong free, was.  How the shadow works: arch/x86_64/shadow.c.
 */
#include <nos/sanitize.h>

#ifdef SANITIZE

#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/fail.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/thread.h>

static const char *reason_name(u8 reason)
{
	switch (reason) {
	case SHADOW_STACK_LEFT:
	case SHADOW_STACK_MIDDLE:
	case SHADOW_STACK_RIGHT:
		return "out of bounds of a stack variable";
	case SHADOW_STACK_SCOPE:
		return "use of a stack variable after its block";
	case SHADOW_GLOBAL:
		return "out of bounds of a global variable";
	case SHADOW_SLAB_FREE:
		return "use after free";
	case SHADOW_SLAB_ZONE:
	case SHADOW_TAIL:
		return "out of bounds of a slab object";
	case SHADOW_PAGE_FREE:
		return "use after free of a page";
	default:
		return "forbidden access";
	}
}

void sanitize_trace_print(const char *what, const struct sanitize_trace *t)
{
	if (!t->pc[0])
		return;
	log_write(LOG_EMERG, "  %s by thread …%08x:", what, t->thread);
	for (unsigned i = 0; i < TRACE_LENGTH && t->pc[i]; i++)
		log_write(LOG_EMERG, "    [<%016llx>]", 0xffffffff00000000ull | t->pc[i]);
}

static void describe(u64 address, u8 reason)
{
	char text[64];
	size_t n = 0;

	if (reason >= SHADOW_STACK_LEFT && reason <= SHADOW_STACK_SCOPE)
		sanitize_describe_stack((void *)address);
	else if (address >= KERNEL_IMAGE_BASE)
		sanitize_describe_global((void *)address);
	else
		sanitize_describe((void *)address);
	for (int i = -8; i < 8; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %02x",
				      shadow_at((void *)(align_down(address, 8ul) + (s64)i * 8)));
	log_write(LOG_EMERG, "  shadow of the 64 bytes before and after:%s", text);
}

void sanitize_report(u64 address, size_t len, bool is_write)
{
	static u32 reported;
	u64 bad = address;
	u8 reason = shadow_at((void *)bad);

	if (atomic_xchg(&reported, 1))
		cpu_stop();
	while (!reason && bad + 1 < address + len)
		reason = shadow_at((void *)++bad);
	log_set_console_level(LOG_DEBUG + 1);
	log_write(LOG_EMERG, "sanitizer: %s: %s of %zu bytes at %016llx", reason_name(reason),
		  is_write ? "write" : "read", len, (unsigned long long)address);
	describe(bad, reason);
	panic("sanitizer: %s", reason_name(reason));
}

bool sanitize_copy_fails(void)
{
	return fail_now(FAIL_COPY, "copy");
}

void sanitize_report_free(const void *p, const char *what)
{
	log_set_console_level(LOG_DEBUG + 1);
	log_write(LOG_EMERG, "sanitizer: %s: %p", what, p);
	describe((u64)p, shadow_at(p));
	panic("sanitizer: %s", what);
}

#endif
