"""What the options --profile and --symbols come to, where there is no Linux and where there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ptlive.cli.connect import connect
from ptlive.cli.options import TargetOptions
from ptlive.cli.profile import ProfileOptions, profile_of
from tests.guests.prompt import at_the_prompt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.target.running import Guest
    from tests.cli.conftest import Done

VA = "0x70001000"


@pytest.mark.usefixtures("guest")
def test_what_is_no_linux_has_no_names(ptlive: Callable[..., Done], tmp_path: Path) -> None:
    plain = ptlive("translate", "--gdb", "x:1", VA)
    assert ptlive("translate", "--gdb", "x:1", VA, "--profile", "auto").out == plain.out
    (tmp_path / "map").write_text("ffffffff81000000 T _text\n")
    done = ptlive("translate", "--gdb", "x:1", VA, "--symbols", str(tmp_path / "map"))
    assert done.out == plain.out
    assert done.err.endswith("map is not used: nothing shows that this is a Linux\n")


@pytest.mark.usefixtures("guest")
def test_a_profile_may_be_insisted_on(ptlive: Callable[..., Done]) -> None:
    done = ptlive("translate", "--gdb", "x:1", VA, "--profile", "linux", "--json")
    (one,) = json.loads(done.out)["roots"][0]["result"]["translations"]
    assert (one["area"], one["symbol"], one["not_present"]) == ("user", None, None)


@pytest.mark.qemu
def test_areas_of_a_linux(ptlive: Callable[..., Done], linux_guest: Guest) -> None:
    done = ptlive("areas", "--guest", linux_guest.name)
    assert (done.status, done.err) == (0, "")
    assert " direct map VA-PA = 0xff" in " ".join(done.out.split())
    assert "linux: direct map" not in done.out, "it stands beside its area"
    told = json.loads(ptlive("areas", "--guest", linux_guest.name, "--json").out)
    profile = told["roots"][0]["result"]["profile"]
    assert profile["name"] == "linux"
    assert {"direct map", "vmalloc", "vmemmap"} <= {area["name"] for area in profile["areas"]}


@pytest.mark.qemu
def test_processes_have_the_kernels_half_in_common(linux_guest: Guest) -> None:
    asked = TargetOptions(
        guest=linux_guest.name, gdb=None, qmp=None, root=(), vcpu=1, format=None, pkru=None,
        json=False, verbose=False, all_roots=True,
    )  # fmt: skip
    options = ProfileOptions()
    with connect(asked) as connection:
        found = [profile_of(connection, space, None, options) for space in connection.spaces]
        alone = [profile_of(connection, one, None, ProfileOptions()) for one in connection.spaces]
    # Also that of the trampoline, which has the kernel's half and is no process.
    assert [one and one.areas for one in found] == [one and one.areas for one in alone]
    known = [one for one in found if one is not None and one.areas[0].name == "user"]
    assert len(known) > 1
    assert all(profile is known[0] for profile in known)


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_file_of_symbols_that_is_none_is_refused(
    ptlive: Callable[..., Done], tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    options = ("--profile", "linux", "--symbols", str(tmp_path / name))
    done = ptlive("translate", "--gdb", "x:1", VA, *options)
    assert done.status == 2
    assert str(tmp_path / name) in done.err


@pytest.mark.usefixtures("guest")
def test_areas_of_what_is_no_linux(ptlive: Callable[..., Done]) -> None:
    assert ptlive("areas", "--gdb", "x:1").out == "nothing shows what system this is\n"
    told = json.loads(ptlive("areas", "--gdb", "x:1", "--json").out)
    assert (told["schema"], told["roots"][0]["result"]) == ("ptlive.areas/1", {"profile": None})
    done = ptlive("areas", "--gdb", "x:1", "--profile", "linux")
    assert "linux: asked for; the structure does not show it\n" in done.out


def test_decode_explains_an_entry_to_linux(ptlive: Callable[..., Done]) -> None:
    entry = "0x07fffffffffbfe0a"
    done = ptlive("decode", entry, "--level", "1", "--profile", "linux")
    assert "to Linux: swapped out: area 0, page 0x200" in done.out
    assert "Linux:" not in ptlive("decode", entry, "--level", "1").out
    told = json.loads(ptlive("decode", "0", "--level", "1", "--profile", "linux", "--json").out)
    assert told["not_present"]["reason"] == "never mapped"
    told = json.loads(ptlive("decode", "0x67", "--level", "1", "--profile", "linux", "--json").out)
    assert told["not_present"] is None


@pytest.mark.qemu
def test_the_guests_own_kallsyms_name_its_addresses(
    ptlive: Callable[..., Done], linux_guest: Guest, tmp_path: Path
) -> None:
    """What a running kernel says of itself needs no moving, and agrees with the structure."""
    wanted = "_text|_etext|_end|schedule|linux_banner|page_offset_base|vmalloc_base|vmemmap_base"
    told = at_the_prompt(linux_guest, f"grep -E ' ({wanted})$' /proc/kallsyms")
    lines = [line for line in told.splitlines() if line.startswith("ffffffff")]
    file = tmp_path / "kallsyms"
    file.write_text("\n".join(lines) + "\n")
    schedule = next(line[:16] for line in lines if line.endswith(" schedule"))
    address = hex(int(schedule, 16) + 4)
    options = ("--guest", linux_guest.name, "--symbols", str(file))
    done = ptlive("translate", address, *options)
    assert (done.status, done.err) == (0, "")
    assert "  in kernel text, schedule+0x4\n" in done.out
    # The same symbols, as those of a kernel that lies somewhere else.
    moved = [f"{int(line[:16], 16) - (34 << 20):x}{line[16:]}" for line in lines]
    file.write_text("\n".join(moved) + "\n")
    assert "in kernel text, schedule+0x4" in ptlive("translate", address, *options).out
    other = [
        f"{int(line[:16], 16) + (4096 if 'banner' in line else 0):x}{line[16:]}" for line in lines
    ]
    file.write_text("\n".join(other) + "\n")
    done = ptlive("translate", address, *options)
    assert done.status == 2
    assert "is of another kernel" in done.err
