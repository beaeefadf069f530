/*
 * The walk as one would write it in C in an afternoon, read from the SDM (vol. 3A, 4.5.4: 4-level
 * and 5-level paging; 4.6.1: rights): the yardstick for ptlive's walk, and its check.
 *
 * All of the guest's RAM is mapped; a table is a pointer.  Nothing is cached, folded or skipped:
 * whatever several addresses reach is walked several times.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { P = 1 << 0, RW = 1 << 1, US = 1 << 2, PS = 1 << 7 };
#define XD (1ull << 63)
/* Bits 12 to 51: an address, of a table or of a 4K page. */
#define FRAME 0x000ffffffffff000ull

/* RAM at guest physical addresses first..last is at `at` in this process. */
struct piece {
	uint64_t first, last;
	const uint8_t *at;
};

/* What is found: the first `room` leaves in arrays; `leaves` and `tables` count all.  `rights`
   has R/W and U/S where entries have them, and XD set where fetches are allowed. */
struct found {
	uint64_t *va, *pa, *rights, *entry;
	uint8_t *level;
	size_t room, leaves, tables, outside;
	uint64_t *table; /* their addresses, one for each time that one is read; may be NULL */
	size_t table_room;
};

struct walk {
	const struct piece *pieces;
	size_t count;
	int top;
	struct found *found;
};

static const uint64_t *table_at(const struct walk *walk, uint64_t address)
{
	for (size_t i = 0; i < walk->count; i++) {
		const struct piece *piece = &walk->pieces[i];

		if (address >= piece->first && address + 4095 <= piece->last)
			return (const uint64_t *)(piece->at + (address - piece->first));
	}
	return NULL;
}

static void descend(const struct walk *walk, uint64_t address, int level, uint64_t va,
		    uint64_t rights)
{
	struct found *found = walk->found;
	const uint64_t *table = table_at(walk, address);
	int shift = 12 + 9 * (level - 1);

	if (!table) {
		found->outside++;
		return;
	}
	if (found->tables < found->table_room)
		found->table[found->tables] = address;
	found->tables++;
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t entry = table[i], here = va | i << shift;
		uint64_t granted = rights & (entry ^ XD);

		if (!(entry & P))
			continue;
		/* The upper half: the highest bit of the root's index is extended to bit 63. */
		if (level == walk->top && i >= 256)
			here |= ~0ull << (shift + 9);
		if (level > 1 && !(entry & PS && level <= 3)) {
			descend(walk, entry & FRAME, level - 1, here, granted);
			continue;
		}
		if (found->leaves < found->room) {
			size_t at = found->leaves;

			found->va[at] = here;
			found->pa[at] = entry & FRAME & ~0ull << shift;
			found->rights[at] = granted;
			found->entry[at] = entry;
			found->level[at] = level;
		}
		found->leaves++;
	}
}

void walk_tables(const struct piece *pieces, size_t count, uint64_t root, int levels,
		 struct found *found)
{
	struct walk walk = { pieces, count, levels, found };

	found->leaves = found->tables = found->outside = 0;
	descend(&walk, root & FRAME, levels, 0, RW | US | XD);
}
