/*
 * What is reached in several ways: one frame by two addresses, one table by several paths with
 * different rights on them, and the root by itself (a recursive slot).
 */
#include "../chapters.h"

/* The recursive slot; the last page of its region is the root seen as data. */
#define SELF	  0x1edull
#define SELF_4L	  (0xffff000000000000ull | SELF << 39)
#define SELF_5L	  (0xfe00000000000000ull | SELF << 48)
#define ROOT_4L	  (SELF_4L | SELF << 30 | SELF << 21 | SELF << 12)
#define ROOT_5L	  (SELF_5L | SELF << 39 | SELF << 30 | SELF << 21 | SELF << 12)
#define PTE_OF(va) ((va) >> 9 & ~7ull)	/* where the PTE of va is in that region */

/* Root entry 0x1e8 is used by nobody else: addresses of the upper half. */
#define UNUSED	  0x1e8ull
#define UNUSED_4L (0xffff000000000000ull | UNUSED << 39)
#define UNUSED_5L (0xfe00000000000000ull | UNUSED << 48)

static const struct recipe lines[] = {
	/*  SR    SW    SF      SR+AC SW+AC  UR     UW     UF */
	{ "alias: a frame, supervisor R/W=1", PTE, PTE_VA(192) + 0x010,
	  F4K(192) | P | RW | A | D, F4K(192) + 0x010,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "alias: the same frame, user R/W=0", PTE, PTE_VA(193) + 0x010,
	  F4K(192) | P | US | A | D, F4K(192) + 0x010,
	  { SMAP, RO,   SMEP,   OK,   RO,    OK,    RO,    OK } },
	{ "alias: a frame by 4K", PTE, PTE_VA(194) + 0x020,
	  (F2M(7) + 0x5000) | OPEN_4K, F2M(7) + 0x5020,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "alias: the same frame by 2M, supervisor", PDE, PDE_VA(128) + 0x5020,
	  F2M(7) | P | RW | A | D | PS, F2M(7) + 0x5020,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "alias: the same frame by 1G, R/W=0", PDPTE, PDPTE_VA(128) + F2M(7) + 0x5020,
	  P | US | A | D | PS, F2M(7) + 0x5020,
	  { SMAP, RO,   SMEP,   OK,   RO,    OK,    RO,    OK },
	  .needs = HAS_1G },
	{ "alias: the guest's identity map, XD=1", PDE, F2M(7) + 0x5020,
	  F2M(7) | P | RW | A | D | PS | XD, F2M(7) + 0x5020,
	  { OK,   OK,   NOEXEC, OK,   OK,    SUPER, SUPER, SUPER },
	  .needs = HAS_NX },

	{ "shared PT, open path", PDE, PDE_VA(129) + 0x6030, OPEN_TABLE, F4K(193) + 0x030,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK },
	  .over = OVER(PTE, F4K(193) | OPEN_4K) },
	{ "shared PT, path with R/W=0", PDE, PDE_VA(130) + 0x6030, P | US | A, F4K(193) + 0x030,
	  { SMAP, RO,   SMEP,   OK,   RO,    OK,    RO,    OK },
	  .shares = PDE_VA(129) },
	{ "shared PT, path with U/S=0", PDE, PDE_VA(131) + 0x6030, P | RW | A, F4K(193) + 0x030,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .shares = PDE_VA(129) },
	{ "shared PT, path with XD=1", PDE, PDE_VA(132) + 0x6030, OPEN_TABLE | XD, F4K(193) + 0x030,
	  { SMAP, SMAP, NOEXEC, OK,   OK,    OK,    OK,    NOEXEC },
	  .shares = PDE_VA(129), .needs = HAS_NX },
	{ "shared PD, path with R/W=0 U/S=0", PDPTE, PDPTE_VA(129) + PDE_VA(129) % SIZE_1G + 0x6030,
	  P | A, F4K(193) + 0x030,
	  { OK,   RO,   OK,     OK,   RO,    SUPER, SUPER, SUPER },
	  .shares = PDE_VA(129) },

	/* The root as data: its unused entry 0x1e8 is the byte that is probed. */
	{ "recursive slot, the root (4 levels)", PML4E, ROOT_4L + UNUSED * 8, P | RW | A | D, 0,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .recursive = true, .reach_entry = ENTRY_OF(UNUSED_4L, PML4E),
	  .needs = HAS_4LEVELS, .flags = MENU_TABLE },
	{ "recursive slot, the root (5 levels)", PML5E, ROOT_5L + UNUSED * 8, P | RW | A | D, 0,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .recursive = true, .reach_entry = ENTRY_OF(UNUSED_5L, PML5E),
	  .needs = HAS_LA57, .flags = MENU_TABLE },
	/* A PT as data: its unused entry for PTE_VA(500). */
	{ "recursive slot, a PT (4 levels)", PML4E, SELF_4L + PTE_OF(PTE_VA(500)),
	  P | RW | A | D, 0,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .recursive = true, .reach_entry = ENTRY_OF(PTE_VA(500), PTE),
	  .needs = HAS_4LEVELS, .flags = MENU_TABLE },
	{ "recursive slot, a PT (5 levels)", PML5E, SELF_5L + PTE_OF(PTE_VA(500)),
	  P | RW | A | D, 0,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .recursive = true, .reach_entry = ENTRY_OF(PTE_VA(500), PTE),
	  .needs = HAS_LA57, .flags = MENU_TABLE },
};

CHAPTER(chapter_shared, "aliases, shared tables, recursion", lines);
