"""`python -m ptlive.guests NAME...`: make the files of guests ready, without a start."""

from __future__ import annotations

import sys

from ptlive.errors import PtliveError
from ptlive.guests import recipe


def main(names: list[str]) -> int:
    """Prepare the named guests. Returns 0, or 2 when one cannot be made ready."""
    try:
        for name in names:
            recipe(name).prepare(lambda line: print(line, file=sys.stderr, flush=True))
    except PtliveError as error:
        print(f"ptlive: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
