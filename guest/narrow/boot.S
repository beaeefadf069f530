/*
 * From the PVH entry (32-bit protected mode, paging off, EBX = start_info) to start(), and what
 * traps.
 */
#include "../menu/segments.h"
#include "../menu/stubs.h"

	/* XEN_ELFNOTE_PHYS32_ENTRY (18): where to enter. */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 4, 18
	.asciz	"Xen"
	.long	pvh_entry

	.text
	.globl	pvh_entry
pvh_entry:
	cli
	cld
	mov	$stack_top, %esp
	lgdt	gdt_pointer
	ljmp	$KERNEL_CS, $1f
1:	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	push	%ebx
	call	start

	.globl	park
park:
	pause
	jmp	park

	stubs	32

trap:
	cmpl	$0, probe_esp
	jne	probe_trapped
	mov	%esp, %eax
	push	%eax
	call	trap_unexpected

	.bss
	.balign	16
	.fill	16384
stack_top:

	.section .note.GNU-stack, "", @progbits
