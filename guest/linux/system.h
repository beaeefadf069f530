/*
 * Linux as this program sees it: system calls without a C library, so that gcc and binutils
 * are all it takes.  Numbers and constants: Linux, include/uapi and arch/x86/entry/syscalls.
 * Each call returns what the kernel does: -errno for an error.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ul
#define PAGE_2M (1ul << 21)
#define PAGE_1G (1ul << 30)

enum { NONE = 0, R = 1, W = 2, X = 4 };	/* PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC */

enum { SHARED = 0x01, PRIVATE = 0x02, FIXED = 0x10, ANONYMOUS = 0x20, NORESERVE = 0x4000, HUGETLB = 0x40000 };
#define HUGETLB_SIZE(bits) ((bits) << 26)

enum { MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15, MADV_PAGEOUT = 21 };
enum { O_RDONLY = 0, O_WRONLY = 1 };

long open_file(const char *path, int how);
long read_file(int fd, void *to, size_t n);
long read_at(int fd, void *to, size_t n, uint64_t offset);
long write_file(int fd, const void *from, size_t n);
long close_file(int fd);
/* Names in a folder that begin with a digit, as numbers, in order: those of /proc. */
unsigned numbers_in(const char *folder, uint64_t *numbers, unsigned most);
long pipe_pair(int fds[2]);
long memory_file(uint64_t size);
long hugetlb_file(uint64_t size); /* of 2M pages */

/* All return an address or -errno, which failed() tells apart. */
uint64_t map(uint64_t hint, uint64_t length, int prot, int flags, int fd);
bool failed(uint64_t address);
long unmap(uint64_t va, uint64_t length);
long protect(uint64_t va, uint64_t length, int prot);
long protect_key(uint64_t va, uint64_t length, int prot, int key);
long allocate_key(unsigned rights);
long advise(uint64_t va, uint64_t length, int advice);
long swap_on(const char *device);
uint64_t free_memory(void);

long fork_process(void);
long process_id(void);
long end_with_parent(void);
_Noreturn void leave(int status);
void sleep_forever(void);

/* gcc may call these even in a freestanding program. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

#endif
