"""`ptlive audit` on a simulated guest, and on guests that are clean or full of defects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.analysis.audit.rules import RULES
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU
from tests.simulated_guest import DATA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ptlive.target.running import Guest as Running
    from tests.cli.conftest import Done
    from tests.simulated_guest import Guest

AT = ("--gdb", "x:1")


def by_rule(done: Done) -> dict[str, list[dict[str, Any]]]:
    result: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.out)["findings"]:
        result.setdefault(finding["rule"], []).append(finding)
    return result


@pytest.mark.usefixtures("guest")
def test_findings_have_severity_reason_evidence_and_reference(ptlive: Callable[..., Done]) -> None:
    done = ptlive("audit", *AT)
    assert done.status == 1
    lines = done.out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("high: wx-kernel: "))
    block = "\n".join(lines[at : at + 8])
    assert "why it matters: " in block
    assert "see: Linux Documentation/security/self-protection.rst" in block
    assert "by 19 of 22 rules" in done.out
    rules = "isolation-user-root isolation-user-code isolation-global"
    assert f"not applied: {rules}: no two of these roots are an isolation pair" in lines
    assert "ptlive: note: the system is not known" in done.err


@pytest.mark.usefixtures("guest")
def test_the_status_is_by_the_level_chosen(ptlive: Callable[..., Done]) -> None:
    assert ptlive("audit", *AT, "--fail-on", "never").status == 0
    assert ptlive("audit", *AT, "--fail-on", "critical").status == 0
    assert ptlive("audit", *AT, "--only", "wx-user", "--fail-on", "low").status == 1
    assert ptlive("audit", *AT, "--only", "wx-user").status == 0


@pytest.mark.usefixtures("guest")
def test_what_is_ignored_is_not_told(ptlive: Callable[..., Done]) -> None:
    done = ptlive("audit", *AT, "--only", "wx-kernel", "--ignore", "wx-kernel")
    assert done.status == 0
    assert done.out.splitlines()[0] == "0 findings by 1 of 1 rule"
    assert any(line.startswith("ignored as asked: wx-kernel: ") for line in done.out.splitlines())
    half = ("--ignore", "wx-kernel:0xffff800000000000..0xffffffffffffffff")
    rest = by_rule(ptlive("audit", *AT, "--json", "--only", "wx-kernel", *half))["wx-kernel"]
    assert all(int(place["va"], 0) < 1 << 47 for place in rest[0]["places"])


def test_a_table_that_user_mode_writes_is_critical(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    guest.map(0x7000_8000, 0, PWU)
    found = by_rule(ptlive("audit", *AT, "--json"))
    (finding,) = found["table-user"]
    assert finding["severity"] == "critical"
    assert finding["places"][0]["va"] == "0x0000000070008000"
    assert finding["roots"] == ["0x0"]


def test_the_other_half_of_a_pair_is_looked_at_too(
    ptlive: Callable[..., Done], guest: Guest
) -> None:
    # Roots side by side in 8K, the kernel's with XD on what is the user's.
    kernel, user = (DATA + 20) * FRAME, (DATA + 21) * FRAME
    assert not kernel & FRAME
    guest.ram.write(user, guest.ram.value(0))
    guest.ram.write(kernel, guest.ram.value(0) | 1 << 63)
    guest.ram.write(kernel + 8 * 511, guest.ram.value(8 * 511))
    value = json.loads(ptlive("audit", *AT, "--json", "--root", hex(kernel)).out)
    assert [root["root"] for root in value["roots"]] == [hex(kernel), hex(user)]
    assert value["skipped"] == {}


@pytest.mark.usefixtures("guest")
def test_rules_are_listed_without_a_guest(ptlive: Callable[..., Done]) -> None:
    text = ptlive("audit", "--rules").out
    listed = json.loads(ptlive("audit", "--rules", "--json").out)["rules"]
    assert [rule["id"] for rule in listed] == [rule.id for rule in RULES]
    for rule in listed:
        assert f"{rule['id']} ({rule['severity']}): {rule['title']}" in text
        assert rule["references"]


@pytest.mark.usefixtures("guest")
def test_sarif_has_what_its_specification_wants(
    ptlive: Callable[..., Done], tmp_path: Path
) -> None:
    path = tmp_path / "audit.sarif"
    found = json.loads(ptlive("audit", *AT, "--json", "--sarif", str(path)).out)["findings"]
    log = json.loads(path.read_text())
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    assert all(rule["shortDescription"]["text"] for rule in rules)
    assert len(run["results"]) == len(found)
    for result, finding in zip(run["results"], found, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding["rule"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"].startswith(finding["what"])
        for location in result["locations"]:
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert ":" not in uri
            assert not uri.startswith("/")
        assert result["partialFingerprints"]["ptlive/v1"]
    again = tmp_path / "again.sarif"
    ptlive("audit", *AT, "--sarif", str(again))
    assert again.read_text() == path.read_text()


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("--only", "nonsense"), "there is no rule 'nonsense'"),
        (("--ignore", "nonsense:0..1"), "there is no rule 'nonsense'"),
        (("--ignore", "wx-user:2..1"), "ends before it begins"),
        (("--sarif", "/nonexistent/x.sarif"), "cannot write /nonexistent/x.sarif"),
    ],
    ids=["only", "ignore", "range", "file"],
)
def test_what_cannot_be_asked(
    refused: Callable[..., str], asked: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refused("audit", *AT, *asked)


@pytest.mark.qemu
def test_a_clean_linux_raises_no_alarm(ptlive: Callable[..., Done], linux_guest: Running) -> None:
    done = ptlive("audit", "--guest", linux_guest.name, "--all-roots", "--json")
    found = by_rule(done)
    assert done.status == 0, found
    # Whatever remains is told why.
    assert all(one["explanation"] for mine in found.values() for one in mine), found
    assert found["table-kernel"]


@pytest.mark.qemu
def test_the_menu_guest_has_what_its_menu_says(
    ptlive: Callable[..., Done], menu_guest_5: Running
) -> None:
    done = ptlive("audit", "--guest", menu_guest_5.name, "--json")
    found = by_rule(done)
    assert done.status == 1
    wanted = {"wx-kernel", "wx-user", "user-kernel-half", "reserved-bits", "outside-ram"}
    wanted |= {"table-user", "table-levels", "alias-types"}
    assert wanted <= set(found)
    # QEMU tells the memory types of this guest: nothing is said of indices alone.
    assert "no-pat" not in [note["code"] for note in json.loads(done.out)["notes"]]
