/*
 * One access, in ring 0 or ring 3, as guest/menu/probe.S has it for 64 bits. The instructions are
 * in a page of their own, which ring 3 runs at USER_CODE.
 */
#include "../menu/segments.h"

	.section .probe, "ax"
	.balign	4096
	.globl	probe_page, probe_load, probe_store, probe_jump, probe_return
probe_page:
probe_load:
	mov	(%edi), %eax
	jmp	*%ebp
probe_store:
	mov	%esi, (%edi)
	jmp	*%ebp
probe_jump:				/* a painted frame comes back by jmp *%ebp */
	jmp	*%edi
probe_return:				/* ebp of ring 3: nothing faulted, until here */
	ud2

/*
 * void probe_run(struct shot *shot, uint32_t va, uint32_t value, uint32_t code, uint32_t back,
 *		  uint32_t eflags)
 *
 * Runs `code` with va in edi, value in esi, `back` in ebp; in ring 3 if back is not 0.  Fills
 * struct shot { vector, error, cr2, eax }.
 */
	.text
	.globl	probe_run
probe_run:
	pushf
	push	%ebx
	push	%ebp
	push	%esi
	push	%edi
	mov	%esp, probe_esp
	mov	28(%esp), %edi
	mov	32(%esp), %esi
	mov	36(%esp), %ecx
	mov	40(%esp), %ebp
	mov	44(%esp), %edx
	test	%ebp, %ebp
	jnz	1f

	mov	$probe_allowed, %ebp
	push	%edx
	popf
	jmp	*%ecx

1:	mov	$USER_DS, %eax		/* ring 3 may not keep ring 0's */
	mov	%eax, %ds
	mov	%eax, %es
	push	$USER_DS
	push	$0			/* esp: a probe needs no stack */
	push	%edx
	push	$USER_CS
	push	%ecx
	iret

	/* From boot.S, on the stack: vector, error code, eip.  #UD at ebp is ring 3 coming back. */
	.globl	probe_trapped
probe_trapped:
	pop	%ebx
	pop	%edx
	cmp	$6, %ebx
	jne	probe_end
	cmp	%ebp, (%esp)
	jne	probe_end
probe_allowed:
	xor	%ebx, %ebx
	xor	%edx, %edx
probe_end:
	mov	$KERNEL_DS, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	mov	probe_esp, %esp
	movl	$0, probe_esp
	mov	24(%esp), %edi
	mov	%cr2, %ecx
	mov	%ebx, 0(%edi)
	mov	%edx, 4(%edi)
	mov	%ecx, 8(%edi)
	mov	%eax, 12(%edi)
	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	popf				/* clears AC, too */
	ret

	.bss
	.balign	4
	.globl	probe_esp
probe_esp:				/* not 0: a probe is running */
	.long	0

	.section .note.GNU-stack, "", @progbits
