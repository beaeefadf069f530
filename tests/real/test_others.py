"""Systems that are not Linux: what was learnt on Linux is to hold there, or to be silent."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.analysis.systems import detect
from ptlive.answers.spaces import found_roots
from ptlive.cli.connect import connect
from ptlive.guests import recipe
from ptlive.target import launch
from ptlive.wire.qmp import Qmp
from tests.real import judge
from tests.real.checks import agree
from tests.real.world import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.roots.find import FoundRoots
    from ptlive.cli.connect import Connection

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(300)]

# Xen 4.17, xen/arch/x86/include/asm/config.h: the machine-to-physical table, Xen's image, and
# its map of all RAM.
_XEN_IMAGE = 0xFFFF82D040000000
_XEN_DIRECT_MAP = 0xFFFF830000000000


@contextmanager
def running(kind: str) -> Iterator[tuple[Connection, FoundRoots, str]]:
    """Boot a guest; yield it stopped, with its roots and what `info tlb` prints."""
    with launch.temporary(recipe(kind)) as guest:
        with Qmp(guest.qmp) as qmp:
            qmp.command("stop")
            text = qmp.human("info tlb")
        asked = options(guest)
        with connect(asked) as connection:
            yield connection, found_roots(connection.target, asked, connection.scanned), text


def check(connection: Connection, text: str) -> None:
    """It is no Linux, and QEMU's own walker sees the same leaves."""
    (space,) = connection.spaces
    graph = space.walk()
    assert detect(graph, space.memory, judge.ram_of(connection.target)) is None
    agree(judge.tlb_differences(graph, text))


def test_firmware() -> None:
    with running("ovmf") as (connection, found, text):
        check(connection, text)
        # It has one identity map.
        assert [one.vcpus for one in found.roots if one.shown] == [(1,)]
        (space,) = connection.spaces
        va, pfn = judge.pages(
            space.walk((np.array([0], np.uint64), np.array([0xFFFFFFF], np.uint64)))
        )
        assert np.array_equal(va >> np.uint64(12), pfn)


def test_memory_that_is_overwritten_all_the_time() -> None:
    with running("memtest") as (connection, found, text):
        check(connection, text)
        assert [one.vcpus for one in found.roots if one.shown] == [(1,)]


def test_a_hypervisor_and_its_domain() -> None:
    with running("xen") as (connection, found, text):
        check(connection, text)
        cpu = connection.target.cpus[0]
        assert cpu.cr3 & ~0xFFF in {one.root for one in found.roots if one.shown}
        # Nothing else than the domain's root and Xen's own, which it idles on.
        (space,) = connection.spaces
        for one in found.roots:
            if not one.shown:
                continue
            (its,) = judge.spaces(connection.target, [one.root])
            both = [
                there.translate(np.array([_XEN_IMAGE + 0x200000, _XEN_DIRECT_MAP], np.uint64))
                for there in (space, its)
            ]
            assert both[0].mapped.all()
            assert np.array_equal(both[0].pa, both[1].pa), f"{one} has another Xen"
        assert re.fullmatch(r"x86-64-4level", space.format.name)
