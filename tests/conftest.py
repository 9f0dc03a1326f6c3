"""What every test shares: hypothesis profiles, `--log-wire`, oversight of simulated servers."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
import trio
from hypothesis import Phase, settings
from oversight import overseen
from peers import sockets, tasks

# No deadlines: a shared machine is slow at times, which is not a bug.  On CI the examples are the
# same in every run, so that its verdict is about the change and not about luck; everywhere else
# they differ, and a failure prints how to have it again.
settings.register_profile(
    "default", deadline=None, max_examples=60, derandomize="CI" in os.environ, print_blob=True
)
settings.register_profile("thorough", deadline=None, max_examples=2000, print_blob=True)
# For tests/mutants.py: the same examples for every fault, and the first that fails is enough.
settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--log-wire",
        action="store_true",
        help="log every event: in the report of a failing test, or at once with `-o log_cli=true`",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts the tests in the background makes them ignore Ctrl-C; some of them are
    # about nothing else.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--log-wire"):
        logging.getLogger("realtime_trio").setLevel(logging.DEBUG)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    # Between the processes of pytest-xdist goes UTF-8, and some of the tests log half a surrogate.
    return _in_utf8((yield))


def _in_utf8(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: _in_utf8(entry) for key, entry in value.items()}
        case list():
            return [_in_utf8(entry) for entry in value]
        case tuple():
            return tuple(_in_utf8(entry) for entry in value)
        case _:
            return value


@pytest.fixture
def no_service_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key, nor the address of a service, nor a proxy, as far as the environment goes."""
    proxies = ("all_proxy", "http_proxy", "https_proxy")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", *proxies, *map(str.upper, proxies)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_socket_is_left() -> Iterator[None]:
    """The test closes every socket that it opens."""
    before = sockets()
    yield
    assert sockets() <= before


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """The test leaves no task behind."""
    await trio.lowlevel.checkpoint()
    before = tasks()
    yield
    assert tasks() <= before


@pytest.fixture(autouse=True)
def _simulated_servers_keep_the_protocol() -> Iterator[None]:
    with overseen():
        yield
