/*
 * The probes: one access at each address of an array.
 *
 * Reads and writes of ring 0 are made in place, those of ring 3 between SYSRET and SYSCALL, or,
 * three times as slow, between IRETQ and UD2: the fast pair is not served by every KVM.  A fetch
 * is a single step (RFLAGS.TF): IRETQ goes to the probed address, and after one instruction there,
 * painted as `mov $frame, %eax`, comes #DB.  So whatever is there, one instruction is all that is
 * executed of it.  A trap enters at probe_faulted or probe_happened (traps.S).
 */
#include "cpu.h"
#include "layout.h"

	.text
/*
 * A: array of addresses, B: array of answers, C: array of homes (physical addresses where writes
 * should arrive), D: value of the first write, the next is 2 more, E: what to do, F: RFLAGS.
 */
	.globl	step_probe
step_probe:
	call	flush
	mov	%rcx, STATE_COUNT(%r13)
	movq	$0, STATE_INDEX(%r13)
	mov	%rsi, STATE_ADDRESSES(%r13)
	mov	%rdi, STATE_ANSWERS(%r13)
	mov	STEP_C(%r12), %rax
	add	%rbx, %rax
	mov	%rax, STATE_HOMES(%r13)
	mov	STEP_D(%r12), %rax
	mov	%rax, STATE_TOKEN(%r13)

	imul	$12, STEP_E(%r12), %rcx
	lea	probe_table(%rip), %rdx
	add	%rdx, %rcx
	movslq	0(%rcx), %rax
	add	%rdx, %rax
	mov	%rax, STATE_ENTER(%r13)
	movslq	4(%rcx), %rax
	add	%rdx, %rax
	mov	%rax, STATE_AFTER(%r13)
	movslq	8(%rcx), %rax
	add	%rdx, %rax
	cmpq	$USER_READ, STEP_E(%r12)
	jb	1f
	lea	user_code(%rip), %rdx
	sub	%rdx, %rax
	add	%rbx, %rax
	mov	$USER_ALIAS, %rdx
	add	%rdx, %rax
1:	mov	%rax, STATE_EXPECTED_RIP(%r13)

	movq	$1, STATE_PROBING(%r13)
	mov	STEP_F(%r12), %rax
	mov	%rax, STATE_RFLAGS(%r13)
	push	%rax
	popfq

probe_next:
	mov	STATE_INDEX(%r13), %rcx
	cmp	STATE_COUNT(%r13), %rcx
	jae	probe_end
	mov	STATE_ADDRESSES(%r13), %rdx
	mov	(%rdx,%rcx,8), %rdi
	mov	%rdi, STATE_ADDRESS(%r13)
	mov	STATE_TOKEN(%r13), %rax
	lea	(%rax,%rcx,2), %rax
	jmp	*STATE_ENTER(%r13)

probe_end:
	push	$RFLAGS_ONE
	popfq
	movq	$0, STATE_PROBING(%r13)
	jmp	step_next

	/*
	 * In the order of layout.h: how to access, what follows, where it may fault.  A fetch may
	 * trap where it likes: IRETQ can refuse a non-canonical RIP itself (SDM vol. 2A), and if
	 * the address is not painted, INT3 may be there.
	 */
	.macro	how enter, allowed, faults
	.long	\enter - probe_table, \allowed - probe_table, \faults - probe_table
	.endm
probe_table:
	how	supervisor_read, read_allowed, supervisor_read
	how	supervisor_write, write_allowed, supervisor_write
	how	supervisor_fetch, fetch_allowed, supervisor_fetch
	how	user_enter, read_allowed, user_read
	how	user_enter, write_allowed, user_write
	how	user_fetch, fetch_allowed, user_code
	how	user_enter_slow, read_allowed, user_read_slow
	how	user_enter_slow, write_allowed, user_write_slow

/* rdi: the address; rax: the value to write. */
supervisor_read:
	mov	(%rdi), %rax
	jmp	read_allowed

supervisor_write:
	mov	%rax, (%rdi)
	jmp	write_allowed

	/* A page of its own: ring 3 sees nothing else of the prober. */
	.section .user_code, "ax"
user_read:
	mov	(%rdi), %rax
	syscall
user_write:
	mov	%rax, (%rdi)
	syscall
user_read_slow:
	mov	(%rdi), %rax
	ud2
user_write_slow:
	mov	%rax, (%rdi)
	ud2

	.text
user_enter:
	mov	STATE_EXPECTED_RIP(%r13), %rcx
	mov	$RFLAGS_ONE, %r11d
	sysretq
	.globl	probe_syscall
probe_syscall:				/* rsp and r13 are as user_enter left them */
	jmp	*STATE_AFTER(%r13)

user_enter_slow:
	push	$USER_DS
	push	%rsp			/* whatever: a probe needs no stack */
	push	$RFLAGS_ONE
	push	$USER_CS
	push	STATE_EXPECTED_RIP(%r13)
	iretq

user_fetch:
	mov	$USER_DS, %ecx
	mov	$USER_CS, %edx
	jmp	1f
supervisor_fetch:
	mov	$KERNEL_DS, %ecx
	mov	$KERNEL_CS, %edx
1:	movq	$0, STATE_EXPECTED_RIP(%r13)
	mov	$-1, %rax		/* no frame has this number */
	push	%rcx
	push	%rsp
	push	$RFLAGS_ONE | RFLAGS_TF
	push	%rdx
	push	%rdi
	iretq

/* #DB after a fetch, #UD behind a read or write: it happened. */
	.globl	probe_happened
probe_happened:
	lea	STACK_END - STATE(%r13), %rsp
	jmp	*STATE_AFTER(%r13)

/* What was written is looked for at its home. */
write_allowed:
	mov	STATE_INDEX(%r13), %rcx
	mov	STATE_HOMES(%r13), %rdx
	mov	(%rdx,%rcx,8), %rdx
	add	STATE_BASE(%r13), %rdx
	mov	(%rdx), %rax
fetch_allowed:
read_allowed:				/* rax: the answer's value */
	mov	%rax, %rsi
	xor	%eax, %eax
	xor	%edx, %edx
	jmp	probe_answer

/* eax: vector, edx: error code, rsi: CR2. */
	.globl	probe_faulted
probe_faulted:
	lea	STACK_END - STATE(%r13), %rsp
	push	STATE_RFLAGS(%r13)	/* a trap keeps AC, but not under every KVM */
	popfq
probe_answer:
	mov	STATE_INDEX(%r13), %rcx
	lea	1(%rcx), %rdi
	mov	%rdi, STATE_INDEX(%r13)
	shl	$4, %rcx
	.if	ANSWER_SIZE - 16
	.error	"an answer has 16 bytes"
	.endif
	add	STATE_ANSWERS(%r13), %rcx
	mov	%eax, ANSWER_VECTOR(%rcx)
	mov	%edx, ANSWER_ERROR(%rcx)
	mov	%rsi, ANSWER_VALUE(%rcx)
	jmp	probe_next

	.section .note.GNU-stack, "", @progbits
