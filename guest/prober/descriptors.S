/*
 * GDT, TSS, IDT and the entry of SYSCALL, at the addresses of the present base (SDM vol. 3A 3.4,
 * 6.14, 7.7, 5.8.8).  Every trap takes the stack of IST 1: rsp is right even if the code at a
 * probed address has spoilt it.
 */
#include "cpu.h"
#include "layout.h"

#define TSS_IST1    0x24
#define TSS_IO_MAP  0x66
#define TSS_LIMIT   0x67
#define TSS_PRESENT 0x89		/* present, available 64-bit TSS */
#define GATE_LOW    (KERNEL_CS << 16)
#define GATE_IST1   0x8e01		/* present, DPL 0, interrupt gate, IST 1 */
#define VECTORS     32
#define STUB_SIZE   16

	.text
	.globl	descriptors_load
descriptors_load:
	lea	gdt(%rip), %rsi
	lea	GDT - STATE(%r13), %rdi
	mov	$GDT_SIZE, %ecx
	rep movsb

	lea	TSS - STATE(%r13), %rax
	lea	TRAP_STACK_END - STATE(%r13), %rcx
	mov	%rcx, TSS_IST1(%rax)
	movw	$TSS_LIMIT + 1, TSS_IO_MAP(%rax)	/* beyond the limit: ring 3 has no port */
	lea	GDT - STATE + TSS_SEL(%r13), %rdi
	movw	$TSS_LIMIT, 0(%rdi)
	mov	%ax, 2(%rdi)
	shr	$16, %rax
	mov	%al, 4(%rdi)
	movb	$TSS_PRESENT, 5(%rdi)
	mov	%ah, 7(%rdi)
	shr	$16, %rax
	mov	%rax, 8(%rdi)

	lea	GDT - STATE(%r13), %rax
	mov	$GDT_SIZE - 1, %ecx
	call	table_pointer
	lgdt	6(%rsp)
	add	$16, %rsp
	mov	$TSS_SEL, %eax
	ltr	%ax

	lea	trap_stubs(%rip), %rax
	lea	IDT - STATE(%r13), %rdi
	mov	$VECTORS, %ecx
1:	mov	%rax, %rdx
	movzwl	%dx, %esi
	or	$GATE_LOW, %esi
	mov	%esi, 0(%rdi)
	mov	$GATE_IST1, %dx
	mov	%rdx, 4(%rdi)		/* bits 16 to 63 of the stub's address, above the type */
	add	$STUB_SIZE, %rax
	add	$16, %rdi
	dec	%ecx
	jnz	1b

	lea	IDT - STATE(%r13), %rax
	mov	$VECTORS * 16 - 1, %ecx
	call	table_pointer
	lidt	6(%rsp)
	add	$16, %rsp

	mov	$MSR_STAR, %ecx
	xor	%eax, %eax
	mov	$(USER_DS - 8) << 16 | KERNEL_CS, %edx
	wrmsr
	mov	$MSR_SFMASK, %ecx
	mov	$RFLAGS_ALL, %eax
	xor	%edx, %edx
	wrmsr
	mov	$MSR_LSTAR, %ecx
	lea	probe_syscall(%rip), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
	ret

/* Leaves 16 bytes on the stack, of which the last ten are what LGDT and LIDT take. */
table_pointer:
	pop	%rdx
	push	%rax
	sub	$8, %rsp
	mov	%cx, 6(%rsp)
	jmp	*%rdx

	.section .note.GNU-stack, "", @progbits
