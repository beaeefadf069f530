"""PAE and 32-bit paging, as QEMU's MMU has them: a guest probes itself, ptlive agrees."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.paging.formats import bits32, pae
from ptlive.space import open_space
from ptlive.target.attach import attach
from ptlive.target.machine import QEMU
from tests.bare.guest import Machine, built
from tests.bare.judge import ask
from tests.bare.x86 import Told, booted, disagreements, is_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.qemu

GUEST = Machine("narrow", "qemu-system-x86_64", "gcc", (), 0)
# With RAM beyond 4G, which PAE reaches, and PSE-36.
OPTIONS = ("-machine", "pc,max-ram-below-4g=64M", "-m", "96M", "-cpu", "max")
FORMATS = {"32": "32-bit", "pse": "32-bit", "pse-wp0": "32-bit", "pae": "pae", "pae-nx": "pae"}


# The modes, and two of them on a CPU that has no others.
GUESTS = [(mode, QEMU) for mode in FORMATS]
GUESTS += [(mode, "qemu-system-i386") for mode in ("pse", "pae-nx")]


@pytest.fixture(scope="module", params=GUESTS, ids=" ".join)
def guest(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Told]:
    built(GUEST)
    folder = tmp_path_factory.mktemp("narrow")
    mode, qemu = request.param
    with booted("narrow", folder, *OPTIONS, "-append", mode, qemu=qemu) as told:
        assert told.words["mode"] == mode
        yield told


def test_the_guest_saw_what_its_author_expected(guest: Told) -> None:
    assert guest.words["differences"] == "0x0"
    assert len(guest.probes) == int(guest.words["probes"], 16) >= 100


def test_the_mode_is_recognised_and_every_access_predicted(guest: Told) -> None:
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        assert space.format.name == FORMATS[guest.words["mode"]]
        assert space.root.tolist() == [int(guest.words["cr3"], 16)]
        assert disagreements(space, guest.probes) == []


def test_a_wrong_rule_would_be_noticed(guest: Told) -> None:
    """Without the page-size extension, without XD, with other control bits."""
    others = {
        "32": bits32.make(maxphyaddr=40),
        "pse": bits32.make(maxphyaddr=32),
        "pse-wp0": bits32.make(pse=False),
        "pae": pae.make(maxphyaddr=40),
        "pae-nx": pae.make(maxphyaddr=40, nxe=False),
    }
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        other = dataclasses.replace(space, format=others[guest.words["mode"]])
        assert disagreements(other, guest.probes)
        for name in ("wp", "smep", "smap", "nxe"):
            controls: Any = space.controls
            wrong = dataclasses.replace(controls, **{name: not getattr(controls, name)})
            # Where SMEP is on, a fetch says so in any case.
            if name == "nxe" and controls.smep:
                continue
            assert disagreements(dataclasses.replace(space, controls=wrong), guest.probes), name


def test_commands_answer(guest: Told) -> None:
    if guest.words["mode"] not in ("pse", "pae-nx"):
        pytest.skip("a mode of each format is enough")
    [seen] = [p for p in guest.probes if (p.name, p.access) == ("last", "supervisor-read-ac")]
    [told] = ask(guest, "translate", hex(seen.va))["roots"][0]["result"]["translations"]
    assert int(told["pa"], 16) == seen.frame << 12
    root = ask(guest, "map")["roots"][0]
    assert root["format"] == FORMATS[guest.words["mode"]]
    pages = {size for region in root["result"]["regions"] for size in region["pages"]}
    assert pages == {"4K", "4M" if root["format"] == "32-bit" else "2M"}
    regions = root["result"]["regions"]
    mapped = {p.va for p in guest.probes if not is_fault(p)}
    assert all(
        any(int(r["va"], 16) <= va <= int(r["last_va"], 16) for r in regions) for va in mapped
    )
    [told] = ask(guest, "explain")["roots"]
    assert told["result"]["instruction"]["bits"] == 32
    [found] = ask(guest, "verify", "--oracle", "debug-walker")["roots"]
    assert found["result"]["disagreements"] == []
