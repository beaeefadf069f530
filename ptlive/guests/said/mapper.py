"""What the Linux guest's `mapper` says about its own pages, read from the serial log.

The kernel's word, out of /proc/self/pagemap and smaps: nothing that walks or verifies
knows it, the tests hold the walker against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ptlive.errors import PtliveError

PAGE_SIZES = {"4K": 1 << 12, "2M": 1 << 21, "1G": 1 << 30}

# guest/linux/: every number that a cut might shorten has a fixed width, or another field
# behind it. [0-9], since \d takes the digits of all scripts.
_NUMBER = r"[0-9]{1,15}"
_VA = r"0x[0-9a-f]{16}"
_HEAD = rf"kind=(?P<kind>[a-z0-9]{{1,16}}) pid=(?P<pid>{_NUMBER}) va=(?P<va>{_VA})"
_BEGIN = re.compile(rf"begin pid=(?P<pid>{_NUMBER})")
_PKRU = re.compile(r"pkru value=(?P<pkru>0x[0-9a-f]{8})")
_WITHOUT = re.compile(r"without (?P<what>.{1,200})")
_PAGE = re.compile(
    rf"page {_HEAD} size=(?P<size>4K|2M|1G) prot=(?P<prot>[r-][w-][x-])"
    rf" touched=(?P<touched>[-rw]) key=(?P<key>[0-9]{{1,2}}) is=(?P<bits>[P-][S-][F-][X-][D-])"
    r" pfn=(?P<pfn>0x[0-9a-f]{14})"
)
_SUM = re.compile(
    rf"sum {_HEAD} step=(?P<step>{_VA}) pages=(?P<pages>{_NUMBER})"
    rf" present=(?P<present>{_NUMBER}) weighted=(?P<weighted>{_VA})"
)
_PARKED = re.compile(
    rf"parked pid={_NUMBER} how=(?P<park>spin|sleep|exit) lines=(?P<lines>{_NUMBER})"
)
_FAILED = re.compile(r"failed: (?P<why>.{1,200})")
_PREFIX = "mapper: "


@dataclass(frozen=True)
class Page:
    """One address: how it was mapped and touched, and what the kernel says is there.

    size: of the page in bytes, by smaps; key: its protection key, by smaps
    prot: as asked for, such as "r-x"; touched: "w" written, "r" only read, "-" neither
    present: by pagemap, which says so of a PROT_NONE page too, although its entry's P is 0
    pfn: of the 4K at `va`; of a page that is swapped out, its place in the swap
    """

    kind: str
    pid: int
    va: int
    size: int
    prot: str
    touched: str
    key: int
    present: bool
    swapped: bool
    file_or_shared: bool
    exclusive: bool
    soft_dirty: bool
    pfn: int

    @property
    def size_name(self) -> str:
        """The page size as people write it: 4K, 2M, 1G."""
        return next(name for name, size in PAGE_SIZES.items() if size == self.size)


@dataclass(frozen=True)
class Sum:
    """All pages of an area, `step` bytes apart from `va` on.

    weighted: the sum of (i + 1) * PFN over the present pages i, modulo 2**64
    """

    kind: str
    pid: int
    va: int
    step: int
    pages: int
    present: int
    weighted: int


@dataclass
class Witness:
    """One run of the mapper.

    pid: of the process that maps; the pages of others, with which it shares, have theirs
    pkru: while it is parked, None without protection keys
    without: sentences about what could not be had
    lost: how many of its lines did not arrive whole: the kernel prints on the same port
    """

    pid: int
    pkru: int | None = None
    park: str = ""
    pages: list[Page] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    lost: int = 0


def read_witness(log: str) -> Witness:
    """Return the last finished run of the mapper in a serial log.

    Lines that are not the mapper's, or not whole, are passed over, the latter counted.
    Raises PtliveError if there is no such run, or one that failed.
    """
    found: Witness | None = None
    current: Witness | None = None
    whole = 0
    for line in log.split("\n"):
        _, prefix, said = line.partition(_PREFIX)
        said = said.rstrip("\r")
        if not prefix:
            continue
        if begin := _BEGIN.fullmatch(said):
            current, whole = Witness(_number(begin["pid"])), 1
        elif current and (parked := _PARKED.fullmatch(said)):
            current.park = parked["park"]
            current.lost = max(_number(parked["lines"]) - whole - 1, 0)
            found, current = current, None
        elif current and (failed := _FAILED.fullmatch(said)):
            raise PtliveError(f"the guest's mapper failed: {failed['why']}")
        elif current:
            whole += _take(current, said)
    if not found:
        raise PtliveError(
            "the guest's log has no witness: start it with --map, or run `mapper` at its prompt"
        )
    return found


def _take(into: Witness, said: str) -> bool:
    """Add what a line says; return whether it says anything."""
    if page := _PAGE.fullmatch(said):
        into.pages.append(_page(page))
    elif total := _SUM.fullmatch(said):
        numbers = {name: _number(total[name]) for name in Sum.__annotations__ if name != "kind"}
        into.sums.append(Sum(total["kind"], **numbers))
    elif pkru := _PKRU.fullmatch(said):
        into.pkru = _number(pkru["pkru"])
    elif without := _WITHOUT.fullmatch(said):
        into.without.append(without["what"])
    else:
        return False
    return True


def _page(line: re.Match[str]) -> Page:
    present, swapped, file_or_shared, exclusive, soft_dirty = (bit != "-" for bit in line["bits"])
    return Page(
        kind=line["kind"],
        pid=_number(line["pid"]),
        va=_number(line["va"]),
        size=PAGE_SIZES[line["size"]],
        prot=line["prot"],
        touched=line["touched"],
        key=_number(line["key"]),
        present=present,
        swapped=swapped,
        file_or_shared=file_or_shared,
        exclusive=exclusive,
        soft_dirty=soft_dirty,
        pfn=_number(line["pfn"]),
    )


def _number(text: str) -> int:
    return int(text, 16 if text.startswith("0x") else 10)
