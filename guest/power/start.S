/* A thread in hypervisor state, that makes accesses in privileged and in problem state. */

#define SF_HV	0x9000		/* the upper 16 bits of the MSR that everything here runs with */
#define IR_DR	0x30
#define PR	0x4000

	.section .start, "ax"
	.global _start
	.org	0x10
_start:
	b	begin

	/* Interrupts come in real mode, whatever was translated before (LPCR[AIL] = 0). */
	.macro	vector at
	.org	\at
	li	%r3, \at
	b	trap
	.endm
	vector	0x100
	vector	0x200
	vector	0x300
	vector	0x380
	vector	0x400
	vector	0x480
	vector	0x500
	vector	0x600
	vector	0x700
	vector	0x800
	vector	0x900
	vector	0x980
	vector	0xc00
	vector	0xd00
	vector	0xe00
	vector	0xe20
	vector	0xe40
	vector	0xf80
	.org	0x1000
begin:
	lis	%r2, .TOC.@ha
	addi	%r2, %r2, .TOC.@l
	lis	%r1, stack_top@ha
	addi	%r1, %r1, stack_top@l
	bl	run
1:	b	1b

/*
 * void access(u64 va, u64 kind, u64 user, struct outcome *outcome)
 * kind: 0 reads, 1 writes, 2 fetches
 */
	.global access
access:
	mflr	%r0
	std	%r0, 16(%r1)
	stdu	%r1, -256(%r1)
	std	%r2, 24(%r1)
	.irp	n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	std	%r\n, (8 * (\n - 10))(%r1)
	.endr
	mfcr	%r0
	std	%r0, 240(%r1)
	std	%r1, frame(0)
	std	%r6, frame + 8(0)
	/* Problem state cannot hold interrupts back: no decrementer meanwhile. */
	lis	%r0, 0x7fff
	mtdec	%r0
	mfmsr	%r8
	cmpdi	%r5, 0
	bne	in_state
	cmpdi	%r4, 2
	beq	in_state
	ori	%r9, %r8, 0x10
	mtmsrd	%r9
	isync
	cmpdi	%r4, 1
	beq	1f
	ld	%r7, 0(%r3)
	b	2f
1:	std	%r3, 0(%r3)
	li	%r7, 0
2:	mtmsrd	%r8
	isync
	std	%r7, 24(%r6)
	b	done

in_state:
	/* What runs there ends with an sc: at the address itself, or behind an access to it. */
	ori	%r9, %r8, IR_DR
	cmpdi	%r5, 0
	beq	1f
	ori	%r9, %r9, PR
1:	mtsrr1	%r9
	cmpdi	%r4, 2
	mr	%r10, %r3
	beq	2f
	lis	%r10, USER_STUB@h
	cmpdi	%r4, 1
	bne	2f
	addi	%r10, %r10, 8
2:	mtsrr0	%r10
	li	%r7, 0
	rfid

trap:
	ld	%r1, frame(0)
	ld	%r6, frame + 8(0)
	cmpdi	%r3, 0xc00
	beq	2f
	std	%r3, 0(%r6)
	andi.	%r4, %r3, 0x400
	bne	1f
	mfdsisr	%r4
	std	%r4, 8(%r6)
	mfdar	%r4
	std	%r4, 16(%r6)
	b	done
1:	mfsrr1	%r4
	std	%r4, 8(%r6)
	mfsrr0	%r4
	std	%r4, 16(%r6)
	b	done
2:	std	%r7, 24(%r6)
done:
	ld	%r0, 240(%r1)
	mtcr	%r0
	.irp	n, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	ld	%r\n, (8 * (\n - 10))(%r1)
	.endr
	ld	%r2, 24(%r1)
	addi	%r1, %r1, 256
	ld	%r0, 16(%r1)
	mtlr	%r0
	blr

	.balign	8
frame:	.quad	0, 0

/* What problem state executes: mapped at USER_STUB. */
	.balign	65536
	.global in_user
in_user:
	ld	%r7, 0(%r3)
	sc
	std	%r3, 0(%r3)
	sc

	.bss
	.balign	16
	.skip	16384
	.global stack_top
stack_top:
	.skip	256
