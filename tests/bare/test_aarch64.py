"""All granules and sizes of AArch64, as the MMU of QEMU's virt machine has them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.arrays import u64
from ptlive.paging.format import Kind
from ptlive.space import open_space
from ptlive.target.attach import attach
from tests.bare.guest import FOLDER, Booted, Machine, Probe, booted, built
from tests.bare.judge import ask, disagreements, with_bits

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.qemu, pytest.mark.long]

MACHINE = Machine(
    folder="aarch64",
    qemu="qemu-system-aarch64",
    compiler="aarch64-linux-gnu-gcc",
    options=(
        *("-M", "virt", "-m", "128M", "-cpu", "max"),
        *("-kernel", str(FOLDER / "aarch64" / "build" / "guest.elf")),
    ),
    chosen=0x4030_0000,
)
# As in the guest, with the sizes of pages that it maps.
SHAPES = {
    "aarch64-4k-48": {"4K", "64K", "2M", "32M", "1G", "16G"},
    "aarch64-4k-39": {"4K", "64K", "2M", "32M", "1G", "16G"},
    "aarch64-16k-47": {"16K", "2M", "32M", "1G"},
    "aarch64-16k-48": {"16K", "2M", "32M", "1G"},
    "aarch64-64k-48": {"64K", "2M", "512M", "16G"},
    "aarch64-64k-42": {"64K", "2M", "512M", "16G"},
    "aarch64-4k-52-lpa2": {"4K", "64K", "2M", "32M", "1G", "16G", "512G"},
    "aarch64-16k-52-lpa2": {"16K", "2M", "32M", "1G", "64G"},
    "aarch64-64k-52": {"64K", "2M", "512M", "16G", "4T"},
    "aarch64-4k-48-lower": {"4K", "64K", "2M", "32M", "1G", "16G"},
}


@pytest.fixture(scope="module", params=SHAPES)
def guest(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Booted]:
    built(MACHINE)
    chosen = list(SHAPES).index(request.param)
    with booted(MACHINE, chosen, tmp_path_factory.mktemp("aarch64")) as one:
        assert one.said.words["format"] == request.param
        yield one


def fault(probe: Probe) -> tuple[int, int]:
    """Return the exception class, and of its syndrome WnR and the status code."""
    return probe.fault, probe.code & 0x7F if "fetch" not in probe.access else probe.code & 0x3F


def rules(found: Any, state: dict[str, int]) -> Any:
    return with_bits(found, pan=state["pan"], wxn=state["wxn"])


def test_every_access_is_predicted(guest: Booted) -> None:
    assert len(guest.said.probes) > 1500
    with attach(guest.gdb) as target:
        space = open_space(target.cpus[0], target.memory, target.ram_map)
        assert space.format.name == guest.said.words["format"]
        roots = [int(guest.said.words[name], 16) for name in ("root0", "root1")]
        assert space.root.tolist() == roots[: space.format.roots]
        strict = [probe for probe in guest.said.probes if not dict(probe.state)["lenient"]]
        assert disagreements(space, strict, rules, fault) == []
        for name in ("pan", "wxn"):
            assert disagreements(space, strict, partial(_without, name), fault)
        controls: Any = space.controls
        assert controls.e0pd1 == (space.format.name == "aarch64-4k-39")
        if controls.e0pd1:
            assert disagreements(space, strict, _without_e0pd, fault)
        # Blocks at levels that have none: QEMU 7.2 takes them, and looks at their rights
        # (target/arm/ptw.c, get_phys_addr_lpae); the manual has a translation fault.
        rest = [probe for probe in guest.said.probes if dict(probe.state)["lenient"]]
        kinds = space.translate(u64(*(probe.va for probe in rest))).kind
        assert (kinds == Kind.MALFORMED).all()


def _without_e0pd(found: Any, state: dict[str, int]) -> Any:
    return with_bits(rules(found, state), e0pd1=0)


def _without(name: str, found: Any, state: dict[str, int]) -> Any:
    return rules(found, state | {name: 0})


def test_pages_of_all_sizes_are_mapped(guest: Booted) -> None:
    root = ask(guest, "map")["roots"][0]
    pages = {size for region in root["result"]["regions"] for size in region["pages"]}
    assert pages == SHAPES[guest.said.words["format"]]
