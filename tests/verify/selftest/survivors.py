"""Mechanical mutations that no MMU's answers can show to be wrong, and why.

Each survivor must match one row, from its beginning on, and each row a survivor.
"""

from __future__ import annotations

SAME = "means the same: "
TCG = "TCG cannot show it: it maps 1G pages whatever its CPU shows (quirk tcg-1g-without-pdpe1gb)"
GIVEN = "a default; a selftest gives the value"
ONE_FOLD = "x86-64 folds all of its rights by AND; the mock format's tests hold the other folds"
NO_WRONG = (
    "x86-64 has no combinations that are malformed, only reserved bits; EPT's tests hold them"
)
LEFT_OPEN = (
    "says of non-canonical addresses that they cannot be predicted, which no MMU contradicts; "
    "tests/paging/test_access.py wants #GP"
)
NOT_RAISED = "an error-code bit that needs CET, HLAT or SGX, which twins do not have"

SURVIVORS = (
    ("format.py, Kind: UNREADABLE = 4", SAME + "any number that no other kind has"),
    ("format.py, module: Match(0, 1) -> Match(0, 2)", SAME + "no bits are never equal to 2"),
    (
        "format.py, roots: 1 + max(",
        SAME + "x86-64 has one root, number 0",
    ),
    ("format.py, __call__: entries & np.uint64(self.mask) != 0", NO_WRONG),
    (
        "format.py, __call__: entries & np.uint64(self.mask) -> entries | np.uint64(self.mask) (2)",
        NO_WRONG,
    ),
    ("format.py, malformed: malformed |= wrong.test(entries)", NO_WRONG),
    ("formats/x86_64.py, module: PAGE1GB_SHIFT = 30", TCG),
    ("formats/x86_64.py, _level: shift < PAGE1GB_SHIFT", TCG),
    (
        "formats/x86_64.py, module: ADDRESS_BITS = 64 -> ADDRESS_BITS = 65",
        "bounds the index of a sixth level, which no MMU has",
    ),
    (
        "formats/x86_64.py, _level: ADDRESS_BITS - shift",
        "bounds the index of a sixth level, which no MMU has",
    ),
    ("formats/x86_64.py, module: 1 << 0 -> 1 >> 0", SAME + "1"),
    ("formats/x86_64.py, make: rows: ", GIVEN),
    ("formats/x86_64.py, make_levels: levels: ", GIVEN),
    ("formats/x86_64.py, make: lvl == top", "decides the name that Linux gives an entry"),
    ("formats/x86_64.py, _level: 'pgd' if is_root", "decides the name that Linux gives an entry"),
    (
        "format.py, halves: half - 1 -> half - 2",
        "the half's last byte: an access is judged by its first, and has eight; "
        "tests/paging asks that byte",
    ),
    (
        "format.py, halves: (1 << 64) - 1 -> (1 << 64) - 2",
        "the last byte of all: an access is judged by its first, and has eight; "
        "tests/paging asks that byte",
    ),
    ("format.py, ones: high > low", SAME + "no bits from high to high-1"),
    (
        "formats/x86_64.py, _level: ones(0, shift) -> ones(1, shift)",
        SAME + "an address has no bit 0",
    ),
    ("format.py, right_masks: Fold.OR -> Fold.LEAF", ONE_FOLD),
    ("format.py, right_masks: Fold.LEAF -> Fold.OR", ONE_FOLD),
    ("rights.py, fold: not masks.any", ONE_FOLD),
    ("rights.py, fold: not masks.leaf", ONE_FOLD),
    ("rights.py, fold: above & granted", ONE_FOLD),
    ("rights.py, fold: (above | granted)", ONE_FOLD),
    ("rights.py, fold: above | granted", ONE_FOLD),
    ("rights.py, fold: folded | granted & masks.leaf", ONE_FOLD),
    ("rights.py, fold: granted & masks.leaf", ONE_FOLD),
    ("faults.py, Fault: 1 << 0 -> 1 >> 0", SAME + "1"),
    ("faults.py, Fault: 1 << 6", NOT_RAISED),
    ("faults.py, Fault: 1 << 7", NOT_RAISED),
    ("faults.py, Fault: 1 << 15", NOT_RAISED),
    (
        "access.py, _check: user_page & reached -> user_page | reached",
        "where PKRU is not known; in a selftest it is",
    ),
    ("format.py, shift: self.mask & -self.mask", SAME + "the length of both is that of -mask"),
    ("fields.py, by_level: lvl == one", SAME + "the key stands in the same bits at every level"),
    ("access.py, _check: GENERAL_PROTECTION if fmt.address_bits == 64", LEFT_OPEN),
    ("access.py, _check: fmt.address_bits == 64", LEFT_OPEN),
)


def argument(mutation: str) -> str | None:
    """Return why a mutation survives, None if nobody has said so."""
    return next((why for start, why in SURVIVORS if mutation.startswith(start)), None)
