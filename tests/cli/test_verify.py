"""`ptlive verify` on a simulated guest: what is asked, and the exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Done
    from tests.reference.sdm import Access, Outcome
    from tests.simulated_guest import Guest

AT = ("--gdb", "x:1")
STEPPED = ("--oracle", "stepped")


def test_the_default_only_reads(ptlive: Callable[..., Done], guest: Guest) -> None:
    done = ptlive("verify", *AT, "--probes", "50")
    assert done.status == 0
    assert (guest.steps, guest.generation) == (0, 0)
    assert "0 disagreements in " in done.out.splitlines()[-1]


def test_agreement_is_status_0_and_leaves_the_guest_as_it_was(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    before = guest.state()
    done = ptlive("verify", *AT, *STEPPED, "--probes", "400")
    assert (done.status, done.err) == (0, "")
    assert "0 disagreements in " in done.out
    assert guest.steps > 0
    assert guest.state() == before


def wrong(outcome: Outcome, asked: Access) -> Outcome:
    if outcome.vector != 14 or outcome.error_code is None:
        return outcome
    return replace(outcome, error_code=outcome.error_code ^ 0x20)


def test_a_disagreement_is_status_1_and_shown(ptlive: Callable[..., Done], guest: Guest) -> None:
    guest.lie = wrong
    done = ptlive("verify", *AT, *STEPPED, "0x70001000")
    assert done.status == 1
    assert "disagreement: 0x0000000070001000 (user-read), fault" in done.out
    value = json.loads(ptlive("verify", *AT, *STEPPED, "0x70001000", "--json").out)
    result = value["roots"][0]["result"]
    assert [d["access"] for d in result["disagreements"]] == [
        *("user-read", "user-write", "user-fetch")
    ]
    assert all(d["observed"].endswith(" PK)") for d in result["disagreements"])


def test_asking_again_is_a_command_that_asks_the_same(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    guest.lie = wrong
    value = json.loads(ptlive("verify", *AT, *STEPPED, "0x70001000", "--json").out)
    first = value["roots"][0]["result"]["disagreements"][0]
    command = first["reproduce"].split()
    assert command[0] == "ptlive"
    again = json.loads(ptlive(*command[1:], *AT, "--json").out)
    (one,) = again["roots"][0]["result"]["disagreements"]
    assert one == first
    # And once it is right, asking again says so.
    guest.lie = lambda outcome, asked: outcome
    assert ptlive(*command[1:], *AT).status == 0


def test_nothing_checked_is_status_2(ptlive: Callable[..., Done], guest: Guest) -> None:
    # Behind a table that lies nowhere nothing can be told.
    for oracle in ("stepped", "debug-walker"):
        done = ptlive("verify", *AT, "--oracle", oracle, "0x28000000000")
        assert done.status == 2
        assert "never checked: " in done.out


def test_both_oracles_in_one_report(ptlive: Callable[..., Done], guest: Guest) -> None:
    value = json.loads(
        ptlive(
            *("verify", *AT, "0x70001000", "0x70002000", "--json"),
            *("--oracle", "stepped", "--oracle", "debug-walker"),
        ).out
    )
    checks = value["roots"][0]["result"]["checks"]
    assert {check["oracle"] for check in checks} == {"stepped", "debug-walker"}
    for check in checks:
        left = sum(reason["count"] for reason in check["unchecked"])
        assert check["checked"] == check["agreed"] + check["disagreed"]
        if check["property"] == "fault":
            asked = 16 if check["oracle"] == "stepped" else 2
            assert check["checked"] + left == asked


def test_only_the_accesses_asked_for(ptlive: Callable[..., Done], guest: Guest) -> None:
    ptlive("verify", *AT, *STEPPED, "0x70001000", "--access", "user-read")
    assert guest.steps == 1


@pytest.mark.parametrize("oracle", ["stepped", "debug-walker"])
def test_another_root_than_the_vcpus_is_refused(
    refused: Callable[..., str], guest: Guest, oracle: str
) -> None:
    said = refused("verify", *AT, "--oracle", oracle, "--root", "0x1000")
    assert said.startswith("oracles answer for the root that vCPU 1 uses, 0x0, not for 0x1000")


def test_a_halted_vcpu_is_named(refused: Callable[..., str], guest: Guest) -> None:
    guest.halts = True
    assert "halted" in refused("verify", *AT, *STEPPED)


def test_the_stepped_probe_refuses_kvm(refused: Callable[..., str], guest: Guest) -> None:
    guest.accelerator = "KVM, unknown"
    assert "under TCG only, not under KVM, unknown" in refused("verify", *AT, *STEPPED)
