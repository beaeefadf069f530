/* A hart in machine mode, that makes accesses in the name of supervisor or user mode. */

	.section .start, "ax"
	.global _start
_start:
	csrr	t0, mhartid
1:	bnez	t0, 1b
	la	sp, stack_top
	/* All of memory for all modes: one region of PMP, of every size (3.7.1). */
	li	t0, -1
	csrw	pmpaddr0, t0
	li	t0, 0x1f
	csrw	pmpcfg0, t0
	la	t0, trap
	csrw	mtvec, t0
	call	run
	/* Not reached. */
1:	wfi
	j	1b

	.text
/*
 * void access(u64 va, u64 kind, u64 status, struct outcome *outcome)
 * kind: 0 reads, 1 writes, 2 fetches; status: mstatus meanwhile, whose MPP is whose name it is
 */
	.global access
access:
	addi	sp, sp, -32
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	csrr	s0, mstatus
	sd	s0, 16(sp)
	la	t0, frame
	sd	sp, 0(t0)
	sd	a3, 8(t0)
	li	t1, 2
	beq	a1, t1, fetches
	/* Loads and stores of machine mode are made as MPP says while MPRV is set (3.1.6.3). */
	li	t1, 1 << 17
	or	t1, t1, a2
	beq	a1, zero, reads
	csrw	mstatus, t1
	sd	a0, 0(a0)
	csrw	mstatus, s0
	j	done
reads:
	csrw	mstatus, t1
	ld	a0, 0(a0)
	csrw	mstatus, s0
	sd	a0, 24(a3)
	j	done
fetches:
	/* What is there is an ecall: it comes back as a trap of its own. */
	csrw	mstatus, a2
	csrw	mepc, a0
	mret

	.align	2
trap:
	/* Only probes trap: the stack is that of `access`. */
	la	t0, frame
	ld	sp, 0(t0)
	ld	a3, 8(t0)
	ld	s0, 16(sp)
	csrw	mstatus, s0
	csrr	t0, mcause
	/* 8, 9: environment calls from U-mode and S-mode. */
	addi	t1, t0, -8
	li	t2, 2
	bltu	t1, t2, done
	sd	t0, 0(a3)
	csrr	t0, mtval
	sd	t0, 16(a3)
done:
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	addi	sp, sp, 32
	ret

/* void rest(void): to supervisor mode, where nothing happens any more */
	.global rest
rest:
	la	t0, parked
	csrw	mepc, t0
	li	t0, 3 << 11
	csrc	mstatus, t0
	li	t0, 1 << 11
	csrs	mstatus, t0
	mret
	.align	12
parked:
	wfi
	j	parked

	.bss
	.align	4
frame:	.skip	16
	.skip	16384
stack_top:
