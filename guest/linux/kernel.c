/* What the kernel says of itself: its symbols, its areas, its memory, its modules, its own roots. */
#include "btf.h"
#include "census.h"
#include "kcore.h"
#include "system.h"
#include "tasks.h"
#include "text.h"

enum { NAME = 100 };

static void symbol_line(const char *name, uint64_t va)
{
	uint64_t word = 0;
	bool read = kernel_word(va, &word);

	say("symbol va=%16x word=%16x name=%s%s;", va, word, name, read ? "" : " unread");
}

static void root_line(const char *name, uint64_t root)
{
	say("root pa=%16x name=%s;", root, name);
}

/* A variable that is an address space, or points to one. */
static void space(const char *name, bool pointer)
{
	uint64_t va, root;

	if (symbol(name, &va) && (!pointer || (kernel_word(va, &va) && va)) && root_of(va, &root))
		root_line(name, root);
}

/* Where other CPUs start: a root in low memory, told by a table of 32-bit addresses. */
static void trampoline(void)
{
	uint64_t va, at, root;

	if (symbol("real_mode_header", &va) && kernel_word(va, &va) &&
	    offset_of("real_mode_header", "trampoline_pgd", &at) && kernel_word(va + at, &root))
		root_line("trampoline", root & 0xffffffff);
}

static void iomem_line(char *line)
{
	const char *at = line;
	uint64_t depth = 0, first, last;

	for (; *at == ' '; at++)
		depth++;
	if (hexadecimal(&at, &first) && *at++ == '-' && hexadecimal(&at, &last) &&
	    (at = after(at, " : ")))
		say("iomem first=%16x last=%16x depth=%u name=%s;", first, last, depth / 2, at);
}

/* "loop 45056 0 - Live 0xffffffffc0000000" */
static void module_line(char *line)
{
	const char *at = line;
	char name[NAME];
	uint64_t size, va;

	while (*at && *at != ' ')
		at++;
	format(name, at - line + 1 < NAME ? at - line + 1 : NAME, "%s", line);
	if (!*at++ || !decimal(&at, &size))
		return;
	for (; *at; at++) {
		const char *number = after(at, "0x");

		if (number && hexadecimal(&number, &va)) {
			say("module va=%16x size=%u name=%s;", va, size, name);
			return;
		}
	}
}

/* "/dev/nvme0n1 partition 65532 32 -2", sizes in KB; the first line is a header. */
static void swap_line(char *line)
{
	const char *end = line;
	char name[NAME];

	while (*end && *end != ' ' && *end != '\t')
		end++;
	if (*line != '/')
		return;
	format(name, end - line + 1 < NAME ? end - line + 1 : NAME, "%s", line);
	say("swap name=%s;", name);
}

void kernel(void)
{
	const struct segment *segment;
	unsigned n = segments(&segment);

	say("kernel begin pid=%u", process_id());
	for (unsigned i = 0; i < n; i++, segment++)
		if (segment->type == 1)
			say("segment va=%16x size=%16x pa=%16x", segment->va, segment->size, segment->pa);
	each_symbol(symbol_line);
	space("init_mm", false);
	space("efi_mm", false);
	space("poking_mm", true);
	space("text_poke_mm", true);
	trampoline();
	each_line("/proc/iomem", iomem_line);
	each_line("/proc/modules", module_line);
	each_line("/proc/swaps", swap_line);
	say("kernel end lines=%u", (uint64_t)lines_said + 1);
}
