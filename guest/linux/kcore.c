#include "kcore.h"

#include "system.h"
#include "text.h"

enum { MOST_SEGMENTS = 64, PT_LOAD = 1 };

static struct {
	const char *name;
	uint64_t va;
} wanted[] = {
	/* The image, in order. */
	{ "_text" }, { "_stext" }, { "_etext" }, { "__start_rodata" }, { "__end_rodata" },
	{ "_sdata" }, { "_edata" }, { "__init_begin" }, { "__init_end" }, { "__bss_start" },
	{ "__bss_stop" }, { "_end" },
	/* Variables: where the areas begin. */
	{ "page_offset_base" }, { "vmalloc_base" }, { "vmemmap_base" }, { "phys_base" },
	{ "max_pfn" }, { "__pgtable_l5_enabled" },
	/* Tables in the image. */
	{ "init_top_pgt" }, { "early_top_pgt" }, { "level4_kernel_pgt" }, { "level3_kernel_pgt" },
	{ "level2_kernel_pgt" }, { "level3_vmemmap_pgt" }, { "level2_fixmap_pgt" },
	{ "level1_fixmap_pgt" }, { "early_dynamic_pgts" }, { "espfix_pud_page" },
	{ "kasan_early_shadow_pte" }, { "empty_zero_page" },
	/* Address spaces that are no process's, and the way to all that are. */
	{ "init_mm" }, { "efi_mm" }, { "poking_mm" }, { "text_poke_mm" }, { "real_mode_header" },
	{ "trampoline_pgd_entry" }, { "init_task" },
	/* What Linux keeps in frames of its own. */
	{ "idt_table" }, { "entry_SYSCALL_64" }, { "__entry_text_start" }, { "__entry_text_end" },
	{ "cpu_entry_area" }, { "bpf_jit_limit" }, { "modules" }, { "high_memory" },
};

enum { WANTED = sizeof(wanted) / sizeof(wanted[0]) };

static struct segment table[MOST_SEGMENTS];
static unsigned count;
static long core = -1;

static bool open_core(void)
{
	static bool tried;
	/* ELF header: the program headers' offset is at 32, their size at 54, number at 56. */
	unsigned char header[64];

	if (tried)
		return core >= 0;
	tried = true;
	core = open_file("/proc/kcore", O_RDONLY);
	if (core < 0 || read_at(core, header, sizeof(header), 0) != sizeof(header))
		return false;
	count = *(uint16_t *)(header + 56);
	if (count > MOST_SEGMENTS)
		count = MOST_SEGMENTS;
	read_at(core, table, count * sizeof(table[0]), *(uint64_t *)(header + 32));
	return true;
}

unsigned segments(const struct segment **first)
{
	*first = table;
	return open_core() ? count : 0;
}

static const struct segment *segment_of(uint64_t va)
{
	for (unsigned i = 0; open_core() && i < count; i++)
		if (table[i].type == PT_LOAD && va - table[i].va < table[i].size)
			return &table[i];
	return NULL;
}

bool kernel_read(uint64_t va, void *to, size_t n)
{
	const struct segment *in = segment_of(va);

	return in && read_at(core, to, n, in->offset + va - in->va) == (long)n;
}

bool kernel_word(uint64_t va, uint64_t *word)
{
	return kernel_read(va, word, sizeof(*word));
}

bool kernel_physical(uint64_t va, uint64_t *pa)
{
	const struct segment *in = segment_of(va);
	uint64_t text, base;

	/* arch/x86/mm/physaddr.c: the image is at phys_base + (va - __START_KERNEL_map). */
	if (va >= 0xffffffff80000000 && symbol("phys_base", &text) && kernel_word(text, &base))
		*pa = va - 0xffffffff80000000 + base;
	else if (in && in->pa != -1ul)
		*pa = in->pa + va - in->va;
	else
		return false;
	return true;
}

/* A line of kallsyms: address, type, name, and for a module's a tab and its name. */
static void symbol_line(char *line)
{
	const char *at = line;
	uint64_t va;

	if (!hexadecimal(&at, &va) || *at++ != ' ' || !*at || *++at != ' ')
		return;
	at++;
	/* Most symbols are none of ours, which their first letters tell. */
	for (unsigned i = 0; i < WANTED; i++)
		if (wanted[i].name[0] == at[0] && wanted[i].name[1] == at[1] &&
		    !wanted[i].va && same(at, wanted[i].name))
			wanted[i].va = va;
}

static void read_symbols(void)
{
	static bool done;

	if (!done)
		each_line("/proc/kallsyms", symbol_line);
	done = true;
}

bool symbol(const char *name, uint64_t *va)
{
	read_symbols();
	for (unsigned i = 0; i < WANTED; i++) {
		if (!same(wanted[i].name, name))
			continue;
		*va = wanted[i].va;
		return wanted[i].va != 0;
	}
	return false;
}

void each_symbol(void (*take)(const char *name, uint64_t va))
{
	read_symbols();
	for (unsigned i = 0; i < WANTED; i++)
		if (wanted[i].va)
			take(wanted[i].name, wanted[i].va);
}
