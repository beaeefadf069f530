/* A CPU at EL1, that makes accesses from there and from EL0. */

	.section .start, "ax"
	.global _start
_start:
	/* QEMU starts at EL1, where the machine has neither EL2 nor EL3. */
	ldr	x0, =stack_top
	mov	sp, x0
	ldr	x0, =vectors
	msr	vbar_el1, x0
	/* No trap of floating point: a compiler may use it for copies. */
	mov	x0, #3 << 20
	msr	cpacr_el1, x0
	isb
	bl	run
1:	wfi
	b	1b

	.text
/*
 * void access(u64 va, u64 kind, u64 user, struct outcome *outcome)
 * kind: 0 reads, 1 writes, 2 fetches
 */
	.global access
access:
	stp	x29, x30, [sp, #-112]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	str	x3, [sp, #96]
	cbnz	x2, user
	cmp	x1, #1
	b.lt	reads
	b.eq	writes
	br	x0		/* an svc: it comes back as an exception of its own */
reads:
	ldr	x0, [x0]
	str	x0, [x3, #24]
	b	done
writes:
	str	x0, [x0]
	b	done
user:
	ldr	x9, =in_user
	cmp	x1, #1
	b.lt	1f
	b.eq	2f
	mov	x9, x0
	b	1f
2:	add	x9, x9, #8
1:	msr	elr_el1, x9
	/* EL0, with PSTATE.PAN as it is: that matters to EL1 alone, to which it comes back. */
	mov	x10, #0x3c0
	mrs	x11, s3_0_c4_c2_3
	orr	x10, x10, x11
	msr	spsr_el1, x10
	eret

trap:
	/* Only probes trap: the stack is that of `access`. */
	ldr	x3, [sp, #96]
	mrs	x9, esr_el1
	lsr	x10, x9, #26
	cmp	x10, #0x15	/* an svc */
	b.eq	1f
	lsr	x11, x9, #26
	str	x11, [x3]
	and	x9, x9, #0x1ffffff
	str	x9, [x3, #8]
	mrs	x9, far_el1
	str	x9, [x3, #16]
	b	done
1:	str	x0, [x3, #24]
done:
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #112
	ret

	.align	11
vectors:
	.rept	16
	b	trap
	.align	7
	.endr

/* What EL0 executes: a page of its own. */
	.section .user, "ax"
	.align	16
in_user:
	ldr	x0, [x0]
	svc	#0
	str	x0, [x0]
	svc	#0

	.bss
	.align	4
	.skip	16384
stack_top:
