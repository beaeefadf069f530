"""NPT as QEMU's MMU has it: a hypervisor asks by its nested guest, ptlive agrees.

The hypervisor has as many levels as the CPU, and so have its nested tables.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.access_kind import ACCESS_KINDS
from ptlive.arrays import u64
from ptlive.errors import PtliveError
from ptlive.paging.access import ALLOWED, PAGE_FAULT, Fault, check
from ptlive.space import AddressSpace, open_space
from ptlive.target.attach import attach
from tests.bare.guest import Machine, built
from tests.bare.judge import PTLIVE
from tests.bare.x86 import Told, booted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.target.attach import Target

pytestmark = pytest.mark.qemu

GUEST = Machine("svm", "qemu-system-x86_64", "gcc", (), 0)
VMMCALL, NPF = 0x81, 0x400
FORMATS = {"0x4": "npt", "0x5": "npt-5level"}
# Of EXITINFO1 (APM vol. 2, 15.25.6): the nested guest's access itself, or one to its tables.
FINAL, TABLE = 1 << 32, 1 << 33


@pytest.fixture(scope="module", params=["-la57", "+la57"])
def guest(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Told]:
    built(GUEST)
    cpu = f"max,+svm,phys-bits=46,{request.param}"
    with booted("svm", tmp_path_factory.mktemp("svm"), "-m", "64M", "-cpu", cpu) as told:
        yield told


def space_of(guest: Told, target: Target) -> AddressSpace:
    return open_space(
        target.cpus[0],
        target.memory,
        target.ram_map,
        root=int(guest.words["ncr3"], 16),
        format_name=FORMATS[guest.words["levels"]],
    )


def predicted(space: AddressSpace, gpa: int, access: str) -> tuple[int, int, int]:
    """Return the exit code, EXITINFO1 without bits 33:32, and the frame."""
    found = space.translate(u64(gpa))
    verdict = check(found, space.controls, ACCESS_KINDS[access])
    if verdict.vector[0] == ALLOWED:
        return VMMCALL, 0, int(found.pa[0])
    assert verdict.vector[0] == PAGE_FAULT
    code = int(verdict.error_code[0])
    # Of a reserved bit TCG does not say that the entry was present (ptlive/verify/quirks.py).
    return NPF, code & ~Fault.P if code & Fault.RSVD else code, 0


def test_every_access_of_the_nested_guest_is_predicted(guest: Told) -> None:
    assert guest.words["differences"] == "0x0"
    probes = re.findall(
        r"^probe \S+ (\S+) (\S+) (\S+) (\S+) (\S+) (\S+)$", guest.text, re.MULTILINE
    )
    assert len(probes) == int(guest.words["probes"], 16) >= 60
    with attach(guest.gdb) as target:
        space = space_of(guest, target)
        for gpa, access, *rest in probes:
            exit_code, info_1, info_2, pa = (int(value, 16) for value in rest)
            assert predicted(space, int(gpa, 16), access) == (exit_code, info_1 & ~FINAL, pa)
            if exit_code == NPF:
                assert info_1 & FINAL
                assert info_2 == int(gpa, 16)


def test_a_table_of_the_nested_guest_is_written_by_a_user_too(guest: Told) -> None:
    [(gpa, *rest)] = re.findall(r"^table (\S+) (\S+) (\S+) (\S+)$", guest.text, re.MULTILINE)
    exit_code, info_1, info_2 = (int(value, 16) for value in rest)
    assert (info_2, info_1 & TABLE) == (int(gpa, 16), TABLE)
    with attach(guest.gdb) as target:
        space = space_of(guest, target)
        # Reading sets A in it, so that it is an access that writes (15.25.5).
        found = predicted(space, int(gpa, 16), "user-write")
        assert found == (exit_code, info_1 & ~TABLE, 0)


def test_a_root_is_asked_for(guest: Told) -> None:
    with (
        attach(guest.gdb) as target,
        pytest.raises(PtliveError, match="no register of the vCPU refers to tables of npt"),
    ):
        open_space(target.cpus[0], target.memory, target.ram_map, format_name="npt")


def test_commands_answer(guest: Told) -> None:
    where = ["--gdb", guest.gdb, "--format", FORMATS[guest.words["levels"]]]
    where += ["--root", guest.words["ncr3"]]

    def said(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [PTLIVE, *arguments, *where], check=False, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    status, text = said("translate", "0x40200000", "--access", "user-write")
    assert status == 0
    assert "#VMEXIT(NPF 0x7: P W/R U/S) at 0x40200000: writing is denied by the nPTE" in text
    status, text = said("map")
    assert status == 0
    assert "x 1G" in text
    status, text = said("verify")
    assert status == 2
    assert "oracles answer for the root that vCPU 1 uses" in text
    # No system has areas in these addresses, also where entries know no user mode.
    where[where.index("--format") + 1] = "ept"
    status, text = said("map")
    assert status == 0
    assert "malformed: " in text
    assert said("areas") == (0, "nothing shows what system this is\n")
