"""The rules' own source changed mechanically, one place at a time.

Each comparison, operator, constant, mask bit, fold and branch of the files that say
what a page table means is changed; each changed copy is a package of its own.
"""

from __future__ import annotations

import ast
import importlib
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import ptlive.paging
from ptlive.verify.selftest.rules import OURS, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T", bound=ast.AST)

PAGING = Path(next(iter(ptlive.paging.__path__)))
FILES = ("format.py", "formats/x86_64.py", "rights.py", "access.py", "faults.py", "fields.py")
_FOR_PEOPLE = "shows people an entry"
#: Parts of these files that decide nothing about a translation or an access; of a class what
#: stands outside of its methods.
NO_RULES = {
    "names": "tells people what is granted",
    "denied_by": "tells people which level denies",
    "denied": "tells people which level denies",
    "pke": "what other architectures begin with; x86's is in Controls",
    "pkru": "what other architectures begin with; x86's is in Controls",
    **dict.fromkeys(("check_level", "classify", "refers_to", "fields", "bits"), _FOR_PEOPLE),
    **dict.fromkeys(("reserved_bits", "why_malformed", "page_bits", "size_name"), _FOR_PEOPLE),
    **dict.fromkeys(("pack_attributes", "unpack_attributes", "_packing"), _FOR_PEOPLE),
    "of": "tells people a field's value",
    "attributes": "names what is shown of a page",
    "_fields": "names bits for people; the key's, which decides, is a constant of its own",
    "common_fields": "names bits for people, and for formats that are not asked here",
    "pieces": "splits long accesses; those of a selftest have 8 bytes in one page",
    "needs_page1gb": "tells a quirk, not a rule",
    "key_matters": "PKRU is known in a selftest",
    "SHADOW_STACK": "means something with CET alone, which twins do not have",
    "PAT_LARGE": "names a bit for people: PAT decides about caching",
    "Field": "its defaults are for people's eyes",
    "Controls": "its defaults: a selftest gives every control bit",
}

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_ENUMS = {
    "Fold": ("AND", "OR", "LEAF"),
    "Kind": ("ABSENT", "TABLE", "LEAF", "MALFORMED"),
    "Fault": ("P", "WR", "US", "RSVD", "ID", "PK"),
    "Access": ("READ", "WRITE", "FETCH"),
}


@dataclass(frozen=True)
class Mutation:
    """One change: in which file and function, from what to what; and the changed source."""

    file: str
    where: str
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}, {self.where}: {self.before} -> {self.after}"


def mutations(file: str) -> Iterator[Mutation]:
    """Yield every mutation of a file, each name once."""
    text = (PAGING / file).read_text()
    seen: dict[str, int] = {}
    for number in range(sum(1 for _ in ast.walk(ast.parse(text)))):
        turn = 0
        while True:
            tree = ast.parse(text)
            places = list(_places(tree, "module", tree))
            if number >= len(places):
                return
            where, node, around = places[number]
            before = ast.unparse(around)
            if not _change(node, turn):
                break
            after = ast.unparse(around)
            turn += 1
            one = Mutation(file, where, before, after, ast.unparse(tree))
            seen[str(one)] = seen.get(str(one), 0) + 1
            again = f" ({seen[str(one)]})" if seen[str(one)] > 1 else ""
            yield Mutation(file, where, before, after + again, one.source)


def _places(node: ast.AST, where: str, around: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Yield what may be changed, with what to show of it: of a constant, what it stands in.

    Not annotations, docstrings, imports for types.
    """
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        where = node.name
        if where in NO_RULES:
            for child in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(child, ast.FunctionDef):
                    yield from _places(child, where, node)
            return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in NO_RULES:
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield where, node, around if isinstance(node, ast.Constant) else node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _places(child, where, node)


def _change(node: ast.AST, turn: int) -> bool:
    """Make the change number `turn` that there is for this node; False if there is none."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _SWAPS and not turn:
            node.ops = [_swapped(op, ast.cmpop)]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPS and not turn:
            node.op = _swapped(op, ast.operator)
        case ast.BoolOp(op=op) if not turn:
            node.op = _swapped(op, ast.boolop)
        case ast.UnaryOp(op=ast.Invert() | ast.Not()) if not turn:
            node.op = ast.UAdd()
        case ast.IfExp() if not turn:
            node.body, node.orelse = node.orelse, node.body
        case ast.Call(func=ast.Attribute(attr="where"), args=[_, _, _]) if not turn:
            node.args[1], node.args[2] = node.args[2], node.args[1]
        case ast.Constant(value=bool(value)) if not turn:
            node.value = not value
        case ast.Constant(value=int(value)) if not isinstance(value, bool) and (
            turn <= value.bit_count()
        ):
            set_bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
            node.value = value + 1 if not turn else value ^ 1 << set_bits[turn - 1]
        case ast.Attribute(value=ast.Name(id=enum), attr=member) if (
            member in _ENUMS.get(enum, ()) and turn < len(_ENUMS[enum]) - 1
        ):
            node.attr = [other for other in _ENUMS[enum] if other != member][turn]
        case _:
            return False
    return True


def _swapped(op: ast.AST, kind: type[T]) -> T:
    other = _SWAPS[type(op)]()
    assert isinstance(other, kind)
    return other


class Laboratory:
    """A folder for changed copies of the package, importable while it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def caught(self, mutation: Mutation, judge: Callable[[Rules], str | None]) -> str | None:
        """Return what a judge says of a changed copy, or that it cannot even be imported."""
        try:
            with self.rules(mutation) as rules:
                return judge(rules)
        except Exception as error:
            return f"breaks: {type(error).__name__}"

    @contextmanager
    def rules(self, mutation: Mutation) -> Iterator[Rules]:
        """Import a changed copy, and give its rules."""
        self._count += 1
        name = f"mutant{self._count}"
        copy = self._folder / name
        for path in PAGING.rglob("*.py"):
            target = copy / "paging" / path.relative_to(PAGING)
            target.parent.mkdir(parents=True, exist_ok=True)
            changed = str(path.relative_to(PAGING)) == mutation.file
            text = mutation.source if changed else path.read_text()
            target.write_text(text.replace("ptlive.paging", f"{name}.paging"))
        sys.path.insert(0, str(self._folder))
        importlib.invalidate_caches()
        try:
            parts = {
                module: importlib.import_module(f"{name}.paging.{module}")
                for module in ("formats.x86_64", "translate", "access")
            }
            yield Rules(
                make_format=parts["formats.x86_64"].make_levels,
                translate=parts["translate"].translate,
                # The judge's controls are ours: their own method would ask our rules.
                check=lambda translations, controls, kind: parts["access"].Controls.check(
                    controls, translations, kind
                ),
                marks=OURS.marks,
            )
        finally:
            sys.path.remove(str(self._folder))
            for module in [one for one in sys.modules if one.split(".")[0] == name]:
                del sys.modules[module]
            shutil.rmtree(copy)
