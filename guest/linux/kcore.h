/*
 * The kernel's memory and symbols as it gives them to root: /proc/kcore, an ELF core file whose
 * segments are the kernel's areas, and /proc/kallsyms.  The kernel reads its own addresses with
 * its own tables: nothing is walked here.
 */
#ifndef KCORE_H
#define KCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment {
	uint32_t type, flags;
	uint64_t offset, va, pa, file_size, size, align;
};

/* The segments of /proc/kcore; returns how many. */
unsigned segments(const struct segment **first);

/* Reads the kernel's memory at an address of the kernel's. */
bool kernel_read(uint64_t va, void *to, size_t n);
bool kernel_word(uint64_t va, uint64_t *word);

/* The physical address of one in the direct map, or in the kernel's image. */
bool kernel_physical(uint64_t va, uint64_t *pa);

/* The address of a symbol of the kernel's own, one of those listed in kcore.c. */
bool symbol(const char *name, uint64_t *va);

/* All that are listed there and that this kernel has. */
void each_symbol(void (*take)(const char *name, uint64_t va));

#endif
