/* The live tables: how they are built, sealed, and put back.  What is in them: chapters/. */
#ifndef TABLES_H
#define TABLES_H

#include <stdint.h>

enum level { NO_LEVEL, PTE, PDE, PDPTE, PML4E, PML5E };

/* Bits of an entry, SDM vol. 3A 4.5. */
#define ENTRY_P       (1ull << 0)
#define ENTRY_RW      (1ull << 1)
#define ENTRY_US      (1ull << 2)
#define ENTRY_PWT     (1ull << 3)
#define ENTRY_PCD     (1ull << 4)
#define ENTRY_A	      (1ull << 5)
#define ENTRY_D	      (1ull << 6)
#define ENTRY_PS      (1ull << 7)	/* PDE, PDPTE */
#define ENTRY_PAT     (1ull << 7)	/* PTE */
#define ENTRY_G	      (1ull << 8)
#define ENTRY_PAT_BIG (1ull << 12)	/* 2M and 1G leaves */
#define ENTRY_XD      (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

/* The guest's own map: image and RAM, supervisor only.  Then the chapters add to it. */
void tables_init(uint64_t ram_end);

/* The entry of va at this level; open tables are put above it where there are none yet. */
uint64_t *tables_entry(uint64_t va, enum level level);

/* Writes that entry, which must be unused, or hold this very value. */
uint64_t *tables_put(uint64_t va, enum level level, uint64_t entry);

uint64_t tables_root(void);
uint64_t tables_start(void);
uint64_t tables_end(void);

void tables_load(void);		/* into CR3, all translations dropped */
void tables_seal(void);		/* remembers every entry ... */
void tables_restore(void);	/* ... and puts it back, accessed and dirty bits too */

#endif
