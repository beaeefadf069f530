"""How values show themselves: bounded, escaped, and in HTML that any notebook can show."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from ptlive.api.shown import ROWS, Shown, Table, table
from tests.api.simulated import PAGES, held, simulated
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

NASTY = "<script>alert('x')</script>\x1b[31m & \u202e"


class Checked(HTMLParser):
    """Counts rows, and refuses what does not nest or reaches outside of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows = 0
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "b", "table", "tr", "th", "td"}
        for name, value in attrs:
            assert name in {"class", "style"}
            assert value is not None
            # The notebook's colours are kept, and nothing is fetched.
            assert "color" not in value
            assert "url" not in value
            assert "background" not in value
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Nasty(Shown):
    def _title(self) -> str:
        return f"title {NASTY}"

    def _content(self) -> Iterator[str | Table]:
        yield f"line {NASTY}"
        yield Table(("head",), [(f"cell {NASTY}",), ("x" * 5000,)])


def values() -> list[Shown]:
    guest = simulated()
    library, _ = held(guest)
    space = library.space()
    before = space.freeze()
    guest.map(PAGES + 8 * FRAME, DATA * FRAME, P | RW)
    return [
        library,
        space,
        before,
        space.translate(PAGES),
        space.translate(0x1000),
        space.translate(1 << 60),
        space.regions(),
        space.regions([(0, 0)]),
        space.find(DATA * FRAME),
        space.find(0),
        before.diff(space),
        before.diff(before),
        space.audit(),
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_a_value_is_a_line_and_a_table_and_html(value: Shown) -> None:
    assert repr(value).startswith("<")
    assert "\n" not in repr(value)
    assert all(line.isprintable() for line in str(value).split("\n"))
    said = Checked(value._repr_html_())
    assert repr(value)[1:-1] in "".join(said.words)


def test_nothing_unprintable_and_no_markup_comes_through() -> None:
    value = Nasty()
    for text in (repr(value), str(value)):
        assert text.replace("\n", "").isprintable()
    html = value._repr_html_()
    assert "<script" not in html
    words = "".join(Checked(html).words)
    assert "<script>" in words  # as text
    assert words.isprintable()


def test_what_is_shown_is_bounded() -> None:
    guest = simulated()
    for number in range(4 * ROWS):
        guest.map(0x5000_0000 + number * 3 * FRAME * (1 + number % 2), DATA * FRAME, PWU)
    found = held(guest)[0].space().regions(fold=False)
    assert len(found) > ROWS
    more = f"... {len(found) - ROWS} more"
    assert more in str(found)
    html = found._repr_html_()
    assert more in html
    assert Checked(html).rows == ROWS + 1
    assert max(map(len, Checked(Nasty()._repr_html_()).words)) <= 400


def test_a_table_takes_no_more_than_it_shows() -> None:
    taken = []

    def rows() -> Iterator[tuple[str]]:
        for number in range(10 * ROWS):
            taken.append(number)
            yield (str(number),)

    made = table(("n",), rows(), of=10 * ROWS)
    assert len(made.rows) == len(taken) == ROWS
    assert made.more == 9 * ROWS


def test_rows_have_addresses_in_hexadecimal() -> None:
    space = held(simulated())[0].space()
    assert f"va={PAGES:#x}, last_va={PAGES + 2 * FRAME - 1:#x}" in repr(space.regions()[0])
    assert "pages={4096: 2}" in repr(space.regions()[0])
    assert "entry_pa=0x" in repr(space.find(DATA * FRAME)[0])
    fault = space.translate(0).fault("user-read")
    assert repr(fault).startswith("Fault(access='user-read', vector=14, error_code=0x4, cr2=0x0")
