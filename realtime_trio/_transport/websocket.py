"""The transport that runs over a WebSocket, on either side of it.

Owns the promises of `Transport` over a network: who reads the line and who writes it, the
keep-alive, and the way a connection ends.  How a client connects is in
`_transport.websocket_client`, and how a server accepts connections in `_serving.websocket_server`.

Theory of operation.  There are two lanes.  Nearly every message is one plain frame: whoever calls
`receive` reads the line on its own task and lifts such frames out (`_transport.frames`), and `send`
writes them, with no other task in between.  What is not plain - handshake, pings, fragments, the
close frame, offences - goes through trio-websocket, which sees the rest of the stream through a
`Tap` and answers by it; both lanes write whole frames to one `Line`, so that they never mix.  A
message that trio-websocket puts together is waited for at its place in the order, and from a close
frame or an offence on everything is trio-websocket's.

One service task per connection (`WebSocketTransport.run`) outlives any cancellation of its user and
owns the line: it ends only by itself or through `drop`, and closes the socket last.  While nobody
calls `receive` it reads ahead, into the inbox, so that pings are answered.  Beside it run
trio-websocket's reader and the keep-alive.

There are three ways to end, and only the first change of `closed` counts: the peer closes or
vanishes (whoever reads notices), `aclose` asks for a farewell (the service task says it), or the
connection is given up (`drop`: there was no pong, or a send was cancelled half way).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, TypeAlias

import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection

from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._transport.closing import closing
from realtime_trio._transport.contract import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Close,
    check_close_code,
)
from realtime_trio._transport.failed_handshake import AnsweredError, handshake_failure
from realtime_trio._transport.frames import FrameLane, frame
from realtime_trio._transport.inbox import Inbox
from realtime_trio._transport.line import Line
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.tap import Tap, breakage
from realtime_trio.errors import ConnectionFailed, ConnectionLost

_LAST_WORDS_S: Final = 0.05
"""How long a close frame may take of which nobody waits for the answer: for a few scheduler passes,
not for a network."""
_FIRST_LOOK_S: Final = 0.05
_LAST_LOOK_S: Final = 1.0
"""Seconds after which a connection from which nobody receives is read ahead.  It begins with the
first, for those who only send, and becomes longer for those who do receive."""
_LAST_READS: Final = 64
"""How often a line is read that is about to be closed: for all that systems buffer, and more."""
_SENDS_IN_A_ROW: Final = 16
"""Messages that are sent before other tasks get their turn.  That costs as much as a short one."""

_transport_logger = logging.getLogger("realtime_trio.transport")

Handshake: TypeAlias = Callable[[trio.Nursery, Tap], Awaitable[WebSocketConnection]]
"""Shakes hands over a tap, with trio-websocket's tasks in a nursery."""


class WebSocketTransport:
    """A `Transport` over a WebSocket; see there for its methods.

    It is made by `open_websocket` and `serve_websocket`.

    While nobody calls `receive`, what arrives waits in an inbox, and pings are answered within a
    second.  If `max_message_size` bytes have piled up there, reading stops: the peer cannot send
    any more, its pings stay unanswered, and its pongs are not seen, so that the keep-alive gives
    the connection up after `ping_timeout`.
    """

    def __init__(self, line: Line, settings: WebSocketSettings, *, is_client: bool) -> None:
        self._line = line
        self._tap = Tap(line)
        self.settings = settings
        self._is_client = is_client
        self._lane = FrameLane(masks=not is_client, limit=settings.max_message_size)
        self._connection: WebSocketConnection | None = None
        self._inbox = Inbox(settings.max_message_size)
        self._receives = False
        """Whether a task is in `receive`, and reads the line."""
        self._is_attended = False
        """Whether one was, since the service task looked last."""
        self._ahead: trio.CancelScope | None = None
        """Of the task that reads ahead, if one does."""
        self._sends = 0
        self._drains = False
        """Whether a task of the connection writes what `send_nowait` could not."""
        self._closed: Close | None = None
        self._farewell: Close | None = None
        self._handshake_error: Exception | None = None
        # Shielded from its user: only `drop` ends the service task early.
        self._scope = trio.CancelScope(shield=True)
        self._drainers: trio.Nursery | None = None
        self._opened = trio.Event()
        self._ending = trio.Event()
        self._said = trio.Event()
        self._done = trio.Event()

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open."""
        return self._closed

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server selected, or None."""
        return self._open_connection.subprotocol

    # --- receiving --------------------------------------------------------------------------------

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived; `()` after the end.

        Cancel-safe: nothing is lost.
        """
        if self._ahead is not None or self._inbox.has_news:
            self._is_attended = True
            return await self._inbox.take()
        messages: list[str | bytes] = []
        self._receives = self._is_attended = True
        try:
            while not (messages or self._inbox.has_news):
                await self._read(messages)
        finally:
            self._receives = False
        # Without a checkpoint where nothing is in the way: `_read` was one.
        return tuple(messages) if messages else await self._inbox.take()  # noqa: ASYNC910 - `_read` was one

    # A Ctrl-C between reading bytes and knowing what they are would lose them.
    @trio.lowlevel.enable_ki_protection
    async def _read(self, messages: list[str | bytes]) -> None:  # noqa: ASYNC910 - all it waits for are
        """Wait for something to arrive, and append the messages that are complete with it.

        There may be none, if it was not plain or not whole.  At the end the inbox is ended.

        Cancel-safe: nothing is lost.
        """
        try:
            if self._lane.owes or self._tap.is_open:
                messages.append(await self._open_connection.get_message())
                self._lane.owes = False
            elif self._tap.is_full:
                await self._tap.wait_taken()
            else:
                await self._line.wait_readable()
                data = self._line.read(self.settings.receive_buffer_size)
                if data is None:
                    return
                if not data:
                    self._tap.release()
                self._lane.feed(data)
        except ConnectionClosed as ended:
            self._end_as(ended.reason)
        except trio.ClosedResourceError:
            # Woken by an end on this side: of the lane, or of everything.
            if self._line.is_closed:
                self._end_as(self._open_connection.closed)
        except trio.BrokenResourceError:
            self._tap.release()
        self._lift(messages)

    def _lift(self, messages: list[str | bytes]) -> None:
        while passed := self._lane.lift(messages):
            self._tap.give(passed)
            if self._lane.is_down:
                self._tap.release()

    def _notice_end(self) -> None:
        """Leave the lane if trio-websocket has ended the connection, which the lane cannot know.

        So it does over a message in fragments or a long one, before it is complete.
        """
        if not self._tap.is_open and self._open_connection.closed is not None:
            self._leave_lane()

    def _leave_lane(self) -> None:
        """Let trio-websocket read everything from here on, for it is about the end."""
        self._lane.owes, self._lane.is_down = False, True
        self._lift([])
        self._tap.release()
        self._line.wake_reader()

    def _take_in(self) -> None:
        """Receive what has arrived, without waiting: the end would make it unreadable."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            # A limited number of times, for somebody may be sending for ever.
            for _ in range(_LAST_READS):
                if self._lane.owes or self._tap.is_open or self._inbox.is_full:
                    break
                if not (data := self._line.read(self.settings.receive_buffer_size)):
                    break
                self._lane.feed(data)
                self._lift_into_inbox()

    def _lift_into_inbox(self) -> None:
        messages: list[str | bytes] = []
        self._lift(messages)
        for message in messages:
            self._inbox.add(message, len(message))

    async def _attend_loop(self) -> None:  # noqa: ASYNC910 - nobody calls it after the end
        """Read ahead whenever nobody has received for a while; until the end."""
        patience = _FIRST_LOOK_S
        while not self._ending.is_set():
            self._is_attended = self._receives
            with trio.move_on_after(patience):
                await self._ending.wait()
            patience = min(2 * patience, _LAST_LOOK_S)
            if not self._is_attended:
                await self._read_ahead()

    async def _read_ahead(self) -> None:  # noqa: ASYNC910 - `_read` is one
        """Read until somebody receives again, or until the end."""
        try:
            with trio.CancelScope() as self._ahead:  # noqa: ASYNC912 - `_read` is one
                # Who waits for the inbox would wait for ever if this went now.
                while not self._ending.is_set() and (
                    self._inbox.is_awaited or not self._is_attended
                ):
                    messages: list[str | bytes] = []
                    await self._read(messages)
                    for message in messages:
                        self._inbox.add(message, len(message))
                    # Asked afterwards: a message that is there already cannot be refused.
                    if self._inbox.is_full:
                        await self._inbox.wait_for_room()
        finally:
            self._ahead = None

    # --- sending ----------------------------------------------------------------------------------

    async def send(self, message: str | bytes) -> None:
        """Send one message; return when it has been handed to the network.

        A cancelled send breaks the connection for good, unless it was cancelled before anything was
        written: nothing can be sent behind half a frame.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._line.has_rest:
            # What is in the way may be half a frame of `send_nowait`; of this one there is nothing.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._line.drain()
        if self._is_sendable:
            try:
                if not self._line.write(frame(message, masks=self._is_client)):
                    await self._line.drain()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                await self._wait_for_end(breakage(error))
            except (trio.Cancelled, KeyboardInterrupt):
                # Half a frame may have been written: nothing can be sent behind it any more.
                self._close(Close(ABNORMAL_CLOSURE, "a send was cancelled half way"))
                self.drop()
                raise
            else:
                self._sends += 1
                if self._sends % _SENDS_IN_A_ROW == 0:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return
        assert self._closed is not None
        raise ConnectionLost(self._closed.code, self._closed.reason)

    def send_nowait(self, message: str | bytes) -> bool:
        """Send one message if the network takes it without waiting.

        What it does not take is written by a task of the connection.  A little of that is no reason
        to refuse more: it is written together.
        """
        if not self._line.has_room or not self._is_sendable:
            return False
        try:
            has_gone = self._line.write(frame(message, masks=self._is_client))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        if not has_gone and not self._drains:
            assert self._drainers is not None, "it is open"
            self._drains = True
            self._drainers.start_soon(self._drain)
        return True

    async def _drain(self) -> None:  # noqa: ASYNC910 - it is a task
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._line.drain()
        finally:
            self._drains = False

    @property
    def _is_sendable(self) -> bool:
        """Whether nobody has said goodbye."""
        if self._closed is None and self._open_connection.closed is not None:
            # The peer's close frame is being answered; nothing may follow that.
            self._close_as(self._open_connection.closed)
        return self._closed is None

    async def _wait_for_end(self, how: str) -> None:
        """The line does not take anything any more: find out why, from what the peer said last."""
        # An error is told once, and reading would call it the end.
        self._tap.ending = self._tap.ending or how
        self._take_in()
        self._leave_lane()
        with trio.move_on_after(self.settings.close_timeout):
            if not self._receives and self._ahead is None:
                self._is_attended = False
                await self._read_ahead()
            # Somebody who receives may have taken over before the end.
            await self._ending.wait()
        self._close(Close(ABNORMAL_CLOSURE, how))

    # --- the end ----------------------------------------------------------------------------------

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Do the closing handshake within the close timeout, then close the socket in any case.

        Idempotent.

        Cancellation: as `Transport` says.

        Raises:
            LocalProtocolError: The code may not appear on the wire.
        """
        check_close_code(code)
        if self._closed is None:
            self._take_in()
            self._closed = self._farewell = Close(code, reason)
            self._ending.set()
            if self._ahead is not None:
                self._ahead.cancel()
        self._inbox.end()
        try:
            with trio.move_on_after(self.settings.close_timeout):
                await self._done.wait()
        except trio.Cancelled:
            # The service task has yet to write the close frame, which takes a few microseconds
            # unless the peer has stopped reading.
            with trio.move_on_after(_LAST_WORDS_S, shield=True):
                await self._said.wait()
            await self._drop_and_wait()  # noqa: ASYNC102 - it is shielded inside
            raise
        await self._drop_and_wait()

    async def _drop_and_wait(self) -> None:
        self.drop()
        # Needs no limit: a service task that was dropped does not wait for anything.
        with trio.CancelScope(shield=True):
            await self._done.wait()

    def abort(self, reason: str = "connection dropped") -> None:
        """Drop the connection as a network failure would.  Idempotent.

        There is no close frame, and `closed` is `Close(1006, reason)`.

        Messages that were received before stay readable.  The socket is gone when `aclose` returns,
        or soon if nobody calls that.
        """
        if self._closed is None:
            self._take_in()
            self._close(Close(ABNORMAL_CLOSURE, reason))
            self._inbox.end()
            self.drop()

    def reset(self, reason: str = "connection reset") -> None:
        """Do as `abort` does, but with a TCP reset, like a peer that has crashed."""
        if self._closed is None:
            self._line.reset_on_close()
            self.abort(reason)

    def drop(self) -> None:
        """End the service task, and with it the socket, without another word to the peer."""
        self._scope.cancel()

    async def wait_opened(self, peer: str) -> None:
        """Wait for the handshake.

        Raises:
            ConnectionFailed: There was no handshake; the message calls the other side `peer`.
        """
        await self._opened.wait()
        if self._connection is None:
            raise handshake_failure(peer, self._handshake_error, bytes(self._tap.opening or b""))

    async def run(self, handshake: Handshake) -> None:  # noqa: ASYNC910 - it is a task
        """Be the connection's service task, from the handshake to the closed socket.

        Nothing that the peer does makes it raise.
        """
        try:
            with self._scope:  # noqa: ASYNC912 - `_serve` is one
                try:
                    await self._serve(handshake)
                except ExceptionGroup as group:
                    self._reader_failed(group)
                if self._connection is not None or isinstance(self._handshake_error, AnsweredError):
                    await self._linger()
        finally:
            # Whatever has happened, also Ctrl-C anywhere above: nobody may be left waiting for it.
            self._close_as(None)
            self._inbox.end()
            self._tap.release()
            self._line.close()
            self._opened.set()
            self._said.set()
            self._done.set()

    async def _serve(self, handshake: Handshake) -> None:
        async with trio.open_nursery() as nursery:
            # If the stream ends during the handshake, the reader leaves that waiting forever.
            self._tap.on_end = nursery.cancel_scope.cancel
            self._connection = await handshake(nursery, self._tap)
            self._tap.on_end = None
            self._tap.on_dealt = self._notice_end
            # The recording is for failed handshakes only, and would go on with every message.
            self._tap.opening = None
            self._drainers = nursery
            self._lane.feed(self._tap.take_ahead())
            self._lift_into_inbox()
            self._opened.set()
            if self.settings.ping_interval is not None:
                nursery.start_soon(self._keep_alive_loop, self.settings.ping_interval)
            await self._attend_loop()
            self._leave_lane()
            if self._farewell is not None:
                self._tap.sent = self._said
                await self._connection.aclose(self._farewell.code, self._farewell.reason or None)
                # Not by the write, if the peer's close frame came first.
                self._said.set()
            # If the peer's close frame came first, aclose() returned at once and the reader is
            # still answering.  What else arrives is too late.
            with suppress(ConnectionClosed):
                while True:
                    await self._connection.get_message()
            nursery.cancel_scope.cancel()

    def _reader_failed(self, group: ExceptionGroup[Exception]) -> None:
        """Note what ended trio-websocket's reader.

        That may be a rejected handshake, an answer that is not HTTP, a ping behind a close frame.
        """
        if self._connection is None:
            self._handshake_error = group.exceptions[0]
        else:
            _transport_logger.debug("the WebSocket reader failed", exc_info=group)
            self._close_as(self._connection.closed)
            self._leave_lane()

    async def _keep_alive_loop(self, interval: float) -> None:
        timeout = self.settings.ping_timeout
        while True:
            await trio.sleep(interval)
            with trio.move_on_after(timeout) as patience:
                try:
                    await self._open_connection.ping()
                except ConnectionClosed:
                    # The peer's close frame is being answered, which may take as long as a pong.
                    await trio.sleep_forever()
            if patience.cancelled_caught:
                # If a close frame has come meanwhile, its code is the better explanation.
                self._close_as(
                    self._open_connection.closed
                    or CloseReason(ABNORMAL_CLOSURE, f"no pong within {timeout:g} s")
                )
                self.drop()

    async def _linger(self) -> None:
        """Read on until the peer hangs up.

        Closing a socket with unread data resets it, and may cost the peer our last words.
        """
        await trio.lowlevel.checkpoint()
        self._line.send_fin()
        self._tap.release()
        with (
            trio.move_on_after(self.settings.close_timeout),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
        ):
            while await self._tap.receive_some():
                pass

    @property
    def _open_connection(self) -> WebSocketConnection:
        assert self._connection is not None, "nobody sees the transport before its handshake"
        return self._connection

    def _close(self, close: Close) -> None:
        if self._closed is None:
            self._closed = close

    def _end_as(self, reason: CloseReason | None) -> None:
        """It is over, and everything has been received."""
        self._close_as(reason)
        self._inbox.end()
        self._ending.set()

    def _close_as(self, reason: CloseReason | None) -> None:
        # trio-websocket gives no reason for a connection that broke; the tap has seen it.
        if reason is None or (reason.code == ABNORMAL_CLOSURE and not reason.reason):
            self._close(Close(ABNORMAL_CLOSURE, self._tap.ending or "the connection broke"))
        else:
            self._close(Close(int(reason.code), reason.reason or ""))


@contextmanager
def connect_limit(settings: WebSocketSettings, start: float, peer: str) -> Iterator[None]:
    """Limit the time from `start` until there is a connection.

    Raises:
        ConnectionFailed: There was none; the message calls the other side `peer`.
    """
    try:
        with trio.fail_at(start + settings.connect_timeout):
            yield
    except trio.TooSlowError:
        raise ConnectionFailed(
            f"cannot connect to {peer}: no answer within {settings.connect_timeout:g} s"
        ) from None


@asynccontextmanager
async def run_websocket(
    transport: WebSocketTransport, handshake: Handshake, start: float, peer: str
) -> AsyncIterator[None]:
    """Run a transport from its handshake to its end, and own its line."""
    async with open_service_nursery() as nursery:
        nursery.start_soon(transport.run, handshake)
        try:
            with connect_limit(transport.settings, start, peer):
                await transport.wait_opened(peer)
        except BaseException:
            # The service task is shielded, and the nursery would wait for it.
            transport.drop()
            raise
        async with closing(transport):
            yield
