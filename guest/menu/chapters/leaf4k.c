/* 4K leaves: every combination of the rights, then each attribute (SDM vol. 3A 4.5.4, 4.6.1). */
#include "../chapters.h"

static const struct recipe lines[] = {
	/*  SR    SW    SF      SR+AC SW+AC  UR     UW     UF */
	{ "4K supervisor, R/W=1 XD=0", PTE, PTE_VA(0) + 0x008, F4K(0) | P | RW | A | D, F4K(0) + 0x008,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "4K supervisor, R/W=0 XD=0", PTE, PTE_VA(1) + 0x118, F4K(1) | P | A | D, F4K(1) + 0x118,
	  { OK,   RO,   OK,     OK,   RO,    SUPER, SUPER, SUPER } },
	{ "4K supervisor, R/W=1 XD=1", PTE, PTE_VA(2) + 0x228, F4K(2) | P | RW | A | D | XD, F4K(2) + 0x228,
	  { OK,   OK,   NOEXEC, OK,   OK,    SUPER, SUPER, SUPER },
	  .needs = HAS_NX },
	{ "4K supervisor, R/W=0 XD=1", PTE, PTE_VA(3) + 0x338, F4K(3) | P | A | D | XD, F4K(3) + 0x338,
	  { OK,   RO,   NOEXEC, OK,   RO,    SUPER, SUPER, SUPER },
	  .needs = HAS_NX },
	{ "4K user, R/W=1 XD=0", PTE, PTE_VA(4) + 0x448, F4K(4) | P | RW | US | A | D, F4K(4) + 0x448,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K user, R/W=0 XD=0", PTE, PTE_VA(5) + 0x558, F4K(5) | P | US | A | D, F4K(5) + 0x558,
	  { SMAP, RO,   SMEP,   OK,   RO,    OK,    RO,    OK } },
	{ "4K user, R/W=1 XD=1", PTE, PTE_VA(6) + 0x668, F4K(6) | P | RW | US | A | D | XD, F4K(6) + 0x668,
	  { SMAP, SMAP, NOEXEC, OK,   OK,    OK,    OK,    NOEXEC },
	  .needs = HAS_NX },
	{ "4K user, R/W=0 XD=1", PTE, PTE_VA(7) + 0x778, F4K(7) | P | US | A | D | XD, F4K(7) + 0x778,
	  { SMAP, RO,   NOEXEC, OK,   RO,    OK,    RO,    NOEXEC },
	  .needs = HAS_NX },

	/* Attributes change no right.  Supervisor and user alike. */
	{ "4K supervisor, G", PTE, PTE_VA(8) + 0x888, F4K(8) | P | RW | A | D | G, F4K(8) + 0x888,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "4K user, G", PTE, PTE_VA(9) + 0x998, F4K(9) | P | RW | US | A | D | G, F4K(9) + 0x998,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K user, PWT", PTE, PTE_VA(10) + 0xaa8, F4K(10) | P | RW | US | A | D | PWT, F4K(10) + 0xaa8,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K user, PCD", PTE, PTE_VA(11) + 0xbb8, F4K(11) | P | RW | US | A | D | PCD, F4K(11) + 0xbb8,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K user, PAT (bit 7)", PTE, PTE_VA(12) + 0xcc8, F4K(12) | P | RW | US | A | D | PAT, F4K(12) + 0xcc8,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K supervisor, PAT PCD PWT G", PTE, PTE_VA(13) + 0xdd8,
	  F4K(13) | P | RW | A | D | PAT | PCD | PWT | G, F4K(13) + 0xdd8,
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "4K user, bits 9-11 and 52-58 (ignored)", PTE, PTE_VA(14) + 0xee8,
	  F4K(14) | P | RW | US | A | D | 0xe00 | 0x7full << 52, F4K(14) + 0xee8,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },

	/* A and D as they are before the access; the access sets them (4.8). */
	{ "4K supervisor, A=0 D=0", PTE, PTE_VA(15), F4K(15) | P | RW, F4K(15),
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "4K supervisor, A=1 D=0", PTE, PTE_VA(16), F4K(16) | P | RW | A, F4K(16),
	  { OK,   OK,   OK,     OK,   OK,    SUPER, SUPER, SUPER } },
	{ "4K user, A=0 D=0", PTE, PTE_VA(17), F4K(17) | P | RW | US, F4K(17),
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K user, A=1 D=0", PTE, PTE_VA(18), F4K(18) | P | RW | US | A, F4K(18),
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
	{ "4K user, R/W=0 A=0", PTE, PTE_VA(19), F4K(19) | P | US, F4K(19),
	  { SMAP, RO,   SMEP,   OK,   RO,    OK,    RO,    OK } },
	{ "4K user, last index of its PT", PTE, PTE_VA(511) + 0xff8, F4K(511) | OPEN_4K, F4K(511) + 0xff8,
	  { SMAP, SMAP, SMEP,   OK,   OK,    OK,    OK,    OK } },
};

CHAPTER(chapter_4k, "4K leaves", lines);
