/*
 * From QEMU's PVH entry (32-bit, paging off) into the upper half, on tables that map the first
 * gigabyte twice: at 0, and at KERNEL_BASE.  paging.c makes better ones.
 */
#include "kernel.h"

	/* XEN_ELFNOTE_PHYS32_ENTRY (18): where to enter. */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 8, 18
	.asciz	"Xen"
	.long	entry, 0

	.section .boot, "awx"
	.code32
	.globl	entry
entry:
	cli
	cld
	mov	$boot_pml4, %eax
	mov	%eax, %cr3
	mov	$0x20, %eax			/* CR4.PAE */
	mov	%eax, %cr4
	mov	$0xc0000080, %ecx		/* EFER.LME and NXE */
	rdmsr
	or	$0x900, %eax
	wrmsr
	mov	$0x80010001, %eax		/* CR0.PG, WP, PE */
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $1f
	.code64
1:	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	movabs	$upper, %rax
	jmp	*%rax

	.balign	8
gdt:	.quad	0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.balign	4096
boot_pml4:
	.quad	boot_pdpt + 3
	.fill	510, 8, 0
	.quad	boot_pdpt + 3
boot_pdpt:
	.quad	boot_pd + 3
	.fill	509, 8, 0
	.quad	boot_pd + 3, 0
boot_pd:
	.set	pa, 0
	.rept	512
	.quad	pa + 0x83
	.set	pa, pa + 0x200000
	.endr

	.text
upper:
	mov	$stack_top, %rsp
	mov	%ebx, %edi		/* QEMU's start_info */
	xor	%ebp, %ebp
	call	kernel_main

	/* A page that is never mapped ends a stack that grows too far. */
	.section .bss
	.balign	4096
	.globl	stack_guard
stack_guard:
	.skip	4096
	.globl	stack_bottom
stack_bottom:
	.skip	16384
	.globl	stack_top
stack_top:

	.section .note.GNU-stack, "", @progbits
