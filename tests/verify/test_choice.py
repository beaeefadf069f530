"""Who is asked when nobody is named, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from ptlive.errors import PtliveError
from ptlive.memory.layout import Layout
from ptlive.verify import choice
from ptlive.verify.choice import choose
from ptlive.verify.twins.ram import Ram
from tests.paging.tables import machine
from tests.simulated_guest import Guest

if TYPE_CHECKING:
    from collections.abc import Callable

CR4_PKE = 1 << 22
LAYOUT = Layout(1 << 27, 1 << 27, (), whole=True)


class NotYet(Ram):
    """Choosing copies nothing."""

    def open(self, progress: object = None) -> NoReturn:
        raise AssertionError("the guest's RAM was copied")


class Found:
    """What is found of a guest's RAM, its PKRU, and the twin's version."""

    def __init__(self) -> None:
        self.way, self.seconds, self.why = Ram.SHARED, 0.0, ""
        self.error: str | None = None
        self.pkru: int | None = 0

    def ram(self, target: Any, guest: Any) -> Ram:
        if self.error:
            raise PtliveError(self.error)
        return NotYet(target, LAYOUT, self.way, self.seconds, self.why)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    found = Found()
    monkeypatch.setattr(choice, "find_ram", found.ram)
    monkeypatch.setattr(choice, "pkru_of", lambda *_: found.pkru)
    monkeypatch.setattr(choice, "version_of", lambda _: "7.2.22 (Debian 1:7.2)")
    return found


@pytest.fixture
def ask() -> Callable[..., choice.Choice]:
    def run(*oracles: str, pkru: int | None = 0, **changes: Any) -> choice.Choice:
        simulated = Guest(machine(levels=4))
        simulated.registers_now["cr4"] |= CR4_PKE
        target = simulated.target()
        for name, value in changes.items():
            if name == "cr4":
                cpu = simulated.cpu
                target.cpus = (replace(cpu, cr4=cpu.cr4 | value),)
            else:
                setattr(target, name, value)
        return choose(oracles, target, [simulated.space(pkru=pkru)], None)

    return run


def texts(chosen: choice.Choice) -> dict[str, str]:
    return dict(chosen.notes)


def test_shared_ram_is_asked_without_a_word(found: Found, ask: Any) -> None:
    chosen = ask()
    assert (chosen.oracles, chosen.notes, chosen.version) == (
        ("twin",),
        [],
        "7.2.22 (Debian 1:7.2)",
    )


def test_a_quick_copy_is_announced(found: Found, ask: Any) -> None:
    found.way, found.seconds, found.why = Ram.SAVED, 9.6, "the guest's RAM is not shared"
    chosen = ask()
    assert chosen.oracles == ("twin",)
    said = "the guest's RAM is not shared: it is copied first, in about 10 s"
    assert texts(chosen) == {"ram-copied": said}


def test_a_slow_copy_is_made_only_when_asked_for(found: Found, ask: Any) -> None:
    found.way, found.seconds, found.why = Ram.READ, 64.0, "the guest's RAM is not shared"
    chosen = ask()
    assert (chosen.oracles, chosen.ram) == (("debug-walker",), None)
    said = texts(chosen)["not-the-mmu"]
    assert "--oracle twin copies it first, in about 64 s" in said
    assert said.endswith("--oracle stepped asks the MMU")
    assert texts(ask(accelerator="KVM"))["not-the-mmu"].endswith("in about 64 s")
    assert ask("twin").oracles == ("twin",)
    assert "about 64 s" in texts(ask("twin"))["ram-copied"]


def test_ram_that_cannot_be_had_is_told(found: Found, ask: Any) -> None:
    found.error = "the guest has memory devices"
    chosen = ask()
    assert chosen.oracles == ("debug-walker",)
    assert "not the MMU: the guest has memory devices; --oracle" in texts(chosen)["not-the-mmu"]
    with pytest.raises(PtliveError, match="the guest has memory devices"):
        ask("twin")
    assert ask("debug-walker").notes == []


@pytest.mark.parametrize(("name", "bit"), [("CET", 23), ("PKS", 24), ("LASS", 27), ("LAM", 28)])
def test_a_mode_that_the_twin_does_not_model(found: Found, ask: Any, name: str, bit: int) -> None:
    chosen = ask(cr4=1 << bit)
    assert chosen.oracles == ("debug-walker",)
    assert f"the twin does not model {name}" in texts(chosen)["not-the-mmu"]
    with pytest.raises(PtliveError, match=f"does not model {name}"):
        ask("twin", cr4=1 << bit)
    assert ask("stepped", cr4=1 << bit).oracles == ("stepped",)


def test_a_cpu_with_too_few_physical_addresses(
    found: Found, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 GB are the guest's, above its 128 MB of RAM; the prober's own lies behind them."""
    for bits, fits in ((32, False), (33, False), (36, True)):
        narrow = replace(Guest(machine(levels=4)).cpu, maxphyaddr=bits)
        assert ask(cpus=(narrow,)).oracles == (("twin",) if fits else ("debug-walker",))
    with pytest.raises(PtliveError, match="addresses of 33 bits do not reach"):
        ask("twin", cpus=(replace(narrow, maxphyaddr=33),))


def test_pkru_is_given_to_the_space(found: Found, ask: Any) -> None:
    found.pkru = 0x55555554
    chosen = ask(pkru=None)
    assert [space.controls.pkru for space in chosen.spaces] == [0x55555554]
    assert texts(chosen) == {"pkru": "PKRU of vCPU 1 is 0x55555554"}
    found.pkru = None
    chosen = ask(pkru=None)
    assert [space.controls.pkru for space in chosen.spaces] == [None]
    assert texts(chosen) == {}


def test_another_version_is_named(found: Found, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "version_of", lambda _: "10.0.2 (Debian)")
    chosen = ask()
    assert chosen.version == "10.0.2 (Debian)"
    assert texts(chosen) == {"twin-qemu": "the twin is QEMU 10.0.2 (Debian), the guest 7.2.22"}
    assert ask("debug-walker").version is None


def test_the_stepped_probe_is_refused_under_kvm(found: Found, ask: Any) -> None:
    with pytest.raises(PtliveError, match=r"under TCG only, not under KVM, unknown"):
        ask("stepped", accelerator="KVM, unknown")
    assert ask("twin", "stepped").oracles == ("twin", "stepped")


def test_a_bundled_guests_qemu_is_the_twins(found: Found) -> None:
    simulated = Guest(machine(levels=4))
    guest: Any = SimpleNamespace()
    assert choose((), simulated.target(), [simulated.space(pkru=0)], guest).version is None
