/* The virtual machine control block: AMD64 Architecture Programmer's Manual, vol. 2, appendix B. */
#ifndef VMCB_H
#define VMCB_H

#include <stddef.h>
#include <stdint.h>

struct segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* Table B-1, the control area */
	uint32_t intercept_cr, intercept_dr, intercept_exceptions, intercept_3, intercept_4;
	uint8_t gap0[0x58 - 0x14];
	uint32_t asid;
	uint8_t tlb_control, gap1[0x70 - 0x5d];
	uint64_t exit_code, exit_info_1, exit_info_2;
	uint8_t gap2[0x90 - 0x88];
	uint64_t np_enable;
	uint8_t gap3[0xb0 - 0x98];
	uint64_t n_cr3;
	uint8_t gap4[0x400 - 0xb8];
	/* Table B-2, the state save area */
	struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t gap5[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t gap6;
	uint64_t efer;
	uint8_t gap7[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t gap8[0x5d8 - 0x580];
	uint64_t rsp, gap9[3], rax;
	uint8_t gap10[0x640 - 0x600];
	uint64_t cr2;
	uint8_t gap11[0x668 - 0x648];
	uint64_t g_pat;
	uint8_t gap12[0x1000 - 0x670];
} __attribute__((aligned(4096)));

_Static_assert(offsetof(struct vmcb, asid) == 0x58, "B-1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "B-1");
_Static_assert(offsetof(struct vmcb, n_cr3) == 0xb0, "B-1");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "B-2");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "B-2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "B-2");
_Static_assert(sizeof(struct vmcb) == 0x1000, "one frame");

enum { INTERCEPT_HLT = 1 << 24, INTERCEPT_SHUTDOWN = 1u << 31 }; /* in intercept_3 */
enum { INTERCEPT_VMRUN = 1 << 0, INTERCEPT_VMMCALL = 1 << 1 };   /* in intercept_4 */
enum { EXIT_VMMCALL = 0x81, EXIT_NPF = 0x400 };

#endif
