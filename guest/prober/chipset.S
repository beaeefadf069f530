/*
 * Between 640K and 1M a PC hides its RAM behind video memory and firmware.  These registers of
 * the host bridge uncover it, as the guest's firmware may have done, so that RAM is RAM
 * throughout: 82441FX data sheet 3.2.17, 3.2.20 (QEMU hw/pci-host/i440fx.c), Q35 likewise at
 * other offsets (hw/pci-host/q35.c).
 */
#include "layout.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define HOST_BRIDGE    0x80000000	/* bus 0, device 0, function 0 */

#define DEVICE_Q35     0x29c0
#define PAM_I440FX     0x59
#define PAM_Q35        0x90
#define PAM_COUNT      7
#define PAM_OPEN       0x33		/* reads and writes of both areas go to RAM */
#define SMRAM_I440FX   0x72
#define SMRAM_Q35      0x9d
#define SMRAM_OPEN     0x4a		/* D_OPEN, G_SMRAME, and the base that is fixed */

	.text
	.globl	chipset_open
chipset_open:
	xor	%edi, %edi
	call	config_select
	in	%dx, %eax
	shr	$16, %eax
	mov	$PAM_I440FX, %edi
	mov	$SMRAM_I440FX, %esi
	cmp	$DEVICE_Q35, %eax
	jne	1f
	mov	$PAM_Q35, %edi
	mov	$SMRAM_Q35, %esi

1:	mov	$PAM_COUNT, %r8d
2:	call	config_select
	mov	$PAM_OPEN, %al
	out	%al, %dx
	inc	%edi
	dec	%r8d
	jnz	2b

	mov	%esi, %edi
	call	config_select
	mov	$SMRAM_OPEN, %al
	out	%al, %dx
	ret

/* Makes edx the port of byte edi of the host bridge's configuration. */
config_select:
	mov	%edi, %eax
	and	$~3, %eax
	or	$HOST_BRIDGE, %eax
	mov	$CONFIG_ADDRESS, %edx
	out	%eax, %dx
	mov	%edi, %edx
	and	$3, %edx
	add	$CONFIG_DATA, %edx
	ret

	.section .note.GNU-stack, "", @progbits
