"""Whether the tests would notice: a sample of small faults, each tried on its module's own tests.

Run by `nox -s mutants`; `nox -s mutants -- _runtime.hub _state --sample 40 --seed 2` narrows it to
modules or folders, takes more of each, and others.  A mutant is a module with one fault of
faults.py: `<` for `<=`, `and` for `or`, `+` for `-`, another number, a condition that is turned
round, `return None`, a statement or a `with` left out.  It is killed if a test of
`tests_of` it fails.  The pure rooms have to kill 95 % of their mutants, the others 85 %.  Those
that no test can tell from the original are in accepted_mutants.txt, each with the reason, and are
not tried.

Why it is our own: cosmic-ray 8.7 has neither left-out statements nor other results, and writes its
faults into the checkout; of its 481 mutants of hub.py 220 are of `A | B`, nearly all in annotations
that nobody evaluates.  mutmut 3.8 leaves out what is decorated, a fifth of our functions.

Theory of operation.  A copy of the checkout is what is changed.  The tests run in a process that is
forked from one which has imported what everything imports but the package, since most of the time
of a test run would go there.  Hypothesis draws the same examples every time and does not shrink.
Each of these processes reads this file again, so leave it as it is while it runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from faults import Mutant, accepted, entry_of, mutants_of
from maxi_cov import ROOT, TESTS, own_tests

from floors import MODULES, room_of  # isort: skip - maxi_cov says where it is
from test_layers import is_pure, matches  # isort: skip

DEMANDED = {True: 95, False: 85}
"""Per cent of the mutants that the tests of a room have to kill, by whether it is pure."""
ALSO_TESTED_BY = {
    "": "test_elsewhere",
    "__main__": "cli/*",
    "_pytest_plugin": "test_testing",
    "_protocol.rewriting": "test_recording",
    "_protocol.wire_record": "test_recording test_recording_wire",
    "_session.farewell": "session/*_limited",
    "_session.ids": "session/test_session events/*_shorthand",
    "_session.parts": "session/*_input_audio session/*_limited",
    "_session.running": "session/*_session_opening session/*_session_end test_misuse_opening",
    "_session.spending": "session/*_limited",
    "_serving.requests": "simulator/*_admission",
    "_serving.websocket_server": "simulator/*_serve simulator/*_serve_*",
    "_serving.wiretap": "simulator/*_serve simulator/*_serve_*",
    "relay.actions": "relay/*_policy",
    "relay.audit": "relay/*_core",
    "relay.core": "relay/*_tools",
    "relay.recorded": "relay/*_serve",
    "relay.service": "relay/*_serve",
    "relay.sessions": "relay/*_serve relay/*_asgi",
    "audio.wav_format": "audio/*_wav",
    "cli.files": "cli/*_say",
    "cli.listening": "cli/*_serve cli/*_relay",
    "cli.make_report": "cli/*_console",
    "cli.onlooking": "cli/*_serve*",
    "cli.serving": "cli/*_serve*",
    "cli.thinking": "cli/*_typing_lines",
    "cli.wire_printing": "cli/*_chat",
    "console.line": "console/*_live",
    "console.script_material": "console/*_shown console/*_recorded",
    "console.sources": "console/*_recorded console/*_live",
    "_session.lasting.continuity": "session/*_lasting_upkeep session/*_lasting_machine",
    "_session.lasting.session": "session/*_lasting_upkeep",
    "_session.lasting.successor": "session/*_lasting_upkeep",
    "devices.simulated": "devices/*_microphone devices/*_speaker",
    "simulator": "test_loading",
    "simulator.chat.request": "simulator/*_chat_completions*",
    "simulator.chat.stream": "simulator/*_chat_completions*",
    "simulator.offline.argument_words": "simulator/*_offline_tool_words",
    "simulator.offline.small_talk": "simulator/*_offline_agent",
    "simulator.roles": "simulator/*_attended*",
    "simulator.script.fault": "simulator/*_misuse simulator/*_faults",
    "simulator.script.reply": "simulator/*_misuse",
    "simulator.script.script": "simulator/*_misuse",
    "simulator.service.conversation": "simulator/*_visible_items",
    "simulator.service.input_audio": "simulator/*_vad*",
    "simulator.service.item_requests": (
        "simulator/*_conversation simulator/*_input_audio simulator/*_transcription"
    ),
    "simulator.service.lifecycle": "simulator/*_server*",
    "simulator.service.response": "simulator/*_mcp*",
    "simulator.service.response_output": "simulator/*_response* simulator/*_attended*",
    "simulator.service.response_progress": "simulator/*_response* simulator/*_attended*",
    "simulator.service.running_responses": (
        "simulator/*_response* simulator/*_vad* simulator/*_configuration simulator/*_attended*"
    ),
    "simulator.service.server": (
        "simulator/*_input_audio simulator/*_conversation simulator/*_vad* simulator/*_attended*"
    ),
    "simulator.service.transcription": "simulator/*_attended*",
    "simulator.service.turn_detection": "simulator/*_vad*",
    "simulator.service.understanding": "simulator/*_attended*",
    "simulator.serving.onlooker": "cli/*_serve*",
    "simulator.serving.reception": "simulator/*_serve simulator/*_serve_* serving/*_visitors",
    "simulator.serving.again": "session/*_lasting_upkeep",
    "simulator.serving.rest": "serving/*_visitors",
}
"""Tests that have another name than the module that they are of."""
SHARED = "trio hypothesis.strategies hypothesis.stateful numpy cattrs orjson h11 jsonschema trustme"
MEMORY = 4 << 30
"""Bytes of addresses that the tests may use: a loop that has lost its end often fills a list."""


def run_tests(tree: Path, tests: list[str], keep_bytecode: bool) -> None:
    """In a process of its own: leave with pytest's exit code."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(tree)
    os.environ |= {"HYPOTHESIS_PROFILE": "mutants", "PYTHONPATH": str(tree)}
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    # What this process has of our own modules is not from the copy.
    for name in ("faults", "floors", "maxi_cov", "test_layers"):
        sys.modules.pop(name, None)
    sys.path.insert(0, str(tree))
    # The time in a .pyc is in seconds: a mutant of the same size might be taken for the next one.
    sys.dont_write_bytecode = not keep_bytecode
    # What is shared cannot be rewritten any more, has no assertions of interest, and would be
    # warned about: by the pytest that a test runs, too.
    for name, module in sys.modules.items():
        if "hypothesis" in name:
            module.__doc__ = "PYTEST_DONT_REWRITE"
    sys.exit(pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]))


class Workshop:
    """A copy of the checkout, in which the tests of one mutant after the other run."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(SHARED.split())
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def survivors(self, module: str, mutants: list[Mutant]) -> Iterator[Mutant]:
        """Those that the module's own tests do not notice, as they are found.

        Raises:
            ValueError: The tests fail without a fault.
        """
        path = self._tree / MODULES[module].relative_to(ROOT)
        tests = [str(file.relative_to(ROOT)) for file in tests_of(module)]
        original = path.read_bytes()
        began = time.monotonic()
        if not self._pass(tests, 600, keep_bytecode=True):
            raise ValueError(f"the tests of {module} fail without a fault")
        seconds = 8 + 2 * (time.monotonic() - began)
        for mutant in mutants:
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
            path.write_bytes(mutant.source)
            if self._pass(tests, seconds):
                yield mutant
        path.write_bytes(original)

    def _pass(self, tests: list[str], seconds: float, *, keep_bytecode: bool = False) -> bool:
        """Whether the tests find nothing; not to end in time is to find something."""
        process = self._processes.Process(target=run_tests, args=(self._tree, tests, keep_bytecode))
        process.start()
        process.join(seconds)
        if process.is_alive():
            assert process.pid is not None
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
        return process.exitcode == 0


def tests_of(module: str) -> list[Path]:
    others = [TESTS.glob(f"{files}.py") for files in ALSO_TESTED_BY.get(module, "").split()]
    return list(dict.fromkeys([*own_tests(module), *sorted(chain(*others))]))


def sample(module: str, size: int, seed: str) -> list[Mutant]:
    equivalent = accepted()
    mutants = [
        mutant
        for mutant in mutants_of(MODULES[module].read_bytes())
        if entry_of(module, mutant) not in equivalent
    ]
    return random.Random(f"{seed} {module}").sample(mutants, min(size, len(mutants)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Try whether the tests notice faults.")
    parser.add_argument("modules", nargs="*", help="modules or folders, as _runtime.hub; else all")
    parser.add_argument("--sample", type=int, default=5, help="mutants of each module (5)")
    parser.add_argument("--seed", default="1", help="which ones are drawn (1)")
    options = parser.parse_args()
    complaints = [
        f"there is no module or folder {name}"
        for name in options.modules
        if not any(matches(module, f"{name}.*") for module in MODULES)
    ]
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder, "checkout"))
        for module, path in MODULES.items():
            if options.modules and not any(matches(module, f"{m}.*") for m in options.modules):
                continue
            mutants = sample(module, options.sample, options.seed)
            if not mutants:
                continue
            if not tests_of(module):
                complaints.append(f"there are no tests of {module}")
                continue
            room = room_of(module)
            tried[room] += len(mutants)
            print(f"{module}: {len(mutants)} mutants", flush=True)
            try:
                for mutant in workshop.survivors(module, mutants):
                    survived[room] += 1
                    print(f"  {path.relative_to(ROOT)}:{mutant.line} {mutant.place}")
                    print(f"  - {mutant.before}\n  + {mutant.after}", flush=True)
            except ValueError as error:
                tried[room] -= len(mutants)
                complaints.append(str(error))
    demanded = {room_of(module): DEMANDED[is_pure(module)] for module in MODULES}
    for room, count in sorted((+tried).items()):
        killed = count - survived[room]
        print(f"{room}: {killed} of {count} killed, {100 * killed / count:.0f} %")
        if 100 * killed < demanded[room] * count:
            complaints.append(f"{room} does not kill the {demanded[room]} % that it should")
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
