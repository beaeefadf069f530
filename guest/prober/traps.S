/* A stub a vector, and what a trap means: the answer to a probe, or the prober's end. */
#include "../menu/stubs.h"
#include "layout.h"

#define DEBUG 1
#define INVALID_OPCODE 6
#define PAGE_FAULT 14

/* The trap's stack: vector, error code, rip, cs, rflags, rsp, ss; the state lies above it. */
#define FRAME_SIZE 56

	.text
	stubs	32

trap:
	lea	FRAME_SIZE + STATE - TRAP_STACK_END(%rsp), %r13
	cmpq	$0, STATE_PROBING(%r13)
	je	trap_unexpected
	cmpq	$DEBUG, (%rsp)
	je	probe_happened
	mov	STATE_EXPECTED_RIP(%r13), %rdx
	test	%rdx, %rdx
	jz	1f
	cmp	16(%rsp), %rdx
	je	1f
	cmpq	$INVALID_OPCODE, (%rsp)
	je	probe_happened
	jmp	trap_unexpected
1:	mov	(%rsp), %rax
	mov	8(%rsp), %rdx
	xor	%esi, %esi
	cmp	$PAGE_FAULT, %eax
	jne	probe_faulted
	mov	%cr2, %rsi
	jmp	probe_faulted

trap_unexpected:
	mov	0(%rsp), %rax
	mov	%rax, STATE_VECTOR(%r13)
	mov	8(%rsp), %rax
	mov	%rax, STATE_ERROR(%r13)
	mov	16(%rsp), %rax
	mov	%rax, STATE_RIP(%r13)
	mov	%cr2, %rax
	mov	%rax, STATE_CR2(%r13)
	mov	$EXIT_TRAPPED, %eax
	jmp	leave

	.section .note.GNU-stack, "", @progbits
