/* The memory map that the PVH boot protocol hands over (Xen's public/arch-x86/hvm/start_info.h). */
#include "ram.h"

#include "console.h"
#include "layout.h"

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct range {
	uint64_t address, size;
	uint32_t type, reserved;
};

enum { START_INFO_MAGIC = 0x336ec578, TYPE_RAM = 1 };

uint64_t ram_end(uint32_t start_info)
{
	const struct start_info *info = (void *)(uint64_t)start_info;
	const struct range *range;
	uint64_t end = 0;

	if (info->magic != START_INFO_MAGIC || info->version < 1)
		stop("no PVH memory map");
	range = (void *)info->memmap;
	for (uint32_t i = 0; i < info->memmap_entries; i++, range++) {
		uint64_t last = range->address + range->size;

		if (range->type != TYPE_RAM)
			continue;
		if (range->address <= NOWHERE && last > NOWHERE)
			stop("there is RAM where the menu wants none");
		if (range->address <= (uint64_t)image_start && last >= FRAMES_END)
			end = last;
	}
	if (!end)
		stop("too little RAM (try -m 256M)");
	return end;
}
