"""An address space of a guest, as the library offers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptlive.access_kind import ACCESS_KINDS
from ptlive.analysis.linear import read_linear
from ptlive.answers.areas import chosen_ranges, cuts_of
from ptlive.answers.ranges import ends, united
from ptlive.api.frozen import frozen
from ptlive.api.regions import Regions
from ptlive.api.shown import Shown
from ptlive.api.translation import Translation
from ptlive.api.whole import LAST, address_array, number, range_of
from ptlive.arrays import u64
from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from os import PathLike

    import numpy.typing as npt

    from ptlive import space as inner
    from ptlive.analysis.areas import Area
    from ptlive.analysis.profile import Profile
    from ptlive.api.audit import Findings
    from ptlive.api.differences import Differences
    from ptlive.api.held import Held
    from ptlive.api.mappings import Mappings
    from ptlive.api.report import Report
    from ptlive.api.shown import Table
    from ptlive.arrays import U64
    from ptlive.paging.graph import Graph
    from ptlive.paging.translate import Translations

    Ranges = Iterable[tuple[int, int]]

# More than any instruction touches at once (XSAVE, tens of KB), and quickly told.
_LONGEST = 1 << 20
_EVERYTHING = u64(0), u64(LAST)


class AddressSpace(Shown):
    """One root table of a guest, with all that is needed to walk it.

    It is good as long as the guest is held and has not run on; after that every question
    raises PtliveError, except to one that `freeze` made. Ranges are pairs of a first and a
    last address, both included; addresses are linear ones unless they are called physical.
    """

    def __init__(self, held: Held | None, space: inner.AddressSpace) -> None:
        self._held, self._inner = held, space
        self._systems: dict[tuple[bytes, int], Profile] = {} if held is None else held.systems
        # Of what the tables are there: a copy may be one of some ranges.
        self._kept: tuple[U64, U64] = _EVERYTHING

    @property
    def root(self) -> int:
        """The physical address of the root table."""
        return int(self._inner.root[0])

    @property
    def origin(self) -> str:
        """Where the root came from: "cr3", "vcpu:2", "#3" of `Guest.roots`, or its address."""
        return self._inner.origin

    @property
    def vcpu(self) -> int:
        """The vCPU whose control registers count, from 1."""
        return self._inner.vcpu

    @property
    def format(self) -> str:
        """The name of the format, such as "x86-64-5level"."""
        return self._inner.format.name

    @property
    def frozen(self) -> bool:
        """Whether it is a copy of the tables, see `freeze`."""
        return self._held is None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is on in this address space and not modelled, in sentences."""
        return tuple(f"{name}: {text}" for name, text in self._inner.not_modelled.items())

    def translate(self, va: int, *, length: int = 1) -> Translation:
        """Translate one address, and tell what every kind of access to it gets.

        length: bytes of the access, of which the later ones may lie in another page

        Raises PtliveError for an address beyond 64 bits, and for a bad root table.
        """
        one = address_array([va])
        length = number(length, "the length of an access", 1, _LONGEST)
        space = self._within((one, one + np.uint64(length - 1)))
        found = space.translate(one)
        kinds = list(ACCESS_KINDS.values())
        told = space.describe(found, 0, kinds, space.beyond(one, length))
        return Translation(space.format, told, length)

    def translate_many(self, va: npt.ArrayLike) -> Translations:
        """Translate many addresses at once, about a million a second.

        va: integers, or uint64[n]. Returns columns of length n: pa uint64 (0 where nothing is
        mapped), mapped bool, page_bits uint8 (log2 of the page's bytes), kind, lvl, entry and
        entry_pa of the entry at which each path ends. Raises PtliveError for a bad root table.
        """
        some = address_array(va)
        return self._within((some, some)).translate(some)

    def read(self, va: int, length: int) -> bytes:
        """Read memory through the tables, as the debugger of a kernel does: rights do not count.

        Raises PtliveError where a page is not mapped, or maps no RAM and no ROM: devices are
        not touched.
        """
        va = number(va, "an address")
        length = number(length, "a length", last=LAST + 1 - va)
        space = self._within((u64(va), u64(va + max(length, 1) - 1)))
        data = read_linear(space.format, space.memory, space.root, va, length)
        if len(data) < length:
            lost = va + len(data)
            if not space.translate(address_array([lost])).mapped[0]:
                raise PtliveError(f"{lost:#x} is not mapped in {space.title}")
            if self.frozen:
                raise PtliveError("a frozen copy has the tables, and not what they map")
            raise PtliveError(f"what {lost:#x} maps is no RAM and no ROM that can be read")
        return data

    def walk(self, ranges: Ranges | None = None) -> Graph:
        """Walk the tables; return the graph of what was found, see `ptlive.paging.graph`.

        It holds what it tells, and stays good when the guest goes on. Raises PtliveError for a
        bad root table.
        """
        some = _ends(ranges)
        return self._within(some).walk(some)

    def freeze(self, ranges: Ranges | None = None) -> AddressSpace:
        """Return the same address space over a copy of its tables, to be asked later.

        ranges: of what is copied, everything by default. Of a frozen one nothing but tables can
        be read, and there is no MMU to verify it. Questions about what is not in the ranges,
        and those about everything, raise PtliveError.
        """
        some = _ends(ranges)
        made = AddressSpace(None, frozen(self._within(some), some))
        made._kept = some or _EVERYTHING
        made._systems = dict(self._systems)
        system = self.system()
        if system is not None:
            made._known = system
        return made

    _known: Profile | None = None

    def system(self, symbols: str | PathLike[str] | None = None) -> Profile | None:
        """Return what is known of the system that this address space belongs to, None if nothing.

        symbols: its vmlinux, System.map or a saved /proc/kallsyms. The value has `name`,
        `areas` (va, last_va, name, evidence), `evidence` in sentences, and `name_of(address)`,
        which gives the symbol there. Raises PtliveError for symbols of another system.
        """
        from pathlib import Path

        from ptlive.answers.system import system_of

        if self._known is not None and symbols is None:
            return self._known
        path = None if symbols is None else Path(symbols)
        known = self._systems if path is None else {}
        return system_of(self._space, symbols=path, known=known)

    def regions(
        self,
        ranges: Ranges | None = None,
        *,
        rights: str | Collection[str] = (),
        sizes: Collection[int] = (),
        kinds: Collection[str] = (),
        attributes: Collection[str] = (),
        frames: Ranges = (),
        area: str | Collection[str] = (),
        areas: bool = True,
        split_pa: bool = False,
        fold: bool = True,
    ) -> Regions:
        """Return what is mapped, neighbouring pages of equal rights and attributes merged.

        ranges: everything by default; area: only areas of a known system whose names begin so,
        such as "kernel text"
        rights: letters, "wx" for pages with both, "w-x" for the first without the second, "-u"
        sizes: of pages, in bytes; kinds: what the frames lie in: nothing, ram, rom, device, mixed
        attributes: "G", "-G" for without, "PAT=1"; frames: ranges of physical addresses, of which
        a page maps at least one
        areas: whether regions are named by the areas of a known system, and end where these do
        split_pa: begin a region where the frames do not follow each other; fold: make one of what
        shared tables repeat at equal distances

        Raises PtliveError for what the format does not have, an area that is not known, and for
        more regions than can be told.
        """
        from ptlive.analysis.filters import filtered
        from ptlive.analysis.regions.build import regions
        from ptlive.answers.filters import filter_of

        space = self._space
        names = _each(area)
        system = self.system() if areas or names else None
        wanted = () if ranges is None else _united(ranges)
        if names:
            wanted = chosen_ranges(system, names, wanted)
        chosen = filter_of(
            space.format,
            rights=_each(rights),
            sizes=_sizes_bits(sizes),
            kinds=_each(kinds),
            fields=_each(attributes),
            frames=tuple(range_of(one, "physical addresses") for one in frames),
        )
        some, _ = filtered(self._within(ends(wanted)).walk(ends(wanted)), chosen, space.target_of)
        known = system if areas else None
        found = regions(some, space.target_of, split_pa=split_pa, fold=fold, cuts=cuts_of(known))
        return Regions(found, known.areas if known else (), space.title)

    def find(self, pa: int, last_pa: int | None = None, *, limit: int = 100) -> Mappings:
        """Return which linear addresses reach a physical one, or a stretch up to `last_pa`.

        limit: how many pages are listed; all are counted. Raises PtliveError for what is no
        stretch of physical addresses, and for a bad root table.
        """
        from ptlive.api.mappings import mappings

        stretch = range_of((pa, pa if last_pa is None else last_pa), "physical addresses")
        limit = number(limit, "a limit", 1)
        return mappings(self._within(None), stretch, limit, self._areas())

    def diff(
        self,
        other: AddressSpace,
        ranges: Ranges | None = None,
        *,
        only: Collection[str] = (),
        ignore: Collection[str] = (),
    ) -> Differences:
        """Return what is different in `other`, which is the newer one of both.

        ranges: everything by default; only, ignore: kinds of changes, see `Difference`. Either may
        be frozen, of another guest, or of a file.

        Raises PtliveError if the formats cannot be compared, and for more than can be told.
        """
        from ptlive.api.differences import differences

        some = _ends(ranges)
        one, newer = self._within(some), other._within(some)
        return differences(
            one,
            newer,
            some,
            (_each(only), _each(ignore)),
            other._areas() or self._areas(),
            same_memory=one.memory is newer.memory,
        )

    def audit(self, only: Collection[str] = ()) -> Findings:
        """Look for what is wrong, or weak, in the tables; the other half of an isolation pair, too.

        only: names of rules (`ptlive audit --rules` lists them), all by default. Raises PtliveError
        for another name, for a bad root table, and for a frozen address space.
        """
        from ptlive.api.audit import audited

        return audited(self._live("audit"), self._space, _each(only))

    def verify(
        self,
        ranges: Ranges | None = None,
        *,
        addresses: Collection[int] = (),
        accesses: Collection[str] = (),
        oracles: Collection[str] = (),
        random: int | None = None,
        each_frame: bool = False,
        probes: int = 2000,
        seed: int = 0,
    ) -> Report:
        """Ask an MMU whether the walk is right, about everything or what is named.

        ranges, or single addresses: what to ask about; accesses: kinds of access, all by default
        oracles: "twin", "stepped", "debug-walker", "info-tlb"; by default a twin, a short-lived
        copy of the guest whose MMU makes each access, or, where there can be none, QEMU's debug
        walker. The stepped one writes and steps in the guest, and puts everything back.
        random: how many random addresses are asked besides; each_frame: ask for each 4K frame
        inside larger pages; probes: at most so many for the oracles that are slow; seed: of what
        is chosen

        Raises PtliveError where an oracle cannot answer, and for a frozen address space.
        """
        from ptlive.api.report import verified

        return verified(
            self._live("verify"),
            self._space,
            ranges=_ends(ranges),
            addresses=address_array(list(addresses)) if addresses else None,
            accesses=_each(accesses),
            oracles=_each(oracles),
            random=None if random is None else number(random, "how many random addresses"),
            each_frame=each_frame,
            probes=number(probes, "how many probes"),
            seed=number(seed, "a seed"),
        )

    def _areas(self) -> tuple[Area, ...]:
        system = self.system()
        return () if system is None else system.areas

    @property
    def _space(self) -> inner.AddressSpace:
        """The address space itself. Raises PtliveError once it is stale."""
        if self._held is not None:
            self._held.check()
        return self._inner

    def _within(self, ranges: tuple[U64, U64] | None) -> inner.AddressSpace:
        """Return the address space, to be asked about ranges; None is everything.

        Raises PtliveError where a copy has not their tables.
        """
        (first, last), (va, last_va) = self._kept, ranges or _EVERYTHING
        at = np.searchsorted(first, va, "right")
        lost = (at == 0) | (last_va > last[at - 1])
        if lost.any():
            which = f"{int(va[lost][0]):#x}..{int(last_va[lost][0]):#x}"
            raise PtliveError(f"{which} is not in the ranges of which the tables were frozen")
        return self._space

    def _live(self, what: str) -> Held:
        if self._held is None:
            raise PtliveError(f"{what} needs the guest, and this address space is a frozen copy")
        return self._held

    def _title(self) -> str:
        copy = ", frozen" if self.frozen else ""
        return f"{self._inner.title}, {self.format}, vCPU {self.vcpu}{copy}"

    def _content(self) -> Iterator[str | Table]:
        yield from self.notes


def _each(names: str | Collection[str]) -> tuple[str, ...]:
    """Return what is named; a text, which is a collection of letters too, is one name."""
    return (names,) if isinstance(names, str) else tuple(names)


def _sizes_bits(sizes: int | Collection[int]) -> tuple[int, ...]:
    some = [number(size, "a size of pages", 1) for size in np.atleast_1d(np.array(sizes, object))]
    for size in some:
        if size & (size - 1):
            raise PtliveError(f"{size} is no size of pages: 4096, 1 << 21, 1 << 30")
    return tuple(size.bit_length() - 1 for size in some)


def _ends(ranges: Ranges | None) -> tuple[U64, U64] | None:
    """Return ranges as the walker takes them; None is everything."""
    return None if ranges is None else ends(_united(ranges))


def _united(ranges: Ranges) -> tuple[tuple[int, int], ...]:
    """Return ranges, none overlapping. Raises PtliveError for what is no range."""
    try:
        pairs = [range_of(one, "addresses") for one in ranges]
    except TypeError:
        raise PtliveError("ranges are pairs (first, last), both included") from None
    if not pairs:
        raise PtliveError("no range is given: leave it out for everything")
    return united(pairs)
