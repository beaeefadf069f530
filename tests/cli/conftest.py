"""The command line run in this process, and on a simulated guest."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ptlive.cli import hold, main
from tests.paging.plain_ram import FRAME
from tests.paging.tables import PWU, RW, P, machine
from tests.simulated_guest import DATA, NOTHING_AT, Guest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VA = 0x7000_1000


@dataclass(frozen=True)
class Done:
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def ptlive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run the command line with some arguments."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["ptlive", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Done(left.value.code, said.out, said.err)

    return run


@pytest.fixture
def refused(ptlive: Callable[..., Done]) -> Callable[..., str]:
    """Run a command that must fail with one sentence and nothing else; return the sentence."""

    def run(*arguments: str) -> str:
        done = ptlive(*arguments)
        assert (done.status, done.out) == (2, ""), done
        first, rest = done.err.split("\n", 1)
        assert rest == "", done.err
        assert first.startswith("ptlive: ")
        assert first.isprintable()
        return first.removeprefix("ptlive: ")

    return run


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """A simulated guest that every command attaches to, and the only one; tests may change it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    made = Guest(machine(levels=4))
    made.map(VA, DATA * FRAME, P | RW)
    made.map(VA + FRAME, (DATA + 1) * FRAME, PWU)
    made.map(VA + 3 * FRAME, (DATA + 1) * FRAME, PWU | 1 << 51)
    made.ram.write(8 * 5, NOTHING_AT | PWU)

    @contextmanager
    def attach(address: str, **_: Any) -> Iterator[Any]:
        yield made.target()

    monkeypatch.setattr(hold, "attach", attach)
    return made
