"""Bits by the manual's own numbers: "bits 51:12" is `bits(51, 12)`."""

P = 1 << 0
RW = 1 << 1
US = 1 << 2
A = 1 << 5
D = 1 << 6
PS = 1 << 7
XD = 1 << 63


def bits(high: int, low: int) -> int:
    """Make the mask of bits high:low; empty for `bits(51, 52)`, as 51:M is with M = 52."""
    return ((1 << (high - low + 1)) - 1) << low


def field(value: int, high: int, low: int) -> int:
    """Take bits high:low of a value, as a number of its own."""
    return (value & bits(high, low)) >> low
