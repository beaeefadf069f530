"""Everything that test_linux.py asks, of more kernels, levels, sizes: scripts/test --all."""

from __future__ import annotations

import pytest

from tests.real import checks
from tests.real.world import booted

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(400)]

BACKPORTS = "bookworm-backports"  # 6.12; the system's own release has 6.1
MB = 1 << 20


@pytest.mark.parametrize("release", ["", BACKPORTS], ids=["6.1", "6.12"])
@pytest.mark.parametrize("levels", [5, 4])
@pytest.mark.parametrize("isolated", [False, True], ids=["", "isolated"])
@pytest.mark.parametrize("memory", [512, 8192], ids=["512M", "8G"])
def test_linux_agrees_with_itself(release: str, levels: int, isolated: bool, memory: int) -> None:
    with booted(release=release, levels=levels, isolated=isolated, memory=memory * MB) as world:
        checks.check_all(world)


@pytest.mark.parametrize("memory", [1024, 2048, 3072, 4096, 6144])
def test_linux_agrees_with_itself_whatever_its_memory(memory: int) -> None:
    """RAM is in one piece up to 3G or 3.5G, above that it is split around the PCI hole."""
    with booted(release=BACKPORTS, isolated=True, memory=memory * MB) as world:
        checks.check_all(world)


@pytest.mark.parametrize("release", ["", BACKPORTS], ids=["6.1", "6.12"])
def test_several_cpus(release: str) -> None:
    with booted(release=release, cpus=4, isolated=True) as world:
        checks.check_witnesses(world)
        checks.check_processes(world)
        checks.check_roots(world)
        checks.check_areas(world)


@pytest.mark.parametrize("release", ["", BACKPORTS], ids=["6.1", "6.12"])
@pytest.mark.parametrize("isolated", [False, True], ids=["", "isolated"])
def test_booted_by_uefi(release: str, isolated: bool) -> None:
    """The kernel has one more root, for the firmware's services."""
    with booted(release=release, isolated=isolated, uefi=True) as world:
        assert "efi_mm" in world.kernel.roots
        checks.check_all(world)


@pytest.mark.parametrize("release", ["", BACKPORTS], ids=["6.1", "6.12"])
def test_without_randomised_addresses(release: str) -> None:
    with booted(release=release, append="nokaslr") as world:
        checks.check_all(world)


@pytest.mark.parametrize("release", ["", BACKPORTS], ids=["6.1", "6.12"])
def test_a_page_of_1g_and_a_million_small_ones(release: str) -> None:
    with booted(release=release, order="scattered=1000000,huge1g,shared") as world:
        checks.check_processes(world)
        checks.check_roots(world)
        checks.check_areas(world)
