"""Guest memory for tests: paging structures as a dict, all other memory zero."""

from collections.abc import Mapping

from .terms import ReadQword


def ram(entries: Mapping[int, int], size: int = 1 << 24) -> ReadQword:
    """Give physical memory of `size` bytes that holds these entries, by physical address."""
    return lambda pa: entries.get(pa, 0) if 0 <= pa < size else None
