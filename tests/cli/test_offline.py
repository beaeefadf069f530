"""`decode` and `fault`, against values worked out by hand from the manual's tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done


def test_decode_a_page(ptlive: Callable[..., Done]) -> None:
    done = ptlive("decode", "0x8000000012345067", "--level", "1")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "0x8000000012345067 as a PTE (pte, level 1): leaf"
    assert lines[1] == "  maps the 4K page at 0x12345000"
    assert "  XD   = 1" in lines


def test_decode_says_what_is_wrong_where_no_bit_alone_is(ptlive: Callable[..., Done]) -> None:
    done = ptlive("decode", "0x1002", "--level", "1", "--format", "ept")
    lines = done.out.splitlines()
    assert lines[0] == "0x0000000000001002 as a EPT PTE (PG_LEVEL_4K, level 1): malformed"
    assert lines[-1] == "  allows writing, but not reading"
    done = ptlive("decode", "0", "--level", "1", "--format", "vax")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("ptlive: there is no format 'vax'; there are x86-64-4level, ")


@pytest.mark.parametrize(
    ("entry", "name", "lines"),
    [
        (
            "0x80000000202120cf",
            "sv39",
            ("PTE[0] (pte, level 1): leaf", "the 64K page at 0x80840000"),
        ),
        (
            "0x10000040417403",
            "aarch64-16k-47",
            ("L3 (pte, level 1): leaf", "the 2M page at 0x40400000"),
        ),
        ("0xc000000002051180", "power-radix", ("PTE3 (pte, level 1): leaf", "page at 0x2051000")),
    ],
)
def test_decode_entries_of_other_architectures(
    ptlive: Callable[..., Done], entry: str, name: str, lines: tuple[str, str]
) -> None:
    done = ptlive("decode", entry, "--level", "1", "--format", name)
    assert (done.status, done.err) == (0, "")
    first, second, *rest = done.out.splitlines()
    assert first.endswith(lines[0])
    assert second.endswith(lines[1])
    assert len({line.index(" = ") for line in rest}) == 1


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["0x87", "--level", "3"], "leaf"),
        (["0x87", "--level", "3", "--no-1g"], "malformed"),
        (["0x87", "--level", "4"], "malformed"),
        (["0x7", "--level", "4"], "table"),
        (["0x2087", "--level", "2"], "malformed"),
        (["0x1087", "--level", "2"], "leaf"),
        (["0x8000000000000007", "--level", "1"], "leaf"),
        (["0x8000000000000007", "--level", "1", "--no-nxe"], "malformed"),
        (["0x8000000000007", "--level", "1"], "leaf"),
        (["0x8000000000007", "--level", "1", "--maxphyaddr", "51"], "malformed"),
        (["0xfffffffffffffffe", "--level", "5"], "absent"),
        (["0x7", "--level", "4", "--levels", "4"], "table"),
        (["0x87", "--level", "2", "--format", "32-bit"], "leaf"),
        (["0x200087", "--level", "2", "--format", "32-bit"], "malformed"),
        (["0x3", "--level", "3", "--format", "pae"], "malformed"),
        (["0x1", "--level", "3", "--format", "pae"], "table"),
        (["0x1000", "--level", "1", "--format", "npt"], "absent"),
    ],
)
def test_decode_tells_the_kind(ptlive: Callable[..., Done], options: list[str], kind: str) -> None:
    done = ptlive("decode", *options, "--json")
    value = json.loads(done.out)
    assert (done.status, value["kind"]) == (0, kind)
    assert list(value) == [
        *("schema", "format", "level", "name", "entry", "kind", "refers_to", "page_size"),
        *("bits", "reserved_bits_set"),
    ]
    assert value["schema"] == "ptlive.decode/1"
    assert (value["reserved_bits_set"] != []) == (kind == "malformed")


@pytest.mark.parametrize(
    ("level", "levels", "sentence"),
    [
        ("0", "5", "x86-64-5level has the levels 1 to 5, not 0"),
        ("6", "5", "x86-64-5level has the levels 1 to 5, not 6"),
        ("5", "4", "x86-64-4level has the levels 1 to 4, not 5"),
        ("-1", "5", "x86-64-5level has the levels 1 to 5, not -1"),
    ],
)
def test_a_level_out_of_range_is_refused(
    refused: Callable[..., str], level: str, levels: str, sentence: str
) -> None:
    assert refused("decode", "1", "--level", level, "--levels", levels) == sentence


@pytest.mark.parametrize(
    ("code", "first", "rest"),
    [
        ("0", "#PF(0x0)", ["P=0: an entry", "W/R=0: a read or a fetch", "U/S=0: a supervisor"]),
        ("7", "#PF(0x7: P W/R U/S)", ["P=1: all", "W/R=1: a write", "U/S=1: a user-mode"]),
        ("0x9", "#PF(0x9: P RSVD)", ["P=1", "W/R=0", "U/S=0", "RSVD=1: a reserved bit"]),
        ("0x15", "#PF(0x15: P U/S I/D)", ["P=1", "W/R=0", "U/S=1", "I/D=1: an instruction fetch"]),
        ("0x27", "#PF(0x27: P W/R U/S PK)", ["P=1", "W/R=1", "U/S=1", "PK=1: a protection key"]),
        ("0x40", "#PF(0x40: SS)", ["P=0", "W/R=0", "U/S=0", "SS=1: a shadow-stack"]),
        ("0x8000", "#PF(0x8000: SGX)", ["P=0", "W/R=0", "U/S=0", "SGX=1"]),
    ],
)
def test_fault_codes(ptlive: Callable[..., Done], code: str, first: str, rest: list[str]) -> None:
    done = ptlive("fault", code)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == first
    assert len(lines) == 1 + len(rest)
    for line, start in zip(lines[1:], rest, strict=True):
        assert line.strip().startswith(start)


@pytest.mark.parametrize(
    ("cr2", "four", "five"),
    [
        ("0x7fffffffffff", "in the lower half", "in the lower half"),
        ("0x800000000000", "not canonical", "in the lower half"),
        ("0xff00000000000000", "not canonical", "in the upper half"),
        ("0xffff800000000000", "in the upper half", "in the upper half"),
        ("0x0100000000000000", "not canonical", "not canonical"),
    ],
)
def test_fault_says_where_cr2_is(
    ptlive: Callable[..., Done], cr2: str, four: str, five: str
) -> None:
    value = json.loads(ptlive("fault", "4", cr2, "--json").out)
    assert value["cr2_is"] == {"4": four, "5": five}
    assert value["cr2"] == f"{int(cr2, 0):#018x}"
    said = ptlive("fault", "4", cr2).out.splitlines()[-1]
    assert said == f"  CR2 {int(cr2, 0):#018x}: {four} with 4 levels, {five} with 5"


def test_json_of_a_fault_has_its_keys(ptlive: Callable[..., Done]) -> None:
    value = json.loads(ptlive("fault", "0x7", "--json").out)
    assert list(value) == ["schema", "error_code", "bits", "words", "cr2", "cr2_is"]
    assert (value["schema"], value["error_code"]) == ("ptlive.fault/1", "0x7")
    assert value["bits"] == ["P", "W/R", "U/S"]
    assert (value["cr2"], value["cr2_is"]) == (None, None)
