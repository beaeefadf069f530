"""POWER's radix trees, as the MMU of QEMU's powernv9 machine has them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.space import open_space
from ptlive.target.attach import attach
from tests.bare.guest import FOLDER, Booted, Machine, Probe, booted, built
from tests.bare.judge import ask, disagreements

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.qemu, pytest.mark.long]

MACHINE = Machine(
    folder="power",
    qemu="qemu-system-ppc64",
    compiler="powerpc64le-linux-gnu-gcc",
    options=(
        *("-M", "powernv9", "-m", "1G"),
        *("-bios", str(FOLDER / "power" / "build" / "guest.bin")),
    ),
    chosen=0x10_0000,
    big=True,
    made="guest.bin",
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: Any) -> Iterator[Booted]:
    built(MACHINE)
    with booted(MACHINE, 0, tmp_path_factory.mktemp("power")) as one:
        yield one


def fault(probe: Probe) -> tuple[int, int]:
    """Return the vector, and the bits that say why (of SRR1 with what else is there)."""
    reasons = 0x5A08_0000 if probe.fault in (0x300, 0x400) else 0
    return probe.fault >> 4, probe.code & reasons


def rules(found: Any, state: dict[str, int]) -> Any:
    return dataclasses.replace(found, amr=state["amr"], iamr=state["iamr"])


def test_every_access_is_predicted(guest: Booted) -> None:
    assert len(guest.said.probes) > 3000
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        assert space.format.name == guest.said.words["format"]
        assert space.root.tolist() == [
            int(guest.said.words[name], 16) for name in ("root0", "root1")
        ]
        assert space.origin == "pid 5 pid 0"
        # What the guest set last.
        assert space.controls == rules(space.controls, {"amr": 3 << 62, "iamr": 1 << 62})
        strict = [probe for probe in guest.said.probes if not dict(probe.state)["lenient"]]
        assert disagreements(space, strict, rules, fault) == []
        for name in ("amr", "iamr"):
            wrong = [
                probe._replace(state=tuple((n, 0 if n == name else v) for n, v in probe.state))
                for probe in strict
            ]
            assert disagreements(space, wrong, rules, fault)
        # Pages of 512G, which the manual of POWER9 has not: QEMU 7.2 maps them.
        rest = [probe for probe in guest.said.probes if dict(probe.state)["lenient"]]
        kinds = space.translate(u64(*(probe.va for probe in rest))).kind
        assert (kinds == Kind.MALFORMED).all()


def test_pages_of_all_sizes_are_mapped(guest: Booted) -> None:
    root = ask(guest, "map")["roots"][0]
    pages = {size for region in root["result"]["regions"] for size in region["pages"]}
    assert pages == {"4K", "64K", "2M", "1G"}
