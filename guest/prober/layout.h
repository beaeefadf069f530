/*
 * What the prober and its host agree on.  Every constant is an absolute symbol of the ELF file
 * (layout.S makes them global), and the host reads them there: nothing is stated twice.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#ifdef LAYOUT_GLOBAL
#define constant(name, value) .globl name; .set name, value
#else
#define constant(name, value) .set name, value
#endif

/*
 * The extra RAM, by offset: a DIMM behind the guest's RAM, which the host maps too.  The host
 * fills it from FREE on with the prober's page tables, the steps, and arrays for both directions.
 */
constant(GDT, 0x0000)
constant(TSS, 0x0100)
constant(IDT, 0x0200)
constant(STACK_END, 0x2000)
constant(TRAP_STACK_END, 0x3000)
constant(STATE, 0x3000)		/* right above the trap stack: a trap finds it by rsp */
constant(FREE, 0x4000)

/*
 * The prober's addresses, from the base of the root entry that it borrows (or, at first, from 0):
 * all RAM and the ROM at their physical addresses, and its user code once more, for ring 3.
 */
constant(USER_ALIAS, 0x7fc0000000)	/* the last GB of the 512 GB below one PML4 entry */

/* Fields of the state.  The host sets the first; a trap that nobody expected leaves the next. */
constant(STATE_STEP, 0x00)		/* physical address of the first step, later of the next */
constant(STATE_VECTOR, 0x08)
constant(STATE_ERROR, 0x10)
constant(STATE_RIP, 0x18)
constant(STATE_CR2, 0x20)
constant(STATE_PROBING, 0x28)		/* not 0: a trap is the answer to a probe, */
constant(STATE_ADDRESS, 0x30)		/* of the access at this address */
/* The rest is for the prober alone. */
constant(STATE_BASE, 0x38)		/* where physical address 0 is mapped */
constant(STATE_INDEX, 0x40)
constant(STATE_COUNT, 0x48)
constant(STATE_ADDRESSES, 0x50)
constant(STATE_ANSWERS, 0x58)
constant(STATE_HOMES, 0x60)
constant(STATE_TOKEN, 0x68)
constant(STATE_ENTER, 0x70)		/* code that makes the access */
constant(STATE_AFTER, 0x78)		/* code that follows when it was allowed */
constant(STATE_EXPECTED_RIP, 0x80)	/* where alone it may fault; 0: anywhere */
constant(STATE_RFLAGS, 0x88)

/* A step: what to do, how often, and up to six arguments (steps.S tells them). */
constant(STEP_CODE, 0x00)
constant(STEP_COUNT, 0x08)
constant(STEP_A, 0x10)
constant(STEP_B, 0x18)
constant(STEP_C, 0x20)
constant(STEP_D, 0x28)
constant(STEP_E, 0x30)
constant(STEP_F, 0x38)
constant(STEP_SIZE, 0x40)

/* Codes of steps. */
constant(CODE_END, 0)
constant(CODE_SETTLE, 1)
constant(CODE_CONTROL, 2)
constant(CODE_POKE, 3)
constant(CODE_PEEK, 4)
constant(CODE_COPY, 5)
constant(CODE_PROBE, 6)

/* What a probe does (STEP_E). */
constant(SUPERVISOR_READ, 0)
constant(SUPERVISOR_WRITE, 1)
constant(SUPERVISOR_FETCH, 2)
constant(USER_READ, 3)
constant(USER_WRITE, 4)
constant(USER_FETCH, 5)
constant(USER_READ_SLOW, 6)		/* as above, without SYSRET and SYSCALL */
constant(USER_WRITE_SLOW, 7)

/* An answer: vector (0: allowed), error code, and what was read, or else CR2. */
constant(ANSWER_VECTOR, 0)		/* 4 bytes */
constant(ANSWER_ERROR, 4)		/* 4 bytes */
constant(ANSWER_VALUE, 8)		/* 8 bytes */
constant(ANSWER_SIZE, 16)

/* QEMU's isa-debug-exit: writing n ends it with the exit status 2n + 1. */
constant(EXIT_PORT, 0xf4)
constant(EXIT_DONE, 0x10)
constant(EXIT_TRAPPED, 0x11)

#endif
