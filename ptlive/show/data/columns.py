"""The columns of exported data: what each is, and how it is made of a chunk of paths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ptlive.analysis.areas import area_of
from ptlive.errors import PtliveError
from ptlive.paging import fields, rights
from ptlive.paging.format import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from ptlive.analysis.areas import Area
    from ptlive.analysis.regions.build import TargetOf
    from ptlive.arrays import U8, U64, Bool
    from ptlive.paging.format import Format
    from ptlive.paging.graph import Graph
    from ptlive.paging.paths import Paths

Make: TypeAlias = "Callable[[Source, Paths], npt.NDArray[Any]]"

# Of the data's columns; it changes when one of them changes its meaning, or goes.
VERSION = "1"

# Of these fields of a leaf a format may have columns; the MMU writes them.
_MARKS = {"A": "accessed", "D": "dirty"}
_KINDS = tuple(kind.name.lower() for kind in Kind)


@dataclass(frozen=True, eq=False)
class Source:
    """One address space that is exported, and what explains its rows.

    walked: over what is exported; targets: names of what `target_of` returns
    areas: known of this address space
    """

    walked: Graph
    root: int
    origin: str
    target_of: TargetOf
    targets: tuple[str, ...]
    areas: tuple[Area, ...] = ()

    @property
    def fmt(self) -> Format:
        """The format."""
        return self.walked.fmt


class Values(NamedTuple):
    """A column's values for some rows, and which of them are null (None: none is)."""

    value: npt.NDArray[Any]
    null: Bool | None = None


@dataclass(frozen=True)
class Column:
    """A column: its name, type and meaning, and how it is made of a root's rows.

    type: of numpy, or "string"; then the values are numbers of `words`
    nullable: whether there may be nulls
    """

    name: str
    type: str
    meaning: str
    make: Callable[[Source, Paths], Values]
    nullable: bool = False
    words: tuple[str, ...] = ()


def columns(sources: Sequence[Source]) -> list[Column]:
    """Return the columns for some address spaces of one format.

    Rights and attributes are the format's own. Raises PtliveError for several formats.
    """
    fmt = sources[0].fmt
    if any(source.fmt.name != fmt.name for source in sources):
        raise PtliveError("the roots are of several formats: choose those of one by --root")
    origins = _different(source.origin for source in sources)
    targets = _different(name for source in sources for name in source.targets)
    areas = _different(area.name for source in sources for area in source.areas)
    return [
        _plain("root", "uint64", "physical address of the root table", _root),
        _words(
            "origin",
            "where the root came from: cr3, vcpu:N, #N, or its address",
            origins,
            lambda s, p: np.full(len(p), origins.index(s.origin), dtype=np.uint16),
        ),
        _plain("va", "uint64", "first linear address of the page", lambda _, p: p.va),
        _plain("last_va", "uint64", "last linear address of the page", lambda _, p: p.last_va),
        _plain("page_size", "uint64", "bytes of the page", _size),
        _plain("level", "uint8", "level of the entry, 1 is the lowest", lambda _, p: p.lvl),
        _words("kind", "leaf; or why it is none", _KINDS, lambda _, p: p.kind),
        _of_leaf("pa", "uint64", "physical address of the page's first byte", lambda _, p: p.pa),
        _words("target", "what the page lies in", targets, partial(_target, targets), leaf=True),
        _plain("entry", "uint64", "the entry", lambda _, p: p.entry),
        _plain("entry_pa", "uint64", "physical address of the entry", lambda _, p: p.entry_pa),
        *(
            _of_leaf(right.name, "bool", f"{right.name}: all levels grant it", _right(right.name))
            for right in fmt.rights
        ),
        *(
            _of_leaf(name.lower(), "uint8", f"{name} of the leaf", _field(fmt, name))
            for name in fmt.attributes
        ),
        *(
            _of_leaf(told, "bool", f"{name} of the leaf", _mark(fmt, name))
            for name, told in _MARKS.items()
            if any(field.name == name and field.leaves for field in fmt.level(1).fields)
        ),
        Column("area", "string", "area that it lies in", partial(_area, areas), True, areas),
    ]


def _different(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _plain(name: str, kind: str, meaning: str, make: Make) -> Column:
    return Column(name, kind, meaning, lambda source, paths: Values(make(source, paths)))


def _of_leaf(name: str, kind: str, meaning: str, make: Make) -> Column:
    def both(source: Source, paths: Paths) -> Values:
        return Values(make(source, paths), _hole(paths))

    return Column(name, kind, meaning, both, nullable=True)


def _words(
    name: str, meaning: str, words: tuple[str, ...], make: Make, *, leaf: bool = False
) -> Column:
    column = (_of_leaf if leaf else _plain)(name, "string", meaning, make)
    return replace(column, words=words)


def _root(source: Source, paths: Paths) -> U64:
    return np.full(len(paths), source.root, dtype=np.uint64)


def _size(_: Source, paths: Paths) -> U64:
    size: U64 = np.uint64(1) << paths.bits.astype(np.uint64)
    return size


def _target(words: tuple[str, ...], source: Source, paths: Paths) -> U8:
    code = source.target_of(paths.pa, paths.bits.astype(np.uint64))
    return np.array([words.index(name) for name in source.targets], dtype=np.uint8)[code]


def _area(words: tuple[str, ...], source: Source, paths: Paths) -> Values:
    number = np.array([words.index(area.name) for area in source.areas] or [0], dtype=np.int16)
    if not source.areas:
        code = np.zeros(len(paths), dtype=np.int16)
        return Values(code, np.ones(len(paths), dtype=np.bool_))
    at = area_of(source.areas, paths.va)
    return Values(number[np.maximum(at, 0)], at < 0)


def _hole(paths: Paths) -> Bool | None:
    hole: Bool = paths.kind != np.uint8(Kind.LEAF)
    return hole if hole.any() else None


def _right(name: str) -> Make:
    return lambda source, paths: rights.granted(source.fmt, paths.rights, name)


def _field(fmt: Format, name: str) -> Make:
    """Return how to take a field out of entries; it may stand elsewhere in each level."""
    of = partial(fields.leaf_field, fmt, name)
    return lambda _, paths: fields.by_level(paths.lvl, paths.entry, of).astype(np.uint8)


def _mark(fmt: Format, name: str) -> Make:
    field = _field(fmt, name)
    return lambda source, paths: field(source, paths) != 0
