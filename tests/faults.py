"""Small faults for a module's source, and which of them no test can notice; see mutants.py.

Refuses to know how they are tried.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ACCEPTED = Path(__file__).with_name("accepted_mutants.txt")

OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


TYPES = re.compile(r"(\w+\.)*([A-Z](\w*[a-z]\w*)?|bool|int|float|str|bytes|None)(\[.*\])?")
"""What has a `|` beside it that makes a union of types: nothing that could be an `&`."""


@frozen
class Mutant:
    """A module with one fault."""

    line: int
    place: str
    """The class and the function that it is in, as `Class.method`; else empty."""
    before: str
    """What stood there, without indentation; a statement of several lines is one."""
    after: str
    source: bytes


def faults(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What could stand in a node by mistake: pairs of a part of it, or all, and what is there."""

    def but(**fields: object) -> tuple[ast.AST, ast.AST]:
        twin = copy.copy(node)
        for name, value in fields.items():
            setattr(twin, name, value)
        return node, twin

    match node:
        case ast.Compare(ops=operators):
            for at, operator in enumerate(operators):
                other = OPPOSITES[type(operator)]()
                yield but(ops=[*operators[:at], other, *operators[at + 1 :]])
        case ast.BinOp(op=ast.BitOr(), right=right) if TYPES.fullmatch(ast.unparse(right)):
            pass
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator) if type(operator) in OPPOSITES:
            yield but(op=OPPOSITES[type(operator)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, operand
        case ast.Constant(value=bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield node, ast.Constant(value + 1)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) not in ("None", "False"):
            yield but(value=ast.Constant(None))
        case ast.AugAssign(op=operator):
            yield node, ast.Pass()
            if type(operator) in OPPOSITES:
                yield but(op=OPPOSITES[type(operator)]())
        case (
            ast.Expr(value=ast.Call() | ast.Await())
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
            | (ast.Raise() | ast.Delete() | ast.Continue() | ast.Break())
        ):
            yield node, ast.Pass()
        case ast.With(items=[item]) | ast.AsyncWith(items=[item]) if item.optional_vars is None:
            # Without its lock, its limit or its shield.  The head is not a node.
            head = ast.Name("if True", lineno=node.lineno, col_offset=node.col_offset)
            head.end_lineno = item.context_expr.end_lineno
            head.end_col_offset = item.context_expr.end_col_offset
            yield head, head
    for test in conditions(node):
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
            yield test, ast.UnaryOp(ast.Not(), test)


def conditions(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            return [test]
        case ast.match_case(guard=ast.expr() as guard):
            return [guard]
        case ast.comprehension(ifs=ifs):
            return ifs
    return []


def evaluated(node: ast.AST, place: str = "") -> Iterator[tuple[str, ast.AST]]:
    """A node and all below it that runs and makes a difference, with the function it is in.

    Without annotations, decorators, what is for type checkers, assertions, which say what is never
    otherwise, and f-strings, whose parts have no position before Python 3.12.  Nor whether a class
    takes a field as an argument: where it should not, nobody gives one.
    """
    match node:
        case ast.keyword(arg="init"):
            return
        case ast.Assert() | ast.JoinedStr() | ast.If(test=ast.Name("TYPE_CHECKING")):
            return
        case ast.FunctionDef(decorator_list=[*_, ast.Name("overload")]):
            return
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            place = f"{place}.{name}".removeprefix(".")
    yield place, node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from evaluated(child, place)


def mutants_of(source: bytes) -> Iterator[Mutant]:
    lines = source.splitlines(keepends=True)
    for place, node in evaluated(ast.parse(source)):
        for old, new in faults(node):
            assert isinstance(old, ast.expr | ast.stmt)
            assert old.end_lineno is not None
            assert old.end_col_offset is not None
            text = ast.unparse(new)
            if isinstance(new, ast.BinOp | ast.BoolOp):
                text = f"({text})"
            first, last = old.lineno - 1, old.end_lineno
            start = lines[first][: old.col_offset]
            end = lines[last - 1][old.end_col_offset :]
            changed = start + text.encode() + end
            before, after = (
                " ".join(part.decode().split()) for part in (b"".join(lines[first:last]), changed)
            )
            mutated = b"".join([*lines[:first], changed, *lines[last:]])
            yield Mutant(old.lineno, place, before, after, mutated)


def accepted() -> set[tuple[str, str, str]]:
    """Place, line and changed line of the mutants that no test can notice, as in the file."""
    found = set()
    for entry in ACCEPTED.read_text(encoding="utf-8").split("\n\n"):
        if not entry.startswith("#"):
            place, before, after, _reason = entry.strip().split("\n", 3)
            found.add((place, before.removeprefix("- "), after.removeprefix("+ ")))
    return found


def entry_of(module: str, mutant: Mutant) -> tuple[str, str, str]:
    """What the file says of a mutant if it is accepted."""
    return f"{module} {mutant.place}".rstrip(), mutant.before, mutant.after
