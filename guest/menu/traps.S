/* A stub a vector, and what a trap means: a probe's answer, or a defect of the guest. */
#include "stubs.h"

	.text
	stubs	256

/* probe_rsp says whether a probe is running; if so its trap is its answer (probe.S). */
trap:
	cmpq	$0, probe_rsp
	jne	probe_trapped
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	trap_unexpected
	ud2

	.section .note.GNU-stack, "", @progbits
