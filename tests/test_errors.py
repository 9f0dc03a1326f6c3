"""What users catch: the tree of exceptions, what they carry and how they read."""

from __future__ import annotations

import inspect
import pickle

import pytest

from realtime_trio import errors
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    InternalError,
    LocalProtocolError,
    ProtocolError,
    RealtimeError,
    RemoteProtocolError,
    ServerError,
    SessionClosed,
    SlowConsumer,
    ToolDefinitionError,
)

HOSTILE = "\x1b[2J\nERROR forged\u202e" + "x" * 1_500_000


def test_everything_the_library_raises_can_be_caught_as_one() -> None:
    assert [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if not issubclass(cls, RealtimeError)
    ] == []
    assert issubclass(RealtimeError, Exception)


@pytest.mark.parametrize("error", [LocalProtocolError, RemoteProtocolError])
def test_both_sides_of_a_protocol_error_can_be_caught_as_one(error: type[Exception]) -> None:
    assert issubclass(error, ProtocolError)


@pytest.mark.parametrize(
    "error",
    [SessionClosed, ToolDefinitionError, InternalError, LocalProtocolError, RemoteProtocolError],
)
def test_the_plain_ones_say_what_they_are_told(error: type[Exception]) -> None:
    assert str(error("what happened")) == "what happened"


def test_the_docstring_shows_the_whole_tree() -> None:
    assert errors.__doc__ is not None
    names = [name for name, _ in inspect.getmembers(errors, inspect.isclass)]
    assert [name for name in names if f" {name}" not in errors.__doc__] == []


def test_a_failed_connection_carries_what_the_server_answered() -> None:
    error = ConnectionFailed("refused", status=401, code="invalid_api_key", body=b"{}")
    assert (str(error), error.status, error.code, error.body) == (
        "refused",
        401,
        "invalid_api_key",
        b"{}",
    )


def test_a_failed_connection_can_be_told_by_keyword() -> None:
    assert str(ConnectionFailed(message="refused", status=401)) == "refused"


def test_a_failed_connection_without_an_answer_carries_nothing() -> None:
    error = ConnectionFailed("refused")
    assert (error.status, error.code, error.body) == (None, None, b"")


@pytest.mark.parametrize(
    ("reason", "text"),
    [("going away", "connection lost: 1001 going away"), ("", "connection lost: 1001")],
)
def test_a_lost_connection_says_code_and_reason(reason: str, text: str) -> None:
    error = ConnectionLost(1001, reason)
    assert (str(error), error.code, error.reason) == (text, 1001, reason)


def test_a_server_error_carries_what_the_service_said() -> None:
    error = ServerError(
        "no such voice",
        type="invalid_request_error",
        code="invalid_value",
        param="session.voice",
        event_id="evt_1",
    )
    assert (error.type, error.code, error.param, error.message, error.event_id) == (
        "invalid_request_error",
        "invalid_value",
        "session.voice",
        "no such voice",
        "evt_1",
    )
    assert str(error) == "invalid_value: no such voice (param session.voice)"


def test_a_server_error_without_a_code_is_called_by_its_type() -> None:
    assert str(ServerError("try again", type="server_error")) == "server_error: try again"


@pytest.mark.parametrize(
    "error",
    [
        ServerError(HOSTILE),
        ServerError("no", type=HOSTILE),
        ServerError("no", code=HOSTILE, param=HOSTILE),
        ConnectionLost(4000, HOSTILE),
    ],
)
def test_what_a_peer_says_is_legible_in_the_text_and_untouched_beside_it(
    error: RealtimeError,
) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1200
    assert HOSTILE in vars(error).values()


def test_a_slow_consumer_is_told_how_much_it_missed_and_what_to_do() -> None:
    error = SlowConsumer(7)
    assert error.dropped == 7
    assert "missed 7 event(s)" in str(error)
    assert "read faster or raise its capacity" in str(error)


@pytest.mark.parametrize("error", [SessionClosed("gone"), LocalProtocolError("no")])
def test_an_error_that_only_speaks_survives_pickling(error: RealtimeError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
