#ifndef KERNEL_H
#define KERNEL_H

#define PAGE          0x1000
#define PAGE_2M       0x200000

#define KERNEL_BASE   0xffffffff80000000	/* the image: linear = physical + this */
#define DIRECT_MAP    0xffff888000000000	/* all of RAM */
#define DEVICES       0xffffc90000000000	/* registers of devices */
#define USER_CODE     0x400000
#define USER_STACK    0x7fffffffe000

#define LOCAL_APIC    0xfee00000

#ifndef __ASSEMBLER__

#include <stdint.h>

enum rights {
	READ = 0,
	WRITE = 1 << 0,
	EXECUTE = 1 << 1,
	USER = 1 << 2,
	UNCACHED = 1 << 3,
	GLOBAL = 1 << 4,
};

/* paging.c */
void map(uint64_t va, uint64_t pa, uint64_t bytes, uint64_t page, unsigned rights);
void unmap(uint64_t va, uint64_t bytes);
void paging_init(void);

/* kernel.c */
_Noreturn void panic(const char *why);

#endif
#endif
