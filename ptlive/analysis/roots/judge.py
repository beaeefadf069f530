"""How sure it is that a table is a root, from what speaks for it; and what kind of root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PROCESS, KERNEL, USER_HALF, OTHER = "process", "kernel", "user half", "other"

#: Roots with less are only listed when that is asked for.
DEFAULT = 0.5

# What each kind of evidence is worth at most. The order is what matters: what a CPU uses is
# a root; what shares the kernel of one and leads user mode to pages can hardly be anything
# else; the rest is less and less sure. DEFAULT lies above all that a freed or forgotten table
# can look like.
_CERTAIN = 1.0
_WHOLE = 0.95  # the whole kernel half, and pages of user mode
_PARTNER = 0.9  # half of a pair that shares all of the lower half
_FEW_MISSING = 0.85  # lazily filled: nothing differs, some entries are absent
_KERNEL = 0.85  # no lower half, and the kernel maps it outside of its map of all RAM too
_DIFFERS = 0.7  # most of the kernel half
_SUPERVISOR = 0.7  # the kernel half, and a lower half without a page for user mode
_FAMILY = 0.6  # in no relation to a known root, but several of one family
_LONE = 0.4  # a consistent tree to which nothing leads: in use, or forgotten
_EMPTY = 0.3  # a kernel half without anything: as a freed root looks, too
_BROKEN = 0.2  # a tree with entries that make no sense
# Bad entries in a lower half: one may be a defect worth seeing, most of them are no table.
_FLAWED = 0.75

# So many copies of a table are named in words.
_NAMED = 2


class Below(NamedTuple):
    """What a root's lower half has (of a lone one: all of it), see `count.Counts`."""

    leaves: int
    bytes: int
    user: int
    in_ram: int
    bad: int
    junk: int
    tables: int


@dataclass(frozen=True)
class Facts:
    """What was found out about a table.

    vcpus: those whose CR3 it is in; below: None if that was too much to walk
    shared, differing, kernel: how many entries of its upper half are those of a known
        root, are others, and how many that root has
    mapped: how often the kernel maps its frame; partner: the other half of its pair
    partner_sure: they have the same lower half, which is not empty; guarded: the entries of
        its own deny what those of the partner grant
    entrance: it is the half without the kernel; copies: others with the same entries
    family: how many roots share its upper half, where that is no known root's
    upper, lower: how many entries of its halves are present
    """

    root: int
    vcpus: tuple[int, ...] = ()
    below: Below | None = None
    shared: int = 0
    differing: int = 0
    kernel: int = 0
    mapped: int = 0
    partner: int | None = None
    partner_sure: bool = False
    guarded: bool = False
    entrance: bool = False
    copies: tuple[int, ...] = ()
    family: int = 0
    upper: int = 0
    lower: int = 0

    @property
    def related(self) -> bool:
        """Whether it shares the kernel of a known root."""
        return self.shared > 0 and 2 * self.shared >= self.kernel


def kind_of(facts: Facts) -> str:
    """Return what kind of root this is."""
    if facts.entrance:
        return USER_HALF
    below = facts.below
    if below is None or below.user:
        return PROCESS
    if not below.leaves and not below.tables:
        return KERNEL
    return OTHER


def confidence_of(facts: Facts) -> float:
    """Return how sure it is, 0 to 1."""
    if facts.vcpus:
        return _CERTAIN
    value = _by_relation(facts)
    if facts.below is not None and facts.below.bad and value > _BROKEN:
        value *= _FLAWED if facts.below.bad < max(facts.below.leaves, 1) else _BROKEN
    return round(value, 2)


def _by_relation(facts: Facts) -> float:
    below = facts.below
    if facts.entrance:
        if facts.partner_sure:
            return _PARTNER
        return _KERNEL if facts.mapped > 1 else _EMPTY
    if not facts.related:
        if below is None or below.bad or below.junk > below.leaves:
            return _BROKEN
        return _FAMILY if facts.family > 1 else _LONE
    if facts.differing:
        whole = _DIFFERS
    else:
        whole = _WHOLE if facts.shared == facts.kernel else _FEW_MISSING
    if below is None or below.user:
        return whole
    if below.leaves or below.tables:
        return min(whole, _SUPERVISOR)
    return min(whole, _KERNEL) if facts.mapped > 1 else _EMPTY


def word(confidence: float) -> str:
    """Return a confidence as a word."""
    if confidence == _CERTAIN:
        return "certain"
    if confidence >= _FEW_MISSING:
        return "high"
    return "medium" if confidence >= DEFAULT else "low"


def evidence(facts: Facts) -> Iterator[str]:
    """Yield what speaks for a root, and what against it."""
    for vcpu in facts.vcpus:
        yield f"in CR3 of vCPU {vcpu}"
    if facts.shared:
        share = f"{facts.shared} of {facts.kernel} kernel entries"
        yield share + (f", {facts.differing} others differ" if facts.differing else "")
    if facts.partner is not None:
        yield from _of_pair(facts)
    if not facts.related and not facts.entrance and not facts.vcpus:
        yield "nothing known leads to it"
        if facts.family > 1:
            yield f"{facts.family} with this upper half"
    yield from _of_below(facts)
    if facts.copies:
        yield _of_copies(facts.copies)


def _of_copies(copies: tuple[int, ...]) -> str:
    where = ", ".join(map(hex, copies[:_NAMED])) + (", ..." if len(copies) > _NAMED else "")
    return f"{len(copies)} more with the same entries, at {where}"


def _of_pair(facts: Facts) -> Iterator[str]:
    if facts.lower:
        yield "lower half of its partner"
    else:
        yield "beside its partner"
    if facts.guarded:
        yield "not executable there"


def _of_below(facts: Facts) -> Iterator[str]:
    below = facts.below
    if below is None:
        yield "too many tables to walk"
        return
    if not below.leaves and not below.tables:
        yield "lower half empty"
        if facts.mapped > 1:
            yield f"its frame is mapped {facts.mapped} times, as the kernel's image"
        elif not facts.vcpus and not facts.entrance:
            yield "may have been freed"
    elif not below.leaves:
        yield "no page in the lower half"
    elif not below.user:
        yield "no page for user mode"
    if below.bad:
        yield f"{below.bad} malformed or unreadable entries"
    if below.junk:
        yield f"{below.junk} entries of upper levels neither zero nor present"
