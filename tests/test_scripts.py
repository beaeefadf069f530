"""scripts/setup on stand-ins for apt, sudo, make and Python, which note how they are called."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

NOTE = 'echo "$(basename "$0") $*" >> "$CALLS"\n'
PYTHON = """\
case "$*" in
"-m venv"*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; rm -f .venv/ptlive-setup ;;
*"import matplotlib"*) [ ! -e "$STATE/no-matplotlib" ] ;;
*"import numba"*) [ ! -e "$STATE/no-numba" ] ;;
*"[fast]"*) [ ! -e "$STATE/no-numba-anywhere" ] ;;
*ensurepip*) [ ! -e "$STATE/no-ensurepip" ] ;;
*ptlive.guests*) [ ! -e "$STATE/no-linux" ] ;;
esac
"""
APT = """\
case "$*" in
*update*) rm -f "$STATE/no-linux"; [ ! -e "$STATE/update-fails" ] ;;
*install*) rm -f "$STATE/no-ensurepip" ;;
esac
"""


@dataclass
class Computer:
    """A checkout and the programs of a pretended computer."""

    checkout: Path
    programs: Path
    state: Path

    def add(self, name: str, body: str = "") -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{NOTE}{body}")
        path.chmod(0o755)

    def setup(self, *arguments: str) -> tuple[int, str, list[str]]:
        """Run the script; return its exit code, what it said, and what it called."""
        calls = self.state / "calls"
        calls.write_text("")
        done = subprocess.run(
            [self.checkout / "scripts/setup", *arguments],
            cwd="/",
            env={"PATH": str(self.programs), "CALLS": str(calls), "STATE": str(self.state)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        told = done.stderr + done.stdout
        # Questions change nothing and are asked each time.
        asked = ("id", "python3 -c", "python -c", "make -q", "python -m pip --version")
        called = [line for line in calls.read_text().splitlines() if not line.startswith(asked)]
        return done.returncode, told, called


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    """Make a computer that has all that is needed, and a fresh checkout."""
    made = Computer(tmp_path / "checkout", tmp_path / "bin", tmp_path / "state")
    (made.checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup", made.checkout / "scripts")
    shutil.copy(ROOT / "pyproject.toml", made.checkout)
    made.programs.mkdir()
    made.state.mkdir()
    needed = ("bash", "env", "dirname", "basename", "readlink", "sha256sum", "cat", "mkdir", "cp")
    for name in (*needed, "rm"):
        found = shutil.which(name)
        assert found
        os.symlink(found, made.programs / name)
    for name in ("qemu-system-x86_64", "gdb", "gcc", "ld", "make", "patch"):
        made.add(name)
    made.add("python3", PYTHON)
    made.add("apt-get", APT)
    made.add("id", "echo 0\n")
    return made


PIP = "python -m pip install --quiet --disable-pip-version-check -e .[test]"


def test_a_fresh_checkout_is_made_ready_and_then_left_alone(computer: Computer) -> None:
    code, told, called = computer.setup()
    assert (code, called) == (0, ["python3 -m venv --clear .venv", PIP])
    assert "making a virtual environment" in told
    assert "installing ptlive" in told
    assert computer.setup() == (0, "", [])


def test_new_dependencies_are_added_to_the_environment(computer: Computer) -> None:
    computer.setup()
    with open(computer.checkout / "pyproject.toml", "a") as file:
        file.write("# changed\n")
    assert computer.setup()[2] == [PIP]
    assert computer.setup()[2] == []


def test_an_environment_that_was_cut_off_is_completed(computer: Computer) -> None:
    computer.setup()
    (computer.checkout / ".venv/ptlive-setup").unlink()
    assert computer.setup()[2] == [PIP]


def test_an_environment_from_another_place_is_made_anew(computer: Computer) -> None:
    computer.setup()
    computer.checkout = computer.checkout.rename(computer.checkout.with_name("moved"))
    assert computer.setup()[2] == ["python3 -m venv --clear .venv", PIP]


def test_missing_packages_are_installed(computer: Computer) -> None:
    (computer.programs / "gdb").unlink()
    (computer.programs / "ld").unlink()
    (computer.state / "no-ensurepip").touch()
    code, told, called = computer.setup()
    assert code == 0
    assert "missing Debian packages: gdb binutils python3-venv" in told
    assert called[:2] == [
        "apt-get -q update",
        "apt-get -q -y --no-install-recommends install gdb binutils python3-venv",
    ]


def test_lists_that_cannot_all_be_refreshed_do_not_stop_it(computer: Computer) -> None:
    (computer.programs / "gdb").unlink()
    (computer.state / "update-fails").touch()
    code, told, called = computer.setup()
    assert code == 0
    assert "some lists could not be refreshed" in told
    assert "apt-get -q -y --no-install-recommends install gdb" in called


def test_who_is_not_root_is_told_of_sudo(computer: Computer) -> None:
    (computer.programs / "gdb").unlink()
    computer.add("id", "echo 1000\n")
    computer.add("sudo", '"$@"\n')
    code, told, called = computer.setup()
    assert code == 0
    assert "as root, through sudo: apt-get -q update" in told
    assert "sudo apt-get -q update" in called


def test_without_root_and_sudo_it_says_what_to_ask_for(computer: Computer) -> None:
    (computer.programs / "gdb").unlink()
    computer.add("id", "echo 1000\n")
    code, told, called = computer.setup()
    assert code == 1
    assert "have somebody run: apt-get update && apt-get install gdb" in told
    assert not [line for line in called if line.startswith(("apt-get", "python"))]


def test_without_apt_it_says_what_is_missing(computer: Computer) -> None:
    (computer.programs / "gdb").unlink()
    (computer.programs / "apt-get").unlink()
    code, told, _ = computer.setup()
    assert code == 1
    assert "missing Debian packages: gdb" in told
    assert "no apt-get" in told


def test_guests_are_built_when_make_sees_work(computer: Computer) -> None:
    computer.setup()
    computer.add("make", 'case "$*" in -q*) exit 1 ;; esac\n')
    code, told, called = computer.setup()
    assert (code, called) == (0, ["make -s -C guest"])
    assert "building the guests" in told


def test_old_lists_are_refreshed_for_the_linux_guest(computer: Computer) -> None:
    computer.setup()
    (computer.state / "no-linux").touch()
    fetch = "python -m ptlive.guests linux"
    _, told, called = computer.setup("--linux")
    assert called == [fetch, "apt-get -q update", fetch]
    assert "no guest linux" not in told
    assert computer.setup("--linux")[2] == [fetch]


def test_a_linux_guest_that_cannot_be_had_is_no_failure_of_setup(computer: Computer) -> None:
    computer.setup()
    computer.add("id", "echo 1000\n")
    (computer.state / "no-linux").touch()
    code, told, called = computer.setup("--linux")
    assert (code, called) == (0, ["python -m ptlive.guests linux"])
    assert "no guest linux" in told


OTHERS = {
    "qemu-system-riscv64": "qemu-system-misc",
    "riscv64-linux-gnu-gcc": "gcc-riscv64-linux-gnu",
    "qemu-system-aarch64": "qemu-system-arm",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "qemu-system-ppc64": "qemu-system-ppc",
    "powerpc64le-linux-gnu-gcc": "gcc-powerpc64le-linux-gnu",
}


def test_other_architectures_are_installed_for_the_long_tests_alone(computer: Computer) -> None:
    computer.setup()
    assert computer.setup("--linux")[2] == ["python -m ptlive.guests linux"]
    update, install, *_ = computer.setup("--guests")[2]
    assert update == "apt-get -q update"
    assert install.split()[-6:] == list(OTHERS.values())


def test_all_guests_are_fetched_with_one_look_at_apts_lists(computer: Computer) -> None:
    computer.setup()
    for name in OTHERS:
        computer.add(name)
    names = ("linux", "linux:bookworm-backports", "ovmf", "xen", "memtest")
    fetch = [f"python -m ptlive.guests {name}" for name in names]
    assert computer.setup("--guests")[2] == fetch
    computer.add("apt-get")  # its lists stay as they are
    (computer.state / "no-linux").touch()
    code, told, called = computer.setup("--guests")
    assert (code, called) == (0, [fetch[0], "apt-get -q update", *fetch])
    assert "no guest memtest" in told


@pytest.mark.parametrize(("arguments", "guests"), [((), "--linux"), (("-x", "--all"), "--guests")])
def test_the_suite_sets_up_what_it_boots(
    computer: Computer, arguments: tuple[str, ...], guests: str
) -> None:
    computer.setup()
    shutil.copy(ROOT / "scripts/test", computer.checkout / "scripts")
    asked = computer.state / "asked"
    script = f'#!/bin/bash\necho "$*" > {asked}\nexit 3\n'
    (computer.checkout / "scripts/setup").write_text(script)
    done = subprocess.run(
        [computer.checkout / "scripts/test", *arguments],
        env={"PATH": str(computer.programs)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, asked.read_text()) == (3, f"{guests} --bench\n")


def test_what_the_benchmark_uses_is_installed_when_it_is_missing(computer: Computer) -> None:
    computer.setup()
    assert computer.setup("--linux", "--bench")[2] == ["python -m ptlive.guests linux"]
    (computer.state / "no-matplotlib").touch()
    (computer.state / "no-numba").touch()
    extras = [PIP.replace("test", extra) for extra in ("bench", "fast")]
    code, told, called = computer.setup("--bench")
    assert (code, called) == (0, extras)
    assert "installing numba into .venv" in told


def test_the_benchmark_goes_on_without_what_cannot_be_had(computer: Computer) -> None:
    computer.setup()
    (computer.state / "no-numba").touch()
    (computer.state / "no-numba-anywhere").touch()
    code, told, called = computer.setup("--bench")
    assert (code, called) == (0, [PIP.replace("test", "fast")])
    assert "no numba: going on without it" in told
