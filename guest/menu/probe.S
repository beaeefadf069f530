/*
 * One access, in ring 0 or ring 3.  The instructions that touch the probed address are in a page
 * of their own: ring 0 runs it at its physical address, ring 3 at USER_PROBE_VA.
 */
#include "segments.h"

	.section .probe, "ax"
	.balign	4096
	.globl	probe_page, probe_load, probe_load32, probe_store, probe_jump, probe_return
probe_page:
probe_load:
	mov	(%rdi), %rax
	jmp	*%r15
probe_load32:
	mov	(%rdi), %eax
	jmp	*%r15
probe_store:
	mov	%rsi, (%rdi)
	jmp	*%r15
probe_jump:				/* a painted frame comes back by jmp *%r15 */
	jmp	*%rdi
probe_return:				/* r15 of ring 3: nothing faulted, until here */
	ud2

/*
 * void probe_run(struct shot *shot, uint64_t va, uint64_t value, uint64_t code, uint64_t back,
 *		  uint64_t rflags)
 *
 * Runs `code` with va in rdi, value in rsi, `back` in r15; in ring 3 if back is not 0, in ring 0
 * if it is.  Fills struct shot { vector, error, cr2, rax }.  Whatever traps, it comes back here.
 */
	.text
	.globl	probe_run
probe_run:
	pushfq
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	%rsp, probe_rsp

	mov	%rsi, %rdi
	mov	%rdx, %rsi
	test	%r8, %r8
	jnz	1f

	lea	probe_allowed(%rip), %r15
	push	%r9
	popfq
	jmp	*%rcx

1:	mov	%r8, %r15
	push	$USER_DS
	push	$0			/* rsp: a probe needs no stack */
	push	%r9
	push	$USER_CS
	push	%rcx
	iretq

	/* From traps.S, on the stack: vector, error code, rip.  #UD at r15 is ring 3 coming back. */
	.globl	probe_trapped
probe_trapped:
	pop	%rbx
	pop	%rdx
	cmp	$6, %rbx
	jne	probe_end
	cmp	%r15, (%rsp)
	jne	probe_end
probe_allowed:
	xor	%ebx, %ebx
	xor	%edx, %edx
probe_end:
	mov	probe_rsp, %rsp
	movq	$0, probe_rsp
	mov	$KERNEL_DS, %ecx
	mov	%ecx, %ss		/* null after a trap from ring 3 */
	pop	%rdi
	mov	%cr2, %rcx
	mov	%rbx, 0(%rdi)
	mov	%rdx, 8(%rdi)
	mov	%rcx, 16(%rdi)
	mov	%rax, 24(%rdi)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	popfq				/* clears AC, too */
	ret

	.bss
	.balign	8
	.globl	probe_rsp
probe_rsp:				/* not 0: a probe is running */
	.quad	0

	.section .note.GNU-stack, "", @progbits
