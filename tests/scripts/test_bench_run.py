"""scripts/bench as it is called: what it says when something is missing, one run, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.benchmark.result import PAIRS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "scripts.benchmark"]
SMALL = ["--shape", "dense", "--leaves", "5000", "--turns", "1", "--seconds", "1"]


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.mark.parametrize(
    ("missing", "package"),
    [("qemu-system-x86_64", "qemu-system-x86"), ("gcc", "gcc"), ("gdb", "gdb")],
)
def test_a_missing_program_is_one_sentence(tmp_path: Path, missing: str, package: str) -> None:
    for program in {"qemu-system-x86_64", "gcc", "gdb"} - {missing}:
        (tmp_path / program).symlink_to("/bin/true")
    done = bench(*SMALL, PATH=str(tmp_path))
    said = f"bench: {missing} is missing: install the package {package}\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_without_matplotlib_a_picture_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('none here')")
    where = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    for program in ("qemu-system-x86_64", "gcc", "gdb"):
        (tmp_path / program).symlink_to("/bin/true")
    done = bench(*SMALL, "--plot", "x.png", PYTHONPATH=where, PATH=str(tmp_path))
    said = "bench: matplotlib is missing: pip install 'ptlive[bench]'\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_what_is_no_peer_is_told(tmp_path: Path) -> None:
    done = bench("--leaves", "5")
    assert (done.returncode, "--leaves needs --shape" in done.stderr) == (2, True)
    done = bench("--shape", "stock", "--leaves", "5")
    assert (done.returncode, "it has no --leaves" in done.stderr) == (2, True)
    done = bench("--gdb-pt-dump", str(tmp_path / "none"))
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)


@pytest.mark.qemu
@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")
def test_one_small_guest_is_measured_and_all_agree(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    done = bench(*SMALL, "--json", str(file))
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert "shared_vs_c" not in done.stdout  # the guest is too small for ratios by name
    found = json.loads(file.read_text())
    assert set(found["ratios"]) == set(PAIRS)
    (point,) = found["points"]
    assert 5000 < point["leaves"] < 30_000
    assert {"plain C", "shared", "info tlb", "raw transfer"} <= set(point["seconds"])
    assert point["ratios"]["shared_vs_info_tlb"]["value"] > 0
    assert point["ratios"]["shared_vs_gdb_pt_dump"]["value"] is None
    assert point["translations"]["gva2gpa, stub"]["addresses"] == 4000
    asked = {name: ratio["value"] for name, ratio in point["questions"]["ratios"].items()}
    # The libraries of export may be missing, and a peer was not given.
    missing = {name for name, value in asked.items() if value is None}
    assert missing <= {"export_vs_pyarrow", "writable_vs_gdb_pt_dump"}
    assert point["verify"]["probes"] > 5000
    peaks = {command["command"]: command["peak_bytes"] for command in point["commands"]}
    assert 4e6 < peaks["python -c pass"] < peaks["ptlive map"] < 1e9


def qemus_of(folder: Mapping[str, str] | Path) -> list[int]:
    """Return the QEMUs whose command line names a folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if line and b"qemu-system" in line[0] and any(str(folder).encode() in arg for arg in line):
            found.append(int(process.name))
    return found


@pytest.mark.qemu
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_qemu(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, *SMALL],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        deadline = time.monotonic() + 30
        while not qemus_of(tmp_path) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert qemus_of(tmp_path)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    # To a shell it is the same whether the signal ended it or it ended itself.
    assert process.returncode in (128 + number, -number)
    assert b"Traceback" not in said
    assert not qemus_of(tmp_path)
    assert not list(tmp_path.glob("ptlive-bench-*"))
