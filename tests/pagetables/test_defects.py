"""Planted defects: the judge finds each, and shows it in few commands."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.pagetables import machine as m
from tests.pagetables.live import FRAMES, LiveJudge, booted, harmless
from tests.pagetables.machine import SOURCE, Command, make
from tests.pagetables.operations import HUGE, operations
from tests.pagetables.trial import NEW, OLD, judge, shrunk, trial

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pagetables.conftest import Programs


class Defect(NamedTuple):
    """A line of a file, and what is there in place of it."""

    file: str
    right: str
    wrong: str


DEFECTS = (
    Defect("old/unmap.c", "		tlb_remove_tlb_entry(tlb, addr);\n	} while", "	} while"),
    Defect("old/unmap.c", "if (next - addr == PMD_SIZE)", "if (next - addr >= PAGE_SIZE)"),
    Defect("old/unmap.c", "		free_pte_table(tlb, pmd, addr);\n", ""),
    Defect("old/split.c", "pgprot_large_2_4k(pmd_val(*pmd))", "pmd_val(*pmd) & ~_PAGE_PSE"),
    Defect("old/copy.c", "set_pud(dst_pud, pud_mkold(pud))", "set_pud(dst_pud, pud)"),
    Defect("old/protect.c", "		return PMD_SIZE / PAGE_SIZE", "		return 1"),
    Defect("old/pgtable.h", "boundary_ - 1 < (end) - 1", "boundary_ < (end)"),
    Defect("new/pt_walk.c", "	tlb_flush_now(walk->tlb, pos.addr);\n", ""),
    Defect("new/pt_walk.c", "pa + i * pt_size(below.lvl), prot", "pa + i * PAGE_SIZE, prot"),
    Defect(
        "new/copy.c", "	entry &= ~_PAGE_RW;\n	*to = entry", "	*to = (entry & ~_PAGE_RW)"
    ),
    Defect("new/remap.c", "		pt_unmap(&tlb, addr, end);", "		(void)0;"),
    Defect("new/protect.c", "~_PAGE_PROT_MASK", "~(_PAGE_PROT_MASK | _PAGE_DIRTY)"),
    Defect("mm/mmu_gather.c", "	if (!tlb->pages)\n", "	if (false)\n"),
    Defect("mm/mmu_gather.c", "	tlb->tables = __pa(table);\n", "	table_free(table);\n"),
)


# A copy of nothing leaves tables with nothing in them, and these are all that is unmapped then.
EMPTY_TABLES = [
    Command(m.REMAP, 0, 0x1000, pa=0x5000, prot=1),
    Command(m.COPY, 0x2000, 0x4000),
    Command(m.SWITCH, space=1),
    Command(m.UNMAP, 0x2000, 0x4000, space=1),
]


def planted(folder: Path, defect: Defect) -> Path:
    """Return a copy of the sources with a defect."""
    sources = folder / "guest" / "pagetables"
    shutil.copytree(SOURCE, sources, ignore=shutil.ignore_patterns("build"))
    (folder / "guest" / "menu").symlink_to(SOURCE.parent / "menu")
    file = sources / defect.file
    text = file.read_text()
    assert text.count(defect.right.lstrip()) >= 1, "the line is another by now"
    file.write_text(text.replace(defect.right.lstrip(), defect.wrong.lstrip()))
    return sources


def found(folder: Path, defect: Defect) -> list[Command]:
    """Return the shortest commands that show a defect. Raises AssertionError if none do."""
    names = [str(folder / "5" / name) for name in (OLD, NEW)]
    out = make(folder, 5, *names, source=planted(folder, defect))
    programs = [out / OLD, out / NEW]
    for commands in (EMPTY_TABLES, *(list(operations(seed, 5, 150)) for seed in range(10))):
        done, wrong = judge(programs, commands, walk_every=10)
        if wrong:
            return shrunk(programs, commands[:done])
    raise AssertionError("not found")


def test_tables_that_were_empty_already(programs: Programs) -> None:
    trial(programs(5), EMPTY_TABLES)


@pytest.mark.parametrize("defect", DEFECTS[:2], ids=lambda defect: defect.file)
def test_a_defect_is_found_and_shown_in_few_commands(tmp_path: Path, defect: Defect) -> None:
    assert len(found(tmp_path, defect)) <= 4


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", DEFECTS[2:], ids=lambda defect: defect.file)
def test_more_defects(tmp_path: Path, defect: Defect) -> None:
    assert len(found(tmp_path, defect)) <= 5


@pytest.mark.qemu
@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_is_not_flushed_is_noticed_by_an_access(tmp_path: Path) -> None:
    """A flush that is only claimed: the list of events is as it should be, the TLB is not."""
    defect = Defect("bare/main.c", "	invlpg(addr);\n", "")
    out = make(tmp_path, 4, str(tmp_path / "4" / "guest-old.elf"), source=planted(tmp_path, defect))
    with booted(out / "guest-old.elf", 4) as (machine, _):
        live = LiveJudge([machine], seed=1, walk_every=50)
        commands = filter(harmless, operations(1, 4, 200, [HUGE], FRAMES))
        with pytest.raises(AssertionError, match="after it an access"):
            live.run(commands)
