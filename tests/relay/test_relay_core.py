"""One session in memory: what goes through, how it ends, and that nothing is left of it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from peers import CancelAt, cancel_at_every_step, tasks
from relays import CREATED, Relayed, Talker, open_relayed, service_of
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import ConnectionFailed
from realtime_trio.events import SessionConfig
from realtime_trio.relay import AuditRecord, Grant, Limits, Service, relay

APPEND = '{"type":"input_audio_buffer.append","audio":"AAAA"}'
DELTA = '{"type":"response.output_audio.delta","event_id":"e","delta":"AAAA"}'


async def test_what_is_said_goes_through_as_it_was_said(autojump_clock: MockClock) -> None:
    async with open_relayed() as relayed:
        ups = [APPEND, ' {"type":"response.create","tomorrow":[1.0]}']
        downs = [DELTA, ' {"type":"an.event.of.tomorrow","x":1e2}']
        await relayed.guest.say(*ups)
        await relayed.service.say(*downs)
        assert [await relayed.service.hear_text() for _ in ups] == ups
        assert [await relayed.guest.hear_text() for _ in downs] == downs
    record = relayed.record
    assert (record.events_up, record.events_down, record.why) == (2, 3, "guest_left")
    assert record.peer == "192.0.2.1"


async def test_nothing_is_passed_on_before_the_session_is_configured(
    autojump_clock: MockClock,
) -> None:
    grant = Grant(session=SessionConfig.of(instructions="a secret"))
    async with open_relayed(grant, greets=False) as relayed:
        await relayed.guest.say(APPEND)
        await relayed.service.say(CREATED)
        update = await relayed.service.hear("session.update")
        assert update["session"]["instructions"] == "a secret"
        await relayed.service.say({**CREATED, "type": "session.updated"})
        assert "secret" not in await relayed.guest.hear_text()
        assert await relayed.service.hear_text() == APPEND


async def test_a_refusal_is_told_and_the_session_goes_on(autojump_clock: MockClock) -> None:
    async with open_relayed() as relayed:
        await relayed.guest.say({"type": "session.update", "event_id": "mine"}, APPEND)
        error = await relayed.guest.hear_error()
        assert (error["code"], error["event_id"]) == ("not_allowed", "mine")
        assert await relayed.service.hear_text() == APPEND
    assert relayed.record.refused == 1


async def test_text_in_binary_frames_of_a_service_is_text(autojump_clock: MockClock) -> None:
    async with open_relayed() as relayed:
        await relayed.service.transport.send(DELTA.encode())
        await relayed.service.transport.send(b"\xff")
        await relayed.service.say(DELTA)
        assert [await relayed.guest.hear_text() for _ in range(2)] == [DELTA, DELTA]


# How it ends


def failing_with(error: Exception, *, is_reachable: bool = False) -> Service:
    @asynccontextmanager
    async def connect(_grant: Grant) -> AsyncIterator[Transport]:
        await trio.lowlevel.checkpoint()
        if not is_reachable:
            raise error
        yield memory_transport_pair()[0]

    return connect


@pytest.mark.parametrize(
    ("code", "forwarded"), [(1000, 1000), (1001, 1001), (1008, 1008), (4321, 4321)]
)
async def test_when_the_guest_leaves_so_does_the_service(
    code: int, forwarded: int, autojump_clock: MockClock
) -> None:
    async with open_relayed() as relayed:
        await relayed.guest.transport.aclose(code, "a reason of the guest")
        assert await relayed.service.hear_the_rest() == []
        assert relayed.service.transport.closed == Close(forwarded)
    assert (relayed.record.why, relayed.record.code) == ("guest_left", forwarded)


@pytest.mark.parametrize(("code", "forwarded"), [(1000, 1000), (1001, 1001), (4321, 4321)])
async def test_when_the_service_leaves_the_guest_hears_all_and_the_same_code(
    code: int, forwarded: int, autojump_clock: MockClock
) -> None:
    async with open_relayed() as relayed:
        await relayed.service.say(DELTA, DELTA)
        await relayed.service.transport.aclose(code, "a reason")
        assert len(await relayed.guest.hear_the_rest()) == 2
        assert relayed.guest.transport.closed == Close(forwarded, "a reason")
    assert relayed.record.why == "service_closed"


@pytest.mark.parametrize("is_guest", [True, False])
async def test_a_connection_that_breaks_is_1011_for_the_other_side(
    is_guest: bool, autojump_clock: MockClock
) -> None:
    async with open_relayed() as relayed:
        one, other = relayed.guest.transport, relayed.service
        if not is_guest:
            one, other = relayed.service.transport, relayed.guest
        one.abort("pulled out")  # type: ignore[attr-defined]
        await other.hear_the_rest()
        assert other.transport.closed is not None
        assert other.transport.closed.code == 1011


async def test_a_service_that_cannot_be_reached_is_not_explained(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    near, far = memory_transport_pair()
    service = failing_with(ConnectionFailed("refused: the key is sk-1"))
    record = await relay(far, Grant(), service)
    guest = Talker(near)
    [error] = await guest.hear_the_rest()
    assert error["error"]["code"] == "service_unavailable"
    assert near.closed == Close(1011, "service unavailable")
    assert "sk-1" not in json.dumps(error)
    assert record.why == "service_failed"
    assert "refused" in caplog.text


async def test_a_service_that_turns_the_relay_away_is_not_explained_either(
    autojump_clock: MockClock,
) -> None:
    async with open_relayed(greets=False) as relayed:
        await relayed.service.say({"type": "error", "error": {"message": "key sk-1"}})
        [error] = await relayed.guest.hear_the_rest()
        assert "sk-1" not in json.dumps(error)
    assert relayed.record.why == "service_failed"
    async with open_relayed(greets=False) as relayed:
        await relayed.service.transport.aclose(3000, "key sk-1")
        [error] = await relayed.guest.hear_the_rest()
        assert relayed.guest.transport.closed == Close(1011, "service unavailable")


async def test_a_service_that_says_nothing_is_given_up(autojump_clock: MockClock) -> None:
    async with open_relayed(greets=False) as relayed:
        start = trio.current_time()
        [error] = await relayed.guest.hear_the_rest()
        assert error["error"]["code"] == "service_unavailable"
        assert trio.current_time() - start == pytest.approx(10)


async def test_a_guest_that_leaves_while_the_service_is_called_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    @asynccontextmanager
    async def never(_grant: Grant) -> AsyncIterator[Transport]:
        await trio.Event().wait()
        yield memory_transport_pair()[0]

    near, far = memory_transport_pair()
    await near.aclose()
    record = await relay(far, Grant(), never)
    assert record.why == "guest_left"
    assert record.seconds == 0


async def test_limits_end_a_session_with_a_word_to_the_guest(autojump_clock: MockClock) -> None:
    async with open_relayed(Grant(limits=Limits(seconds=60, idle_seconds=100))) as relayed:
        [error] = await relayed.guest.hear_the_rest()
        assert error["error"]["code"] == "session_expired"
        assert relayed.guest.transport.closed == Close(1008, "session_expired")
        await relayed.service.hear_the_rest()
        assert relayed.service.transport.closed == Close(1008)
    assert relayed.record.why == "time"
    assert relayed.record.seconds == pytest.approx(60)


async def test_activity_puts_off_the_end_of_an_idle_session(autojump_clock: MockClock) -> None:
    async with open_relayed(Grant(limits=Limits(idle_seconds=10))) as relayed:
        start = trio.current_time()
        for _ in range(3):
            await trio.sleep(9)
            await relayed.service.say(DELTA)
        events = await relayed.guest.hear_the_rest()
        assert events[-1]["error"]["code"] == "session_idle"
        assert trio.current_time() - start == pytest.approx(37)


async def test_a_message_that_is_too_long_ends_the_session(autojump_clock: MockClock) -> None:
    async with open_relayed(Grant(limits=Limits(message_size=100))) as relayed:
        await relayed.guest.say("x" * 101, APPEND)
        [error] = await relayed.guest.hear_the_rest()
        assert error["error"]["code"] == "message_too_long"
        assert relayed.guest.transport.closed == Close(1009, "message too long")
        assert await relayed.service.hear_the_rest() == []


async def test_a_relay_that_stops_says_so(autojump_clock: MockClock) -> None:
    drained = trio.Event()
    async with open_relayed(drained=drained) as relayed:
        drained.set()
        assert await relayed.guest.hear_the_rest() == []
        assert relayed.guest.transport.closed == Close(1001, "the relay is stopping")
    assert relayed.record.why == "drained"


async def test_a_guest_that_does_not_read_gets_no_goodbye_and_holds_up_nobody(
    autojump_clock: MockClock,
) -> None:
    async with open_relayed(Grant(limits=Limits(seconds=5)), capacity=1) as relayed:
        start = trio.current_time()
        await relayed.service.say(DELTA, DELTA, DELTA)
        await relayed.service.hear_the_rest()
        assert trio.current_time() - start < 10
    assert relayed.record.why == "time"


async def test_a_fault_of_ours_is_1011_and_told_in_the_audit(autojump_clock: MockClock) -> None:
    near, far = memory_transport_pair()
    records: list[AuditRecord] = []
    with pytest.raises(KeyError):
        await relay(far, Grant(), failing_with(KeyError()), audit=records.append)
    assert near.closed == Close(1011, "internal error")
    assert [record.why for record in records] == ["failed"]


async def test_an_audit_that_fails_fails_alone(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_record: AuditRecord) -> None:
        raise ValueError("the disk is full")

    near, far = memory_transport_pair()
    await near.aclose()
    await relay(far, Grant(), service_of(memory_transport_pair()[0]), audit=fail)
    assert "the disk is full" in caplog.text


async def test_the_audit_goes_into_a_log_of_its_own(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "realtime_trio.relay.audit")
    near, far = memory_transport_pair()
    await near.aclose()
    await relay(far, Grant(who="ann"), service_of(memory_transport_pair()[0]))
    [line] = [json.loads(r.message) for r in caplog.records if r.name.endswith("audit")]
    assert (line["who"], line["why"], line["model"]) == ("ann", "guest_left", DEFAULT_MODEL)


# Back-pressure


async def say_as_much_as_possible(talker: Talker, text: str) -> int:
    """How many messages are taken while the other side does not read."""
    said = 0
    for _ in range(100):
        said += talker.transport.send_nowait(text)
        await trio.sleep(0.01)
    return said


async def test_a_slow_guest_stops_the_reading_from_the_service(autojump_clock: MockClock) -> None:
    delta = json.dumps({"type": "response.output_audio.delta", "delta": "A" * 10_000})
    async with open_relayed(capacity=4) as relayed:
        said = await say_as_much_as_possible(relayed.service, delta)
        assert 5 < said < 30
        for _ in range(said):
            assert await relayed.guest.hear_text() == delta


async def test_a_slow_service_stops_the_reading_from_the_guest(autojump_clock: MockClock) -> None:
    append = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 10_000})
    async with open_relayed(capacity=4) as relayed:
        said = await say_as_much_as_possible(relayed.guest, append)
        assert 5 < said < 30
        for _ in range(said):
            assert await relayed.service.hear_text() == append


async def test_a_flood_of_one_side_lets_others_run(autojump_clock: MockClock) -> None:
    async with open_relayed() as relayed:
        for _ in range(1000):
            relayed.service.transport.send_nowait(DELTA)
        await wait_all_tasks_blocked()
        assert len(await relayed.guest.transport.receive()) <= 1000


# Nothing is left


def test_it_can_be_cancelled_at_every_step_and_nothing_is_left() -> None:
    async def life(scope: trio.CancelScope, canceller: CancelAt) -> bool:
        before = len(tasks())
        guest, guest_end = memory_transport_pair()
        service_end, service = memory_transport_pair()
        records: list[AuditRecord] = []
        is_done = False
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                nonlocal is_done
                with scope:
                    canceller.scope = scope
                    grant = Grant(session=SessionConfig.of(instructions="x"))
                    await relay(guest_end, grant, service_of(service_end), audit=records.append)
                    is_done = True

            nursery.start_soon(run)
            talk = Relayed(Talker(guest), Talker(service), records)
            with trio.move_on_after(1):
                try:
                    await talk.service.say(CREATED, {**CREATED, "type": "session.updated"})
                    await talk.guest.say(APPEND)
                    await talk.guest.hear()
                    await talk.guest.transport.aclose()
                except Exception:
                    # The other side is gone, in one of many ways.
                    await trio.lowlevel.checkpoint()
        assert guest.closed is not None
        assert service.closed is not None
        assert len(records) == 1
        assert len(tasks()) == before
        return is_done

    cancel_at_every_step(life, at_least=15, clock=lambda: MockClock(autojump_threshold=0))
