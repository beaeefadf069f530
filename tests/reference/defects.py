"""Tables on which other page-table tools answer wrongly, one set per defect seen.

Each maps physical addresses to entries; the root is at 0x1000 with five levels unless the name
says four, and then at 0x2000. What is right about them is said by hand in the tests.
"""

DEFECTS: dict[str, dict[int, int]] = {
    # Under LA57 an address at or above 2^47 belongs to the lower half, up to 2^56; it comes out
    # sign-extended as if it had 48 bits. VA 0x0000800000000000.
    "lower half above 2^47": {
        0x1000: 0x2067,
        0x2800: 0x3067,
        0x3000: 0x4067,
        0x4000: 0x5067,
        0x5000: 0xABC067,
    },
    # Rights read off the leaf alone. The PML4E has R/W = 0, U/S = 0 and XD = 1; all others allow
    # everything. VA 0.
    "restrictive entry above a permissive leaf": {
        0x1000: 0x2067,
        0x2000: 0x8000_0000_0000_3061,
        0x3000: 0x4067,
        0x4000: 0x5067,
        0x5000: 0xABC067,
    },
    # Equal neighbours dropped, a table whose entries are all equal dropped, a table seen before
    # dropped: two PDEs reference one page table of 512 equal PTEs.
    "equal entries in a shared table": {
        0x1000: 0x2067,
        0x2000: 0x3067,
        0x3000: 0x4067,
        0x4000: 0x5067,
        0x4008: 0x5067,
        **dict.fromkeys(range(0x5000, 0x6000, 8), 0xABC067),
    },
    # A and D never true, inverted, or inherited from the upper entries. The upper entries have
    # A = 1, and bit 6 set where it is ignored. PTE 0: A = D = 0; 1: A = 1, D = 0; 2: A = D = 1.
    "accessed and dirty differ from the upper entries": {
        0x1000: 0x2067,
        0x2000: 0x3067,
        0x3000: 0x4067,
        0x4000: 0x5067,
        0x5000: 0xABC007,
        0x5008: 0xABD027,
        0x5010: 0xABE067,
    },
    # P = 0 and other bits set, at each level: a swap entry (PTE 0), PROT_NONE with Linux' bit 8
    # (PTE 1), and the like in PDE 1, PDPTE 1, PML4E 1 and PML5E 1, PS and reserved bits included.
    "not present but not zero": {
        0x1000: 0x2067,
        0x1008: 0xFFFF_FFFF_FFFF_FFFE,
        0x2000: 0x3067,
        0x2008: 0x0008_0000_0000_3066,
        0x3000: 0x4067,
        0x3008: 0x0000_0000_4000_00E6,
        0x4000: 0x5067,
        0x4008: 0x8000_0000_0020_0166,
        0x5000: 0x07FF_FFFF_FFF0_A400,
        0x5008: 0x8000_0000_00AB_C166,
    },
    # Level names swapped in five-level mode. VA 0x00010100C0805678 has the indexes 1, 2, 3, 4, 5.
    "five levels, each with its own index": {
        0x1008: 0x2067,
        0x2010: 0x3067,
        0x3018: 0x4067,
        0x4020: 0x5067,
        0x5028: 0xABC067,
    },
    # The same with four: VA 0x00000100C0805678.
    "four levels, each with its own index": {
        0x2010: 0x3067,
        0x3018: 0x4067,
        0x4020: 0x5067,
        0x5028: 0xABC067,
    },
    # The physical address cut to 47, 49 or 50 bits. PTE 0 maps a frame with bits 51:47, PDE 1 a
    # 2-MByte page with bits 51:47, PDPTE 1 a 1-GByte page with bits 51:47. MAXPHYADDR 52.
    "physical addresses of 52 bits": {
        0x1000: 0x2067,
        0x2000: 0x3067,
        0x3000: 0x4067,
        0x3008: 0x000F_8000_4000_00E7,
        0x4000: 0x5067,
        0x4008: 0x000F_8000_0020_00E7,
        0x5000: 0x000F_8000_00AB_C067,
    },
    # Bit 7 of a PML5E (VA 2^48) and of a PML4E (VA 2^39) taken for a large page, and of a PTE
    # (VA 0), where it is PAT, for PS.
    "bit 7 where it is not PS": {
        0x1000: 0x2067,
        0x1008: 0x20E7,
        0x2000: 0x3067,
        0x2008: 0x30E7,
        0x3000: 0x4067,
        0x4000: 0x5067,
        0x5000: 0xABC0E7,
    },
}
