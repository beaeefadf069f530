"""The option that names areas of a system, such as a kernel's direct map."""

from __future__ import annotations

from ptlive.cli.bundle import option
from ptlive.cli.filters import PAGES

AREA_OPTION = option(
    "--area",
    heading=PAGES,
    multiple=True,
    metavar="NAME",
    help="Only this area: user, direct-map, vmalloc, kernel-text, ... (any beginning of a name).",
)
