"""The guests that are measured: how many leaves, and how they lie in the tables."""

from __future__ import annotations

from dataclasses import dataclass

from ptlive.errors import PtliveError


@dataclass(frozen=True)
class Shape:
    """How a guest's pages lie.

    meaning: for the reader of the table; leaves: how many by default; order: what the Linux
    guest's mapper is to map, where {n} is their number; judged: whether this is one of the
    shapes that ratios are taken from
    memory, extra: the machine's RAM in bytes and QEMU's arguments, where they matter
    """

    name: str
    meaning: str
    leaves: int
    order: str
    judged: bool = False
    memory: int | None = None
    extra: tuple[str, ...] = ()

    def ordered(self, leaves: int | None) -> str:
        """Return the mapper's words for so many pages, by default the shape's own number."""
        return self.order.format(n=leaves or self.leaves)


SHAPES = {
    shape.name: shape
    for shape in (
        # Nothing is added: what Linux itself maps in 512 MB.
        Shape("stock", "Linux as it boots", 10_000, ""),
        Shape(
            "mixed",
            "every kind of page, 4K, 2M, THP, 1G, high addresses, keys, split RAM",
            100_000,
            "all,huge1g=1,thp=64,huge2m=16,high=64,scattered={n},stride=8",
            judged=True,
            # 1 GB below the PCI hole and 2 GB from 4 GB on, so that addresses are not offsets
            # in the file, and one of the two is free for a page of 1G.
            memory=3 << 30,
            extra=("-machine", "max-ram-below-4g=1G"),
        ),
        Shape("sparse", "every 8th page of 4K", 1_000_000, "scattered={n},stride=8"),
        Shape("dense", "4K pages side by side", 1_000_000, "scattered={n},stride=1", judged=True),
        Shape("lonely", "one leaf a table", 100_000, "scattered={n},stride=512"),
        Shape(
            "aliased", "many addresses, 4096 frames", 100_000, "scattered={n},stride=2,frames=4096"
        ),
        Shape(
            "folded", "4096 addresses for each leaf, by tables that they share", 4_096, "folded={n}"
        ),
        Shape("thp", "transparent huge pages", 1_000, "thp={n}"),
    )
}
#: The points of a run by default, and of --full: (shape, leaves or None).
USUAL = (("stock", None), ("mixed", None), ("dense", None))
FULL = (
    ("stock", None),
    ("mixed", 1_000),
    ("mixed", 10_000),
    ("mixed", None),
    ("mixed", 300_000),
    ("dense", None),
    ("sparse", None),
    ("lonely", None),
    ("aliased", None),
    ("folded", None),
    ("thp", None),
)


def shape(name: str) -> Shape:
    """Return a shape by name. Raises PtliveError, with the names that there are."""
    if name not in SHAPES:
        raise PtliveError(f"there is no shape '{name}': there are {', '.join(SHAPES)}")
    return SHAPES[name]
