/*
 * Frames that are no RAM.  A leaf may name any physical address below MAXPHYADDR; whether memory
 * is there is no business of paging.  Nothing there can name itself, so these lines prove rights,
 * not frames; and nothing there is fit to be executed.
 */
#include "../chapters.h"

/* The version register of the local APIC (SDM vol. 3A, Local APIC). */
#define APIC_VERSION 0xfee00030ull
#define ROM_LAST     0xfffff000ull

static const char no_code[] = "nothing fit to be executed is there";

static const struct recipe lines[] = {
	/*  SR    SW    SF      SR+AC SW+AC   UR     UW     UF */
	{ "4K outside RAM, supervisor, XD=1", PTE, PTE_VA(224) + 0x010,
	  NOWHERE | P | RW | A | D | XD, NOWHERE + 0x010,
	  { OK,   OK,   NOEXEC, OK,   OK,     SUPER, SUPER, SUPER },
	  .needs = HAS_NX, .flags = MENU_NO_PROOF },
	{ "4K outside RAM, user, XD=1", PTE, PTE_VA(225) + 0x020,
	  (NOWHERE + 0x1000) | OPEN_4K | XD, NOWHERE + 0x1020,
	  { SMAP, SMAP, NOEXEC, OK,   OK,     OK,    OK,    NOEXEC },
	  .needs = HAS_NX, .flags = MENU_NO_PROOF },
	{ "4K outside RAM, user, XD=0", PTE, PTE_VA(226) + 0x030,
	  (NOWHERE + 0x2000) | OPEN_4K, NOWHERE + 0x2030,
	  { SMAP, SMAP, NO_ASK, OK,   OK,     OK,    OK,    NO_ASK },
	  .flags = MENU_NO_PROOF, .why = no_code },
	{ "4K outside RAM, highest address bit", PTE, PTE_VA(227) + 0x040, OPEN_4K | XD, 0x040,
	  { SMAP, SMAP, NOEXEC, OK,   OK,     OK,    OK,    NOEXEC },
	  .bit_highest = true, .needs = HAS_NX, .flags = MENU_NO_PROOF },
	{ "2M outside RAM, user, R/W=0, XD=1", PDE, PDE_VA(160) + 0x1050,
	  NOWHERE | P | US | A | D | PS | XD, NOWHERE + 0x1050,
	  { SMAP, RO,   NOEXEC, OK,   RO,     OK,    RO,    NOEXEC },
	  .needs = HAS_NX, .flags = MENU_NO_PROOF },
	{ "1G outside RAM, supervisor, XD=1", PDPTE, PDPTE_VA(160) + NOWHERE % SIZE_1G + 0x60,
	  (NOWHERE & -SIZE_1G) | P | RW | A | D | PS | XD, NOWHERE + 0x60,
	  { OK,   OK,   NOEXEC, OK,   OK,     SUPER, SUPER, SUPER },
	  .needs = HAS_NX | HAS_1G, .flags = MENU_NO_PROOF },
	{ "4K the firmware's ROM, supervisor, XD=1", PTE, PTE_VA(228) + 0xff0,
	  ROM_LAST | P | RW | A | D | XD, ROM_LAST + 0xff0,
	  { OK,   NO_ASK, NOEXEC, OK, NO_ASK, SUPER, SUPER, SUPER },
	  .needs = HAS_NX, .flags = MENU_NO_PROOF, .why = "it may be flash: a write is a command" },
	{ "4K the local APIC, supervisor, XD=1", PTE, PTE_VA(229) + APIC_VERSION % SIZE_4K,
	  (APIC_VERSION & -SIZE_4K) | P | RW | A | D | PCD | XD, APIC_VERSION,
	  { OK,   NO_ASK, NOEXEC, OK, NO_ASK, SUPER, SUPER, SUPER },
	  .needs = HAS_NX, .flags = MENU_DEVICE, .why = "a write to a device is not harmless" },
};

CHAPTER(chapter_outside, "frames outside RAM", lines);
