"""What the library offers: `import ptlive` stays light, and no name or signature changes unseen.

After a change that is meant: `python -m tests.api.public > tests/api/public.txt`, and a line in the
change log.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ptlive
from tests.api.public import listing

STORED = Path(__file__).with_name("public.txt")


def test_nothing_of_the_public_interface_has_changed() -> None:
    assert list(listing()) == STORED.read_text().splitlines()


def test_everything_public_is_there_and_documented() -> None:
    assert sorted(ptlive.__all__) == ptlive.__all__
    assert set(ptlive.__all__) <= set(dir(ptlive))
    for name in ptlive.__all__:
        value = getattr(ptlive, name)
        assert name.startswith("__") or (value.__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ptlive.nothing


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import ptlive; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ptlive"]


def test_using_it_prints_nothing_and_sets_no_handler() -> None:
    code = (
        "import signal; before = [signal.getsignal(n) for n in (1, 2, 15)]\n"
        "import ptlive\n"
        "try:\n    ptlive.attach('unix:/nowhere').__enter__()\n"
        "except ptlive.PtliveError as error:\n    assert 'nothing listens' in str(error), error\n"
        "assert before == [signal.getsignal(n) for n in (1, 2, 15)]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
