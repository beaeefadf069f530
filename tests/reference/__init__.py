"""A second, independent reading of x86-64 paging: the reference that judges ptlive's walker.

Written from the Intel SDM alone. It imports nothing of ptlive and no numpy: plain Python ints,
one entry at a time, one paragraph of code per level, so that a mistake of the recursive walker
cannot be repeated here by sharing its idea. Slow on purpose.

    bits.py     bits by the manual's numbers: P, R/W, ..., "bits 51:M"
    terms.py    the words: Machine, Access, Walk, Outcome, Leaf, Hole
    formats.py  tables 4-14 to 4-20: which bits of each entry are reserved
    walk.py     section 4.5: from a linear address to a physical address
    rights.py   sections 4.6, 4.7, 4.8: access rights, page faults, accessed and dirty flags
    space.py    every leaf and every hole of a whole address space
    sdm.py      all of the public names in one place: import this
    ram.py      paging structures as a dict, for tests
    machines.py the processors of most tests
    defects.py  tables at which other tools were seen to go wrong
    levels.py   4- and 5-level paging with one paragraph for any number of levels
    narrow.py   sections 4.3 and 4.4: 32-bit and PAE paging
    ept.py      vol. 3C, section 28.3: extended page tables

aarch64.py, power.py and riscv.py are the same for other architectures, each from its own manual
and in its words.

Section and table numbers are those of vol. 3A, chapter 4 "Paging". Editions of the manual that
have a chapter 4 "Linear-Address Pre-Processing" print the same text as chapter 5: read 5.6 for
4.6, table 5-14 for table 4-14.

Not modelled: control-flow enforcement (shadow stacks), linear-address masking and separation,
protection keys for supervisor pages, HLAT, SGX, and everything that caches (TLB,
paging-structure caches): each answer is that of a processor with nothing cached.
"""
