"""The faults of a mutation run: which there are, and that the accepted ones are still possible."""

from __future__ import annotations

import mutants
import pytest
from faults import accepted, entry_of, mutants_of
from floors import MODULES
from maxi_cov import TESTS


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("x = a < b <= c", ["x = a <= b <= c", "x = a < b < c"]),
        ("x = a is not b", ["x = a is b"]),
        ("x = a and b + 1", ["x = (a or b + 1)", "x = a and (b - 1)", "x = a and b + 2"]),
        ("x = not a", ["x = a"]),
        ("x = True", ["x = False"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if not a]"]),
        ("if a: pass", ["if not a: pass"]),
        ("if (a := b()): f(é)", ["if (not (a := b())): f(é)", "if (a := b()): pass"]),
        ("x += 1", ["pass", "x -= 1", "x += 2"]),
        ("x.a = b", ["pass"]),
        ("raise a", ["pass"]),
        ("def f(): return a", ["def f(): return None"]),
        ("def f(): await a", ["def f(): pass"]),
        ("async def f():\n async with a: b", ["if True: b"]),
        ("with a as b: c", []),
        ("match a:\n case b if c(): pass", ["case b if not c(): pass"]),
        ("f(\n  a,\n)", ["pass"]),
        # What makes no difference, or always one.
        ("def f(): return None", []),
        ("def f(): return False", ["def f(): return True"]),
        ("def f(a: A | B = x) -> A | B: ...", []),
        ("T = A | trio.abc.B[int]", []),
        ("@frozen(kw_only=True)\nclass A: ...", []),
        ("@overload\ndef f(a=True): ...", []),
        ("x = field(default=None, init=False)", []),
        ("assert a < b", []),
        ("if TYPE_CHECKING:\n  x = 1", []),
        ("x = f'{a + b}'", []),
        ('"""Words."""', []),
    ],
)
def test_every_fault_is_made_once(line: str, faults: list[str]) -> None:
    source = line if "await" not in line else f"async {line}"
    found = [mutant.after for mutant in mutants_of(source.encode())]
    assert [after.removeprefix("async ") for after in found] == faults


def test_the_rest_of_the_module_stays_as_it_is() -> None:
    source = b"if 1:\n    # why\n    f(a,\n      True)\n    b\n"
    *_, mutant = mutants_of(source)
    assert mutant.line == 4
    assert mutant.source == source.replace(b"True", b"False")


def test_a_fault_has_a_place() -> None:
    source = b"class A:\n  x = 1\n  async def f(self): self.x = 2\n"
    assert [mutant.place for mutant in mutants_of(source)] == ["A", "A.f", "A.f"]


def test_no_accepted_mutant_is_stale() -> None:
    """One whose line has changed needs another look."""
    entries = accepted()
    possible = {
        entry_of(module, mutant)
        for module in {place.partition(" ")[0] for place, _, _ in entries}
        for mutant in mutants_of(MODULES[module].read_bytes())
    }
    assert entries - possible == set()


def test_whatever_has_faults_has_tests() -> None:
    assert mutants.ALSO_TESTED_BY.keys() <= MODULES.keys()
    assert all(
        any(TESTS.glob(f"{files}.py"))
        for several in mutants.ALSO_TESTED_BY.values()
        for files in several.split()
    )
    assert [
        module
        for module, path in MODULES.items()
        if any(mutants_of(path.read_bytes())) and not mutants.tests_of(module)
    ] == []
