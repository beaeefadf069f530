"""Guest memory for tests: paging structures as a dict, all other memory zero."""

from collections.abc import Mapping

from .terms import ReadQword


def ram(entries: Mapping[int, int], size: int = 1 << 24) -> ReadQword:
    """Give the memory below `size`, and above it the 4-KByte frames that hold an entry."""
    frames = {pa & ~0xFFF for pa in entries}
    return lambda pa: entries.get(pa, 0) if 0 <= pa < size or pa & ~0xFFF in frames else None
