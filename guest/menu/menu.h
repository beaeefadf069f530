/*
 * What the menu guest says about itself.  A reader outside finds `menu`, `menu_count` and
 * `menu_result` by ELF symbol; every symbol is linked at its physical address.
 */
#ifndef MENU_H
#define MENU_H

#include <stddef.h>
#include <stdint.h>

/* One access is 8 bytes (4 with MENU_DEVICE).  AC means RFLAGS.AC = 1, which lifts SMAP. */
enum access {
	SUPER_READ,
	SUPER_WRITE,
	SUPER_FETCH,
	SUPER_READ_AC,
	SUPER_WRITE_AC,
	USER_READ,
	USER_WRITE,
	USER_FETCH,
	ACCESS_KINDS
};

enum {
	ANSWER_ALLOWED = 0,
	ANSWER_GP = 13,
	ANSWER_PF = 14,
	ANSWER_NOT_ASKED = 0xff,
};

struct answer {
	uint8_t vector;		/* 0: allowed; 14, 13: the fault; 0xff: not asked, see why */
	uint8_t pad[3];
	uint32_t error;		/* error code of the fault */
	uint64_t frame;		/* allowed: physical address of the byte the access reached */
};

/* Flags of a line. */
enum {
	/*
	 * Nothing at this physical address can name itself (no RAM is there): an allowed access
	 * is proof of the rights, not of the frame.  expected.frame holds the address all the
	 * same; observed.frame is 0.
	 */
	MENU_NO_PROOF = 1 << 0,
	/* A device register: read 4 bytes, never 8, and never write.  Its value is its proof. */
	MENU_DEVICE = 1 << 1,
	/*
	 * The byte lies in a live paging structure, in an entry that is not used.  Whoever writes
	 * there keeps bit 0 (P) of the value clear and puts the old value back.
	 */
	MENU_TABLE = 1 << 2,
};

struct menu_line {
	char name[64];
	uint64_t va;		/* the address that is probed */
	uint64_t entry_pa;	/* physical address of the entry that the line is about */
	uint64_t entry;		/* its value, as left in the live tables */
	uint32_t level;		/* 1 = PTE .. 5 = PML5E; 0: non-canonical, there is no entry */
	uint32_t flags;
	char why[64];		/* why some kind is not asked, if one is */
	struct answer expected[ACCESS_KINDS];	/* written by hand, per SDM */
	struct answer observed[ACCESS_KINDS];	/* what this guest's own accesses saw at boot */
};

#define MENU_MAGIC 0x756e656d	/* the bytes "menu" in memory order */

struct menu_result {
	uint32_t magic;		/* written last: all the rest is valid, the tables are as described */
	uint32_t levels;
	uint32_t lines;
	uint32_t probes;	/* accesses executed */
	uint32_t differences;	/* expected and observed differ */
	uint32_t quirks;	/* they differ by a named deviation of the accelerator (README.md) */
};

extern struct menu_line menu[];
extern uint32_t menu_count;
extern struct menu_result menu_result;

_Static_assert(sizeof(struct answer) == 16, "readers outside rely on it");
_Static_assert(offsetof(struct answer, error) == 4, "readers outside rely on it");
_Static_assert(offsetof(struct answer, frame) == 8, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, va) == 64, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, entry_pa) == 72, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, entry) == 80, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, level) == 88, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, flags) == 92, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, why) == 96, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, expected) == 160, "readers outside rely on it");
_Static_assert(offsetof(struct menu_line, observed) == 288, "readers outside rely on it");
_Static_assert(sizeof(struct menu_line) == 416, "readers outside rely on it");
_Static_assert(sizeof(struct menu_result) == 24, "readers outside rely on it");

#endif
