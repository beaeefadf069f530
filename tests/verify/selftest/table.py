"""Prints which entries show each wrong walker to be wrong; run by scripts/mutants."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptlive.verify.selftest.judge import judge
from tests.verify.selftest.mechanical import FILES, Laboratory, mutations
from tests.verify.selftest.mutants import MUTANTS, NOT_TOLD
from tests.verify.selftest.records import caught_by, records
from tests.verify.selftest.survivors import argument

if TYPE_CHECKING:
    from ptlive.verify.selftest.rules import Rules
    from tests.verify.selftest.records import Taken

SHOWN = 4


def main() -> int:
    """Print the table; return 1 if a mutant survives without an argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--mechanical", action="store_true", help="also change the source (minutes)"
    )
    mechanical = parser.parse_args().mechanical
    survivors = 0
    with records() as taken, tempfile.TemporaryDirectory() as folder:
        for name, rules in MUTANTS.items():
            found = _catching(taken, rules)
            survivors += not found
            more = f", ... {len(found)} in all" if len(found) > SHOWN else ""
            print(f"{name}\n    {' | '.join(found[:SHOWN]) or 'SURVIVES'}{more}")
        for name, (_, why) in NOT_TOLD.items():
            print(f"{name}\n    survives: {why}")
        print(f"{len(MUTANTS)} written by hand: {survivors} survive unexplained\n", flush=True)
        if mechanical:
            survivors += _mechanical(taken, Laboratory(Path(folder)))
    return int(survivors > 0)


def _catching(taken: list[Taken], rules: Rules) -> list[str]:
    """Return what shows that rules are wrong, the simplest first.

    That is an address by what its entries differ in from open ones, or a table entry by
    what the MMU wrote into it.
    """
    found: set[tuple[str, ...]] = set()
    for one in taken:
        wrong = np.zeros(len(one.record.va), dtype=np.bool_)
        marked: set[tuple[str, int]] = set()
        for judgement in judge(one.record, rules):
            for rows in judgement.wrong().values():
                wrong[rows] = True
            for aspect, entries in judgement.entries.items():
                marked |= {(aspect, entry) for entry in entries.tolist()}
        found |= {one.differs(va) for va in one.record.va[wrong].tolist()}
        found |= {(f"{aspect} of {one.bench.describe(entry)}",) for aspect, entry in marked}
    return ["; ".join(names) for names in sorted(found, key=lambda n: (len(n), len(" ".join(n))))]


def _mechanical(taken: list[Taken], laboratory: Laboratory) -> int:
    """Print the survivors among mechanical mutations; return how many nobody explains."""
    total = survivors = unexplained = 0
    for file in FILES:
        for mutation in mutations(file):
            total += 1
            if laboratory.caught(mutation, lambda rules: caught_by(taken, rules)) is None:
                why = argument(str(mutation))
                survivors += 1
                unexplained += why is None
                print(f"{mutation}\n    {why or 'UNEXPLAINED'}", flush=True)
    print(f"{total} mechanical mutations: {survivors} survive, {unexplained} of them unexplained")
    return unexplained


if __name__ == "__main__":
    raise SystemExit(main())
