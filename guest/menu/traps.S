/*
 * One stub a vector, 16 bytes each, so that RIP alone tells which vector was taken.  The first
 * instruction of a stub has not moved the stack: the error code, if any, is at (%rsp).
 */
	.text
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	/* #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX push an error code; the others get a zero. */
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || \
		vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push	$0
	.endif
	push	$vector
	jmp	trap
	.set	vector, vector + 1
	.endr

/* probe_rsp says whether a probe is running; if so its trap is its answer (probe.S). */
trap:
	cmpq	$0, probe_rsp
	jne	probe_trapped
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	trap_unexpected
	ud2

	.section .note.GNU-stack, "", @progbits
