/* What can be mapped.  Each makes `n` of its kind, remembers them, or says what is not there. */
#ifndef KINDS_H
#define KINDS_H

#include <stdint.h>

/* How the scattered pages lie. */
extern uint64_t stride, frames;

void make_shared(uint64_t n);
void make_thp(uint64_t n);
void make_huge2m(uint64_t n);
void make_huge1g(uint64_t n);
void make_folded(uint64_t n);
void make_high(uint64_t n);
void make_scattered(uint64_t n);
void make_zero(uint64_t n);
void make_none(uint64_t n);
void make_ro(uint64_t n);
void make_wx(uint64_t n);
void make_xonly(uint64_t n);
void make_keys(uint64_t n);
void make_swap(uint64_t n);

/* Says what PKRU is, where the CPU has it. */
void say_pkru(void);

/* Has the processes that share memory with this one testify; returns how many lines they said. */
unsigned others_testify(void);

/* How a process waits to be looked at: "spin" (in user mode) or "sleep". */
_Noreturn void park(const char *how);

/* Maps private pages of 4K that no kernel thread may merge into larger ones. */
uint64_t small_pages(uint64_t hint, uint64_t n, int prot);

/* Has the kernel set apart `n` hugetlb pages of a size ("2048kB"); says so if there are fewer, and
   returns how many are free. */
uint64_t hugetlb_free(const char *kind, uint64_t n, const char *pool);

/* Writes to, or reads from, `n` addresses `step` bytes apart. */
void write_to(uint64_t va, uint64_t step, uint64_t n);
void read_from(uint64_t va, uint64_t step, uint64_t n);

#endif
