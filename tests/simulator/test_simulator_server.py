"""The simulated server as a whole: its life, its clock, its ids, and what it cannot read."""

from __future__ import annotations

import math

import pytest
from effort import lines_run
from service_client import Client, only, types
from simulated import SLOW

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorEvent,
    InputAudioBufferClear,
    OutputAudioBufferClear,
    RateLimitsUpdated,
    ResponseCreate,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.simulator import (
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    sequential_ids,
)

# --- its life -------------------------------------------------------------------------------------


def test_the_session_expires_with_an_error_and_a_close() -> None:
    client = Client(
        Reply.text("too late", pacing=Pacing(time_to_first_event=100)), expires_after=60.0
    )
    client.send(ResponseCreate())
    due = client.server.next_due
    before = client.server.close
    (error,) = client.take(now=60)
    assert due == 60
    assert isinstance(error, ErrorEvent)
    assert error.error.code == "session_expired"
    assert error.error.message == "Your session hit the maximum duration of 1 minutes."
    assert (before, client.server.close) == (None, Close(1001, "session_expired"))
    assert client.send(ResponseCreate(), now=200) == []
    assert (client.server.next_due, client.take(now=300)) == (None, [])


def test_a_session_need_not_expire() -> None:
    client = Client(expires_after=math.inf)
    assert client.created.session.expires_at is None
    assert client.server.next_due is None


def test_a_server_says_what_it_is_for() -> None:
    server = SimulatedServer(Script(), model="gpt-realtime-mini", kind=SessionKind.REALTIME)
    assert (server.model, server.kind) == ("gpt-realtime-mini", SessionKind.REALTIME)
    server = SimulatedServer(Script(), kind=SessionKind.TRANSCRIPTION)
    assert server.kind is SessionKind.TRANSCRIPTION


def test_misuse_by_the_program_around_it_is_reported_to_that_program() -> None:
    server = SimulatedServer(Script())
    with pytest.raises(LocalProtocolError, match="only after `connect`"):
        server.receive(ResponseCreate(), 0)
    server.connect(0)
    with pytest.raises(LocalProtocolError, match="server of its own"):
        server.connect(1)
    with pytest.raises(LocalProtocolError, match="not RateLimitsUpdated"):
        server.receive(RateLimitsUpdated(event_id="x", rate_limits=()), 0)


def test_who_can_be_asked_may_be_said_until_the_server_is_connected() -> None:
    server = SimulatedServer(Script(), has_agent=True)
    assert (server.has_agent, server.has_ears) == (True, False)
    server.has_agent, server.has_ears = False, True
    assert (server.has_agent, server.has_ears) == (False, True)


def test_what_waits_to_be_taken_is_due() -> None:
    server = SimulatedServer(Script())
    due = [server.next_due]
    server.connect(5.0)
    due.append(server.next_due)
    server.take_due(5.0)
    assert [*due, server.next_due] == [None, 5.0, 3605.0]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    client = Client(Reply.text("a b", pacing=SLOW), text=True)
    client.send(ResponseCreate(), now=10)
    assert client.take(now=5) == []
    assert "response.output_text.delta" in types(client.take(now=11.0))


# --- ids ------------------------------------------------------------------------------------------


def test_ids_look_like_those_of_the_service_and_are_the_same_in_every_run() -> None:
    first, second = sequential_ids(), sequential_ids()
    assert first("item_") == second("item_") == "item_000000000000000000001"
    assert len(first("call_")) == len("call_") + 16
    ids = [first("x") for _ in range(100)]
    assert len({*ids}) == 100
    assert ids[-1] == f"x{'1e'.rjust(21, '0')}"


def test_ids_can_be_made_elsewhere() -> None:
    numbers = iter(range(1000))
    client = Client(new_id=lambda prefix: f"{prefix}{next(numbers)}")
    assert client.created.session.id == "sess_0"


def test_an_item_of_the_server_never_takes_an_id_of_the_client() -> None:
    names = iter(
        [
            "sess_1",
            "conv_1",
            "event_1",
            "call_1",
            "event_2",
            "event_3",
            "item_1",
            "item_2",
            "call_2",
            "event_4",
            "event_5",
        ]
    )
    client = Client(new_id=lambda _prefix: next(names))
    added = [
        only(client.send(ConversationItemCreate(item=item)), ConversationItemAdded).item.id
        for item in (UserMessage.text("x", id="item_1"), UserMessage.text("x"))
    ]
    assert added == ["item_1", "item_2"]


# --- what it cannot read --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["session.close", "session.input_audio_buffer.append"])
def test_an_event_for_translations_is_not_refused_with_a_list_that_has_it(name: str) -> None:
    error = Client().refused(f'{{"type": "{name}", "event_id": "mine", "audio": ""}}')
    assert (error.code, error.param, error.event_id) == ("invalid_parameter", "type", "mine")
    assert error.message == (
        f"Passing a translation event '{name}' to this session is not allowed."
    )


def test_an_unknown_type_is_refused_with_a_list_of_those_that_exist() -> None:
    error = Client().refused('{"type": "nope", "event_id": "mine"}')
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "mine")
    assert error.message == (
        "Invalid value: 'nope'. Supported values are: 'session.update', 'session.close', "
        "'input_audio_buffer.append', 'session.input_audio_buffer.append', "
        "'input_audio_buffer.commit', 'input_audio_buffer.clear', 'conversation.item.create', "
        "'conversation.item.truncate', 'conversation.item.delete', 'conversation.item.retrieve', "
        "'response.create', and 'response.cancel'."
    )


def test_an_event_of_other_transports_is_unknown_here() -> None:
    error = Client().refused(OutputAudioBufferClear(event_id="mine"))
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "mine")


def test_a_binary_frame_is_refused() -> None:
    error = Client().refused(UnknownEvent(raw=b"{}", problem="binary frame"))
    assert (error.code, error.message) == (
        "invalid_event",
        "Expected a text WebSocket message; binary frames are not supported.",
    )


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("hello", "invalid_json", None),
        ("[]", "invalid_event", None),
        ("{}", "missing_required_parameter", "type"),
        ('{"type": 5}', "invalid_type", "type"),
        ('{"type": "session.update"}', "missing_required_parameter", "session"),
        ('{"type": "session.update", "session": {}}', "missing_required_parameter", "session.type"),
        ('{"type": "session.update", "session": {"type": "x"}}', "invalid_value", "session.type"),
        (
            '{"type": "session.update", "session": {"type": "realtime",'
            ' "audio": {"input": {"format": {"rate": "x"}}}}}',
            "invalid_type",
            "session.audio.input.format.rate",
        ),
        (
            '{"type": "session.update",'
            ' "session": {"type": "realtime", "output_modalities": ["video"]}}',
            "invalid_value",
            "session.output_modalities[0]",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message", "role": "user"}}',
            "missing_required_parameter",
            "item.content",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message"}}',
            "missing_required_parameter",
            "item.role",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message", "role": "boss"}}',
            "invalid_value",
            "item.role",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "gizmo"}}',
            "invalid_value",
            "item.type",
        ),
        (
            '{"type": "conversation.item.create", "item": {}}',
            "missing_required_parameter",
            "item.type",
        ),
        (
            '{"type": "conversation.item.create",'
            ' "item": {"type": "message", "role": "user", "content": [{"type": "text"}]}}',
            "invalid_value",
            "item.content[0].type",
        ),
        ('{"type": "input_audio_buffer.append", "audio": "%%%%"}', "invalid_value", "audio"),
        (
            '{"type": "response.create", "response": {"metadata": {"a": 1}}}',
            "invalid_type",
            "response.metadata.a",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place(
    message: str, code: str, param: str | None
) -> None:
    error = Client().refused(message)
    assert (error.code, error.param) == (code, param)


def test_a_missing_session_type_is_named_as_the_service_does() -> None:
    error = Client().refused('{"type": "session.update", "session": {}}')
    assert error.message == "Missing required parameter: 'session.type'."
    error = Client().refused('{"type": "session.update", "session": {"type": "x"}}')
    assert (
        error.message == "Invalid value: 'x'. Supported values are: 'realtime' and 'transcription'."
    )


def test_an_event_id_may_not_be_too_long() -> None:
    assert (
        Client().refused(InputAudioBufferClear(event_id="x" * 513)).code
        == "string_above_max_length"
    )
    assert types(Client().send(InputAudioBufferClear(event_id="x" * 512))) == [
        "input_audio_buffer.cleared"
    ]


def test_a_turn_takes_the_same_however_many_there_were() -> None:
    server = SimulatedServer(Script([Reply.text("Fine, thank you.")] * 500))
    server.connect(0.0)

    def turn() -> None:
        server.receive(ConversationItemCreate(item=UserMessage.text("How are you?")), 0.0)
        server.receive(ResponseCreate(), 0.0)
        assert isinstance(server.take_due(0.0)[-1], RateLimitsUpdated)

    efforts = []
    for number in range(400):
        if number in (150, 399):  # between them, the ids that count up have as many digits
            efforts.append(lines_run(turn))
        else:
            turn()
    assert efforts[0] == efforts[1]
