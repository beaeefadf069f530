/*
 * From the PVH entry (32-bit protected mode, paging off, EBX = start_info) to start() in 64-bit
 * mode, with five levels of paging where the CPU has LA57.
 */
#include "segments.h"

#define CR0_WP    0x00010000
#define CR0_PG    0x80000000
#define CR4_PAE   0x00000020
#define CR4_LA57  0x00001000
#define EFER_LME  0x00000100
#define MSR_EFER  0xc0000080

	/* XEN_ELFNOTE_PHYS32_ENTRY (18): where to enter.  QEMU reads 8 bytes from an ELF64. */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 8, 18
	.asciz	"Xen"
	.long	pvh_entry, 0

	.text
	.code32
	.globl	pvh_entry
pvh_entry:
	cli
	cld
	mov	$stack_top, %esp
	mov	%ebx, %ebp		/* start_info: cpuid clobbers ebx */

	mov	$boot_pml4, %edi
	mov	$4, %esi
	mov	$CR4_PAE, %edx
	xor	%eax, %eax
	push	%edx
	cpuid
	pop	%edx
	cmp	$7, %eax
	jb	1f
	mov	$7, %eax
	xor	%ecx, %ecx
	push	%edx
	cpuid
	pop	%edx
	bt	$16, %ecx		/* CPUID.7.0:ECX.LA57 */
	jnc	1f
	mov	$boot_pml5, %edi
	mov	$5, %esi
	or	$CR4_LA57, %edx		/* only possible while paging is off */
1:
	mov	%edx, %cr4
	mov	%edi, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	%cr0, %eax
	or	$CR0_PG | CR0_WP, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$KERNEL_CS, $1f

	.code64
1:	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$stack_top, %esp
	mov	%ebp, %edi		/* start(start_info, levels) */
	xor	%ebp, %ebp
	call	start

/*
 * Where the guest stays: CPL 0, IF = 0, AC = 0.  The ring 3 probes left null selectors in the
 * data segments (iretq clears them).
 */
	.globl	park
park:
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	.globl	parked
parked:
	pause
	jmp	parked

	/* The first 1 GiB, identity mapped in 2M leaves, until tables.c has built better. */
	.data
	.balign	4096
boot_pml5:
	.quad	boot_pml4 + 0x3
	.fill	511, 8, 0
boot_pml4:
	.quad	boot_pdpt + 0x3
	.fill	511, 8, 0
boot_pdpt:
	.quad	boot_pd + 0x3
	.fill	511, 8, 0
boot_pd:
	.set	pa, 0
	.rept	512
	.quad	pa + 0x83
	.set	pa, pa + 0x200000
	.endr

	.bss
	.balign	16
	.fill	16384
stack_top:

	.section .note.GNU-stack, "", @progbits
