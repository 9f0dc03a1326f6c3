"""A transport on which things go wrong on purpose, when a certain event is about to be sent.

Owns what goes wrong, and nothing of the protocol: a `FaultyTransport` stands between the simulated
server and the network, and looks into a message only as far as its type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import trio
from attrs import define, field

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._transport.contract import NORMAL_CLOSURE, Close, Transport
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import ErrorDetail, ErrorEvent
from realtime_trio.simulator.script.fault import Corruption, Fault

# Patterns and not JSON, because a message that another fault has spoilt must go through, too.
_TYPE = re.compile(r'"type"\s*:\s*"([^"]*)"')
_DELTA = re.compile(r'("delta"\s*:\s*")[^"]*"')
# A scalar behind a colon: the comma or brace after it keeps colons within texts out.
_FIELD = re.compile(r'(:\s*)(?:"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null)(?=\s*[,}])')


@runtime_checkable
class Breakable(Protocol):
    """A transport that can end as if the network had failed."""

    def abort(self, reason: str = ...) -> None:
        """Drop the connection without a close frame; `closed` is then `Close(1006, reason)`."""


@runtime_checkable
class _Resettable(Protocol):
    def reset(self) -> None: ...


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
    """A server's transport on which things go wrong; see `Transport` for its methods.

    One task sends, and one receives; any task may let something more go wrong.

    Args:
        transport: The transport that works.
        faults: What goes wrong.  Each fault strikes by itself, in this order.
        codec: Writes the error events; that of a server of today's protocol by default.

    Raises:
        LocalProtocolError: The connection is to be dropped, and this transport cannot do that.
    """

    def __init__(
        self, transport: Transport, faults: Iterable[Fault], codec: Codec | None = None
    ) -> None:
        self._transport = transport
        self._traps: list[_Trap] = []
        for fault in faults:
            self.add(fault)
        self._codec = codec or Codec(Role.SERVER)
        # A fault that strikes at once writes beside the task that sends.
        self._writing = trio.Lock()
        self._received: list[str | bytes] = []
        self._deaf_until = -math.inf
        self._gone = trio.Event()
        self._late: list[tuple[int, str | bytes]] = []
        self._rate = math.inf

    def add(self, fault: Fault) -> None:
        """Let something more go wrong; its events are counted from now on.

        Raises:
            LocalProtocolError: The connection is to be dropped, and this transport cannot do that.
        """
        self._check(fault)
        self._traps.append(_Trap(fault))

    async def strike(self, fault: Fault) -> None:
        """Let a fault happen now, and not when an event is about to be sent.

        For those that need no event: `drop`, `reset`, `closing`, `expiry` and `failing`.

        Raises:
            LocalProtocolError: As for `add`.
            ConnectionLost: The connection has ended.
        """
        self._check(fault)
        for message in await self._strike(fault, []):
            await self._write(message)

    def _check(self, fault: Fault) -> None:
        if fault.kind in ("drop", "reset") and not isinstance(self._transport, Breakable):
            raise LocalProtocolError(
                f"the fault {fault.kind} needs a transport with `abort`, "
                f"which {type(self._transport).__name__} does not have"
            )

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open."""
        return self._transport.closed

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived; `()` after the end.  Cancel-safe."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._is_deaf() or not self._received:
            # What arrives while the server stalls is kept, and acted upon when that is over.
            with trio.move_on_at(self._deaf_until if self._is_deaf() else math.inf):
                batch = await self._transport.receive()
                self._received += batch
                if not batch:
                    # A stall ends with the client: what was kept is handed on, and then the end.
                    self._gone.set()
                    self._deaf_until = -math.inf
                    if not self._received:
                        return ()
        messages = tuple(self._received)
        self._received.clear()
        return messages

    def _is_deaf(self) -> bool:
        return trio.current_time() < self._deaf_until

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
        # Only now, so that what comes late comes after the message and not between its copies.
        for _ in messages:
            await self._release()

    def send_nowait(self, message: str | bytes) -> bool:
        """Refuse: most faults take time."""
        return False

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the transport."""
        await self._transport.aclose(code, reason)

    # --- mischief ---------------------------------------------------------------------------------

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
                # The sender sleeps here, and the receiver keeps what arrives: see `receive`.
                self._deaf_until = trio.current_time() + fault.seconds
                with trio.move_on_at(self._deaf_until):
                    await self._gone.wait()
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
        async with self._writing:
            await self._transport.send(message)

    async def _release(self) -> None:
        """One more message was sent: send those whose time has come."""
        await trio.lowlevel.checkpoint_if_cancelled()
        counted = [(behind - 1, message) for behind, message in self._late]
        self._late = [(behind, message) for behind, message in counted if behind > 0]
        due = [message for behind, message in counted if behind <= 0]
        for message in due:
            await self._write(message)

    def _break(self, *, abruptly: bool) -> None:
        # In memory there is no TCP to reset, and dropping is all that can be done.
        if abruptly and isinstance(self._transport, _Resettable):
            self._transport.reset()
        else:
            assert isinstance(self._transport, Breakable), "checked when it was wrapped"
            self._transport.abort(
                "the connection was reset" if abruptly else "the connection dropped"
            )


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
        case "payload":
            # Every value but the type becomes a list in a list, which no field is; the type stands
            # first.
            head, separator, rest = message.partition(",")
            return head + separator + _FIELD.sub(r"\1[[]]", rest)
        case _:
            return _DELTA.sub(r'\1*no base64*"', message)
