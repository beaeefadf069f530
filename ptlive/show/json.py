"""JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ptlive.show.terminal import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T")


class Encoded(str):
    """An item of a long list that is JSON already."""

    __slots__ = ()


def print_json(value: dict[str, Any]) -> None:
    """Print one object; text from a guest is escaped to ASCII by JSON itself.

    What holds no list stands on one line. An iterator is a long list whose items are made
    one by one and stand on a line each, written by the library's fast encoder.
    """
    write_lines(_lines("", value, "", ""))


def _lines(head: str, value: Any, tail: str, indent: str) -> Iterator[str]:
    """Yield the lines of a value, with what stands before and after it."""
    if not _is_deep(value):
        yield indent + head + json.dumps(value) + tail
        return
    items: Iterable[tuple[str, Any]]
    if isinstance(value, dict):
        begin, end = "{}"
        items = ((f"{json.dumps(key)}: ", item) for key, item in value.items())
    else:
        begin, end = "[]"
        items = (("", item) for item in value)
    yield indent + head + begin
    inner = indent + "  "
    if isinstance(value, Iterator):
        for item, is_last in _with_last(value):
            text = item if isinstance(item, Encoded) else json.dumps(item)
            yield f"{inner}{text}{'' if is_last else ','}"
    else:
        for (key, item), is_last in _with_last(items):
            yield from _lines(key, item, "" if is_last else ",", inner)
    yield indent + end + tail


def _is_deep(value: Any) -> bool:
    """Tell whether a value is, or has in it, a list of something."""
    if value is None or isinstance(value, str | int):  # nearly all of a million regions
        return False
    if isinstance(value, dict):
        return any(map(_is_deep, value.values()))
    return isinstance(value, Iterator) or (isinstance(value, list | tuple) and len(value) > 0)


def _with_last(items: Iterable[_T]) -> Iterator[tuple[_T, bool]]:
    """Yield each item, and whether it is the last."""
    rest = iter(items)
    for item in rest:
        for following in rest:
            yield item, False
            item = following
        yield item, True
