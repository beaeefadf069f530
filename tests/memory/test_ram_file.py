"""Which file a backend is: as the kernel tells it, by its content, and why none."""

from __future__ import annotations

import os
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ptlive.errors import PtliveError
from ptlive.memory import ram_file
from ptlive.memory.ram_file import find_file
from tests.memory.own_memory import FRAME, MAP, SIZES, OwnMemory, as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.arrays import U8, U64, Bool


@pytest.fixture
def own() -> Iterator[OwnMemory]:
    made = OwnMemory()
    yield made
    made.close()


def is_file(found: ram_file.RamFile, file: int) -> bool:
    return os.path.samestat(os.fstat(found.file.fileno()), os.fstat(file))


@pytest.mark.parametrize("name", ["ram", "/objects/node"])
def test_of_all_open_files_the_one_that_is_mapped(own: OwnMemory, name: str) -> None:
    found = find_file(own.host(), name)
    assert is_file(found, own.files[name])
    assert found.offset == 0


def test_a_file_of_the_same_content_is_another_one(own: OwnMemory) -> None:
    with NamedTemporaryFile() as copy:
        copy.write(own.content["ram"].tobytes())
        copy.flush()
        own.properties["mem-path"] = f'"{copy.name}"'
        assert is_file(find_file(own.host(known=copy.name), "ram"), own.files["ram"])


def test_an_empty_node_is_told_from_another_empty_file(own: OwnMemory) -> None:
    """Content alone cannot tell them apart; it would be wrong once one is written to."""
    for name in SIZES:
        own.content[name][:] = 0
    found = find_file(own.host(), "/objects/node")
    assert is_file(found, own.files["/objects/node"])


def test_where_the_kernel_tells_nothing_empty_files_are_not_taken(
    own: OwnMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ram_file, "_mapped", lambda *_: None)
    assert is_file(find_file(own.host(), "ram"), own.files["ram"])
    own.content["ram"][:] = 0
    with pytest.raises(PtliveError, match="the file of the guest's RAM is not found"):
        find_file(own.host(), "ram")


def test_a_backend_that_begins_inside_its_file() -> None:
    own = OwnMemory(offset=2 * FRAME)
    assert find_file(own.host(), "ram").offset == 2 * FRAME
    own.close()


def test_a_path_and_an_offset_that_qemu_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that we may not look into."""
    path = tmp_path / "r a m"
    own = OwnMemory(properties={"mem-path": f'"{path}"', "offset": "8192"})
    path.write_bytes(bytes(8192) + own.content["ram"].tobytes())
    monkeypatch.setattr(ram_file, "_mapped", lambda *_: None)
    found = find_file(own.host(pid=None), "ram")
    assert os.path.samestat(os.fstat(found.file.fileno()), path.stat())
    assert found.offset == 8192
    # Another guest's file of the same name, as in another container.
    path.write_bytes(bytes(8192) + own.content["ram"][::-1].tobytes())
    with pytest.raises(PtliveError, match="is not found"):
        find_file(own.host(pid=None), "ram")
    path.write_bytes(b"too short")
    with pytest.raises(PtliveError, match="is not found"):
        find_file(own.host(pid=None), "ram")
    path.unlink()
    with pytest.raises(PtliveError, match=r"cannot be read .*No such file"):
        find_file(own.host(pid=None), "ram")
    own.close()


def test_what_is_private_is_in_no_file() -> None:
    own = OwnMemory(shared=False)
    for name in ("ram", "pc.bios"):
        with pytest.raises(PtliveError, match="the guest's RAM is not shared"):
            find_file(own.host(), name)
    own.close()


def test_a_file_that_only_says_that_it_is_the_ram_is_compared(own: OwnMemory) -> None:
    """The peer's process may be one that hands connections on, with mappings of its own."""

    class Other:
        def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
            return np.ones((len(addresses), length), np.uint8), np.ones(len(addresses), np.bool_)

    with pytest.raises(PtliveError, match="is not found"):
        find_file(own.host(memory=Other()), "ram")


def test_a_guest_that_runs_may_change_some_of_what_is_compared(own: OwnMemory) -> None:
    truth = own.truth()

    class Racing:
        def read(self, addresses: U64, length: int) -> tuple[U8, Bool]:
            data, valid = truth.read(addresses, length)
            data[0] ^= 1
            return data, valid

    with pytest.raises(PtliveError, match="is not found"):
        find_file(own.host(memory=Racing()), "ram")
    assert is_file(find_file(own.host(memory=Racing(), live=True), "ram"), own.files["ram"])


def test_a_process_that_is_gone(own: OwnMemory) -> None:
    with pytest.raises(PtliveError, match="is not found"):
        find_file(own.host(pid=2**22 + 1), "ram")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_process_of_another_user(own: OwnMemory) -> None:
    host = own.host(pid=os.getpid())

    def work() -> str:
        try:
            find_file(host, "ram")
        except PtliveError as error:
            return str(error)
        return "it was found"

    said = as_nobody(work)
    assert said == "the file of the guest's RAM is one that only QEMU's own user can find"


def test_the_map_of_these_tests_is_split() -> None:
    assert len({r.offset - r.first for r in MAP.regions if r.name == "ram"}) == 2
