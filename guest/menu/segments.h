/* Selectors of the GDT (segments.c, narrow/cpu.c); also for assembly. */
#ifndef SEGMENTS_H
#define SEGMENTS_H

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_DS   0x1b	/* 0x18, RPL 3 */
#define USER_CS   0x23	/* 0x20, RPL 3 */
#define TSS_SEL   0x28

#endif
