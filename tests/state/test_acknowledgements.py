"""Which answer belongs to which request."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio._state.acknowledgements import ACKNOWLEDGED, Acknowledgements, Pending
from realtime_trio.errors import RemoteProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    TRANSLATION_CLIENT_EVENTS,
    AssistantMessage,
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseDone,
    ServerEvent,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    TranslationAudio,
    TranslationSession,
    TranslationSessionClose,
    TranslationSessionConfig,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
    UnknownEvent,
    UserMessage,
)


def update(event_id: str) -> SessionUpdate:
    return SessionUpdate(event_id=event_id, session=SessionConfig())


def updated(event_id: str = "event_1") -> SessionUpdated:
    return SessionUpdated(event_id=event_id, session=RealtimeSession())


def refusal(of: str | None, **details: str) -> ErrorEvent:
    return ErrorEvent(
        event_id="event_2",
        error=ErrorDetail(type="invalid_request_error", message="no", event_id=of, **details),
    )


def expect(acknowledgements: Acknowledgements, event: Event) -> Pending:
    request = acknowledgements.expect(event)
    assert request is not None
    return request


def test_an_acknowledgement_settles_the_request() -> None:
    acknowledgements = Acknowledgements()
    request = expect(acknowledgements, update("a"))
    answer = updated()
    assert acknowledgements.settle(answer) is request
    assert request.acknowledgement is answer
    assert request.error is None


def test_acknowledgements_of_one_kind_are_matched_in_the_order_of_the_requests() -> None:
    acknowledgements = Acknowledgements()
    requests = [expect(acknowledgements, update(event_id)) for event_id in "abc"]
    answers = [updated(str(n)) for n in range(3)]
    for answer in answers:
        acknowledgements.settle(answer)
    assert [request.acknowledgement for request in requests] == answers


def test_requests_of_different_kinds_do_not_answer_each_other() -> None:
    acknowledgements = Acknowledgements()
    one = expect(acknowledgements, update("a"))
    other = expect(
        acknowledgements, TranslationSessionUpdate(event_id="b", session=TranslationSessionConfig())
    )
    session = TranslationSession(id="sess_1", expires_at=0, model="t", audio=TranslationAudio())
    answer = TranslationSessionUpdated(event_id="event_1", session=session)
    acknowledgements.settle(answer)
    assert (one.acknowledgement, other.acknowledgement) == (None, answer)


def item(item_id: str | None) -> UserMessage:
    return UserMessage.text("words", id=item_id)


CREATE, DELETE = (
    ConversationItemCreate(event_id="a", item=item("item_1")),
    ConversationItemDelete(event_id="a", item_id="item_1"),
)
RETRIEVE = ConversationItemRetrieve(event_id="a", item_id="item_1")
TRUNCATE = ConversationItemTruncate(event_id="a", item_id="item_1", content_index=0, audio_end_ms=5)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (
            InputAudioBufferCommit(event_id="a"),
            InputAudioBufferCommitted(event_id="event_1", item_id="item_1"),
        ),
        (InputAudioBufferClear(event_id="a"), InputAudioBufferCleared(event_id="event_1")),
        (CREATE, ConversationItemAdded(event_id="event_1", item=item("item_1"))),
        (CREATE, ConversationItemCreated(event_id="event_1", item=item("item_1"))),
        (DELETE, ConversationItemDeleted(event_id="event_1", item_id="item_1")),
        (RETRIEVE, ConversationItemRetrieved(event_id="event_1", item=item("item_1"))),
        (
            TRUNCATE,
            ConversationItemTruncated(
                event_id="event_1", item_id="item_1", content_index=0, audio_end_ms=5
            ),
        ),
    ],
    ids=lambda event: event.type,
)
def test_every_kind_of_request_has_its_acknowledgement(
    request_: ClientEvent, answer: ServerEvent
) -> None:
    acknowledgements = Acknowledgements()
    request = expect(acknowledgements, request_)
    assert not acknowledgements.settle(
        ResponseDone(event_id="event_1", response=Response(id="resp_1"))
    )
    assert acknowledgements.settle(answer)
    assert request.acknowledgement is answer
    assert not acknowledgements.settle(answer)


def test_what_concerns_an_item_is_answered_by_what_names_it_in_whatever_order() -> None:
    acknowledgements = Acknowledgements()
    one, other = (
        expect(acknowledgements, ConversationItemDelete(event_id=name, item_id=f"item_{name}"))
        for name in "ab"
    )
    kept = expect(acknowledgements, ConversationItemRetrieve(event_id="c", item_id="item_a"))
    acknowledgements.settle(ConversationItemDeleted(event_id="event_1", item_id="item_z"))
    acknowledgements.settle(ConversationItemDeleted(event_id="event_1", item_id="item_b"))
    assert (one.acknowledgement, kept.acknowledgement, other.acknowledgement is not None) == (
        None,
        None,
        True,
    )
    acknowledgements.settle(ConversationItemDeleted(event_id="event_1", item_id="item_a"))
    assert (one.acknowledgement is not None, kept.acknowledgement) == (True, None)


def test_an_item_of_a_response_does_not_answer_for_one_that_is_created() -> None:
    acknowledgements = Acknowledgements()
    request = expect(acknowledgements, CREATE)
    acknowledgements.settle(
        ConversationItemAdded(event_id="event_1", item=AssistantMessage(id="item_2", content=[]))
    )
    assert request.acknowledgement is None


def test_requests_about_the_same_item_are_answered_in_their_order() -> None:
    acknowledgements = Acknowledgements()
    first, second = (
        expect(
            acknowledgements,
            ConversationItemTruncate(event_id=name, item_id="i", content_index=0, audio_end_ms=5),
        )
        for name in "ab"
    )
    answer = ConversationItemTruncated(
        event_id="event_1", item_id="i", content_index=0, audio_end_ms=5
    )
    acknowledgements.settle(answer)
    assert (first.acknowledgement, second.acknowledgement) == (answer, None)
    acknowledgements.settle(refusal("b"))
    assert second.error is not None


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (DELETE, "item_delete_invalid_item_id"),
        (RETRIEVE, "item_retrieve_invalid_item_id"),
        (TRUNCATE, "item_truncate_invalid_item_id"),
    ],
)
def test_a_refusal_without_an_event_id_settles_the_request_whose_item_it_quotes(
    event: ClientEvent, code: str
) -> None:
    acknowledgements = Acknowledgements()
    others = [
        expect(acknowledgements, other)
        for other in (DELETE, RETRIEVE, TRUNCATE)
        if other is not event
    ]
    request = expect(acknowledgements, event)

    def quoting(text: str, code: str) -> ErrorEvent:
        detail = ErrorDetail(
            type="invalid_request_error",
            message=f"the item with id '{text}' does not exist",
            code=code,
        )
        return ErrorEvent(event_id="event_1", error=detail)

    assert not acknowledgements.settle(quoting("item_11", code))
    assert not acknowledgements.settle(quoting("item_1", "something_else"))
    assert acknowledgements.settle(quoting("item_1", code))
    assert isinstance(request.error, ServerError)
    assert (request.error.code, request.error.event_id) == (code, "a")
    assert [other.error for other in others] == [None, None]


def test_one_can_ask_whether_a_kind_of_request_is_open() -> None:
    acknowledgements = Acknowledgements()
    assert not acknowledgements.awaits(SessionUpdate)
    expect(acknowledgements, update("a"))
    expect(acknowledgements, update("b"))
    acknowledgements.settle(updated())
    assert acknowledgements.awaits(SessionUpdate)
    assert not acknowledgements.awaits(InputAudioBufferCommit)
    acknowledgements.settle(refusal("b"))
    assert not acknowledgements.awaits(SessionUpdate)


def test_a_refusal_settles_the_request_it_names_and_no_other() -> None:
    acknowledgements = Acknowledgements()
    first, second, third = (expect(acknowledgements, update(event_id)) for event_id in "abc")
    acknowledgements.settle(refusal("b", code="invalid_value", param="session.voice"))
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, ServerError)
    assert (second.error.code, second.error.param, second.error.message, second.error.event_id) == (
        "invalid_value",
        "session.voice",
        "no",
        "b",
    )
    answers = [updated("1"), updated("2")]
    for answer in answers:
        acknowledgements.settle(answer)
    assert [request.acknowledgement for request in (first, second, third)] == [
        answers[0],
        None,
        answers[1],
    ]


@pytest.mark.parametrize("of", [None, "", "somebody-else"])
def test_an_error_about_something_else_settles_nothing(of: str | None) -> None:
    acknowledgements = Acknowledgements()
    request = expect(acknowledgements, update("a"))
    acknowledgements.settle(refusal(of))
    assert request.error is None


def test_an_answer_nobody_asked_for_is_no_surprise() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.settle(updated())
    acknowledgements.settle(refusal("a"))
    acknowledgements.settle(InputAudioBufferCommitted(event_id="event_1", item_id="item_1"))
    request = expect(acknowledgements, update("a"))
    assert request.acknowledgement is None


@pytest.mark.parametrize(
    "event",
    [
        ResponseCreate(event_id="a"),
        ConversationItemCreate(event_id="a", item=item(None)),
        UnknownEvent(event_id="a", type="conversation.item.delete", raw={"item_id": 5}),
        UnknownEvent(event_id="a", type="session.hum", raw={"type": "session.hum"}),
        UnknownEvent(raw="not JSON", problem="not JSON"),
        TranslationSessionClose(),
    ],
    ids=[
        "never acknowledged",
        "an item that the server names",
        "an item that cannot be read",
        "of another version",
        "not an event",
        "the last event, without an id",
    ],
)
def test_what_has_no_answer_that_could_be_told_is_no_request(
    event: ClientEvent | UnknownEvent,
) -> None:
    acknowledgements = Acknowledgements()
    assert acknowledgements.expect(event) is None
    request = expect(acknowledgements, update("b"))
    acknowledgements.settle(updated())
    assert request.acknowledgement is not None


NAMELESS = [
    SessionUpdate(session=SessionConfig()),
    SessionUpdate(event_id="", session=SessionConfig()),
    UnknownEvent(type="session.update", raw={"session": 5}, problem="expected an object"),
]


@pytest.mark.parametrize("event", NAMELESS, ids=["no id", "empty id", "not understood"])
def test_what_was_sent_without_an_id_does_not_take_the_answer_of_the_next(
    event: ClientEvent | UnknownEvent,
) -> None:
    acknowledgements = Acknowledgements()
    first, second = expect(acknowledgements, event), expect(acknowledgements, update("b"))
    answers = [updated("1"), updated("2")]
    assert [acknowledgements.settle(answer) for answer in answers] == [first, second]
    assert second.acknowledgement is answers[1]


@pytest.mark.parametrize("event", NAMELESS, ids=["no id", "empty id", "not understood"])
@pytest.mark.parametrize("param", [None, "session.voice"])
def test_a_refusal_without_an_id_is_of_what_was_sent_without_one(
    event: ClientEvent | UnknownEvent, param: str | None
) -> None:
    acknowledgements = Acknowledgements()
    first = expect(acknowledgements, update("a"))
    nameless, last = expect(acknowledgements, event), expect(acknowledgements, update("c"))
    detail = ErrorDetail(type="invalid_request_error", message="no", param=param)
    assert acknowledgements.settle(ErrorEvent(event_id="e", error=detail)) is nameless
    assert [acknowledgements.settle(updated()) for _ in range(2)] == [first, last]


def test_an_event_of_another_shape_is_still_about_its_item() -> None:
    acknowledgements = Acknowledgements()
    raw = {"item": {"id": "item_1", "type": 5}}
    strange = expect(
        acknowledgements, UnknownEvent(event_id="a", type="conversation.item.create", raw=raw)
    )
    added = ConversationItemAdded(event_id="e", item=item("item_1"))
    assert acknowledgements.settle(added) is strange


def test_a_wire_type_means_the_event_of_the_kind_of_session() -> None:
    acknowledgements = Acknowledgements(TRANSLATION_CLIENT_EVENTS)
    strange = expect(
        acknowledgements, UnknownEvent(event_id="a", type="session.update", raw={"session": 5})
    )
    assert acknowledgements.awaits(TranslationSessionUpdate)
    assert acknowledgements.close() == (strange,)
    assert isinstance(strange.error, SessionClosed)


def test_closing_settles_everything_that_is_open() -> None:
    acknowledgements = Acknowledgements()
    answered, pending = (expect(acknowledgements, update(event_id)) for event_id in "ab")
    acknowledgements.settle(updated())
    assert acknowledgements.close() == (pending,)
    assert acknowledgements.close() == ()
    assert answered.error is None
    assert isinstance(pending.error, SessionClosed)


def test_what_waits_for_an_event_is_found_until_it_is_settled() -> None:
    acknowledgements = Acknowledgements()
    first, twin = update("a"), update("a")
    pending = expect(acknowledgements, first)
    was_settled = pending.is_settled
    assert acknowledgements.find(first) is pending
    assert acknowledgements.find(twin) is None  # equal, but another event
    acknowledgements.settle(updated())
    assert (was_settled, pending.is_settled) == (False, True)
    assert acknowledgements.find(first) is None


def test_what_is_refused_is_settled() -> None:
    acknowledgements = Acknowledgements()
    pending = expect(acknowledgements, update("a"))
    acknowledgements.settle(refusal("a"))
    assert pending.is_settled


def test_what_is_said_of_an_end_fits_what_was_waited_for() -> None:
    acknowledgements = Acknowledgements()
    pending = expect(acknowledgements, TranslationSessionClose(event_id="a"))
    acknowledgements.close()
    assert "before everything was translated" in str(pending.error)


def test_no_two_rows_of_the_table_are_acknowledged_by_the_same_event() -> None:
    answers = [answer for row in ACKNOWLEDGED for answer in row.by]
    assert len(answers) == len(set(answers))


@given(
    st.lists(
        st.sampled_from(["send", "acknowledge", "refuse oldest", "refuse newest"]), max_size=30
    )
)
def test_every_request_is_settled_exactly_once_whatever_happens(steps: list[str]) -> None:
    acknowledgements = Acknowledgements()
    settled: list[Pending | None] = []
    waiting: list[Pending] = []
    expected: list[Pending] = []
    for number, step in enumerate(steps):
        if step == "send":
            event_id = f"evt_{number}"
            waiting.append(expect(acknowledgements, update(event_id)))
        elif waiting:
            request = waiting.pop(-1 if "newest" in step else 0)
            if step == "acknowledge":
                settled.append(acknowledgements.settle(updated()))
            else:
                settled.append(acknowledgements.settle(refusal(request.event.event_id)))
            expected.append(request)
    settled += acknowledgements.close()
    assert settled == expected + waiting


@pytest.mark.parametrize(
    ("request_", "wire_type", "raw"),
    [
        (update("a"), "session.updated", {}),
        (
            InputAudioBufferCommit(event_id="a"),
            "input_audio_buffer.committed",
            {"previous_item_id": None},
        ),
        (
            ConversationItemDelete(event_id="a", item_id="item_1"),
            "conversation.item.deleted",
            {"item_id": "item_1"},
        ),
        (
            ConversationItemCreate(event_id="a", item=item("item_1")),
            "conversation.item.added",
            {"item": {"id": "item_1"}},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_cannot_be_read_is_told_to_who_waits_for_it(
    request_: ClientEvent, wire_type: str, raw: dict[str, object]
) -> None:
    acknowledgements = Acknowledgements()
    request = expect(acknowledgements, request_)
    assert not acknowledgements.settle(UnknownEvent(type="session.renamed", raw=raw))
    assert acknowledgements.settle(
        UnknownEvent(type=wire_type, raw=raw, problem="required field missing")
    )
    assert isinstance(request.error, RemoteProtocolError)
    assert "required field missing" in str(request.error)


def test_an_answer_that_cannot_be_read_and_names_no_item_settles_nothing_that_does() -> None:
    acknowledgements = Acknowledgements()
    expect(acknowledgements, ConversationItemDelete(event_id="a", item_id="item_1"))
    assert not acknowledgements.settle(
        UnknownEvent(type="conversation.item.deleted", raw=[], problem="expected an object")
    )


def test_a_refused_setting_without_an_event_id_settles_the_oldest_update() -> None:
    acknowledgements = Acknowledgements()
    deletion = expect(acknowledgements, ConversationItemDelete(event_id="d", item_id="session"))
    first, second = expect(acknowledgements, update("a")), expect(acknowledgements, update("b"))
    assert not acknowledgements.settle(refusal(None, param="sessions.voice"))
    assert acknowledgements.settle(refusal(None, param="session.audio.output.voice"))
    assert isinstance(first.error, ServerError)
    assert (first.error.event_id, second.error, deletion.error) == ("a", None, None)


def test_what_the_server_never_gets_is_settled_by_others() -> None:
    waiting = Acknowledgements()
    first, second = update("a"), update("b")
    pendings = [waiting.expect(first), waiting.expect(second)]
    answer, lost = updated(), SessionClosed("gone")
    assert waiting.withdraw(second, lost) is pendings[1]
    assert waiting.withdraw(second, lost) is None
    assert waiting.withdraw(first, answer) is pendings[0]
    assert [(each.acknowledgement, each.error) for each in pendings if each is not None] == [
        (answer, None),
        (None, lost),
    ]
    assert waiting.close() == ()
