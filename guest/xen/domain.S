/*
 * The smallest domain that Xen starts as its first: it says that it is there, and spins.  So that
 * Xen itself can be looked at, with a domain whose page tables Xen's are a part of.
 *
 * A paravirtual kernel (Xen, docs/misc/pvh.pandoc for the notes, xen/include/public/elfnote.h):
 * Xen loads it at VIRT_BASE, makes its page tables, and enters it in ring 3 with the start
 * info in RSI, a stack, and its segments.
 */
	.macro	note number, kind, value:vararg
	.balign	4
	.long	4, 2f - 1f, \number
	.asciz	"Xen"
1:	\kind	\value
2:	.balign	4
	.endm

	.section .note.xen, "a", @note
	note	6, .asciz, "ptlive"		/* GUEST_OS */
	note	5, .asciz, "xen-3.0"		/* XEN_VERSION */
	note	8, .asciz, "generic"		/* LOADER */
	note	3, .quad, 0xffffffff80000000	/* VIRT_BASE: where physical 0 is mapped */
	note	4, .quad, 0			/* PADDR_OFFSET */
	note	1, .quad, _start		/* ENTRY */
	note	2, .quad, hypercall_page	/* HYPERCALL_PAGE: Xen fills it */
	note	9, .asciz, "yes"		/* PAE_MODE */
	note	17, .long, 1 << 11		/* SUPPORTED_FEATURES: XENFEAT_dom0 */

	.text
	.balign	4096
hypercall_page:
	.fill	4096, 1, 0xcc

	.globl	_start
_start:
	xor	%edi, %edi			/* CONSOLEIO_write */
	mov	$end - line, %esi
	lea	line(%rip), %rdx
	call	hypercall_page + 18 * 32	/* __HYPERVISOR_console_io */
1:	pause
	jmp	1b

line:	.ascii	"xen: levels=4 a domain spins\n"
end:

	.section .note.GNU-stack, "", @progbits
