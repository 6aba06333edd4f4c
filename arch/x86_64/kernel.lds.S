/*
 * The kernel image: linked at KERNEL_IMAGE_BASE + 1 MiB, loaded at 1 MiB.
 * Segments are page aligned by permission.  Arrays of registered const structs
 * whose section is a C identifier get __start_ and __stop_ symbols from the
 * linker; those that may be empty are named here.
 */
#define IMAGE_BASE 0xffffffff80000000
#define LOAD_ADDRESS 0x100000
#define PAGE 4096

OUTPUT_FORMAT(elf64-x86-64)
ENTRY(pvh_entry)

PHDRS
{
	text PT_LOAD FLAGS(5);
	rodata PT_LOAD FLAGS(4);
	data PT_LOAD FLAGS(6);
	init PT_LOAD FLAGS(7);
	bss PT_LOAD FLAGS(6);
	note PT_NOTE FLAGS(4);
}

#define REGISTERED(name)                                                     \
	name : AT(ADDR(name) - IMAGE_BASE) ALIGN(8)                          \
	{                                                                    \
		__start_##name = .;                                          \
		KEEP(*(name))                                                \
		__stop_##name = .;                                           \
	} :rodata

SECTIONS
{
	. = IMAGE_BASE + LOAD_ADDRESS;
	kernel_start = .;

	.text : AT(ADDR(.text) - IMAGE_BASE)
	{
		kernel_text_start = .;
		KEEP(*(.multiboot))
		*(.text.entry)
		*(.text.hot .text.hot.*)
		*(.text .text.*)
		. = ALIGN(PAGE);
		kernel_text_end = .;
	} :text = 0xcccccccc

	.rodata : AT(ADDR(.rodata) - IMAGE_BASE)
	{
		*(.rodata .rodata.*)
	} :rodata

	.notes : AT(ADDR(.notes) - IMAGE_BASE) ALIGN(4)
	{
		KEEP(*(.note.pvh))
	} :rodata :note

	.eh_frame_hdr : AT(ADDR(.eh_frame_hdr) - IMAGE_BASE) ALIGN(8)
	{
		eh_frame_hdr_start = .;
		*(.eh_frame_hdr)
		eh_frame_hdr_end = .;
	} :rodata

	.eh_frame : AT(ADDR(.eh_frame) - IMAGE_BASE) ALIGN(8)
	{
		eh_frame_start = .;
		KEEP(*(.eh_frame))
		eh_frame_end = .;
	} :rodata

	REGISTERED(exception_table)
	REGISTERED(smap_open_sites)
	REGISTERED(smap_close_sites)
	REGISTERED(init_steps)
	REGISTERED(unit_tests)
	REGISTERED(counters)
	REGISTERED(histograms)
	REGISTERED(static_key_sites)
	REGISTERED(restart_ranges)

	/* Only the sanitizing kernel has constructors; it calls them. */
	.init_array : AT(ADDR(.init_array) - IMAGE_BASE) ALIGN(8)
	{
		constructors_start = .;
		KEEP(*(.init_array .init_array.*))
		constructors_end = .;
	} :rodata

	/* Orphan sections of constants are placed here. */

	. = ALIGN(PAGE);
	.data : AT(ADDR(.data) - IMAGE_BASE)
	{
		kernel_data_start = .;
		*(.data.ro_after_init)
		. = ALIGN(PAGE);
		kernel_ro_after_init_end = .;
		*(.data .data.*)
	} :data

	.percpu : AT(ADDR(.percpu) - IMAGE_BASE) ALIGN(64)
	{
		percpu_start = .;
		*(.percpu)
		. = ALIGN(64);
		percpu_end = .;
	} :data

	. = ALIGN(PAGE);
	.init.text : AT(ADDR(.init.text) - IMAGE_BASE)
	{
		kernel_init_start = .;
		*(.init.entry)
		*(.init.text .init.text.*)
		. = ALIGN(PAGE);
		kernel_init_text_end = .;
	} :init

	.init.data : AT(ADDR(.init.data) - IMAGE_BASE)
	{
		*(.init.data .init.data.*)
		. = ALIGN(PAGE);
		kernel_init_end = .;
	} :init

	.bss (NOLOAD) : AT(ADDR(.bss) - IMAGE_BASE) ALIGN(PAGE)
	{
		*(.bss.page_aligned)
		*(.bss .bss.* COMMON)
		. = ALIGN(PAGE);
	} :bss
	kernel_end = .;

	/DISCARD/ :
	{
		*(.fini_array .fini_array.*)
		*(.comment .note.GNU-stack .note.gnu.property .gnu.*)
	}
}
