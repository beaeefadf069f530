"""`ptlive selftest` as its users type it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ptlive.show import selftest as show
from ptlive.verify.selftest.record import Cpu
from ptlive.verify.selftest.run import Selftest, selftest
from tests.verify.selftest.mutants import MUTANTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done


@pytest.mark.qemu
def test_the_quick_one_agrees_and_says_how_much_was_asked(ptlive: Callable[..., Done]) -> None:
    done = ptlive("selftest", "--quick", "--levels", "4", "--json")
    assert done.status == 0, done.err
    said = json.loads(done.out)
    assert said["schema"] == "ptlive.selftest/1"
    assert said["answered_by"] == "TCG"
    assert said["disagreed"] == 0
    assert said["accesses"] > 1_000_000
    (bench,) = said["benches"]
    assert all(check["checked"] > 10_000 for check in bench["checks"])
    assert {quirk["name"] for quirk in bench["quirks"]} == {"tcg-rsvd-without-p"}


@pytest.mark.qemu
def test_a_disagreement_names_a_command_that_asks_again(ptlive: Callable[..., Done]) -> None:
    rules = MUTANTS["keys count for supervisor pages"]
    asked = Selftest(levels=[4], cpu=Cpu(40), seed=5, quick=True)
    report = selftest(asked, "7.2", rules=rules)
    assert report.disagreed
    text = "\n".join(str(line) for line in show.lines(report))
    difference = report.benches[0].differences[0]
    assert difference.reproduce in text
    assert "U/S=0" in text
    program, command, *options = difference.reproduce.split()
    assert (program, command) == ("ptlive", "selftest")
    done = ptlive(command, *options, "--json")
    assert done.status == 0, done.err  # by the right rules
    (bench,) = json.loads(done.out)["benches"]
    assert bench["addresses"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--guest", "menu", "--quick"], "with a guest"),
        (["--twin-qemu", "/bin/true"], "/bin/true is no QEMU"),
        (["--levels", "3"], "'3'"),
        (["nonsense"], "no number"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    ptlive: Callable[..., Done], arguments: list[str], said: str
) -> None:
    done = ptlive("selftest", *arguments)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
