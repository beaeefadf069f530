"""`ptlive audit`: what is wrong, or weak, in the page tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptlive.analysis.audit.finding import Severity
from ptlive.analysis.audit.memory_type import MemoryTypes
from ptlive.analysis.audit.rules import RULES, named
from ptlive.analysis.audit.run import Audit, Ignored, audit
from ptlive.answers.audit import context_of, registers_of
from ptlive.answers.spaces import with_partners
from ptlive.answers.together import Together, walk_together
from ptlive.cli.bundle import Command
from ptlive.cli.connect import connect
from ptlive.cli.main import DONE, FOUND
from ptlive.cli.options import LAST, NUMBER, RANGE, TargetOptions, target_options
from ptlive.cli.profile import ProfileOptions, profile_of, profile_options
from ptlive.cli.tell import tell_changes, tell_notes
from ptlive.files import writing
from ptlive.show import audit as show
from ptlive.show.json import print_json
from ptlive.show.progress import progress
from ptlive.show.terminal import heading, stdout, verdict, write_lines
from ptlive.target.saved_state import memory_types_of

if TYPE_CHECKING:
    from ptlive.analysis.audit.context import Context
    from ptlive.analysis.audit.finding import Finding
    from ptlive.analysis.profile import Profile
    from ptlive.cli.connect import Connection

NEVER = "never"


class IgnoredRule(click.ParamType[Ignored]):
    """RULE, or RULE:VA..LAST_VA."""

    name = "rule"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Ignored:
        """Return what is to be ignored, or fail with a sentence."""
        if isinstance(value, Ignored):
            return value
        name, colon, where = str(value).partition(":")
        named(name)
        first, last = RANGE.convert(where, param, ctx) if colon else (0, LAST)
        return Ignored(name, first, last)


@click.command("audit", cls=Command)
@click.option(
    "--fail-on",
    type=click.Choice([*(level.word for level in Severity), NEVER]),
    default=Severity.MEDIUM.word,
    show_default=True,
    help="Exit with 1 if a finding is as bad as this, or worse.",
)
@click.option("--only", metavar="RULE", multiple=True, help="Apply only this; may be repeated.")
@click.option(
    "--ignore",
    type=IgnoredRule(),
    metavar="RULE[:VA..LAST_VA]",
    multiple=True,
    help="Leave out what a rule finds, or what it finds there; may be repeated.",
)
@click.option("--rules", "list_rules", is_flag=True, help="List the rules, and nothing else.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="How many places of a finding are printed.",
)
@click.option(
    "--sarif",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the findings there too, as SARIF 2.1.0.",
)
@click.option(
    "--pat", type=NUMBER, metavar="VALUE", help="The guest's IA32_PAT, where QEMU does not tell."
)
@profile_options
@target_options
def audit_(
    target: TargetOptions,
    profile: ProfileOptions,
    fail_on: str,
    only: tuple[str, ...],
    ignore: tuple[Ignored, ...],
    list_rules: bool,
    limit: int,
    sarif: Path | None,
    pat: int | None,
) -> int:
    """Look for what is wrong, or weak, in the page tables of a guest.

    Rules look at what is mapped, at the tables themselves, and at the control
    registers; --rules lists them. Each finding is told with its evidence, as regions
    of addresses, and with the sources that say why it matters. What a known system
    does on purpose is explained, and counts as no more than info.

    Of a root that is one half of an isolation pair the other half is looked at too.

    Exit status: 1 if something is as bad as --fail-on says.
    """
    rules = [named(name) for name in dict.fromkeys(only)] or list(RULES)
    if list_rules:
        if target.json:
            listed = [show.rule_json(rule) for rule in rules]
            print_json({"schema": "ptlive.audit-rules/1", "rules": iter(listed)})
        else:
            write_lines(show.rule_lines(rules))
        return DONE
    with connect(target) as connection, progress() as told:
        pairs = with_partners(connection.spaces)
        connection = dataclasses.replace(connection, spaces=list(pairs))
        groups = walk_together(connection.spaces, told)
        known = [_profile(connection, group, profile) for group in groups]
        types = _memory_types(connection, target, pat)
        registers = registers_of(connection.target)
        changes = connection.changes()
    contexts = [
        context_of(group, pairs, system, types, registers)
        for group, system in zip(groups, known, strict=True)
    ]
    with progress() as told:
        results = [audit(context, rules, ignore, told) for context in contexts]
    found = [
        (context, finding)
        for context, result in zip(contexts, results, strict=True)
        for finding in result.findings
    ]
    notes = _notes(known, types, _pat_options(connection, target))
    if sarif:
        _write_sarif(sarif, connection, found, results, notes)
    if target.json:
        envelope = connection.envelope("audit", _by_root(connection, found), notes, changes)
        print_json(
            {
                **envelope,
                "profile": next((one.name for one in known if one), None),
                "skipped": {name: why for one in results for name, why in one.skipped.items()},
                "ignored": {name: n for one in results for name, n in one.ignored.items()},
                "findings": [show.as_json(context, finding) for context, finding in found],
            }
        )
    else:
        level = None if fail_on == NEVER else Severity[fail_on.upper()]
        for context, result in zip(contexts, results, strict=True):
            _print(context, result, limit, len(rules), level)
        if changes:
            tell_changes(changes)
    tell_notes(notes)
    worst = max((finding.severity for _, finding in found), default=None)
    if fail_on == NEVER or worst is None:
        return DONE
    return FOUND if worst >= Severity[fail_on.upper()] else DONE


def _profile(connection: Connection, group: Together, options: ProfileOptions) -> Profile | None:
    if options.profile == "none":
        return None
    for space in group.spaces:
        graph = group.graph if len(group.spaces) == 1 else space.walk()
        found = profile_of(connection, space, graph, options)
        if found:
            return found
    return None


def _memory_types(
    connection: Connection, options: TargetOptions, pat: int | None
) -> MemoryTypes | None:
    """Return what the CPU makes of attributes: as the user tells, or QEMU."""
    if pat is not None:
        return MemoryTypes(pat, source="--pat")
    if options.live:
        return None  # its state is another by now
    known = memory_types_of(connection.target, connection.running)
    source = "QEMU's saved state" if connection.target.file is None else "the snapshot"
    return known and MemoryTypes(*known, source=source)


def _pat_options(connection: Connection, options: TargetOptions) -> str:
    """Return by which options IA32_PAT could be told."""
    asked = connection.target.qmp or connection.running or connection.target.file or options.live
    # QEMU was asked where it can be; it saves no state of a guest with an NVMe disk, as one.
    return "--pat" if asked else "--pat, or --qmp"


def _notes(
    profiles: list[Profile | None], types: MemoryTypes | None, pat_options: str
) -> list[tuple[str, str]]:
    """Return what limits the findings; pat_options: what would tell IA32_PAT."""
    notes = []
    if not any(profiles):
        text = "the system is not known: nothing is explained by what it does on purpose"
        notes.append(("no-profile", text))
    if types is None:
        text = f"IA32_PAT is not known: only PAT indices are compared ({pat_options} tells it)"
        notes.append(("no-pat", text))
    return notes


def _print(
    context: Context, result: Audit, limit: int, rules: int, fail_on: Severity | None
) -> None:
    for finding in result.findings:
        bad = finding.severity >= (Severity.MEDIUM if fail_on is None else fail_on)
        stdout().print(verdict(show.headline(finding), False if bad else None))
        write_lines(show.lines(context, finding, limit))
    first, *rest = show.summary(result, rules, fail_on)
    stdout().print(heading(first))
    write_lines(rest)


def _by_root(connection: Connection, found: list[tuple[Context, Finding]]) -> list[dict[str, Any]]:
    """Return for each root how many findings are in it, by severity."""
    results = []
    for space in connection.spaces:
        address = int(space.root[0])
        mine = [
            finding.severity
            for context, finding in found
            if address in (context.roots[at].address for at in finding.roots)
        ]
        results.append({"findings": {level.word: mine.count(level) for level in Severity}})
    return results


def _write_sarif(
    path: Path,
    connection: Connection,
    found: list[tuple[Context, Finding]],
    results: list[Audit],
    notes: list[tuple[str, str]],
) -> None:
    from ptlive import __version__
    from ptlive.show import sarif

    told = [text for _, text in (*connection.notes, *notes)]
    told += [f"{name}: {why}" for one in results for name, why in one.skipped.items()]
    with writing(path):
        sarif.write(path, sarif.log(__version__, connection.guest, RULES, found, told))
