/*
 * The prober's work is a list of steps, made by the host.  All addresses in it are physical; a
 * physical address p is mapped at rbx + p.  r13 is the state, r12 the step.
 */
#include "cpu.h"
#include "layout.h"

	.text
	.globl	step_next
step_next:
	mov	STATE_BASE(%r13), %rbx
	mov	STATE_STEP(%r13), %r12
	addq	$STEP_SIZE, STATE_STEP(%r13)
	add	%rbx, %r12
	mov	STEP_COUNT(%r12), %rcx
	mov	STEP_A(%r12), %rsi
	mov	STEP_B(%r12), %rdi
	add	%rbx, %rsi
	add	%rbx, %rdi
	mov	STEP_CODE(%r12), %rax
	lea	step_table(%rip), %rdx
	movslq	(%rdx,%rax,4), %rax
	add	%rdx, %rax
	jmp	*%rax

step_table:				/* in the order of the codes */
	.long	step_end - step_table
	.long	step_settle - step_table
	.long	step_control - step_table
	.long	step_poke - step_table
	.long	step_peek - step_table
	.long	step_copy - step_table
	.long	step_probe - step_table

step_end:
	mov	$EXIT_DONE, %eax
	.globl	leave
leave:					/* with eax as the reason */
	mov	$EXIT_PORT, %edx
	out	%eax, %dx
1:	pause				/* QEMU ends; some instructions later */
	jmp	1b

/*
 * Move to another base, with another root.  A: the base, which the present root maps as well;
 * B: the value of CR3.
 */
step_settle:
	mov	STEP_A(%r12), %rdx
	mov	STEP_B(%r12), %rcx
	mov	%rdx, STATE_BASE(%r13)
	sub	%rbx, %rdx		/* how far everything moves */
	add	%rdx, %r13
	lea	settled(%rip), %rax
	add	%rdx, %rax
	jmp	*%rax
settled:
	mov	%rcx, %cr3
	lea	STACK_END - STATE(%r13), %rsp
	call	descriptors_load
	jmp	step_next

/* Put the CPU into the guest's state.  A: CR0, B: CR4, C: EFER, D: PKRU. */
step_control:
	mov	$MSR_EFER, %ecx
	mov	STEP_C(%r12), %rax
	xor	%edx, %edx
	wrmsr
	mov	STEP_A(%r12), %rax
	mov	%rax, %cr0
	mov	STEP_B(%r12), %rax
	mov	%rax, %cr4
	bt	$CR4_PKE_BIT, %rax	/* without it WRPKRU is no instruction */
	jnc	step_next
	mov	STEP_D(%r12), %rax
	xor	%ecx, %ecx
	xor	%edx, %edx
	wrpkru
	jmp	step_next

/* Write `count` words.  A: array of their addresses, B: array of their values. */
step_poke:
	test	%rcx, %rcx
	jz	step_next
1:	mov	(%rsi), %rdx
	mov	(%rdi), %rax
	mov	%rax, (%rbx,%rdx)
	add	$8, %rsi
	add	$8, %rdi
	dec	%rcx
	jnz	1b
	jmp	step_next

/* Read `count` words.  A: array of their addresses, B: where their values go. */
step_peek:
	test	%rcx, %rcx
	jz	step_next
1:	mov	(%rsi), %rdx
	mov	(%rbx,%rdx), %rax
	mov	%rax, (%rdi)
	add	$8, %rsi
	add	$8, %rdi
	dec	%rcx
	jnz	1b
	jmp	step_next

/* Copy `count` frames of 4K.  A: array of their addresses, B: where they go. */
step_copy:
	cld
	mov	%rcx, %r8
	mov	%rsi, %r9
1:	test	%r8, %r8
	jz	step_next
	mov	(%r9), %rsi
	add	%rbx, %rsi
	mov	$512, %ecx
	rep movsq
	add	$8, %r9
	dec	%r8
	jmp	1b

/* Drops all translations, global ones too (SDM vol. 3A 4.10.4.1).  Changes rax and rdx. */
	.globl	flush
flush:
	mov	%cr4, %rax
	test	$CR4_PGE, %eax
	jz	1f
	mov	%rax, %rdx
	and	$~CR4_PGE, %rdx
	mov	%rdx, %cr4
	mov	%rax, %cr4
1:	mov	%cr3, %rax
	mov	%rax, %cr3
	ret

	.section .note.GNU-stack, "", @progbits
