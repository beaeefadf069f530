/* The chapters of the menu, in the order in which they are built. */
#ifndef CHAPTERS_H
#define CHAPTERS_H

#include "recipe.h"

extern const struct chapter chapter_4k, chapter_keys, chapter_large, chapter_upper, chapter_absent,
	chapter_reserved, chapter_shared, chapter_outside, chapter_canonical;

#endif
