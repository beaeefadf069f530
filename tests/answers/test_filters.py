"""What people say of the pages that they want, as a filter."""

from __future__ import annotations

import pytest

from ptlive.answers.filters import filter_of
from ptlive.errors import PtliveError
from ptlive.paging.formats import x86_64

FORMAT = x86_64.make_levels(4)


def test_letters_are_rights_that_are_granted_or_denied() -> None:
    found = filter_of(FORMAT, rights=["w-x", "r"])
    assert (found.granted, found.denied) == (("write",), ("execute",))
    assert filter_of(FORMAT, rights=["-wu"]).denied == ("write", "user")
    assert filter_of(FORMAT, rights=["-w+u"]).granted == ("user",)


def test_fields_have_values() -> None:
    found = filter_of(FORMAT, fields=["G,-A", "PK=0x3"], values=[("D", None)])
    assert found.fields == (("G", None), ("A", 0), ("PK", 3), ("D", None))


def test_kinds_are_what_frames_lie_in() -> None:
    assert filter_of(FORMAT, kinds=["RAM", "device"]).targets == (1, 3)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"rights": ["q"]}, "rights q: the letters of x86-64-4level are rwxu"),
        ({"rights": ["w", "-w"]}, "w cannot be both"),
        ({"fields": ["-G=1"]}, "attribute -G=1: either"),
        ({"fields": ["G=x"]}, "'x' is no number"),
        ({"fields": ["Q"]}, "no field 'Q'"),
        ({"kinds": ["disk"]}, "none of nothing, ram"),
        ({"sizes": [13]}, "no pages of 8K"),
    ],
)
def test_what_the_format_does_not_have_is_refused(how: dict[str, list[str]], why: str) -> None:
    with pytest.raises(PtliveError, match=why):
        filter_of(FORMAT, **how)  # type: ignore[arg-type]  # of several types
