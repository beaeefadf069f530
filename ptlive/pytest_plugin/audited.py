"""Assertions about what is weak: pages that are writable and executable, findings of the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.pytest_plugin.said import message, region_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ptlive import AddressSpace


def assert_no_wx(space: AddressSpace, ranges: Iterable[tuple[int, int]] | None = None) -> None:
    """Assert that no page is writable and executable, in ranges or everywhere."""
    __tracebackhide__ = True
    regions = space.regions(None if ranges is None else list(ranges), rights="wx")
    if regions:
        from ptlive.show import words

        found = words.count(len(regions), "region")
        verb = "is" if len(regions) == 1 else "are"
        raise AssertionError(
            message(f"{found} {verb} writable and executable", region_lines(regions))
        )


def assert_audit_clean(
    space: AddressSpace,
    level: str = "medium",
    *,
    ignore: Collection[str] = (),
    only: Collection[str] = (),
) -> None:
    """Assert that `ptlive audit` finds nothing as bad as `level`, or worse.

    level: info, low, medium, high or critical; ignore, only: names of rules, of which
    `ptlive audit --rules` has the list
    """
    __tracebackhide__ = True
    from ptlive.analysis.audit.rules import named

    for name in ignore:
        named(name)  # raises for a name that there is not
    found = space.audit(only)
    bad = [one for one in found.at_least(level) if one.rule.id not in ignore]
    if bad:
        from ptlive.show import words

        raise AssertionError(
            message(
                f"the audit has {words.count(len(bad), 'finding')} at or above {level}",
                *(found.told(one) for one in bad),
            )
        )
