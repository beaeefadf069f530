"""`python -m ptlive.guests NAME...`: make the files of guests ready, without a start.

NAME is a guest's, or linux:RELEASE for the kernel of another Debian release.
"""

from __future__ import annotations

import sys

from ptlive.errors import PtliveError
from ptlive.guests import Recipe, linux, recipe


def main(names: list[str]) -> int:
    """Prepare the named guests. Returns 0, or 2 when one cannot be made ready."""
    try:
        for name in names:
            _recipe(name).prepare(lambda line: print(line, file=sys.stderr, flush=True))
    except PtliveError as error:
        print(f"ptlive: {error}", file=sys.stderr)
        return 2
    return 0


def _recipe(name: str) -> Recipe:
    kind, colon, release = name.partition(":")
    return linux.recipe(release=release) if colon and kind == linux.RECIPE.name else recipe(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
