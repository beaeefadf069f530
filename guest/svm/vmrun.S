/*
 * The world switch, and what the nested guest runs. Each piece ends with vmmcall, which the
 * hypervisor intercepts.
 */
	.section .probe, "ax"
	.balign	4096
	.globl	nested_load, nested_store, nested_jump
nested_load:
	mov	(%rdi), %rax
	vmmcall
nested_store:
	mov	%rsi, (%rdi)
	vmmcall
nested_jump:				/* a painted frame ends with vmmcall itself */
	jmp	*%rdi

/*
 * void vmrun(struct vmcb *vmcb, uint64_t rdi, uint64_t rsi)
 *
 * VMRUN switches RAX, RSP and RIP, and no other general register (APM vol. 2, 15.5.1).
 */
	.text
	.globl	vmrun
vmrun:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	clgi				/* 15.17: so that nothing comes in between */
	vmrun	%rax
	stgi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	/* menu/traps.S wants these: here no trap is expected. */
	.globl	probe_trapped
probe_trapped:
	ud2
	.bss
	.balign	8
	.globl	probe_rsp
probe_rsp:
	.quad	0

	.section .note.GNU-stack, "", @progbits
