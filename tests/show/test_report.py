"""A verification's report in text and in JSON."""

from __future__ import annotations

import json

from rich.text import Text

from ptlive.analysis.report import Disagreement, Quirk, Report
from ptlive.paging.formats.x86_64 import make_levels
from ptlive.show import report as show

FMT = make_levels(4)
QUIRK = Quirk("odd", "TCG", "it is odd", "SDM vol. 3A 4.7")


def difference(n: int = 0) -> Disagreement:
    return Disagreement(
        va=0x1000 * n,
        access="user-read",
        oracle="stepped",
        aspect="fault",
        predicted="allowed",
        observed="#PF(0x4: U/S)",
        path=((4, 0x10, 0x2067), (3, 0x2000, 0)),
        reproduce="ptlive verify 0x0",
    )


def report() -> Report:
    found = Report(tables=3, leaves=2, reached=5, holes=9, version="7.2", seed=4, seconds=1.23456)
    fault = found.check("stepped", "TCG", "fault")
    fault.agreed = 1234
    fault.unchecked["device memory"] = 2
    fault.unchecked["quirk odd"] = 7
    for aspect in ("PAT", "G"):
        found.check("stepped", "TCG", aspect, asked=False).unchecked["no effect"] = 5
    found.quirks[QUIRK] = 7
    return found


def text(found: Report) -> list[str]:
    return [line.plain if isinstance(line, Text) else line for line in show.lines(FMT, found)]


def test_a_report_to_the_letter() -> None:
    found = report()
    found.check("stepped", "TCG", "PWT", asked=False).unchecked["of nothing: not told"] = 0
    assert text(found) == [
        "oracle   answered by  property  checked  agreed  disagreed  unchecked",
        "stepped  TCG          fault       1,234   1,234          0          9",
        "  stepped, fault: 7 unchecked: quirk odd",
        "  stepped, fault: 2 unchecked: device memory",
        "  stepped, PAT, G: 5 unchecked: no effect",
        "  quirk of TCG, 7 times: odd: it is odd",
        "    SDM vol. 3A 4.7",
        "0 disagreements in 1,234 checks",
    ]


def test_a_disagreement_shows_both_sides_the_path_and_how_to_ask_again() -> None:
    found = report()
    found.checks[0].disagreed = 1
    found.disagreements.append(difference())
    lines = text(found)
    at = lines.index("disagreement: 0x0000000000000000 (user-read), fault")
    assert lines[at + 1 :] == [
        "  tables say  allowed",
        "  stepped says  #PF(0x4: U/S)",
        "  PML4E (level 4) at 0x10: 0x0000000000002067",
        "  PDPTE (level 3) at 0x2000: 0x0000000000000000",
        "  ask again: ptlive verify 0x0",
        "1 disagreement in 1,235 checks",
    ]


def test_many_disagreements_are_cut_and_counted() -> None:
    found = report()
    found.checks[0].disagreed = 30
    found.disagreements += [difference(n) for n in range(30)]
    lines = text(found)
    assert sum(line.startswith("disagreement:") for line in lines) == show.SHOWN
    assert "... 10 more disagreements (--json has all)" in lines
    assert len(show.as_json(found)["disagreements"]) == 30


def test_the_verdict_has_its_colour() -> None:
    good, bad, vain = report(), report(), report()
    bad.checks[0].disagreed = 1
    vain.checks[0].agreed = 0
    styles = [str(show.conclusion(found).style) for found in (good, bad, vain)]
    assert styles == ["green", "bold red", "yellow"]
    assert (
        show.conclusion(vain).plain == "0 disagreements in 0 checks; never checked: stepped fault"
    )


def test_json_has_the_keys_of_its_schema() -> None:
    found = report()
    found.checks[0].disagreed = 1
    found.disagreements.append(difference())
    value = show.as_json(found)
    assert list(value) == [
        *("tables", "leaves", "reached", "holes", "checks", "disagreements", "quirks"),
        *("asked", "notes", "seed", "seconds"),
    ]
    assert list(value["checks"][0]) == [
        *("oracle", "answered_by", "property", "asked", "checked", "agreed", "disagreed"),
        "unchecked",
    ]
    assert value["checks"][0]["unchecked"][1] == {"reason": "device memory", "count": 2}
    (one,) = value["disagreements"]
    assert list(one) == [
        *(
            "va",
            "access",
            "oracle",
            "answered_by",
            "property",
            "predicted",
            "observed",
            "path",
            "reproduce",
        )
    ]
    assert one["va"] == "0x0000000000000000"
    assert one["path"][0] == {"level": 4, "entry_pa": "0x10", "entry": "0x2067"}
    assert value["quirks"] == [
        {
            "name": "odd",
            "accelerator": "TCG",
            "version": "7.2",
            "reason": "it is odd",
            "cite": "SDM vol. 3A 4.7",
            "count": 7,
        }
    ]
    assert (value["seed"], value["seconds"]) == (4, 1.235)
    assert json.loads(json.dumps(value)) == value


def test_what_a_quirk_alone_explains_was_answered() -> None:
    found = Report(0, 0, 0, 0, version="")
    found.check("twin", "TCG", "fault").unchecked["quirk odd"] = 1
    assert found.never_checked == []
    found.check("twin", "TCG", "frame").unchecked["not RAM"] = 1
    assert [check.aspect for check in found.never_checked] == ["frame"]
