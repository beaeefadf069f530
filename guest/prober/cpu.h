/* Bits of control registers, MSRs (SDM vol. 3A 2.2.1, 2.5; vol. 4), and selectors. */
#ifndef CPU_H
#define CPU_H

#define CR0_PE      0x00000001
#define CR0_ET      0x00000010
#define CR0_PG      0x80000000
#define CR4_PGE     0x00000080
#define CR4_PKE_BIT 22

#define MSR_EFER    0xc0000080
#define MSR_STAR    0xc0000081
#define MSR_LSTAR   0xc0000082
#define MSR_SFMASK  0xc0000084
#define EFER_SCE    0x00000001
#define EFER_LME    0x00000100

#define RFLAGS_ONE  0x00000002
#define RFLAGS_TF   0x00000100
#define RFLAGS_ALL  0x00257fd5	/* every flag that SYSCALL can clear */

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_DS   0x1b	/* SYSRET wants these two in this order */
#define USER_CS   0x23
#define TSS_SEL   0x28
#define BOOT_CS   0x38
#define GDT_SIZE  0x40

#endif
