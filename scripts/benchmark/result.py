"""What a run found, as ratios and as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.benchmark import peers, qemu, questions
from scripts.benchmark.ours import DECODED, NUMPY
from scripts.benchmark.point import C

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.benchmark.point import Point
    from scripts.benchmark.timing import Times

SCHEMA = "ptlive.bench/1"
#: Ratios that are kept by name: time of the first over time of the second.
#: Decoded: all entries with their folded rights in arrays. Else also what peers print: a row
#: for each leaf, with its address.
PAIRS = {
    "shared_vs_c": (f"shared{DECODED}", C),
    "shared_numpy_vs_c": (f"{NUMPY}{DECODED}", C),
    "shared_with_addresses_vs_c": ("shared", C),
    "shared_numpy_with_addresses_vs_c": (NUMPY, C),
    "shared_vs_info_tlb": ("shared", qemu.INFO_TLB),
    "shared_vs_gdb_pt_dump": ("shared", peers.GDB_PT_DUMP),
    "stub_vs_raw_transfer": (f"stub{DECODED}", qemu.RAW),
    "stub_with_addresses_vs_raw_transfer": ("stub", qemu.RAW),
    "stub_vs_info_tlb": ("stub", qemu.INFO_TLB),
    "stub_vs_gdb_pt_dump": ("stub", peers.GDB_PT_DUMP),
}
#: Ratios are those of a guest with so many leaves at least, in one of the judged shapes.
FEWEST_LEAVES = 100_000


def as_json(points: Sequence[Point], machine: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Return all that was measured."""
    chosen = largest(points)
    probes = rate(chosen)
    return {
        "schema": SCHEMA,
        "machine": dict(machine),
        "seconds": round(seconds, 1),
        "comment": (
            "ratios: median over the turns of time of ptlive over time of the other, of the "
            f"largest guest of a judged shape with at least {FEWEST_LEAVES:,} leaves: "
            + (chosen.label if chosen else "none was measured")
        ),
        "ratios": {
            name: _ratio(chosen, chosen.walks if chosen else None, *pair)
            for name, pair in PAIRS.items()
        },
        "questions": {
            name: _ratio(chosen, chosen.questions if chosen else None, *pair)
            for name, pair in questions.PAIRS.items()
        },
        "verify_probes_per_second": round(probes) if probes else None,
        "points": [_point(point) for point in points],
    }


def largest(points: Sequence[Point]) -> Point | None:
    """Return the point that ratios are taken from, None if there is none."""
    large = [p for p in points if p.shape.judged and p.leaves >= FEWEST_LEAVES]
    return max(large, key=lambda point: point.leaves, default=None)


def rate(point: Point | None) -> float | None:
    """Return how many accesses a second a verification of this guest made and compared."""
    if point is None or point.verified is None:
        return None
    return point.verified.probes / point.verified.seconds


def _ratio(point: Point | None, times: Times | None, ours: str, other: str) -> dict[str, Any]:
    spread = times.ratio(ours, other) if times else None
    return {
        "value": round(spread.median, 4) if spread else None,
        **({"min": round(spread.least, 4), "max": round(spread.greatest, 4)} if spread else {}),
        "leaves": point.leaves if point else None,
        "shape": point.shape.name if point else None,
    }


def _point(point: Point) -> dict[str, Any]:
    verified = point.verified
    return {
        "shape": point.shape.name,
        "meaning": point.shape.meaning,
        "leaves": point.leaves,
        "tables": point.tables,
        "without": list(point.without),
        "seconds": _seconds(point.walks),
        "ratios": {name: _ratio(point, point.walks, *pair) for name, pair in PAIRS.items()},
        "questions": {
            "seconds": _seconds(point.questions),
            "ratios": {
                name: _ratio(point, point.questions, *pair)
                for name, pair in questions.PAIRS.items()
            },
        },
        "skipped": point.skipped,
        "translations": {
            name: {"addresses": point.counts[name], **seconds}
            for name, seconds in _seconds(point.translations).items()
        },
        "verify": verified and {"probes": verified.probes, "seconds": verified.seconds},
        "commands": [
            {"command": c.name, **c.seconds.as_json(), "peak_bytes": c.peak, "arrays": c.arrays}
            for c in point.commands
        ],
    }


def _seconds(times: Times) -> dict[str, dict[str, float]]:
    spreads = {name: times.spread(name) for name in times.series}
    return {name: spread.as_json() for name, spread in spreads.items() if spread}
