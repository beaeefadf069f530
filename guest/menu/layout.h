/* Where things are.  The identity map reaches all of RAM, so a physical address is a pointer. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <stdint.h>

#define SIZE_4K 0x1000ull
#define SIZE_2M 0x200000ull
#define SIZE_1G 0x40000000ull

/* The image: menu.ld. */
extern uint8_t image_start[], text_end[], rodata_end[], image_end[];

/*
 * The frames that the menu maps, each painted with its own address (frames.h): 512 frames of 4K,
 * then eight of 2M.
 */
#define FRAMES_4K 0x4000000ull
#define FRAMES_2M (FRAMES_4K + SIZE_2M)
#define FRAMES_END (FRAMES_2M + 8 * SIZE_2M)

/* Physical addresses with no RAM behind them, whatever -m says (checked in ram.c). */
#define NOWHERE 0xd0000000ull

/* The probe page (probe.S) as ring 3 sees it; in no chapter's way. */
#define USER_PROBE_VA 0x0000640000000000ull

#endif
