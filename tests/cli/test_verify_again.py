"""Every disagreement prints a command; run as it stands, it finds the same."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from ptlive.access_kind import Access
from ptlive.paging.access import check
from ptlive.verify.twins import run as twin
from ptlive.verify.twins import tables as twin_tables
from ptlive.verify.twins.run import ORACLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.target.running import Guest as RunningGuest
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest


def a_walker_that_forgets_write_protection(*asked: Any) -> Any:
    verdicts = check(*asked)
    if asked[2].access is Access.WRITE and asked[2].user:
        verdicts.vector[verdicts.error_code == 7] = 0
        verdicts.error_code[verdicts.vector == 0] = 0
    return verdicts


def results(done: Done) -> list[dict[str, Any]]:
    assert done.status in (0, 1), done.err
    return [root["result"] for root in json.loads(done.out)["roots"]]


@pytest.mark.qemu
def test_the_command_finds_the_same_in_each_root_and_nothing_once_it_is_mended(
    menu_guest_5: RunningGuest, ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--gdb", menu_guest_5.gdb)
    monkeypatch.setattr(twin, "check", a_walker_that_forgets_write_protection)
    (cr3,) = (root["root"] for root in json.loads(ptlive("map", *at, "--json").out)["roots"])
    given = ("--oracle", "twin", "--root", "cr3", "--root", cr3, "--access", "user-write")
    both = results(ptlive("verify", *at, *given, "--random", "0", "--seed", "3", "--json"))
    assert len(both) == 2
    assert both[0]["disagreements"]
    for result, root in zip(both, ("cr3", cr3), strict=True):
        faults = [one for one in result["disagreements"] if one["property"] == "fault"]
        first = faults[0]
        command = shlex.split(first["reproduce"])
        assert command[:3] == ["ptlive", "verify", hex(int(first["va"], 16))]
        assert command[command.index("--gdb") + 1] == menu_guest_5.gdb
        assert ("--root" in command) == (root != "cr3")
        (again,) = results(ptlive(*command[1:], "--json"))
        assert first in again["disagreements"]
        with monkeypatch.context() as mended:
            mended.setattr(twin, "check", check)
            assert ptlive(*command[1:]).status == 0


@pytest.mark.qemu
def test_an_entry_that_is_not_as_expected_names_a_command_that_asks_it_all(
    menu_guest_5: RunningGuest, ptlive: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = twin_tables.TablesAfter.compare

    def d_is_lost(self: Any, report: Any, after: Any, *rest: Any) -> None:
        # Of one entry that was dirty before any access.
        row, index = np.argwhere(after & np.uint64(1 << 6 | 1) == 1 << 6 | 1)[0]
        after[row, index] &= ~np.uint64(1 << 6)
        compare(self, report, after, *rest)

    monkeypatch.setattr(twin_tables.TablesAfter, "compare", d_is_lost)
    at = ("--gdb", menu_guest_5.gdb, "--access", "user-read", "--seed", "5")
    (result,) = results(ptlive("verify", *at, "0..0xffffffffffff", "--oracle", "twin", "--json"))
    assert result["disagreements"]
    first = result["disagreements"][0]
    assert (first["property"], first["answered_by"]) == ("dirty", "TCG")
    command = shlex.split(first["reproduce"])
    assert {"0x0..0xffffffffffff", "--seed", "5", "user-read"} <= set(command)
    (again,) = results(ptlive(*command[1:], "--json"))
    assert again["disagreements"] == result["disagreements"]


@pytest.mark.qemu
def test_an_address_that_is_not_canonical_can_be_asked_alone(
    menu_guest_5: RunningGuest, ptlive: Callable[..., Done]
) -> None:
    at = ("--gdb", menu_guest_5.gdb, "--oracle", ORACLE)
    (result,) = results(ptlive("verify", *at, "0x0100000000000000", "--json"))
    (fault,) = (one for one in result["checks"] if one["property"] == "fault")
    assert (fault["agreed"], fault["disagreed"]) == (8, 0)


def test_junit_of_a_verification_and_of_one_that_could_not_be_done(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path
) -> None:
    file = tmp_path / "result.xml"
    given = ("verify", "--gdb", "x:1", "--oracle", "stepped", "--junit", str(file), "0x70001000")
    assert ptlive(*given).status == 0
    suite = ElementTree.parse(file).getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    guest.lie = lambda outcome, asked: dataclasses.replace(outcome, vector=13, error_code=0)
    assert ptlive(*given).status == 1
    suite = ElementTree.parse(file).getroot()[0]
    assert int(suite.get("failures", "")) >= 1
    assert "ask again: ptlive verify 0x70001000 --oracle stepped" in str(
        next(suite.iter("failure")).text
    )
    guest.halts = True
    assert ptlive(*given).status == 2
    (error,) = ElementTree.parse(file).getroot().iter("error")
    assert "halted" in error.get("message", "")


def test_a_file_that_cannot_be_written_is_one_sentence(
    ptlive: Callable[..., Done], guest: Guest, tmp_path: Path
) -> None:
    file = tmp_path / "no" / "such" / "place.xml"
    done = ptlive(
        "verify", "--gdb", "x:1", "--oracle", "stepped", "--junit", str(file), "0x70001000"
    )
    assert done.status == 2
    assert f"cannot write {file}: No such file or directory" in done.err
    assert guest.steps == 0, "seen before anything is asked"
