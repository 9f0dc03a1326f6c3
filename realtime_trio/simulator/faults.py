"""What can go wrong between a server and its client, on purpose: faults that strike when a certain event is about to be sent.

Owns the mischief and nothing of the protocol: a `FaultyTransport` stands between the simulated server and the network, and looks no deeper
into a message than its type.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, Protocol, runtime_checkable

import trio
from attrs import define, field, frozen

from realtime_trio.codec import Codec, Role
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import ErrorDetail, ErrorEvent
from realtime_trio.transport import GOING_AWAY, NORMAL_CLOSURE, Close, Transport, check_close_code

FaultKind = Literal["drop", "reset", "close", "stall", "slow", "delay", "corrupt", "duplicate", "reorder", "error"]
"""What a fault does; the constructors of `Fault` say more."""

Corruption = Literal["cut", "garbage", "payload", "audio"]
"""How a message is spoilt: `cut` in the middle, `garbage` that is no JSON, a `payload` whose fields have the wrong types, or `audio` that
is no base64."""

MOVABLE: Final = (
    "conversation.item.input_audio_transcription.",
    "mcp_list_tools.",
    "rate_limits.updated",
)
"""Beginnings of the types whose place among the others the protocol leaves open, so that they may legally come late."""

_TYPE = re.compile(r'"type"\s*:\s*"([^"]*)"')
_DELTA = re.compile(r'("delta"\s*:\s*")[^"]*"')
_FIELD = re.compile(r'(:\s*)(?:"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)(?=\s*[,}])')


@runtime_checkable
class Breakable(Protocol):
    """A transport that can end as if the network had failed."""

    def abort(self, reason: str = ...) -> None:
        """Drop the connection without a close frame; `closed` is then `Close(1006, reason)`."""


@runtime_checkable
class _Resettable(Protocol):
    def reset(self) -> None: ...


def _at_least_once(_: object, attribute: object, value: float) -> None:
    if not value >= 1:
        raise LocalProtocolError(f"a fault strikes at the first event or later, and at least once, not {value}")


@frozen(kw_only=True)
class Fault:
    """One thing that goes wrong.  Made by the constructors; `on` and `nth` say when.

    It strikes when an event is about to be sent whose type is or begins with `on` (any event if None), for the `nth` time, from 1, and then
    at every following one until it has struck `times` times.
    """

    kind: FaultKind
    """What happens."""
    on: str | None = None
    """Type of the event, or its beginning."""
    nth: int = field(default=1, validator=_at_least_once)
    """At which of them for the first time."""
    times: float = field(default=1, validator=_at_least_once)
    """How often; `math.inf` for ever after."""
    seconds: float = 0.0
    """How long a `delay` or `stall` takes."""
    characters_per_second: float = math.inf
    """How fast a `slow` line is."""
    behind: int = 1
    """After how many later messages a `reorder`ed one comes."""
    how: Corruption = "cut"
    """How a message is corrupted."""
    close: Close | None = None
    """How the connection is closed."""
    error: ErrorDetail | None = None
    """What the error event says."""

    @classmethod
    def drop(cls, on: str | None = None, *, nth: int = 1) -> Fault:
        """Drop the connection without a close frame, as a phone that loses its network."""
        return cls(kind="drop", on=on, nth=nth)

    @classmethod
    def reset(cls, on: str | None = None, *, nth: int = 1) -> Fault:
        """Reset the connection (TCP RST), as a proxy that crashes; in memory the same as `drop`."""
        return cls(kind="reset", on=on, nth=nth)

    @classmethod
    def closing(cls, code: int, reason: str = "", *, on: str | None = None, nth: int = 1) -> Fault:
        """Close the connection with this code instead of sending the event.

        Raises:
            LocalProtocolError: The code may not appear on the wire.
        """
        check_close_code(code)
        return cls(kind="close", on=on, nth=nth, close=Close(code, reason))

    @classmethod
    def expiry(cls, on: str | None = None, *, nth: int = 1) -> Fault:
        """End the session as the service does after an hour: an error `session_expired`, then 1001."""
        error = ErrorDetail(
            type="invalid_request_error", code="session_expired", message="Your session hit the maximum duration of 60 minutes."
        )
        return cls(kind="close", on=on, nth=nth, close=Close(GOING_AWAY, "session_expired"), error=error)

    @classmethod
    def stall(cls, seconds: float = math.inf, *, on: str | None = None, nth: int = 1) -> Fault:
        """Say nothing for a while, or ever again; the client is still read, but nothing is obeyed."""
        return cls(kind="stall", on=on, nth=nth, seconds=seconds)

    @classmethod
    def delay(cls, seconds: float, *, on: str | None = None, nth: int = 1, times: float = 1) -> Fault:
        """Send the event, and so everything after it, this much later."""
        return cls(kind="delay", on=on, nth=nth, times=times, seconds=seconds)

    @classmethod
    def slow(cls, characters_per_second: float, *, on: str | None = None, nth: int = 1) -> Fault:
        """From this event on the line carries only so much."""
        if not characters_per_second > 0:
            raise LocalProtocolError(f"a slow line still carries more than 0 characters a second, not {characters_per_second}")
        return cls(kind="slow", on=on, nth=nth, times=math.inf, characters_per_second=characters_per_second)

    @classmethod
    def corrupt(cls, how: Corruption = "cut", *, on: str | None = None, nth: int = 1, times: float = 1) -> Fault:
        """Spoil the event: see `Corruption`."""
        return cls(kind="corrupt", on=on, nth=nth, times=times, how=how)

    @classmethod
    def duplicate(cls, on: str | None = None, *, nth: int = 1, times: float = 1) -> Fault:
        """Send the event twice."""
        return cls(kind="duplicate", on=on, nth=nth, times=times)

    @classmethod
    def reorder(cls, on: str, *, behind: int = 1, nth: int = 1, times: float = 1) -> Fault:
        """Send the event after so many later ones, where the protocol leaves its place open.

        Raises:
            LocalProtocolError: It does not: see `MOVABLE`.
        """
        if not on.startswith(MOVABLE):
            raise LocalProtocolError(f"{on!r} has its place in the order of events; what may come late begins with {', '.join(MOVABLE)}")
        return cls(kind="reorder", on=on, nth=nth, times=times, behind=behind)

    @classmethod
    def failing(
        cls,
        code: str | None,
        message: str,
        *,
        type: str = "server_error",  # noqa: A002 - the protocol's own name
        on: str | None = None,
        nth: int = 1,
    ) -> Fault:
        """Send an `error` event out of the blue, before the event."""
        return cls(kind="error", on=on, nth=nth, error=ErrorDetail(type=type, code=code, message=message))


@define(eq=False)
class _Trap:
    """A fault and how far it is from striking."""

    fault: Fault
    seen: int = 0
    left: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = self.fault.times

    def strikes(self, kind: str) -> bool:
        if self.left <= 0 or not kind.startswith(self.fault.on or ""):
            return False
        self.seen += 1
        if self.seen < self.fault.nth:
            return False
        self.left -= 1
        return True


class FaultyTransport:
    """A server's transport on which things go wrong; see `Transport` for its methods.  One task sends and receives.

    Args:
        transport: The transport that works.
        faults: What goes wrong; each strikes on its own, in this order.
        codec: Writes the error events; that of a server of today's protocol by default.

    Raises:
        LocalProtocolError: The connection is to be dropped, and this transport cannot do that.
    """

    def __init__(self, transport: Transport, faults: Iterable[Fault], codec: Codec | None = None) -> None:
        self._transport = transport
        self._traps = [_Trap(fault) for fault in faults]
        breaks = [trap.fault.kind for trap in self._traps if trap.fault.kind in ("drop", "reset")]
        if breaks and not isinstance(transport, Breakable):
            raise LocalProtocolError(f"the fault {breaks[0]} needs a transport with `abort`, which {type(transport).__name__} has not")
        self._codec = codec or Codec(Role.SERVER)
        self._received: deque[str | bytes] = deque()
        self._late: list[tuple[int, str | bytes]] = []
        self._rate = math.inf

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open."""
        return self._transport.closed

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived; `()` after the end.  Cancel-safe."""
        if not self._received:
            return await self._transport.receive()
        await trio.lowlevel.checkpoint()
        messages = tuple(self._received)
        self._received.clear()
        return messages

    async def send(self, message: str | bytes) -> None:
        """Send one message, or what becomes of it.

        Raises:
            ConnectionLost: The connection has ended, perhaps because of a fault.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        messages = [message]
        kind = _kind_of(message)
        for trap in self._traps:
            if trap.strikes(kind):
                messages = await self._strike(trap.fault, messages)
        for each in messages:
            await self._write(each)
        for _ in messages:
            await self._release()

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the transport."""
        await self._transport.aclose(code, reason)

    # --- mischief -----------------------------------------------------------------------------------------------------------------------

    async def _strike(self, fault: Fault, messages: list[str | bytes]) -> list[str | bytes]:
        """Let a fault happen, and return what is to be sent after it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        match fault.kind:
            case "drop" | "reset":
                self._break(abruptly=fault.kind == "reset")
            case "close":
                if fault.error is not None:
                    await self._write(self._say(fault.error))
                assert fault.close is not None
                await self._transport.aclose(fault.close.code, fault.close.reason)
            case "stall":
                await self._listen(fault.seconds)
            case "delay":
                await trio.sleep(fault.seconds)
            case "slow":
                self._rate = fault.characters_per_second
            case "corrupt":
                return [_spoilt(message, fault.how) for message in messages]
            case "duplicate":
                return [message for message in messages for _ in range(2)]
            case "reorder":
                self._late += [(fault.behind, message) for message in messages]
                return []
            case _:
                assert fault.error is not None
                return [self._say(fault.error), *messages]
        return messages

    def _say(self, error: ErrorDetail) -> str:
        return self._codec.encode(ErrorEvent(event_id="event_fault", error=error))

    async def _write(self, message: str | bytes) -> None:
        if self._rate < math.inf:
            await trio.sleep(len(message) / self._rate)
        await self._transport.send(message)

    async def _release(self) -> None:
        """One more message was sent: send those whose time has come."""
        await trio.lowlevel.checkpoint_if_cancelled()
        counted = [(behind - 1, message) for behind, message in self._late]
        self._late = [(behind, message) for behind, message in counted if behind > 0]
        due = [message for behind, message in counted if behind <= 0]
        for message in due:
            await self._write(message)

    async def _listen(self, seconds: float) -> None:
        """Take what the client says without acting on it, until it goes or the time is over."""
        with trio.move_on_after(seconds):
            while batch := await self._transport.receive():
                self._received.extend(batch)

    def _break(self, *, abruptly: bool) -> None:
        if abruptly and isinstance(self._transport, _Resettable):
            self._transport.reset()
        else:
            assert isinstance(self._transport, Breakable)  # looked at when it was wrapped
            self._transport.abort("the connection was reset" if abruptly else "the connection dropped")


def _kind_of(message: str | bytes) -> str:
    found = _TYPE.search(message) if isinstance(message, str) else None
    return "" if found is None else found[1]


def _spoilt(message: str | bytes, how: Corruption) -> str | bytes:
    if isinstance(message, bytes):
        return message[: len(message) // 2]
    match how:
        case "cut":
            return message[: len(message) // 2]
        case "garbage":
            return "{" + message
        case "payload":  # every value but the type becomes one that nobody expects
            head, separator, rest = message.partition(",")
            return head + separator + _FIELD.sub(r"\1[[]]", rest)
        case _:
            return _DELTA.sub(r'\1*no base64*"', message)
