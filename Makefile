# NOS: one GNU make file for the kernel, its init program and the tests.
#
# Sources are found by folder, objects lie in build/<variant>/obj, generated
# headers in build/<variant>/gen.  `make help` lists the targets.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDEXPANSION:

CC      := gcc
LD      := ld
CLANG   := clang
PYTHON  := /usr/bin/python3

VARIANTS := release debug sanitize
LAYERS   := lib arch core mm vfs block ipc net fs proc drivers linux init
FOLDERS  := $(wildcard arch/x86_64 $(filter-out arch,$(LAYERS)))
FOUND    := $(sort $(if $(FOLDERS),$(shell find $(FOLDERS) \
	-name '*.[cS]' ! -name '*.lds.S' ! -path 'arch/*/vdso/*')))

# Kernel sources; offsets.c only yields gen/offsets.h for assembly.
OFFSETS  := $(filter arch/x86_64/offsets.c,$(FOUND))
TESTS    := $(filter %_test.c,$(FOUND))
SOURCES  := $(filter-out $(OFFSETS) $(TESTS),$(FOUND))
INIT     := $(if $(wildcard user/init.c),build/release/init)
LDSCRIPT := $(wildcard arch/x86_64/kernel.lds.S)

# ---------------------------------------------------------------- flags

GCC_INCLUDE := $(shell $(CC) -print-file-name=include)
UAPI        := build/uapi

CPPFLAGS := -nostdinc -isystem $(GCC_INCLUDE) -isystem $(UAPI) -Iinclude
CFLAGS   := -std=gnu2x -g -ffreestanding -mcmodel=kernel -fno-pic -fno-pie \
	-mno-red-zone -mgeneral-regs-only -mpreferred-stack-boundary=3 \
	-fcf-protection=none \
	-fomit-frame-pointer -fasynchronous-unwind-tables \
	-fno-strict-aliasing -fno-delete-null-pointer-checks -fwrapv \
	-fno-common -ffile-prefix-map=$(CURDIR)=. \
	-fstack-protector-strong -mstack-protector-guard=tls \
	-mstack-protector-guard-reg=gs \
	-mstack-protector-guard-symbol=__stack_chk_guard
WARNINGS := -Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wvla \
	-Wimplicit-fallthrough -Wwrite-strings -Wdate-time \
	-Wframe-larger-than=2048 -Wno-sign-compare -Wno-unused-parameter \
	-Werror
ASFLAGS  := -g -D__ASSEMBLY__ -mcmodel=kernel -fno-pic -fno-pie \
	-ffile-prefix-map=$(CURDIR)=. -Wa,--fatal-warnings
LDFLAGS  := -nostdlib -static -no-pie -Wl,-z,max-page-size=0x1000 \
	-Wl,-z,noexecstack -Wl,--build-id=none -Wl,--no-warn-rwx-segments \
	-Wl,--eh-frame-hdr

# The release kernel is optimised as one program; LTO= builds it file by file.
LTO := -flto -flto-partition=none
VARIANT_release := -O2 $(LTO)
VARIANT_debug   := -Og -DDEBUG -Wno-maybe-uninitialized

# The debug kernel with checks of each access and of undefined behaviour.
VARIANT_sanitize := -O2 -DDEBUG -DSANITIZE -fno-omit-frame-pointer -fno-wrapv \
	-fno-optimize-sibling-calls -Wno-maybe-uninitialized -Wno-array-bounds \
	-Wno-frame-larger-than
CHECKS_sanitize := -fsanitize=kernel-address -fasan-shadow-offset=0xdffffc0000000000 \
	--param asan-stack=1 --param asan-globals=1 \
	--param asan-instrumentation-with-call-threshold=20000 \
	-fsanitize=undefined -fno-sanitize=null
WRAPPED := memcpy memmove memset memcmp strlen copy_from_user copy_to_user \
	string_from_user
LDFLAGS_sanitize := $(WRAPPED:%=-Wl,--wrap=%)

# Without checks: what runs before there is shadow memory, what keeps it, and
# what must look at memory that is free or another thread's.
UNCHECKED := arch/x86_64/boot arch/x86_64/boot_info arch/x86_64/cpu \
	arch/x86_64/descriptors arch/x86_64/paging arch/x86_64/shadow \
	arch/x86_64/console arch/x86_64/unwind arch/x86_64/backtrace lib/string \
	mm/slab mm/slab_debug core/sanitize core/undefined

# The string functions must not be compiled into calls of themselves.
FLAGS_lib/string.c := -fno-tree-loop-distribute-patterns
# Its assembly calls functions that the compiler could take for unused.
FLAGS_linux/dispatch.c := -fno-lto

VDSO_CFLAGS = -std=gnu2x -O2 -ffreestanding -fPIC -shared -nostdlib \
	-fno-stack-protector -fcf-protection=none -fno-common -fwrapv \
	-fasynchronous-unwind-tables -mgeneral-regs-only \
	-ffile-prefix-map=$(CURDIR)=. -Wl,-soname=linux-vdso.so.1 \
	-Wl,--hash-style=both -Wl,-Bsymbolic -Wl,--build-id=none \
	-Wl,--eh-frame-hdr -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack \
	-Wl,--no-undefined $(WARNINGS)

# Silent but for the name of what is made; V=1 shows the commands.
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = $(if $(findstring s,$(firstword -$(filter-out --%,$(MAKEFLAGS)))),@:,@printf '  %-7s %s\n' $(1) $(2))
endif

# -------------------------------------------------------------- targets

.PHONY: all debug sanitize run test check bench fuzz planted docs clean help tests
all: build/release/nos.elf $(INIT)
debug: build/debug/nos.elf $(INIT)
sanitize: build/sanitize/nos.elf $(INIT)

run: all
	./nos run

test:
	LEVEL="$(LEVEL)" TEST="$(TEST)" $(PYTHON) tools/test.py

coverage: all
	$(PYTHON) tools/coverage.py

check:
	$(PYTHON) tools/check.py

bench: all
	./nos bench

# T seconds for each harness, from seed S; both may be left out.
fuzz: all
	@for tool in $(wildcard tools/fuzz_parsers.py tools/fuzz_calls.py); do \
		$(PYTHON) $$tool $(T:%=--seconds %) $(S:%=--seed %) || exit 1; done

planted:
	$(PYTHON) tools/planted.py

docs: build/release/nos.elf
	$(PYTHON) tools/syscall_page.py

clean:
	rm -rf build compile_commands.json

help:
	@echo 'make            build the kernel and init (build/release)'
	@echo 'make debug      build the kernel with checks and in-kernel tests (build/debug)'
	@echo 'make sanitize   debug, and checks of each memory access and of undefined behaviour'
	@echo 'make run        boot it with an interactive shell (./nos run)'
	@echo 'make test       every test; ends with "N passed, N failed"'
	@echo 'make coverage   how much of the kernel the tests execute, by line (long)'
	@echo 'make check      warnings, layers, headers, format, lint, size gate'
	@echo 'make bench      what operations cost, beside Linux'
	@echo 'make fuzz T=600 S=1   random inputs to parsers and system calls, T seconds each'
	@echo 'make planted    faults planted on purpose, each of which a check must find'
	@echo 'make docs       the generated pages: docs/syscalls.md'
	@echo 'make compile_commands.json   for clangd and clang-tidy'
	@echo 'make clean      remove build/'
	@echo 'V=1 shows the commands; TEST=name and LEVEL=n choose tests'

# For tools: the value of a variable.
print-%:
	@echo $($*)

# Only the kernel headers of linux-libc-dev are visible, never libc's.
$(UAPI)/.done:
	$(Q)mkdir -p $(UAPI)
	$(Q)ln -sfn /usr/include/linux $(UAPI)/linux
	$(Q)ln -sfn /usr/include/asm-generic $(UAPI)/asm-generic
	$(Q)ln -sfn /usr/include/x86_64-linux-gnu/asm $(UAPI)/asm
	$(Q)touch $@

# ------------------------------------------------------------ per variant

# $(1): variant.  $(2): its C and assembly sources.
define variant_rules
OBJECTS_$(1) := $(2:%=build/$(1)/obj/%.o)
GEN_$(1)     := $(if $(OFFSETS),build/$(1)/gen/offsets.h)

build/$(1)/nos.elf: $$(OBJECTS_$(1)) $(if $(LDSCRIPT),build/$(1)/kernel.lds)
ifneq ($(LDSCRIPT),)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(VARIANT_$(1)) $$(LDFLAGS) $$(LDFLAGS_$(1)) \
		-T build/$(1)/kernel.lds -o $$@ -Wl,-Map=build/$(1)/nos.map \
		$$(OBJECTS_$(1))
endif

build/$(1)/kernel.lds: $(LDSCRIPT) $(UAPI)/.done
	@mkdir -p $$(@D)
	$$(call say,CPP,$$@)
	$$(Q)$$(CC) -E -P -x assembler-with-cpp $$(CPPFLAGS) -D__ASSEMBLY__ \
		-MMD -MP -MT $$@ -MF $$@.d -o $$@ $$<

build/$(1)/obj/%.c.o: %.c Makefile $(UAPI)/.done | $$$$(GEN_$(1))
	@mkdir -p $$(@D)
	$$(call say,CC,$$<)
	$$(Q)$$(CC) $$(CPPFLAGS) -Ibuild/$(1)/gen $$(CFLAGS) $$(WARNINGS) \
		$$(VARIANT_$(1)) $$(FLAGS_$$*.c) \
		$$(if $$(filter $$*,$(UNCHECKED)),,$$(CHECKS_$(1))) -MMD -MP -c -o $$@ $$<

build/$(1)/obj/%.S.o: %.S Makefile $(UAPI)/.done | $$$$(GEN_$(1))
	@mkdir -p $$(@D)
	$$(call say,AS,$$<)
	$$(Q)$$(CC) $$(CPPFLAGS) -Ibuild/$(1)/gen $$(ASFLAGS) \
		$$(filter -D%,$$(VARIANT_$(1))) -MMD -MP -c -o $$@ $$<

# A line "->NAME value" in the assembly of offsets.c becomes a #define.
build/$(1)/gen/offsets.h: $(OFFSETS) Makefile $(UAPI)/.done
	@mkdir -p $$(@D)
	$$(call say,GEN,$$@)
	$$(Q)$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(WARNINGS) $$(VARIANT_$(1)) -fno-lto \
		-MMD -MP -MT $$@ -MF $$@.d -S -o $$@.s $$<
	$$(Q)sed -n 's/.*->\([A-Za-z_0-9]*\) \$$$$*\(-*[0-9][0-9]*\).*/#define \1 \2/p' \
		$$@.s > $$@.tmp && mv $$@.tmp $$@

# The vDSO is a shared object for user mode, with flags of its own.
build/$(1)/gen/vdso.so: arch/x86_64/vdso/vdso.c arch/x86_64/vdso/vdso.lds \
		Makefile $(UAPI)/.done
	@mkdir -p $$(@D)
	$$(call say,VDSO,$$@)
	$$(Q)$$(CC) $$(CPPFLAGS) $$(VDSO_CFLAGS) -MMD -MP -MT $$@ -MF $$@.d \
		-o $$@ -T arch/x86_64/vdso/vdso.lds $$<

build/$(1)/obj/arch/x86_64/vdso_image.S.o: build/$(1)/gen/vdso.so

-include build/$(1)/gen/vdso.so.d $$(OBJECTS_$(1):.o=.d) build/$(1)/kernel.lds.d build/$(1)/gen/offsets.h.d
endef

$(eval $(call variant_rules,release,$(SOURCES)))
$(eval $(call variant_rules,debug,$(SOURCES) $(TESTS)))
$(eval $(call variant_rules,sanitize,$(SOURCES) $(TESTS)))

# ------------------------------------------------------------ user programs

USER_CFLAGS := -std=gnu2x -Os -g -static -nostdlib -nostartfiles \
	-ffreestanding -fno-pie -no-pie -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables \
	-nostdinc -isystem $(GCC_INCLUDE) -isystem $(UAPI) \
	-ffile-prefix-map=$(CURDIR)=. $(filter-out -Wframe%,$(WARNINGS))

build/release/init: user/init.c Makefile $(UAPI)/.done
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(USER_CFLAGS) -Wl,--build-id=none -MMD -MP -MF $@.d -o $@ $<

-include build/release/init.d

compile_commands.json: Makefile
	$(call say,GEN,$@)
	$(Q){ echo '['; sep=; for f in $(filter %.c,$(SOURCES)); do \
		printf '%s{"directory":"%s","file":"%s","command":"%s"}' \
		"$$sep" "$(CURDIR)" "$$f" \
		"$(CC) $(CPPFLAGS) -Ibuild/release/gen $(CFLAGS) $(WARNINGS) $(VARIANT_release) -c $$f"; \
		sep=','; done; echo ']'; } > $@
