/*
 * Protection keys (SDM vol. 3A 4.6.2).  PKRU: key 1 denies access (AD), key 2 denies writes (WD),
 * the others are open.  Keys bind data accesses, of either ring, to user-mode addresses, whatever
 * AC is; never fetches, never supervisor-mode addresses.
 */
#include "../chapters.h"

static const struct recipe lines[] = {
	/*  SR    SW    SF      SR+AC SW+AC  UR     UW     UF */
	{ "4K user, key 1 (AD)", PTE, PTE_VA(32) + 0x100,
	  F4K(32) | OPEN_4K | PK(1), F4K(32) + 0x100,
	  { KEY,  KEY,  SMEP,   KEY,  KEY,   KEY,   KEY,   OK },
	  .needs = HAS_PKU },
	{ "4K user, key 2 (WD)", PTE, PTE_VA(33) + 0x108,
	  F4K(33) | OPEN_4K | PK(2), F4K(33) + 0x108,
	  { SMAP, KEY,  SMEP,   OK,   KEY,   OK,    KEY,   OK },
	  .needs = HAS_PKU },
	{ "4K user, key 3 (open)", PTE, PTE_VA(34) + 0x110,
	  F4K(34) | OPEN_4K | PK(3), F4K(34) + 0x110,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK },
	  .needs = HAS_PKU },
	{ "4K user, key 8 (open, bit 62 alone)", PTE, PTE_VA(35) + 0x118,
	  F4K(35) | OPEN_4K | PK(8), F4K(35) + 0x118,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK },
	  .needs = HAS_PKU },
	{ "4K user, key 15 (open)", PTE, PTE_VA(36) + 0x120,
	  F4K(36) | OPEN_4K | PK(15), F4K(36) + 0x120,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK },
	  .needs = HAS_PKU },

	/* Both refuse: the code has PK as well. */
	{ "4K user, R/W=0, key 1 (AD)", PTE, PTE_VA(37) + 0x128,
	  F4K(37) | P | US | A | D | PK(1), F4K(37) + 0x128,
	  { KEY,  KEY,  SMEP,   KEY,  KEY,   KEY,   KEY,   OK },
	  .needs = HAS_PKU },
	{ "4K user, R/W=0, key 2 (WD)", PTE, PTE_VA(38) + 0x130,
	  F4K(38) | P | US | A | D | PK(2), F4K(38) + 0x130,
	  { SMAP, KEY,  SMEP,   OK,   KEY,   OK,    KEY,   OK },
	  .needs = HAS_PKU },
	{ "4K user, XD=1, key 1 (AD)", PTE, PTE_VA(39) + 0x138,
	  F4K(39) | OPEN_4K | XD | PK(1), F4K(39) + 0x138,
	  { KEY,  KEY,  NOEXEC, KEY,  KEY,   KEY,   KEY,   NOEXEC },
	  .needs = HAS_PKU | HAS_NX },

	/* Supervisor-mode addresses have no key; bits 59-62 are ignored. */
	{ "4K supervisor, key 1 (no effect)", PTE, PTE_VA(40) + 0x140,
	  F4K(40) | P | RW | A | D | PK(1), F4K(40) + 0x140,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .needs = HAS_PKU },
	{ "4K supervisor, key 2 (no effect)", PTE, PTE_VA(41) + 0x148,
	  F4K(41) | P | RW | A | D | PK(2), F4K(41) + 0x148,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .needs = HAS_PKU },
	{ "PDE U/S=0 over a user page with key 1", PDE, PDE_VA(0) + 0x3150,
	  P | RW | A, F4K(42) + 0x150,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .over = OVER(PTE, F4K(42) | OPEN_4K | PK(1)), .needs = HAS_PKU },
	{ "PDE with bits 59-62, no key of a page", PDE, PDE_VA(1) + 0x3158,
	  OPEN_TABLE | PK(1), F4K(43) + 0x158,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK },
	  .over = OVER(PTE, F4K(43) | OPEN_4K), .needs = HAS_PKU },

	{ "2M user, key 1 (AD)", PDE, PDE_VA(2) + 0x160, F2M(0) | OPEN_BIG | PK(1), F2M(0) + 0x160,
	  { KEY,  KEY,  SMEP,   KEY,  KEY,   KEY,   KEY,   OK },
	  .needs = HAS_PKU },
	{ "2M user, key 2 (WD)", PDE, PDE_VA(3) + 0x1168,
	  F2M(0) | OPEN_BIG | PK(2), F2M(0) + 0x1168,
	  { SMAP, KEY,  SMEP,   OK,   KEY,   OK,    KEY,   OK },
	  .needs = HAS_PKU },
	{ "2M supervisor, key 1 (no effect)", PDE, PDE_VA(4) + 0x2170,
	  F2M(0) | P | RW | A | D | PS | PK(1), F2M(0) + 0x2170,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER },
	  .needs = HAS_PKU },
	{ "1G user, key 1 (AD)", PDPTE, PDPTE_VA(0) + F4K(44) + 0x178,
	  OPEN_BIG | PK(1), F4K(44) + 0x178,
	  { KEY,  KEY,  SMEP,   KEY,  KEY,   KEY,   KEY,   OK },
	  .needs = HAS_PKU | HAS_1G },
	{ "1G user, key 2 (WD)", PDPTE, PDPTE_VA(1) + F4K(45) + 0x180,
	  OPEN_BIG | PK(2), F4K(45) + 0x180,
	  { SMAP, KEY,  SMEP,   OK,   KEY,   OK,    KEY,   OK },
	  .needs = HAS_PKU | HAS_1G },
};

CHAPTER(chapter_keys, "protection keys", lines);
