"""What is ordered of the mapper, and the program itself.

It is a static one that runs here too, where it must change no setting of the system: the
tests name only kinds that map memory and nothing else.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ptlive.errors import PtliveError
from ptlive.guests import mapper
from ptlive.guests.mapper import KINDS, parse_order
from ptlive.guests.said.mapper import Witness, read_witness

# What needs nothing of the computer that the tests run on, and changes nothing there.
HARMLESS = "shared=2,scattered=40,zero,none,ro,wx"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    mapper.provide(print)
    command = [str(mapper.ELF), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def ran(*words: str) -> Witness:
    done = run(*words, "park=exit")
    assert (done.returncode, done.stderr) == (0, "")
    return read_witness(done.stdout)


def test_an_order_is_one_word_in_the_order_of_making() -> None:
    order = parse_order("thp=2,stride=16, keys,shared=5 park=sleep")
    assert order.text == "shared=5,thp=2,keys=4,stride=16,park=sleep"
    assert parse_order("wx").text == "wx=4,park=spin"


def test_all_is_everything_but_pages_of_1g() -> None:
    order = parse_order("thp=9,all")
    assert set(order.counts) == set(KINDS) - {"huge1g"}
    assert order.counts["thp"] == 9
    assert parse_order("all,thp=9").counts == order.counts
    assert set(parse_order("all,huge1g").counts) == set(KINDS)


def test_an_order_tells_what_the_machine_must_have() -> None:
    usual, giant = parse_order("thp"), parse_order("huge1g=2,swap")
    assert (usual.memory, usual.parameters, usual.swap) == (512 << 20, "", 0)
    assert giant.memory == (3 << 30) + (512 << 20)
    assert giant.parameters == "hugepagesz=1G hugepages=2"
    assert giant.swap == 64 << 20
    # 32768 frames, and 64 pages in each table.
    million = parse_order("scattered=1000000")
    assert million.memory >= (32768 + 1_000_000 // 64) * 4096 + (128 << 20)
    assert million.memory <= 768 << 20
    assert parse_order("scattered=1000000,stride=512").memory > 4 << 30
    assert parse_order("folded=4096").memory == 512 << 20
    assert parse_order("thp=170,folded").memory > parse_order("thp=170").memory
    assert parse_order("huge2m=500,thp=500").memory > 2000 << 20


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bogus", "'bogus' is nothing that the Linux guest maps: there are all, shared, "),
        ("thp,park=exit", "'park=exit' is nothing"),
        ("thp=0", "'thp=0' takes a number from 1 to 4096"),
        ("thp=-1", "'thp=-1' takes a number"),
        ("thp=²", "takes a number"),
        ("thp=", "takes a number"),
        ("thp=" + "9" * 5000, "takes a number"),
        ("keys=16", "'keys=16' takes a number from 1 to 15"),
        ("stride=0,thp", "'stride=0' takes a number from 1 to 262144"),
        ("thp;reboot", "is nothing that"),
        ("", "nothing to map is named"),
        ("park=sleep", "nothing to map is named"),
    ],
)
def test_what_cannot_be_ordered_is_told(text: str, sentence: str) -> None:
    with pytest.raises(PtliveError, match=re.escape(sentence)):
        parse_order(text)


def test_both_know_the_same_kinds() -> None:
    listed = re.findall(r"^  (\w+) +.*\((\d+)\)$", run("--help").stdout, re.MULTILINE)
    settings = {"stride": 8, "frames": 32768}
    usual = {kind: most[0] for kind, most in KINDS.items()}
    assert {name: int(number) for name, number in listed} == usual | settings


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_most_of_each_kind_is_the_same(kind: str) -> None:
    most = KINDS[kind][1]
    # The bad word is behind, so that nothing is mapped whatever the program thinks of this one.
    assert run(f"{kind}={most},bogus").stdout.startswith("mapper: 'bogus' means nothing")
    too_many = run(f"{kind}={most + 1},bogus")
    assert (too_many.returncode, too_many.stdout.split("'")[1]) == (2, f"{kind}={most + 1}")


@pytest.mark.parametrize("word", ["thp=x", "thp=", "thpp", "park=fly", "stride=0", "frames=1"])
def test_words_that_it_does_not_know_are_refused(word: str) -> None:
    done = run(word)
    assert (done.returncode, done.stdout.split("'")[1]) == (2, word)


def test_it_tells_all_that_it_mapped() -> None:
    witness = ran(HARMLESS)
    assert (witness.lost, witness.without, witness.park) == (0, [], "exit")
    areas = {(area.kind, area.pid == witness.pid): area.pages for area in witness.sums}
    assert areas == {
        ("shared", True): 4,
        ("shared", False): 4,
        ("scattered", True): 40,
        ("zero", True): 4,
        ("none", True): 4,
        ("ro", True): 4,
        ("rx", True): 4,
        ("wx", True): 4,
    }
    prots = {(page.kind, page.prot, page.touched, page.present) for page in witness.pages}
    assert prots == {
        ("shared", "rw-", "w", True),
        ("scattered", "rw-", "w", True),
        ("zero", "rw-", "r", True),
        ("none", "---", "w", True),
        ("none", "---", "-", False),
        ("ro", "r--", "w", True),
        ("ro", "r--", "r", True),
        ("rx", "r-x", "w", True),
        ("wx", "rwx", "w", True),
    }


def test_scattered_pages_lie_as_far_apart_as_asked() -> None:
    witness = ran("scattered=10000,stride=3,frames=4096")
    assert [area.pages for area in witness.sums] == [4096, 4096, 1808]
    assert {area.step for area in witness.sums} == {3 * 4096}
    assert all(area.present == area.pages for area in witness.sums)
    first, again, _ = witness.sums
    assert first.weighted == again.weighted  # the same frames
    assert [page.prot for page in witness.pages][::16] == ["rw-", "r--", "rw-"]


def test_what_is_not_there_is_said_in_a_line() -> None:
    witness = ran("high=1,swap=1")
    had = {area.kind for area in witness.sums}
    lacked = {sentence.split(":")[0] for sentence in witness.without}
    assert had | lacked == {"high", "swap"}
    assert not had & lacked


def test_outside_of_a_guest_no_setting_is_changed() -> None:
    setting = Path("/proc/sys/vm/compaction_proactiveness")  # each run sets it, in a guest
    before = setting.read_text()
    ran("zero")
    assert setting.read_text() == before
