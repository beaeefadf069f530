"""Walkers that are wrong on purpose, each in one rule of the manual (SDM vol. 3A chapter 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ptlive.access_kind import Access, AccessKind
from ptlive.arrays import u64
from ptlive.paging import rights
from ptlive.paging.access import ALLOWED, GENERAL_PROTECTION, PAGE_FAULT, Fault, Verdicts, check
from ptlive.paging.format import ALWAYS, NEVER, Bits, Fold, Format, Kind, Level, Match, Window
from ptlive.paging.formats import x86_64
from ptlive.paging.translate import NOT_TRANSLATED, Translations, translate
from ptlive.verify.selftest.bench import table_of
from ptlive.verify.selftest.rules import OURS, Rules, marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.arrays import U8, U64, Bool, Memory
    from ptlive.paging.access import Controls

P, RW, US, D, PS, G, XD = 1, 1 << 1, 1 << 2, 1 << 6, 1 << 7, 1 << 8, 1 << 63
PAT_LARGE, KEY = 1 << 12, 0xF << 59
IGNORED = 0x7F << 52


# Formats.


def formats(change: Callable[[Format], Format], **given: Any) -> Rules:
    """Change the format, or what it is made from."""

    def make(levels: int, **features: Any) -> Format:
        return change(x86_64.make_levels(levels, **features | given))

    return replace(OURS, make_format=make)


def level(lvl: int, change: Callable[[Level], dict[str, Any]]) -> Rules:
    """Change one level of the format, where there is one."""

    def changed(fmt: Format) -> Format:
        if lvl > fmt.top:
            return fmt
        levels = list(fmt.levels)
        levels[lvl - 1] = replace(levels[lvl - 1], **change(levels[lvl - 1]))
        return replace(fmt, levels=tuple(levels))

    return formats(changed)


def right(name: str, **changes: Any) -> Rules:
    def changed(fmt: Format) -> Format:
        return replace(
            fmt, rights=tuple(replace(r, **changes) if r.name == name else r for r in fmt.rights)
        )

    return formats(changed)


def reserved(lvl: int, which: str, add: int = 0, drop: int = 0) -> Rules:
    """Change which bits are reserved in one level's tables or leaves."""
    name = f"reserved_{which}"
    return level(lvl, lambda one: {name: getattr(one, name) & ~drop | add})


def address(lvl: int, which: str, add: int = 0, drop: int = 0) -> Rules:
    """Change which bits of an entry are its address."""
    name = f"{which}_address"
    return level(lvl, lambda one: {name: Bits(getattr(one, name).mask & ~drop | add)})


def width(by: int) -> Rules:
    def make(levels: int, *, maxphyaddr: int = 52, **features: Any) -> Format:
        return x86_64.make_levels(levels, maxphyaddr=min(maxphyaddr + by, 52), **features)

    return replace(OURS, make_format=make)


def windows(change: Callable[[Format], tuple[Window, ...]]) -> Rules:
    return formats(lambda fmt: replace(fmt, windows=change(fmt)))


# Entries as other ones: what one level's entries say is not heeded.


@dataclass(frozen=True)
class Blind:
    """Memory in whose table of one level some bits are always set, or clear."""

    memory: Memory
    lvl: int
    ones: int
    zeros: int

    def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
        data, valid = self.memory.read(addresses, length)
        here = addresses == np.uint64(table_of(self.lvl))
        words = data[here].view("<u8")
        present = (words & np.uint64(P)) != 0
        changed = (words | np.uint64(self.ones)) & ~np.uint64(self.zeros)
        data[here] = np.where(present, changed, words).view(np.uint8)
        return data, valid


def blind(lvl: int, ones: int = 0, zeros: int = 0) -> Rules:
    def blindly(fmt: Format, memory: Memory, root: U64, va: U64) -> Translations:
        return translate(fmt, Blind(memory, lvl, ones, zeros), root, va)

    return replace(OURS, translate=blindly)


# Translations.


def translated(change: Callable[[Translations], Translations]) -> Rules:
    return replace(OURS, translate=lambda *asked: change(translate(*asked)))


def offset_lost(lvl: int, found: Translations) -> Translations:
    pa = np.where(found.lvl == lvl, found.pa & ~np.uint64((1 << 12 + 9 * (lvl - 1)) - 1), found.pa)
    return replace(found, pa=pa)


def not_in_48_bits(found: Translations) -> Translations:
    upper = found.va >> np.uint64(47)
    canonical = (upper == 0) | (upper == np.uint64((1 << 17) - 1))
    return replace(found, kind=np.where(canonical, found.kind, NOT_TRANSLATED).astype(np.uint8))


def other_index(shift: int, fmt: Format, memory: Memory, root: U64, va: U64) -> Translations:
    """Take the lowest bit of one level's index for 0."""
    found = translate(fmt, memory, root, va & ~np.uint64(1 << shift))
    return replace(found, va=va)


def reserved_first(fmt: Format, memory: Memory, root: U64, va: U64) -> Translations:
    """Heed reserved bits of entries that are not present."""
    found = translate(fmt, memory, root, va)
    kind = found.kind.copy()
    for lvl in range(1, fmt.top + 1):
        here = (found.kind == Kind.ABSENT) & (found.lvl == lvl)
        bad = fmt.level(lvl).malformed(found.entry, fmt.level(lvl).leaf(found.entry))
        kind[here & bad] = Kind.MALFORMED
    return replace(found, kind=kind)


# Access.


def checked(
    change: Callable[[Verdicts, Translations, Controls, AccessKind], Verdicts],
) -> Rules:
    """Change what comes out."""

    def check_(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
        return change(check(found, controls, kind), found, controls, kind)

    return replace(OURS, check=check_)


def with_controls(**given: Any) -> Rules:
    """Take control bits for other ones."""

    def check_(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
        return check(found, replace(controls, **given), kind)

    return replace(OURS, check=check_)


def taken_for(wanted: Callable[[AccessKind], bool], **other: Any) -> Rules:
    """Judge accesses as if they were of another kind; the error code stays their own."""

    def check_(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
        if not wanted(kind):
            return check(found, controls, kind)
        return check(found, controls, replace(kind, **other))

    return replace(OURS, check=check_)


def code(change: Callable[[Any, Translations, Controls, AccessKind], Any]) -> Rules:
    """Change the error code of page faults."""

    def changed(
        out: Verdicts, found: Translations, controls: Controls, kind: AccessKind
    ) -> Verdicts:
        fault = out.vector == PAGE_FAULT
        new = change(out.error_code, found, controls, kind)
        return Verdicts(out.vector, np.where(fault, new, out.error_code).astype(np.uint32))

    return checked(changed)


def keyed(change: Callable[[int], int]) -> Rules:
    """Read PKRU otherwise."""

    def check_(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
        return check(found, replace(controls, pkru=change(controls.pkru or 0)), kind)

    return replace(OURS, check=check_)


def key_bits(change: Callable[[U64], U64]) -> Rules:
    """Read the leaf's key otherwise."""

    def check_(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
        return check(replace(found, entry=change(found.entry)), controls, kind)

    return replace(OURS, check=check_)


def keys_of_supervisor_pages(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
    """Apply protection keys to supervisor-mode pages too."""
    out = check(found, controls, kind)
    user = rights.granted(found.fmt, found.rights, "user")
    if kind.user or kind.access is Access.FETCH or not controls.pke:
        return out
    as_user = replace(found, rights=found.rights | np.uint64(US))
    other = check(as_user, replace(controls, smap=False), kind)
    take = ~user & found.mapped & (out.vector == ALLOWED)
    return Verdicts(
        np.where(take, other.vector, out.vector).astype(np.uint8),
        np.where(take, other.error_code, out.error_code).astype(np.uint32),
    )


def smep_for_all(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
    """Let SMEP forbid supervisor-mode fetches altogether."""
    if kind.user or kind.access is not Access.FETCH or not controls.smep:
        return check(found, controls, kind)
    return check(replace(found, rights=found.rights | np.uint64(US)), controls, kind)


def smap_for_fetches(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
    """Let SMAP forbid fetches as well."""
    fetch = kind.access is Access.FETCH and not kind.user and controls.smap
    return check(found, replace(controls, smep=True) if fetch else controls, kind)


def canonical_is(vector: int, out: Verdicts, found: Translations, *_: Any) -> Verdicts:
    """Answer for a non-canonical address with another vector."""
    here = found.kind == NOT_TRANSLATED
    return Verdicts(
        np.where(here, vector, out.vector).astype(np.uint8),
        out.error_code,
    )


def xd_denies_reads(found: Translations, controls: Controls, kind: AccessKind) -> Verdicts:
    out = check(found, controls, kind)
    if kind.access is not Access.READ:
        return out
    closed = found.mapped & ~rights.granted(found.fmt, found.rights, "execute")
    closed &= out.vector == ALLOWED
    return Verdicts(np.where(closed, PAGE_FAULT, out.vector).astype(np.uint8), out.error_code)


# Marks.


def marked(change: Callable[[Translations, Bool, bool], tuple[U64, U64]]) -> Rules:
    return replace(OURS, marks=change)


LEAF_2M_LOW = sum(1 << bit for bit in range(13, 21))
LEAF_1G_LOW = sum(1 << bit for bit in range(13, 30))
NONE = u64()
RIGHTS = ("write", "user", "execute")
SUPERVISOR_WRITE = AccessKind(Access.WRITE)

MUTANTS: dict[str, Rules] = {
    # 4.6: rights fold over all levels.
    **{f"{name}: the leaf alone decides": right(name, fold=Fold.LEAF) for name in RIGHTS},
    **{f"{name}: one entry is enough": right(name, fold=Fold.OR) for name in RIGHTS},
    **{
        f"{name}: the wrong way round": right(name, set_denies=name != "execute") for name in RIGHTS
    },
    **{f"R/W is not heeded at level {lvl}": blind(lvl, ones=RW) for lvl in range(1, 6)},
    **{f"U/S is not heeded at level {lvl}": blind(lvl, ones=US) for lvl in range(1, 6)},
    **{f"XD is not heeded at level {lvl}": blind(lvl, zeros=XD) for lvl in range(1, 6)},
    "R/W and U/S change places": formats(
        lambda fmt: replace(
            fmt,
            rights=tuple(replace(r, mask={RW: US, US: RW}.get(r.mask, r.mask)) for r in fmt.rights),
        )
    ),
    # 4.5: what is an entry.
    "P is not heeded": formats(lambda fmt: replace(fmt, present=ALWAYS)),
    "present means not zero": formats(lambda fmt: replace(fmt, present=Match(~D & 0xFFF, P))),
    "no 1G pages": level(3, lambda one: {"leaf": NEVER}),
    "no 2M pages": level(2, lambda one: {"leaf": NEVER}),
    "every PDE maps a page": level(2, lambda one: {"leaf": ALWAYS}),
    "512G pages": level(
        4,
        lambda one: {
            "leaf": Match(PS, PS),
            "reserved_table": one.reserved_table & ~PS,
            "reserved_leaf": one.reserved_leaf & ~PS,
        },
    ),
    # 4.5.4, tables 4-14 to 4-20: reserved bits.
    **{
        f"reserved bits are not heeded in level {lvl}'s tables": level(
            lvl, lambda one: {"reserved_table": 0}
        )
        for lvl in range(2, 6)
    },
    **{
        f"reserved bits are not heeded in level {lvl}'s pages": level(
            lvl, lambda one: {"reserved_leaf": 0}
        )
        for lvl in range(1, 4)
    },
    "PS is ignored in a PML4E": reserved(4, "table", drop=PS),
    "PS is ignored in a PML5E": reserved(5, "table", drop=PS),
    "PAT is reserved in a PTE": reserved(1, "leaf", add=PS),
    "PAT is reserved in a 2M page": reserved(2, "leaf", add=PAT_LARGE),
    "PAT is reserved in a 1G page": reserved(3, "leaf", add=PAT_LARGE),
    "bits 20:13 of a 2M page are ignored": reserved(2, "leaf", drop=LEAF_2M_LOW),
    "bits 29:13 of a 1G page are ignored": reserved(3, "leaf", drop=LEAF_1G_LOW),
    "bit 13 of a 2M page is ignored": reserved(2, "leaf", drop=1 << 13),
    "bit 29 of a 1G page is ignored": reserved(3, "leaf", drop=1 << 29),
    "bit 21 of a 2M page is reserved": reserved(2, "leaf", add=1 << 21),
    "bits 58:52 are reserved in a PTE": reserved(1, "leaf", add=IGNORED),
    "bits 58:52 are reserved in a PDE": reserved(2, "table", add=IGNORED),
    "keys are reserved in tables": reserved(2, "table", add=KEY),
    "bit 62 is reserved in a PTE": reserved(1, "leaf", add=1 << 62),
    "D is reserved in tables": reserved(3, "table", add=D),
    "G is reserved in tables": reserved(4, "table", add=G),
    "MAXPHYADDR is one too wide": width(+1),
    "MAXPHYADDR is one too narrow": width(-1),
    "MAXPHYADDR is always 52": formats(lambda fmt: fmt, maxphyaddr=52),
    "XD is reserved": formats(lambda fmt: fmt, nxe=False),
    "XD without NXE is not reserved": formats(lambda fmt: fmt, nxe=True),
    "reserved bits count in an entry that is not present": replace(OURS, translate=reserved_first),
    # 4.5.4: addresses.
    "bit 12 belongs to a 2M page's address": address(2, "leaf", add=PAT_LARGE),
    "bit 12 belongs to a 1G page's address": address(3, "leaf", add=PAT_LARGE),
    "bit 12 is no part of a table's address": address(2, "table", drop=1 << 12),
    "bit 12 is no part of a page's address": address(1, "leaf", drop=1 << 12),
    "bit 32 is no part of a page's address": address(1, "leaf", drop=1 << 32),
    "bit 33 is no part of a table's address": address(4, "table", drop=1 << 33),
    "bit 52 belongs to a table's address": address(3, "table", add=1 << 52),
    "bit 11 belongs to a table's address": address(2, "table", add=1 << 11),
    "bit 21 is no part of a 2M page's address": address(2, "leaf", drop=1 << 21),
    "a 2M page's offset is lost": translated(partial(offset_lost, 2)),
    "a 1G page's offset is lost": translated(partial(offset_lost, 3)),
    **{
        f"the lowest index bit of level {lvl} is not heeded": replace(
            OURS, translate=partial(other_index, 12 + 9 * (lvl - 1))
        )
        for lvl in range(1, 6)
    },
    # Vol. 1, 3.3.7.1: canonical addresses.
    "all addresses have 48 bits": translated(not_in_48_bits),
    "the upper half is not sign-extended": windows(lambda fmt: (Window(0, (1 << 64) - 1),)),
    "the highest canonical address is not one": windows(
        lambda fmt: (fmt.windows[0], replace(fmt.windows[1], last_va=(1 << 64) - 0x1001))
    ),
    "the lower half ends a page early": windows(
        lambda fmt: (
            replace(fmt.windows[0], last_va=fmt.windows[0].last_va - 0x1000),
            fmt.windows[1],
        )
    ),
    "a non-canonical address is a page fault": checked(partial(canonical_is, PAGE_FAULT)),
    "a non-canonical address is not present": translated(
        lambda found: replace(
            found,
            kind=np.where(found.kind == NOT_TRANSLATED, Kind.ABSENT, found.kind).astype(np.uint8),
        )
    ),
    "what is not present is #GP": checked(
        lambda out, found, *_: Verdicts(
            np.where(found.kind == Kind.ABSENT, GENERAL_PROTECTION, out.vector).astype(np.uint8),
            np.where(found.kind == Kind.ABSENT, 0, out.error_code).astype(np.uint32),
        )
    ),
    # 4.6.1: control bits and modes.
    "WP is not heeded: as if 0": with_controls(wp=False),
    "WP is not heeded: as if 1": with_controls(wp=True),
    "without WP user mode may write, too": checked(
        lambda out, found, controls, kind: (
            out
            if controls.wp or not kind.user
            else check(replace(found, rights=found.rights | np.uint64(RW)), controls, kind)
        )
    ),
    "SMEP is not heeded": with_controls(smep=False),
    "SMEP is always on": with_controls(smep=True),
    "SMEP forbids all of the supervisor's fetches": replace(OURS, check=smep_for_all),
    "SMAP is not heeded": with_controls(smap=False),
    "SMAP is always on": with_controls(smap=True),
    "SMAP does not heed AC": taken_for(lambda kind: kind.ac, ac=False),
    "AC is always set": taken_for(lambda kind: not kind.user, ac=True),
    "SMAP forbids fetches": replace(OURS, check=smap_for_fetches),
    "user mode has the supervisor's rights": taken_for(
        lambda kind: kind.user and kind.access is not Access.FETCH, user=False
    ),
    "the supervisor has user mode's rights": taken_for(lambda kind: not kind.user, user=True),
    "writes need no right": taken_for(lambda kind: kind.access is Access.WRITE, access=Access.READ),
    "XD forbids reads": replace(OURS, check=xd_denies_reads),
    # 4.6.2: protection keys.
    "keys are not heeded": with_controls(pke=False),
    "keys count without PKE": with_controls(pke=True),
    "keys count for supervisor pages": replace(OURS, check=keys_of_supervisor_pages),
    "AD is not heeded": keyed(lambda pkru: pkru & 0xAAAA_AAAA),
    "WD is not heeded": keyed(lambda pkru: pkru & 0x5555_5555),
    "AD and WD change places": keyed(
        lambda pkru: (pkru & 0x5555_5555) << 1 | pkru >> 1 & 0x5555_5555
    ),
    "key 0 is always open": keyed(lambda pkru: pkru & ~3),
    "key 15 is always open": keyed(lambda pkru: pkru & 0x3FFF_FFFF),
    "a key has three bits": key_bits(lambda entry: entry & ~np.uint64(1 << 62)),
    "a key begins at bit 60": key_bits(lambda entry: entry >> np.uint64(1)),
    "every key is 0": key_bits(lambda entry: entry & ~np.uint64(KEY)),
    "WD counts for the supervisor without WP": checked(
        lambda out, found, controls, kind: (
            out
            if kind != SUPERVISOR_WRITE or controls.wp
            else check(
                replace(found, rights=found.rights | np.uint64(RW)),
                replace(controls, wp=True),
                kind,
            )
        )
    ),
    # 4.7: the error code.
    "P is never set": code(lambda out, *_: out & ~np.uint32(Fault.P)),
    "P is always set": code(lambda out, *_: out | np.uint32(Fault.P)),
    "W/R is never set": code(lambda out, *_: out & ~np.uint32(Fault.WR)),
    "W/R is set for a fetch": code(
        lambda out, found, controls, kind: (
            out | np.uint32(Fault.WR if kind.access is Access.FETCH else 0)
        )
    ),
    "U/S tells of the page": code(
        lambda out, found, controls, kind: (
            out & ~np.uint32(Fault.US)
            | np.where(
                rights.granted(found.fmt, found.rights, "user"), np.uint32(Fault.US), np.uint32(0)
            )
        )
    ),
    "P is clear where RSVD is set": code(
        lambda out, *_: np.where((out & np.uint32(Fault.RSVD)) != 0, out & ~np.uint32(Fault.P), out)
    ),
    "RSVD is never set": code(lambda out, *_: out & ~np.uint32(Fault.RSVD)),
    "I/D is never set": code(lambda out, *_: out & ~np.uint32(Fault.ID)),
    "I/D is set without NXE and SMEP": code(
        lambda out, found, controls, kind: (
            out | np.uint32(Fault.ID if kind.access is Access.FETCH else 0)
        )
    ),
    "I/D needs NXE": code(
        lambda out, found, controls, kind: out if controls.nxe else out & ~np.uint32(Fault.ID)
    ),
    "I/D needs SMEP": code(
        lambda out, found, controls, kind: out if controls.smep else out & ~np.uint32(Fault.ID)
    ),
    "PK is never set": code(lambda out, *_: out & ~np.uint32(Fault.PK)),
    "PK is not set where another right is missing too": code(
        lambda out, found, controls, kind: np.where(
            check(found, replace(controls, pke=False), kind).vector == PAGE_FAULT,
            out & ~np.uint32(Fault.PK),
            out,
        )
    ),
    "#GP has an error code": checked(
        lambda out, found, *_: Verdicts(
            out.vector,
            np.where(out.vector == GENERAL_PROTECTION, 1, out.error_code).astype(np.uint32),
        )
    ),
    # 4.8: accessed and dirty.
    "A is set in the leaf alone": marked(
        lambda found, allowed, write: (
            np.unique(found.entry_pa[allowed]),
            marks(found, allowed, write)[1],
        )
    ),
    "A is not set in the root": marked(
        lambda found, allowed, write: marks(replace(found, steps=found.steps[1:]), allowed, write)
    ),
    "D is never set": marked(lambda found, allowed, write: (marks(found, allowed, write)[0], NONE)),
    "D is set by reads": marked(lambda found, allowed, write: marks(found, allowed, True)),
    "D is set in tables": marked(
        lambda found, allowed, write: (
            marks(found, allowed, write)[0],
            marks(found, allowed, write)[0] if write else NONE,
        )
    ),
    "D is set by writes that fail": marked(
        lambda found, allowed, write: (
            marks(found, allowed, write)[0],
            np.unique(found.entry_pa[found.mapped]) if write else NONE,
        )
    ),
}

# These TCG does not tell from right ones: its known deviations are the same mistakes.
NOT_TOLD: dict[str, tuple[Rules, str]] = {
    "1G pages though the CPU has none": (
        formats(lambda fmt: fmt, gbpages=True),
        "TCG maps them too (quirk tcg-1g-without-pdpe1gb)",
    ),
}
