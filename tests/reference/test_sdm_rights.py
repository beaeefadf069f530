"""Access rights, page faults, accessed and dirty flags: SDM vol. 3A sections 4.6, 4.7, 4.8.

Every expectation is a literal worked out by hand from the manual. An error code is the sum of
P 0x01, W/R 0x02, U/S 0x04, RSVD 0x08, I/D 0x10, PK 0x20; None stands for an allowed access.
"""

from typing import Literal

import pytest

from .ram import ram
from .sdm import Access, Machine, Outcome, access

VA = 0x0001_0100_C080_5678  # indexes 1, 2, 3, 4, 5
CHAIN = {0x1008: 0x2007, 0x2010: 0x3007, 0x3018: 0x4007, 0x4020: 0x5007}

# PTEs under upper entries that allow everything: user or supervisor, writable or not, XD or not.
U_W = 0x0000_0000_00AB_C007
U_R = 0x0000_0000_00AB_C005
S_W = 0x0000_0000_00AB_C003
S_R = 0x0000_0000_00AB_C001
U_W_XD = 0x8000_0000_00AB_C007
U_R_XD = 0x8000_0000_00AB_C005
S_R_XD = 0x8000_0000_00AB_C001
U_W_KEY5 = 0x2800_0000_00AB_C007
U_R_KEY5 = 0x2800_0000_00AB_C005
S_W_KEY5 = 0x2800_0000_00AB_C003
U_W_KEY15 = 0x7800_0000_00AB_C007
U_R_XD_KEY5 = 0xA800_0000_00AB_C005
ABSENT = 0x2800_0000_00AB_C006
RSVD = 0x2808_0000_00AB_C007

AD5, WD5 = 0x400, 0x800  # PKRU
AD15, WD15 = 0x4000_0000, 0x8000_0000


def machine(controls: str, pkru: int = 0) -> Machine:
    on = controls.split()
    return Machine(
        levels=5,
        maxphyaddr=46,
        nxe="nxe" in on,
        gbpages=True,
        wp="wp" in on,
        smep="smep" in on,
        smap="smap" in on,
        pke="pke" in on,
        pkru=pkru,
    )


def read(user: bool = False, ac: bool = False, length: int = 1) -> Access:
    return Access("read", user, ac, length)


def write(user: bool = False, ac: bool = False, length: int = 1) -> Access:
    return Access("write", user, ac, length)


def fetch(user: bool = False, ac: bool = False, length: int = 1) -> Access:
    return Access("fetch", user, ac, length)


def ask(controls: str, pkru: int, pte: int, asked: Access) -> Outcome:
    return access(machine(controls, pkru), ram(CHAIN | {0x5028: pte}), 0x1000, VA, asked)


@pytest.mark.parametrize(
    ("controls", "pte", "asked", "error_code"),
    [
        # Supervisor reads: any supervisor-mode address; a user-mode one by SMAP and AC.
        ("wp nxe", S_R, read(), None),
        ("wp nxe smap", S_R, read(), None),
        ("wp nxe smap smep", S_R_XD, read(), None),
        ("wp nxe", U_R, read(), None),
        ("wp nxe smap", U_R, read(), 0x01),
        ("wp nxe smap", U_R, read(ac=True), None),
        ("nxe smap", U_R, read(), 0x01),
        # Supervisor writes to supervisor-mode addresses: by R/W if WP = 1.
        ("wp nxe", S_W, write(), None),
        ("wp nxe", S_R, write(), 0x03),
        ("wp nxe smap", S_R, write(ac=True), 0x03),
        ("nxe", S_R, write(), None),
        ("nxe smap", S_R, write(), None),
        # Supervisor writes to user-mode addresses: SMAP also with WP = 0, R/W only with WP = 1.
        ("wp nxe", U_W, write(), None),
        ("wp nxe", U_R, write(), 0x03),
        ("nxe", U_R, write(), None),
        ("wp nxe smap", U_W, write(), 0x03),
        ("wp nxe smap", U_W, write(ac=True), None),
        ("wp nxe smap", U_R, write(ac=True), 0x03),
        ("nxe smap", U_R, write(), 0x03),
        ("nxe smap", U_R, write(ac=True), None),
        # Supervisor fetches: by XD, and never from a user-mode address with SMEP. No SMAP, no AC.
        ("wp nxe", S_R, fetch(), None),
        ("wp nxe", S_R_XD, fetch(), 0x11),
        ("wp nxe", U_R, fetch(), None),
        ("wp nxe", U_R_XD, fetch(), 0x11),
        ("wp nxe smap", U_R, fetch(), None),
        ("wp nxe smep", U_R, fetch(), 0x11),
        ("wp nxe smep", U_R, fetch(ac=True), 0x11),
        ("wp smep", U_R, fetch(), 0x11),
        ("wp nxe smep", S_R, fetch(), None),
        # User-mode reads: by U/S alone.
        ("wp nxe", U_R, read(user=True), None),
        ("wp nxe smap smep", U_R_XD, read(user=True), None),
        ("wp nxe", S_W, read(user=True), 0x05),
        ("wp nxe smap", S_W, read(user=True, ac=True), 0x05),
        # User-mode writes: by U/S and R/W, whatever WP is.
        ("wp nxe", U_W, write(user=True), None),
        ("wp nxe smap", U_W, write(user=True), None),
        ("wp nxe", U_R, write(user=True), 0x07),
        ("nxe", U_R, write(user=True), 0x07),
        ("wp nxe", S_W, write(user=True), 0x07),
        # User-mode fetches: by U/S and XD; SMEP is about supervisor-mode fetches.
        ("wp nxe", U_R, fetch(user=True), None),
        ("wp nxe smep", U_R, fetch(user=True), None),
        ("wp nxe", U_R_XD, fetch(user=True), 0x15),
        ("wp nxe", S_R, fetch(user=True), 0x15),
        # I/D is 1 for a fetch only with SMEP or NXE.
        ("wp", S_R, fetch(user=True), 0x05),
        ("wp smep", S_R, fetch(user=True), 0x15),
    ],
)
def test_access_rights(controls: str, pte: int, asked: Access, error_code: int | None) -> None:
    outcome = ask(controls, 0, pte, asked)
    if error_code is None:
        assert (outcome.pa, outcome.page_size) == (0xABC678, 4096)
        assert (outcome.vector, outcome.error_code, outcome.cr2) == (None, None, None)
    else:
        assert (outcome.vector, outcome.error_code, outcome.cr2) == (14, error_code, VA)
        assert (outcome.pa, outcome.page_size, outcome.level) == (None, None, None)


@pytest.mark.parametrize(
    ("controls", "pkru", "pte", "asked", "error_code"),
    [
        # ADi: no data access at all to a user-mode address.
        ("wp nxe pke", AD5, U_W_KEY5, read(user=True), 0x25),
        ("wp nxe pke", AD5, U_W_KEY5, write(user=True), 0x27),
        ("wp nxe pke", AD5, U_W_KEY5, read(), 0x21),
        ("wp nxe pke", AD5, U_W_KEY5, write(), 0x23),
        ("nxe pke", AD5, U_W_KEY5, write(), 0x23),
        ("wp nxe pke smap", AD5, U_W_KEY5, read(ac=True), 0x21),
        # WDi: no user-mode write; no supervisor-mode write if WP = 1.
        ("wp nxe pke", WD5, U_W_KEY5, read(user=True), None),
        ("wp nxe pke", WD5, U_W_KEY5, write(user=True), 0x27),
        ("nxe pke", WD5, U_W_KEY5, write(user=True), 0x27),
        ("wp nxe pke", WD5, U_W_KEY5, read(), None),
        ("wp nxe pke", WD5, U_W_KEY5, write(), 0x23),
        ("nxe pke", WD5, U_W_KEY5, write(), None),
        # Fetches, supervisor-mode addresses, other keys, and CR4.PKE = 0: keys do not matter.
        ("wp nxe pke", AD5 | WD5, U_W_KEY5, fetch(user=True), None),
        ("wp nxe pke", AD5 | WD5, U_W_KEY5, fetch(), None),
        ("wp nxe pke", AD5 | WD5, S_W_KEY5, read(), None),
        ("wp nxe pke", AD5 | WD5, S_W_KEY5, write(), None),
        ("wp nxe pke", AD5 | WD5, S_W_KEY5, read(user=True), 0x05),
        ("wp nxe pke", AD5 | WD5, U_W_KEY15, write(user=True), None),
        ("wp nxe pke", AD15, U_W_KEY15, read(user=True), 0x25),
        ("wp nxe pke", WD15, U_W_KEY15, write(user=True), 0x27),
        ("wp nxe pke", 0xFFFF_F3FF, U_W_KEY5, write(user=True), None),
        ("wp nxe pke", 0x0000_0001, U_W, read(user=True), 0x25),
        ("wp nxe pke", 0x0000_0002, U_W, write(user=True), 0x27),
        ("wp nxe", 0xFFFF_FFFF, U_W_KEY5, write(user=True), None),
        # PK is set also where another right is missing: SMAP, R/W.
        ("wp nxe pke smap", AD5, U_W_KEY5, read(), 0x21),
        ("wp nxe pke smap", WD5, U_W_KEY5, read(), 0x01),
        ("wp nxe pke smap", WD5, U_W_KEY5, write(), 0x23),
        ("nxe pke smap", WD5, U_W_KEY5, write(), 0x03),
        ("wp nxe pke", WD5, U_R_KEY5, write(user=True), 0x27),
        ("wp nxe pke", AD5, U_R_KEY5, write(user=True), 0x27),
        ("wp nxe pke", AD15, U_R_KEY5, write(user=True), 0x07),
        ("wp nxe pke", AD5, U_R_XD_KEY5, fetch(user=True), 0x15),
        # Never with P = 0, never with RSVD.
        ("wp nxe pke", AD5 | WD5, ABSENT, write(user=True), 0x06),
        ("wp nxe pke", AD5 | WD5, RSVD, write(user=True), 0x0F),
    ],
)
def test_protection_keys(
    controls: str, pkru: int, pte: int, asked: Access, error_code: int | None
) -> None:
    outcome = ask(controls, pkru, pte, asked)
    assert outcome.error_code == error_code
    assert outcome.pa == (0xABC678 if error_code is None else None)


@pytest.mark.parametrize(
    ("controls", "pte", "asked", "error_code"),
    [
        ("wp nxe", ABSENT, read(), 0x00),
        ("wp nxe", ABSENT, write(), 0x02),
        ("wp nxe", ABSENT, fetch(), 0x10),
        ("wp nxe", ABSENT, read(user=True), 0x04),
        ("wp nxe", ABSENT, write(user=True), 0x06),
        ("wp nxe", ABSENT, fetch(user=True), 0x14),
        ("wp smep", ABSENT, fetch(), 0x10),
        ("wp", ABSENT, fetch(), 0x00),
        ("wp nxe", RSVD, read(), 0x09),
        ("wp nxe", RSVD, write(), 0x0B),
        ("wp nxe", RSVD, fetch(), 0x19),
        ("wp nxe", RSVD, read(user=True), 0x0D),
        ("wp nxe", RSVD, write(user=True), 0x0F),
        ("wp nxe", RSVD, fetch(user=True), 0x1D),
        ("wp", RSVD, fetch(user=True), 0x0D),
        ("wp", U_W_XD, read(user=True), 0x0D),
        ("wp smep", U_W_XD, fetch(), 0x19),
    ],
)
def test_faults_without_translation(
    controls: str, pte: int, asked: Access, error_code: int
) -> None:
    outcome = ask(controls, 0, pte, asked)
    assert (outcome.vector, outcome.error_code, outcome.cr2) == (14, error_code, VA)
    assert outcome.level == 1


@pytest.mark.parametrize(
    ("entry_pa", "level"), [(0x1008, 5), (0x2010, 4), (0x3018, 3), (0x4020, 2), (0x5028, 1)]
)
def test_the_level_that_decides_a_fault_without_translation(entry_pa: int, level: int) -> None:
    tables = CHAIN | {0x5028: U_W}
    absent = access(machine("wp"), ram(tables | {entry_pa: 0}), 0x1000, VA, read())
    assert (absent.error_code, absent.level) == (0, level)
    bit_51 = tables[entry_pa] | 0x0008_0000_0000_0000
    reserved = access(machine("wp"), ram(tables | {entry_pa: bit_51}), 0x1000, VA, read())
    assert (reserved.error_code, reserved.level) == (9, level)


@pytest.mark.parametrize(
    ("changed", "asked", "error_code"),
    [
        ({0x1008: 0x2005}, write(), 0x03),
        ({0x2010: 0x3003}, read(user=True), 0x05),
        ({0x3018: 0x8000_0000_0000_4007}, fetch(), 0x11),
        ({0x4020: 0x5005}, write(user=True), 0x07),
        # One U/S = 0 makes a supervisor-mode address: SMAP, SMEP and keys let go of it.
        ({0x1008: 0x2003}, read(), None),
        ({0x3018: 0x4003}, write(), None),
        ({0x4020: 0x5003}, fetch(), None),
    ],
)
def test_upper_entries_decide_too(
    changed: dict[int, int], asked: Access, error_code: int | None
) -> None:
    controls = machine("wp nxe smap smep pke", 0xFFFF_FFFF)
    if error_code is not None:
        controls = machine("wp nxe")
    outcome = access(controls, ram(CHAIN | {0x5028: U_W} | changed), 0x1000, VA, asked)
    assert outcome.error_code == error_code


@pytest.mark.parametrize("kind", ["read", "write", "fetch"])
@pytest.mark.parametrize("user", [False, True])
def test_a_non_canonical_address_is_gp_0_and_leaves_cr2(
    kind: Literal["read", "write", "fetch"], user: bool
) -> None:
    for va in (0x0100_0000_0000_0000, 0xFEFF_FFFF_FFFF_FFFF):
        outcome = access(machine("wp nxe"), ram({}), 0x1000, va, Access(kind, user, False))
        assert (outcome.vector, outcome.error_code, outcome.cr2) == (13, 0, None)
        assert (outcome.pa, outcome.level) == (None, None)


def test_a_table_outside_memory_decides_nothing() -> None:
    tables = CHAIN | {0x4020: 0xFF00_0007}
    outcome = access(machine("wp"), ram(tables), 0x1000, VA, read())
    assert (outcome.pa, outcome.vector, outcome.error_code, outcome.level) == (None, None, None, 2)
    outcome = access(machine("wp"), ram(tables), 0xFF00_0000, VA, read())
    assert (outcome.pa, outcome.vector, outcome.error_code, outcome.level) == (None,) * 4


def test_an_allowed_access_sets_a_in_every_entry_and_a_write_d_in_the_leaf() -> None:
    outcome = ask("wp", 0, U_W, read())
    assert outcome.accessed == (0x1008, 0x2010, 0x3018, 0x4020, 0x5028)
    assert outcome.dirty == ()
    assert ask("wp", 0, U_W, fetch()).dirty == ()
    assert ask("wp", 0, U_W, write()).dirty == (0x5028,)


def test_flags_already_set_are_not_newly_set() -> None:
    tables = {0x1008: 0x2027, 0x2010: 0x3007, 0x3018: 0x4027, 0x4020: 0x5067, 0x5028: 0xABC027}
    outcome = access(machine("wp"), ram(tables), 0x1000, VA, write())
    assert outcome.accessed == (0x2010,)
    assert outcome.dirty == (0x5028,)
    done = access(machine("wp"), ram(tables | {0x5028: 0xABC067}), 0x1000, VA, write())
    assert (done.accessed, done.dirty) == ((0x2010,), ())


def test_the_leaf_of_a_large_page_gets_the_dirty_flag() -> None:
    two = access(machine("wp"), ram(CHAIN | {0x4020: 0x4060_0087}), 0x1000, VA, write())
    assert two.accessed == (0x1008, 0x2010, 0x3018, 0x4020)
    assert (two.dirty, two.pa, two.page_size) == ((0x4020,), 0x4060_5678, 0x20_0000)
    one = access(machine("wp"), ram(CHAIN | {0x3018: 0x4_4000_0087}), 0x1000, VA, write())
    assert one.accessed == (0x1008, 0x2010, 0x3018)
    assert (one.dirty, one.pa, one.page_size) == ((0x3018,), 0x4_4080_5678, 0x4000_0000)


def test_a_denied_access_reports_no_flags() -> None:
    outcome = ask("wp", 0, U_R, write())
    assert (outcome.accessed, outcome.dirty) == ((), ())


def test_an_entry_used_at_every_level_is_set_once() -> None:
    outcome = access(machine("wp"), ram({0x1FF8: 0x1007}), 0x1000, 0xFFFF_FFFF_FFFF_FFF8, write())
    assert outcome.pa == 0x1FF8
    assert (outcome.accessed, outcome.dirty) == ((0x1FF8,), (0x1FF8,))


LAST_4 = 0x0001_0100_C080_5FFC  # the last 4 bytes of PTE 5's page
NEXT = 0x0001_0100_C080_6000  # PTE 6's page


@pytest.mark.parametrize(
    ("pte_5", "pte_6", "asked", "error_code", "cr2"),
    [
        (U_W, U_W, write(length=8), None, None),
        (U_W, 0, write(length=4), None, None),
        (U_W, 0, write(length=5), 0x02, NEXT),
        (U_W, 0, read(length=8), 0x00, NEXT),
        (U_W, U_R, write(length=8), 0x03, NEXT),
        (U_W, RSVD, read(length=8), 0x09, NEXT),
        (0, U_W, read(length=8), 0x00, LAST_4),
        (U_R, 0, write(length=8), 0x03, LAST_4),
        (0, RSVD, read(length=8), 0x00, LAST_4),
    ],
)
def test_of_two_pages_the_first_that_faults_decides(
    pte_5: int, pte_6: int, asked: Access, error_code: int | None, cr2: int | None
) -> None:
    tables = CHAIN | {0x5028: pte_5, 0x5030: pte_6}
    outcome = access(machine("wp"), ram(tables), 0x1000, LAST_4, asked)
    assert (outcome.error_code, outcome.cr2) == (error_code, cr2)
    assert outcome.pa == (0xABCFFC if error_code is None else None)


def test_a_write_on_two_pages_sets_the_flags_of_both() -> None:
    tables = CHAIN | {0x5028: U_W, 0x5030: 0xDEF027}
    outcome = access(machine("wp"), ram(tables), 0x1000, LAST_4, write(length=8))
    assert outcome.accessed == (0x1008, 0x2010, 0x3018, 0x4020, 0x5028)
    assert outcome.dirty == (0x5028, 0x5030)


def test_both_halves_of_a_write_in_one_large_page_set_one_flag() -> None:
    tables = ram(CHAIN | {0x4020: 0x4060_0087})
    outcome = access(machine("wp"), tables, 0x1000, LAST_4, write(length=8))
    assert (outcome.pa, outcome.dirty) == (0x4060_5FFC, (0x4020,))


@pytest.mark.parametrize(
    ("va", "length"),
    [
        (0x00FF_FFFF_FFFF_FFFF, 2),
        (0x00FF_FFFF_FFFF_FFF9, 8),
        (0xFEFF_FFFF_FFFF_FFFF, 2),
        (0xFEFF_FFFF_FFFF_FFF9, 8),
    ],
)
def test_one_non_canonical_byte_is_gp_before_any_page_fault(va: int, length: int) -> None:
    outcome = access(machine("wp"), ram({}), 0x1000, va, read(length=length))
    assert (outcome.vector, outcome.error_code, outcome.cr2) == (13, 0, None)


@pytest.mark.parametrize("va", [0x00FF_FFFF_FFFF_FFF8, 0xFF00_0000_0000_0000])
def test_the_last_and_the_first_canonical_bytes_are_translated(va: int) -> None:
    outcome = access(machine("wp"), ram({}), 0x1000, va, read(length=8))
    assert (outcome.vector, outcome.cr2) == (14, va)


def test_after_the_last_byte_of_the_address_space_comes_address_0() -> None:
    top = {0x1FF8: 0x1007}  # the root references itself at every level
    outcome = access(machine("wp"), ram(top), 0x1000, 0xFFFF_FFFF_FFFF_FFFF, read(length=2))
    assert (outcome.vector, outcome.error_code, outcome.cr2, outcome.level) == (14, 0, 0, 5)


@pytest.mark.parametrize("length", [-1, 0, 4097])
def test_an_access_has_1_to_4096_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Access("read", False, False, length)
    assert Access("read", False, False).length == 1
    assert Access("read", False, False, 4096).length == 4096
