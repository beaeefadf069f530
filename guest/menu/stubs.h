/* For assembly: what a vector's gate leads to. */
#ifndef STUBS_H
#define STUBS_H

/*
 * trap_stubs: one stub a vector, 16 bytes each, so that RIP alone tells which vector was taken.
 * It leaves vector and error code on the stack and goes on at `trap`.  The first instruction of a
 * stub has not moved the stack: the error code, if any, is what the stack pointer points to.
 */
	.macro	stubs vectors
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	\vectors
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
	.endm

#endif
