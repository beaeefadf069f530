"""Linux's struct pt_regs: the registers as they were when the kernel was entered."""

from __future__ import annotations

import struct

# arch/x86/include/asm/ptrace.h, struct pt_regs; the same since 2.6. What stands in ORIG_RAX
# is -1 for an exception: its error code went to the handler as an argument.
_ORDER = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8"),
    *("rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
)
SIZE = 8 * len(_ORDER)


def parse_pt_regs(data: bytes) -> dict[str, int]:
    """Return the registers in SIZE bytes, by the stub's names.

    Newer kernels keep more in the upper half of the words of CS and SS, which are cut off.
    """
    values = dict(zip(_ORDER, struct.unpack(f"<{len(_ORDER)}Q", data), strict=True))
    del values["orig_rax"]
    return {**values, "cs": values["cs"] & 0xFFFF, "ss": values["ss"] & 0xFFFF}
