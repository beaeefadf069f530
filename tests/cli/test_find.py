"""`ptlive find` on a simulated guest."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.oracle.info_tlb import parse
from ptlive.wire.qmp import Qmp
from tests.cli.conftest import VA
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, XD, P
from tests.simulated_guest import DATA, DEVICE_AT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.target.running import Guest as Running
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

AT = ("--gdb", "x:1")
ALIAS = 0x7000_9000


@pytest.fixture
def alias(guest: Guest) -> None:
    guest.map(ALIAS, (DATA + 1) * FRAME, P | RW | XD)


@pytest.mark.usefixtures("alias")
def test_every_alias_with_its_rights_and_entry(ptlive: Callable[..., Done]) -> None:
    pa = (DATA + 1) * FRAME + 0x123
    done = ptlive("find", *AT, hex(pa))
    assert (done.status, done.err) == (0, "")
    head, columns, *rows = done.out.splitlines()
    assert head == f"{pa:#x} (RAM ram): 2 mappings"
    assert columns.split()[:5] == ["address", "last", "page", "rights", "attributes"]
    assert [(int(row.split()[0], 0), row.split()[5]) for row in rows] == [
        (VA + FRAME + 0x123, "rwxu"),
        (ALIAS + 0x123, "rw--"),
    ]


@pytest.mark.usefixtures("alias")
def test_who_else_maps_the_frame_of_an_address(ptlive: Callable[..., Done]) -> None:
    done = ptlive("find", *AT, "--json", "--va", hex(VA + FRAME), "--va", "0x12345000")
    value = json.loads(done.out)
    assert value["schema"] == "ptlive.find/1"
    (found,) = value["found"]
    assert found["pa"] == hex((DATA + 1) * FRAME)
    assert [one["va"] for one in found["maps"]] == [f"{at:#018x}" for at in (VA + FRAME, ALIAS)]
    assert found["maps"][0]["rights"] == {"write": True, "execute": True, "user": True}
    assert (found["target"], found["mappings"], found["listed"]) == ("RAM", 2, 2)
    assert value["roots"][0]["result"] == {"mappings": 2}
    assert [note["code"] for note in value["notes"]][-1:] == ["no-translation"]
    assert "0x12345000 has no translation" in done.err


@pytest.mark.usefixtures("alias")
def test_an_address_alone_that_has_no_translation_is_nothing_to_look_for(
    refused: Callable[..., str], ptlive: Callable[..., Done]
) -> None:
    assert "0x12345000 has no translation" in refused("find", *AT, "--va", "0x12345000")
    assert ptlive("find", *AT, "--va", "0x12345000", "--check").status == 1


@pytest.mark.usefixtures("alias")
def test_a_table_is_told_to_be_one(ptlive: Callable[..., Done], guest: Guest) -> None:
    done = ptlive("find", *AT, "0x0")
    assert "nothing maps it" in done.out
    assert "0x0 is a table of PML4Es (level 4), in 0x0, reached by 2 paths" in done.out
    value = json.loads(ptlive("find", *AT, "--json", "0x8").out)["found"][0]
    assert [(table["pa"], table["level"]) for table in value["tables"]] == [("0x0", 4)]


@pytest.mark.usefixtures("alias")
def test_ranges_and_what_they_lie_in(ptlive: Callable[..., Done]) -> None:
    first, last = DATA * FRAME, (DATA + 2) * FRAME - 1
    found = json.loads(ptlive("find", *AT, "--json", f"{first:#x}..{last:#x}").out)["found"]
    assert [(one["va"], one["pages"]) for one in found[0]["maps"]] == [
        (f"{VA:#018x}", 1),
        (f"{VA + FRAME:#018x}", 1),
        (f"{ALIAS:#018x}", 1),
    ]
    assert "(device" in ptlive("find", *AT, hex(DEVICE_AT)).out


@pytest.mark.usefixtures("alias")
def test_nothing_maps_it_is_status_1_only_if_that_is_asked(ptlive: Callable[..., Done]) -> None:
    assert ptlive("find", *AT, "0x1000000").status == 0
    assert ptlive("find", *AT, "--check", "0x1000000").status == 1
    assert ptlive("find", *AT, "--check", hex(DATA * FRAME)).status == 0
    assert ptlive("find", *AT, "--check", "--va", "0x12345000").status == 1


@pytest.mark.usefixtures("alias")
def test_many_from_stdin_are_one_table(
    ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(DATA + n) * FRAME for n in range(40)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(hex, asked))))
    lines = ptlive("find", *AT, "-").out.splitlines()
    assert lines[0].startswith("physical  address")
    assert [int(line.split()[0], 0) for line in lines[1:4]] == [asked[0], asked[1], asked[1]]
    assert f"{asked[7]:#x}: nothing maps it" in lines


@pytest.mark.usefixtures("alias")
def test_the_limit_is_told(ptlive: Callable[..., Done]) -> None:
    done = ptlive("find", *AT, "--limit", "1", hex((DATA + 1) * FRAME))
    assert done.out.splitlines()[-1].strip() == "... 1 more of 2 mappings (--limit)"


@pytest.mark.usefixtures("alias")
def test_several_roots_share_what_they_have_in_common(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    other = (DATA + 20) * FRAME
    guest.ram.write(other + 8 * 511, guest.ram.value(8 * 511))
    roots = ("--root", "0x0", "--root", hex(other))
    stack = guest.va(20)  # one of the CPU's own frames
    value = json.loads(ptlive("find", *AT, *roots, "--json", "--va", hex(stack)).out)
    assert [one["roots"] for one in value["found"][0]["maps"]] == [["0x0", hex(other)]]
    assert [root["result"]["mappings"] for root in value["roots"]] == [1, 1]
    assert "all 2 roots" in ptlive("find", *AT, *roots, "--va", hex(stack)).out


@pytest.mark.usefixtures("alias")
def test_tables_and_what_reaches_them(ptlive: Callable[..., Done], guest: Guest) -> None:
    before = ptlive("find", *AT, "--tables").out.splitlines()
    assert before[0].split() == ["level", "entries", "tables", "memory"]
    assert before[1].split()[:2] == ["4", "PML4E"]
    assert before[-1].endswith("user mode can read 0 and write 0")
    guest.map(0x7000_8000, 0, PWU)
    after = ptlive("find", *AT, "--tables").out.splitlines()
    assert any(line.endswith("user mode can read 1 and write 1") for line in after)
    value = json.loads(ptlive("find", *AT, "--tables", "--json").out)
    (found,) = value["found"]
    assert [table["pa"] for table in found["tables"] if table["user_writes"]] == ["0x0"]
    assert found["user_mappings"][0]["maps"][0]["va"] == "0x0000000070008000"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ((), "give physical addresses, or --va ADDRESS, or --tables"),
        (("--tables", "0x1000"), "--tables tells of all tables"),
        (("0x2000..0x1000",), "ends before it begins"),
        (("nonsense",), "is no number"),
        (("0x10000000000000000",), "does not fit into 64 bits"),
    ],
    ids=["nothing", "both", "backwards", "no number", "too large"],
)
def test_what_cannot_be_asked(
    refused: Callable[..., str], asked: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused("find", *AT, *asked)


@pytest.mark.qemu
def test_a_linux_frames_addresses_are_those_that_info_tlb_prints(
    ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, linux_guest: Running
) -> None:
    """All mappings of some hundred frames, by QEMU's own walker read backwards."""
    with Qmp(linux_guest.qmp) as qmp:
        qmp.command("stop")
        try:
            lines = parse(qmp.human("info tlb"))
            huge = (lines.flags & np.uint64(1 << 7)) != 0
            pages = {
                (va, pa)
                for va, pa, large in zip(
                    lines.va.tolist(), lines.pa.tolist(), huge.tolist(), strict=True
                )
                if not large
            }
            asked = sorted({pa for _, pa in pages})[::20]
            monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(hex, asked))))
            at = ("--gdb", linux_guest.gdb)
            found = json.loads(ptlive("find", *at, "--json", "--limit", "100000", "-").out)["found"]
        finally:
            qmp.command("cont")
    assert len(found) == len(asked) > 100
    told = {
        (int(one["va"], 0), int(one["pa"], 0))
        for frame in found
        for one in frame["maps"]
        if one["page_size"] == "4K"
    }
    assert told == {(va, pa) for va, pa in pages if pa in set(asked)}
