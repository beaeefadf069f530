#include "pt_ptr.h"

#define SMALL .leaf = true, .leaf_bits = _PAGE_PRESENT, .pat = _PAGE_PAT
#define LARGE .leaf = true, .leaf_bits = _PAGE_PRESENT | _PAGE_PSE, .pat = _PAGE_PAT_LARGE

/* An address space has as many of these as its top table says (pt_root). */
const struct pt_level pt_level[] = {
	{ .shift = 12, .bits = 9, SMALL },
	{ .shift = 21, .bits = 9, LARGE },
	{ .shift = 30, .bits = 9, LARGE },
	{ .shift = 39, .bits = 9 },
	{ .shift = 48, .bits = 9 },
};

const int pt_levels = ARRAY_SIZE(pt_level);

_Static_assert(ARRAY_SIZE(pt_level) <= PT_MAX_LEVELS, "there are paths of so many tables");
