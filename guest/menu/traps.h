#ifndef TRAPS_H
#define TRAPS_H

#include <stdint.h>

enum { DOUBLE_FAULT_IST = 1 };

struct descriptor_pointer {
	uint16_t limit;
	const void *base;
} __attribute__((packed));

extern const struct descriptor_pointer gdt_pointer;

void segments_init(void);
void traps_init(void);

#endif
