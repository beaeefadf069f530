"""When a guest is up, as its user says it."""

from __future__ import annotations

import pytest

from ptlive.errors import PtliveError
from ptlive.guests.ready import After, Pages, Reaches, Ready, Says, parse

SYMBOLS = {"kernel_main": 0xFFFF_FFFF_8010_0040}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("paging", Pages()),
        ("now", After(0)),
        ("after:2.5", After(2.5)),
        ("after:3", After(3)),
        ("at:kernel_main", Reaches(0xFFFF_FFFF_8010_0040, "kernel_main")),
        ("at:0xffffffff80100000", Reaches(0xFFFF_FFFF_8010_0000, "0xffffffff80100000")),
        ("kernel: up", Says("kernel: up")),
        (r"^levels=(?P<levels>\d)$", Says(r"^levels=(?P<levels>\d)$")),
        ("says:paging", Says("paging")),
        ("says:at:x", Says("at:x")),
        ("paging is on", Says("paging is on")),
    ],
)
def test_words_are_what_they_say(text: str, meant: Ready) -> None:
    assert parse(text, SYMBOLS.__getitem__) == meant


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("after:-1", "'after:-1' is no number of seconds, as after:2.5 is"),
        ("after:", "'after:' is no number of seconds, as after:2.5 is"),
        ("after:1e999", "'after:1e999' is no number of seconds, as after:2.5 is"),
        ("at:12monkeys", "'at:12monkeys' is no address, as at:0xffffffff80100000 is"),
        ("at:0x10000000000000000", "'at:0x10000000000000000' does not fit into 64 bits"),
        ("[", "'[' is no regular expression: unterminated character set at position 0"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, sentence: str) -> None:
    with pytest.raises(PtliveError) as raised:
        parse(text, SYMBOLS.__getitem__)
    assert str(raised.value) == sentence
