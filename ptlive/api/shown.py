"""How values show themselves: a line as their repr, lines when printed, a table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ptlive.show.terminal import aligned, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: So many rows of a table are shown, of more it is said how many they are: a notebook keeps
#: what it shows in its file.
ROWS = 50
# Evidence and names may come from the guest, and are as long as it likes.
_CELL = 200

# No colours: those of the notebook are kept, light or dark. What a notebook does to tables
# (right-aligned text, wrapped addresses) is undone.
_TABLE = "border-collapse:collapse;font-family:monospace;font-size:90%;margin:0.3em 0"
_CELL_STYLE = "padding:0.1em 0.7em;white-space:pre;text-align:{side};border:none"


class Table(NamedTuple):
    """Rows of text under a header; right: ">" for each column that is aligned to the right."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    right: str = ""
    more: int = 0


def table(
    header: tuple[str, ...], rows: Iterable[Sequence[str]], right: str = "", *, of: int
) -> Table:
    """Return a table of the first rows, of as many as there are."""
    some = list(islice(rows, ROWS))
    return Table(header, some, right, max(of - len(some), 0))


class Shown(ABC):
    """A value that shows itself; what comes from the guest is escaped wherever it is shown."""

    @abstractmethod
    def _title(self) -> str:
        """Return in one line what it is."""

    @abstractmethod
    def _content(self) -> Iterator[str | Table]:
        """Yield lines and tables that tell the rest."""

    def __repr__(self) -> str:
        return f"<{plain(self._title())}>"

    def __str__(self) -> str:
        lines = [plain(self._title())]
        for part in self._content():
            lines += [plain(part)] if isinstance(part, str) else _text(part)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<div><b>{_html(self._title())}</b></div>"]
        parts += [_html_part(part) for part in self._content()]
        return f'<div class="ptlive">{"".join(parts)}</div>'


# Fields that are addresses, entries and distances: people read them in hexadecimal.
_HEX = {"va", "last_va", "pa", "until", "stride", "root", "partner", "entry", "entry_pa"}
_HEX |= {"cr2", "error_code", "rip"}


class Row:
    """A dataclass whose repr has addresses in hexadecimal, and nothing of what is private."""

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={_value(field.name, getattr(self, field.name))}"
            for field in fields(self)  # type: ignore[arg-type]  # only dataclasses are rows
            if field.repr
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _value(name: str, value: object) -> str:
    return hex(value) if name in _HEX and isinstance(value, int) else repr(value)


def _without_empty(shown: Table) -> Table:
    """Return the table without the columns that say nothing in any row."""
    said = [any(column) for column in zip(*shown.rows, strict=True)]
    kept = [at for at in range(len(shown.header)) if not said or said[at]]
    sides = shown.right.ljust(len(shown.header))
    return Table(
        tuple(shown.header[at] for at in kept),
        [[row[at] for at in kept] for row in shown.rows],
        "".join(sides[at] for at in kept),
        shown.more,
    )


def _text(shown: Table) -> Iterator[str]:
    shown = _without_empty(shown)
    columns = list(zip(*([_cut(cell) for cell in row] for row in shown.rows), strict=True))
    empty: list[tuple[str, ...]] = [()] * len(shown.header)
    yield from (f"  {line}" for line in aligned(shown.header, columns or empty, shown.right))
    if shown.more:
        yield f"  ... {shown.more:,} more"


def _html_part(part: str | Table) -> str:
    return _html_line(part) if isinstance(part, str) else _html_table(part)


def _html_line(line: str) -> str:
    return f'<div style="font-family:monospace;white-space:pre-wrap">{_html(line)}</div>'


def _html_table(shown: Table) -> str:
    shown = _without_empty(shown)
    sides = ["right" if side == ">" else "left" for side in shown.right.ljust(len(shown.header))]
    rows = [_html_row("th", shown.header, sides)]
    rows += [_html_row("td", row, sides) for row in shown.rows]
    more = f"<div>... {shown.more:,} more</div>" if shown.more else ""
    return f'<table style="{_TABLE}">{"".join(rows)}</table>{more}'


def _html_row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    made = (
        f'<{tag} style="{_CELL_STYLE.format(side=side)}">{_html(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(made)}</tr>"


def _html(text: str) -> str:
    return escape(_cut(text))


def _cut(text: str) -> str:
    """Return a text without anything unprintable, and not longer than a cell may be."""
    return plain(text if len(text) <= _CELL else f"{text[: _CELL - 3]}...")
