"""JavaScript modules as one script; run by node where it is present."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from realtime_trio import LocalProtocolError
from realtime_trio.console.linking import link
from realtime_trio.console.page_files import page_files

MODULES = {
    "main.js": (
        'import { one, two as second, Counter } from "./numbers.js";\n'
        "import * as text from './deep/text.js';\n"
        'import "./effects.js";\n'
        'import {\n  once,\n} from "./deep/once.js";\n'
        "const counter = new Counter();\n"
        "counter.add(one); counter.add(second());\n"
        "console.log(text.shout(`${counter.total} ${once}`), globalThis.effect);\n"
    ),
    "numbers.js": (
        "/** @module */\n"
        "export const one = 1;\n"
        "export function two() { return one + 1; }\n"
        "export class Counter { total = 0; add(n) { this.total += n; } }\n"
    ),
    "deep/text.js": (
        'import { once } from "./once.js";\n'
        'import { one } from "../numbers.js";\n'
        "const hidden = '!'.repeat(one + once - once);\n"
        "export async function later() {}\n"
        "export function* all() {}\n"
        "export function shout(text) { return text + hidden; }\n"
    ),
    "deep/once.js": "globalThis.times = (globalThis.times ?? 0) + 1;\nexport const once = times;\n",
    "effects.js": "globalThis.effect = 'happened';\n",
    "unused.js": "throw new Error('nobody imports this');\n",
}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
def test_the_script_does_what_the_modules_do(tmp_path: Path) -> None:
    script = tmp_path / "linked.mjs"
    script.write_text(link(MODULES, "main.js"))
    done = subprocess.run(["node", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "3 1! happened\n"


def test_modules_stand_behind_what_they_import() -> None:
    script = link(MODULES, "main.js")
    places = [script.index(f"// {name}\n") for name in ("numbers.js", "deep/text.js", "main.js")]
    assert places == sorted(places)
    assert "unused.js" not in script
    assert "import " not in script
    assert "export " not in script


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('import x from "./a.js";', "import x from"),
        ("export default 5;", "'export default 5;'"),
        ("export { x };", "'export { x };'"),
        ("export let x = 1;", "'export let x = 1;'"),
        ('export * from "./a.js";', "cannot be linked"),
        ('import { x } from "lit";', "relative paths"),
        ('import { x } from "./none.js";', "there is no module none.js"),
        ('import { x } from "./main.js";', "import each other: main.js -> main.js"),
        ('import { x } from "../out.js";', "there is no module ../out.js"),
    ],
)
def test_what_cannot_be_linked_is_named(source: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem.replace("*", r"\*")):
        link({"main.js": source, "a.js": ""}, "main.js")


def test_a_circle_is_shown() -> None:
    modules = {"a.js": 'import { b } from "./b.js";', "b.js": 'import { a } from "./a.js";'}
    with pytest.raises(
        LocalProtocolError, match=r"a\.js -> b\.js -> a\.js|b\.js -> a\.js -> b\.js"
    ):
        link(modules, "a.js")


def test_words_in_the_middle_of_a_line_are_nobodys_business() -> None:
    source = 'const text = "export default";\nconst a = () => import("./later.js");\n'
    assert source in link({"main.js": source}, "main.js")


def test_the_page_can_be_linked() -> None:
    sources = {path: file.text for path, file in page_files().items() if path.endswith(".js")}
    assert link(sources, "main.js").startswith('"use strict";')
