/* The whole way of the guest, from boot.S to the place where it parks. */
#include "build.h"
#include "console.h"
#include "cpu.h"
#include "frames.h"
#include "menu.h"
#include "probe.h"
#include "ram.h"
#include "tables.h"
#include "traps.h"

void start(uint32_t start_info, uint32_t levels);

void start(uint32_t start_info, uint32_t levels)
{
	console_init();
	segments_init();
	traps_init();
	cpu_identify(levels);

	tables_init(ram_end(start_info));
	frames_paint();
	menu_build();
	tables_seal();

	cpu_protect();		/* EFER.NXE comes before the first entry with XD */
	tables_load();
	probe_all();
	tables_restore();
	tables_load();

	menu_result.levels = levels;
	menu_result.lines = menu_count;
	/* Whoever waits for the line below may stop us before it is out. */
	*(volatile uint32_t *)&menu_result.magic = MENU_MAGIC;
	say("menu: levels=%u lines=%u probes=%u differences=%u quirks=%u\n", levels, menu_count,
	    menu_result.probes, menu_result.differences, menu_result.quirks);
}
