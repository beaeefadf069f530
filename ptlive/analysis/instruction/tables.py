"""What the manual's instruction pages (SDM vol. 2) say of memory operands, as data.

A memory operand that does not come first is read. One that comes first is written, unless
its instruction stands here. `tests/analysis/instruction` holds all of it against another
decoder, instruction by instruction.
"""

from __future__ import annotations

# Compute an address, or give a hint: nothing is accessed and nothing faults.
TOUCHES_NOTHING = frozenset(
    {
        *("lea", "nop", "endbr32", "endbr64", "invlpg", "cldemote", "prefetch", "prefetchw"),
        *("prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2", "prefetchwt1"),
        *("bndmk", "bndcl", "bndcu", "bndcn", "bndldx", "bndstx"),
    }
)

# The first operand is memory that is read, and not written.
READS_FIRST = frozenset(
    {
        *("cmp", "test", "bt", "push", "call", "jmp", "lcall", "ljmp", "mul", "imul", "div"),
        *("idiv", "verr", "verw", "lldt", "ltr", "lmsw", "lgdt", "lidt", "ldmxcsr", "vldmxcsr"),
        *("clflush", "clflushopt", "clwb", "ptwrite", "fxrstor", "fxrstor64", "xrstor"),
        *(
            "xrstor64",
            "xrstors",
            "xrstors64",
            "frstor",
            "fldenv",
            "fldcw",
            "vmptrld",
            "vmclear",
            "vmxon",
        ),
        *("fld", "fild", "fbld", "fadd", "fiadd", "fsub", "fsubr", "fisub", "fisubr", "fmul"),
        *("fimul", "fdiv", "fdivr", "fidiv", "fidivr", "fcom", "fcomp", "ficom", "ficomp"),
    }
)

# The first operand is memory that is read and then written.
MODIFIES_FIRST = frozenset(
    {
        *("add", "or", "adc", "sbb", "and", "sub", "xor", "inc", "dec", "not", "neg", "rol"),
        *("ror", "rcl", "rcr", "shl", "sal", "shr", "sar", "shld", "shrd", "bts", "btr", "btc"),
        *("xadd", "xchg", "cmpxchg", "cmpxchg8b", "cmpxchg16b", "rstorssp", "clrssbsy"),
        *("xsave", "xsave64", "xsaveopt", "xsaveopt64"),
    }
)

# Where the size is no matter of the operand's type, or capstone has another one. Of x87 and
# system state, the sizes with 32-bit and with 16-bit operands.
X87_STATE = {
    "fnsave": (108, 94),
    "frstor": (108, 94),
    "fnstenv": (28, 14),
    "fldenv": (28, 14),
}
FXSAVE_AREA = 512  # SDM vol. 1 10.5.1
# The legacy region and the header (SDM vol. 1 13.4); what follows depends on XCR0.
XSAVE_AREA = 512 + 64
AREAS = {
    **dict.fromkeys(("fxsave", "fxsave64", "fxrstor", "fxrstor64"), FXSAVE_AREA),
    **{
        f"{name}{wide}": XSAVE_AREA
        for name in ("xsave", "xsaveopt", "xsavec", "xsaves", "xrstor", "xrstors")
        for wide in ("", "64")
    },
}
AREA_ALIGNMENT = {FXSAVE_AREA: 16, XSAVE_AREA: 64}
SIZES = {"rstorssp": 8, "clrssbsy": 8, "comisd": 8}
# Of these an element that is broadcast has 8 bytes.
BROADCASTS_8 = frozenset({"vgf2p8affineqb", "vgf2p8affineinvqb"})
# A pointer of a selector and an offset.
FAR_POINTERS = frozenset({"lss", "lfs", "lgs", "les", "lds", "lcall", "ljmp"})

# 16 bytes of the older SSE have to be aligned, but of these (SDM vol. 1 14.9, table 14-20).
UNALIGNED = frozenset(
    {
        *("movups", "movupd", "movdqu", "lddqu", "pcmpestri", "pcmpestrm", "pcmpistri"),
        *("pcmpistrm", "invpcid", "invept", "invvpid"),
    }
)
# Of VEX and EVEX these alone.
ALIGNED = frozenset(
    {
        *("vmovaps", "vmovapd", "vmovdqa", "vmovdqa32", "vmovdqa64", "vmovntps", "vmovntpd"),
        *("vmovntdq", "vmovntdqa"),
    }
)

# Loads and stores of which a vector register selects the elements: bytes of an element.
MASKED_BY_VECTOR = {"vpmaskmovd": 4, "vmaskmovps": 4, "vpmaskmovq": 8, "vmaskmovpd": 8}
MASKED_BYTES = frozenset({"maskmovq", "maskmovdqu", "vmaskmovdqu"})

# Strings: what is done to [rsi] and to [rdi].
STRINGS = {
    "movs": ("read", "write"),
    "cmps": ("read", "read"),
    "stos": ("", "write"),
    "lods": ("read", ""),
    "scas": ("", "read"),
    "ins": ("", "write"),
    "outs": ("read", ""),
}
STRING_SIZES = {"b": 1, "w": 2, "d": 4, "q": 8}

# What an instruction does besides, which is not followed.
NOT_FOLLOWED = {
    **dict.fromkeys(
        ("int", "int1", "int3", "into", "ud0", "ud1", "ud2"),
        "its exception or interrupt: the IDT, the TSS and the stack of the handler",
    ),
    **dict.fromkeys(
        ("iret", "iretd", "iretq", "retf", "retfq", "ljmp", "lcall"),
        "the descriptor of the new code and stack segments, and a far return's or call's stack "
        "beyond what is listed",
    ),
    **dict.fromkeys(("ltr", "lldt", "lar", "lsl", "verr", "verw"), "the descriptor in the GDT"),
    **dict.fromkeys(("in", "out", "ins", "outs"), "the I/O permission bitmap of the TSS"),
    **dict.fromkeys(("bndldx", "bndstx"), "the bound table"),
    "enqcmd": "the 64 bytes that go to the device",
    "enqcmds": "the 64 bytes that go to the device",
}
