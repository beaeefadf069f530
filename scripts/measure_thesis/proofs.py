"""What is shown by tests and not by figures: they are run, and how many passed is told."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from ptlive.errors import PtliveError
from scripts.measure_thesis.sources import ROOT

MIXTURES = "tests/pagetables/test_mixtures.py"
ALIKE = "tests/pagetables/test_operations.py"
LIVE = "tests/pagetables/test_live.py"
DEFECTS = "tests/pagetables/test_defects.py"
SIX = "tests/pagetables/test_six_levels.py"
NAMES = "tests/paging/test_walk.py -k names_what_a_format_names"
PROOFS = (MIXTURES, ALIKE, LIVE, DEFECTS, SIX, NAMES)


def proven(proof: str) -> dict[str, Any]:
    """Run tests. Raises PtliveError unless all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *proof.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = (done.stdout.strip().splitlines() or [""])[-1]
    passed = re.search(r"\b(\d+) passed", said)
    if done.returncode or not passed or " skipped" in said:
        raise PtliveError(f"pytest {proof}: {said or done.stderr.strip()}")
    return {"command": f"pytest {proof}", "passed": int(passed[1])}
