/*
 * One call, counted: on a stack of its own, between two readings of the time stamp counter, which
 * under QEMU's -icount shift=0 is the number of instructions executed so far.
 *
 *	uint64_t counted_call(void *function, const uint64_t arguments[6], void *stack, int64_t *ret)
 */
	.text
	.globl	counted_call
counted_call:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	mov	%rsp, %rbp
	mov	%rdi, %rbx
	mov	%rcx, %r13
	mov	%rsi, %rax
	mov	%rdx, %rsp

	mov	0(%rax), %rdi
	mov	8(%rax), %rsi
	mov	24(%rax), %rcx
	mov	32(%rax), %r8
	mov	40(%rax), %r9
	push	16(%rax)
	rdtsc
	shl	$32, %rdx
	lea	(%rdx, %rax), %r12
	pop	%rdx
	call	*%rbx
	mov	%rax, (%r13)
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	sub	%r12, %rax

	mov	%rbp, %rsp
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

/* What the counter is tried on: one instruction; and 2 + 2 * 1000 of them. */
	.globl	call_nothing
call_nothing:
	ret
	.globl	call_loop
call_loop:
	mov	$1000, %ecx
1:	dec	%ecx
	jnz	1b
	ret

	.section .note.GNU-stack, "", @progbits
