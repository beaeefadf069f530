/*
 * From reset to 64-bit mode (SDM vol. 3A 9.1.4, 9.8.5).  The host has patched the ROM: entry 0 of
 * boot_root maps all RAM and the ROM at their physical addresses, with accessed and dirty bits
 * set, since nothing can be written here; another entry does so at the address to settle at.
 */
#include "cpu.h"
#include "layout.h"

	/* CS's base is 0xffff0000: near jumps stay in the ROM. */
	.section .reset, "ax"
	.code16
	.globl	reset
reset:
	jmp	real_mode

	.text
real_mode:
	cli
	cld
	lgdtl	%cs:boot_gdt_pointer - 0xffff0000
	mov	$CR0_PE | CR0_ET, %eax
	mov	%eax, %cr0
	ljmpl	$BOOT_CS, $protected_mode

	.code32
protected_mode:
	mov	$KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	boot_cr4, %eax		/* PAE and, settled for good while paging is off, LA57 */
	mov	%eax, %cr4
	mov	$boot_root, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME | EFER_SCE, %eax
	wrmsr
	mov	$CR0_PG | CR0_PE | CR0_ET, %eax
	mov	%eax, %cr0
	ljmp	$KERNEL_CS, $long_mode

	.code64
long_mode:
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	xor	%ebx, %ebx		/* physical address 0 is at 0 */
	mov	boot_extra(%rip), %r13
	add	$STATE, %r13
	lea	STACK_END - STATE(%r13), %rsp
	mov	%rbx, STATE_BASE(%r13)
	call	chipset_open
	jmp	step_next

	/* Patched by the host. */
	.globl	boot_cr4, boot_extra
	.balign	8
boot_cr4:
	.long	0
	.balign	8
boot_extra:				/* physical address of the extra RAM */
	.quad	0

	/* Accessed bits are set, so that no load writes them.  Copied to RAM by descriptors.S. */
	.globl	gdt
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* KERNEL_CS */
	.quad	0x00cf93000000ffff	/* KERNEL_DS */
	.quad	0x00cff3000000ffff	/* USER_DS */
	.quad	0x00affb000000ffff	/* USER_CS */
	.quad	0, 0			/* TSS_SEL */
	.quad	0x00cf9b000000ffff	/* BOOT_CS */
	.if	. - gdt - GDT_SIZE
	.error	"GDT_SIZE"
	.endif
boot_gdt_pointer:
	.word	GDT_SIZE - 1
	.long	gdt

	.section .note.GNU-stack, "", @progbits
