"""What explain says is held against a CPU: QEMU's, which executes the very instruction.

With only the pages mapped that the manual says it touches, it goes on; with one of them missing
or read-only, it faults as explain said it would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ptlive.answers.explain import Asked, explain
from ptlive.guests import recipe
from ptlive.paging.access import Fault as Code
from ptlive.space import open_space
from ptlive.target import launch, sources
from ptlive.target.attach import attach
from ptlive.target.cpu import read_cpus
from ptlive.target.machine import Machine
from tests.analysis.instruction.assemble import assemble
from tests.analysis.instruction.bench import Bench, Fault
from tests.analysis.instruction.cases import BASE, CASES, PAGE, PAGES, Case, at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ptlive.analysis.explain.explanation import Explanation
    from ptlive.target.attach import Target

pytestmark = pytest.mark.qemu

NAMES = {number: name for name, number in PAGES.items()}
# Need privilege, or I/O rights.
SUPERVISOR_ONLY = ("invlpg", "outsb", "insb", "popfq", "smsw", "sgdt", "sidt", "str")


class Held:
    """A guest, and the bench of its pages."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.benches = {user: Bench(target, user=user) for user in (False, True)}
        # The control registers stay as they are from here on.
        cpu = read_cpus(target.stub)[0]
        self.space = open_space(cpu, target.memory, target.ram_map, pkru=0)

    def explain(self, rip: int) -> Explanation:
        """Explain the instruction that the vCPU stands at."""
        return explain(self.target, self.space, Asked(rip)).what


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    with launch.temporary(recipe("menu"), Machine(levels=5)) as guest, attach(guest.gdb) as target:
        # Tables are read often here, and mapped RAM is the fastest to read.
        yield Held(sources.with_source(target, sources.choose(target, "shared", guest)))


def pages_of(case: Case, length: int) -> dict[str, str]:
    """Return which pages an instruction touches and how: of f, r, w and m."""
    found: dict[str, str] = {}
    spans = [(at(case.code), length, "f")]
    spans += [(at(one.place), one.length, one.does) for one in case.touches]
    for first, size, does in spans:
        for page in range((first - BASE) // PAGE, (first + size - 1 - BASE) // PAGE + 1):
            name = NAMES[page]
            found[name] = found.get(name, "") + does
    return found


def predicted(found: Explanation) -> Fault | None:
    """Return what explain says comes first."""
    if found.first is None:
        return None
    fate = found.judged[found.first].fate
    assert fate.vector is not None
    return Fault(fate.vector, fate.error_code, fate.address if fate.is_page_fault else None)


@pytest.mark.parametrize(
    "user", [False, pytest.param(True, marks=pytest.mark.long)], ids=["supervisor", "user"]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_faults_as_explained(held: Held, case: Case, user: bool) -> None:
    if user and case.text.split()[0] in SUPERVISOR_ONLY:
        pytest.skip("it needs privilege")
    if case.deviates:
        pytest.skip(case.deviates)
    code = assemble([one.text for one in CASES])[CASES.index(case)]
    bench, touched = held.benches[user], pages_of(case, len(code))
    absent = [[name] for name in touched]
    absent += [[name for name in touched if name[0] != "C"]] if case.order else []
    written = [name for name, does in touched.items() if set(does) & set("wm")]

    def hold(*, missing: list[str], read_only: list[str]) -> Fault | None:
        bench.show([name for name in touched if name not in missing], read_only)
        bench.prepare(case, code)
        said = predicted(held.explain(at(case.code)))
        happened = bench.execute(at(case.code))
        assert happened == said, f"without {missing}, read-only {read_only}"
        return happened

    assert hold(missing=[], read_only=[]) is None
    for missing in absent:
        if missing:
            fault = hold(missing=missing, read_only=[])
            assert fault is not None
            assert not fault.error_code & Code.P
    for name in written:
        fault = hold(missing=[], read_only=[name])
        assert fault is not None
        assert fault.error_code & (Code.P | Code.WR) == Code.P | Code.WR


@pytest.mark.parametrize("missing", ["D", "S", "C"])
def test_a_fault_is_explained_where_it_brought_the_vcpu(held: Held, missing: str) -> None:
    """At the guest's own handler, by what the CPU pushed; and again when the page is there."""
    case = next(one for one in CASES if one.text == "push qword ptr [rdi]")
    code = assemble([one.text for one in CASES])[CASES.index(case)]
    bench, pages = held.benches[False], list(pages_of(case, len(code)))
    bench.show([name for name in pages if name != missing])
    bench.prepare(case, code)
    fault = bench.execute(at(case.code))
    assert fault is not None

    found = explain(held.target, held.space, Asked()).what
    taken = found.fault
    assert taken is not None
    assert (14, taken.error_code, taken.cr2) == fault
    assert found.instruction.va == at(case.code)
    assert (taken.agrees, taken.number) == (True, "CDS".index(missing))
    assert found.first == taken.number
    assert (taken.now.bit and taken.now.bit.text) == "P=0"

    bench.show(pages)
    then = explain(held.target, held.space, Asked()).what.fault
    assert then is not None
    assert then.agrees is False
    assert not any(cause.possible for cause in then.causes)  # one vCPU, TCG, and P=0
