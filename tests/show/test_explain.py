"""An explanation in text and in JSON, to the letter."""

from __future__ import annotations

import json

from ptlive.analysis.explain.causes import Surroundings
from ptlive.analysis.explain.explanation import Explanation
from ptlive.analysis.explain.fault import explain_fault
from ptlive.analysis.explain.frame import Frame
from ptlive.analysis.explain.judge import first_to_fault, judge
from ptlive.analysis.instruction.touch import State
from ptlive.analysis.instruction.touches import touches
from ptlive.paging.access import Controls
from ptlive.show import explain as show
from tests.analysis.explain.test_judge import VA, Tables, tables
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU

RIP = VA + 0x100
REP_MOVSB = bytes.fromhex("f3a4")
NAMES = {"rcx": 16, "rsi": VA + 0x800, "rdi": VA + FRAME - 8, "eflags": 2, "rip": RIP}


def name_of(va: int) -> str | None:
    return f"symbol+{va - VA:#x}\x1b" if va >= VA else None


def explanation(space: Tables, *, error_code: int | None = None) -> Explanation:
    state = State(NAMES, cpl=3)
    instruction = touches(REP_MOVSB + bytes(13), RIP, state)
    judged = judge(instruction, state, space, Controls())
    fault = None
    if error_code is not None:
        frame = Frame(0x9000, error_code, RIP, 0x33, 2, 0x7FFF_0000, 0x2B)
        around = Surroundings("TCG", 1, just_now=True, ac=False, cpl=3)
        known = (error_code, VA + FRAME, judged, space, Controls(), around)
        fault = explain_fault(*known, source="the frame at 0x9000", frame=frame)
    handler = None if error_code is None else VA + 0xF00
    first = first_to_fault(judged)
    return Explanation(64, 3, 2, instruction, judged, first, fault, handler, None)


def text(found: Explanation) -> str:
    lines = [show.title(found, name_of), *show.lines(tables().format, found, name_of)]
    return "\n".join(lines)


def test_an_instruction_that_would_fault() -> None:
    found = explanation(tables(p0=PWU))
    assert text(found) == (
        "0x0000000070000100 symbol+0x100\\x1b: rep movsb byte ptr [rdi], byte ptr [rsi]\n"
        "  64-bit code at privilege level 3\n"
        "    access           address             bytes  kind        page"
        "                 the tables\n"
        "    the instruction  0x0000000070000100      2  user fetch  rwxu 4K"
        "              allowed\n"
        "    [rsi] x 16       0x0000000070000800     16  user read   rwxu 4K"
        "              allowed\n"
        "    [rdi] x 16       0x0000000070000ff8     16  user write  rwxu 4K, first of 2"
        "  #PF(0x6: W/R U/S): P=0 in the PTE (level 1)\n"
        "first to fault: [rdi] x 16, #PF(0x6: W/R U/S) at 0x0000000070001000: the PTE (level 1) "
        "is not present; the entry at 0x103008 holds 0x0"
    ).replace("0x103008", f"{entry_of(found):#x}")


def entry_of(found: Explanation) -> int:
    bit = found.judged[2].fate.bit
    assert bit is not None
    return bit.entry_pa


def test_a_fault_with_which_the_tables_agree() -> None:
    found = explanation(tables(p0=PWU), error_code=6)
    *_, marked, fault, handler, which, bit, agrees = text(found).split("\n")
    assert marked.startswith("  >  [rdi] x 16 ")
    assert fault == "page fault: #PF(0x6: W/R U/S) at 0x0000000070001000, a user write"
    assert handler == (
        "  just taken: the vCPU stands at its handler 0x0000000070000f00 symbol+0xf00\\x1b, "
        "with the frame at 0x9000"
    )
    assert which == '  it is [rdi] x 16, marked ">"'
    assert bit.startswith("  P=0 in the PTE (level 1) at ")
    assert agrees == "  the error code agrees with the tables as they are now"


def test_a_fault_that_the_tables_would_not_raise_now() -> None:
    lines = text(explanation(tables(p0=PWU, p1=PWU), error_code=6)).split("\n")
    says = lines.index(
        "  the error code does not agree with the tables now: the tables allow this access now"
    )
    assert [line[:18].strip() for line in lines[says + 1 :]] == [
        "not known",
        "not possible",
        "not possible",
    ]


def test_json() -> None:
    found = json.loads(
        json.dumps(
            show.as_json(tables().format, explanation(tables(p0=PWU), error_code=6), name_of)
        )
    )
    assert found["instruction"]["bytes"] == "f3a4"
    assert [one["does"] for one in found["accesses"]] == ["fetch", "read", "write"]
    last = found["accesses"][2]
    assert (last["va"], last["last_va"], last["bytes"]) == (
        "0x0000000070000ff8",
        "0x0000000070001007",
        16,
    )
    assert last["fault"]["cr2"] == "0x0000000070001000"
    assert (last["fault"]["bit"], last["fault"]["level"]) == ("P=0", 1)
    taken = found["page_fault"]
    assert (taken["accessed"], taken["agrees"], taken["error_code"]) == (2, True, "0x6")
    assert taken["frame"]["rip"] == hex(RIP)
