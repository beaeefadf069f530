"""Files that are whole, or not there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ptlive.errors import PtliveError
from ptlive.files import check_free, whole, write_whole, writing


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with whole(path, force=False) as draft:
        draft.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_failed_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "one"
    path.write_text("old")

    def write() -> None:
        with whole(path) as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_replaced_unless_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "one"

    def write() -> None:
        with whole(path, force=False) as draft:
            draft.write_text("mine")
            path.write_text("theirs")  # meanwhile

    with pytest.raises(PtliveError, match="is there already: --force replaces it"):
        write()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]
    check_free(path, force=True)


def test_only_files_are_replaced(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match="is no file, and is not replaced"):
        check_free(Path("/dev/null"), force=True)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(PtliveError, match="is no file"):
        check_free(tmp_path / "link", force=True)


def test_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with whole(path, private=True) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_the_system_says_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PtliveError, match=r"cannot write .*none/one: No such file or directory"):
        write_whole(tmp_path / "none" / "one", b"")
    with pytest.raises(PtliveError, match=r"cannot write x: No space left"), writing(Path("x")):
        raise OSError(28, "No space left on device")
