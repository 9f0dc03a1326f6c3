"""A connected socket, with or without TLS: what can be done with it at once, and the waiting.

Owns the socket, what has not been written yet, and TLS.  Knows nothing of what is carried.

Theory of operation.  Reading and writing never wait; waiting is for methods of its own.  A task
that is woken because there is something to read reads it in the same step, which costs one pass of
the scheduler where reading first and waiting then costs two.  What the network does not take is
kept, in order, and whoever waits for it to go writes it: several tasks may write, each a whole at a
time, and none of them can tear what another one has begun.

TLS runs over two memory BIOs.  To let OpenSSL read the socket itself would save a copy, and cost
two system calls for every record and a third to learn that there is no more.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from contextlib import suppress
from typing import Final, NoReturn

import attrs
import trio

_RECORD: Final = 2**16
"""Bytes of plain text to ask TLS for at once; a record has 16 KiB at the most."""

_ROOM: Final = 2**16
"""Bytes that may wait to be written until there is no more room: a second of audio as base64, which
goes in one piece as soon as anything goes."""
_GATHERED: Final = 64
"""Pieces for one system call."""

# The C struct linger, switched on with 0 seconds: closing then sends a reset.  Windows has shorts.
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Line:
    """A connected socket.  Its owner closes it.

    Args:
        stream: The connection, whose socket the line takes over; of no use any more.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._socket = socket.socket(fileno=stream.socket.detach())
        self._socket.setblocking(False)
        self._tls: _Tls | None = None
        self._early = b""
        """What came together with the end of the TLS handshake."""
        self._read_failure: OSError | None = None
        self._write_failure: OSError | None = None
        self._rest: list[memoryview] = []
        """Few, and most of the time none."""
        self._rest_size = 0
        self._is_draining = False
        self._drained = trio.lowlevel.ParkingLot()

    @property
    def is_closed(self) -> bool:
        """Whether the socket has been closed here."""
        return self._socket.fileno() < 0

    # --- reading ----------------------------------------------------------------------------------

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or the end of it.  One task at a time.

        Cancel-safe.

        Raises:
            trio.ClosedResourceError: The line was closed, or `wake_reader` called.
        """
        if self.is_closed:
            raise trio.ClosedResourceError("the line is closed")
        if self._early or self._read_failure or (self._tls is not None and self._tls.is_over):
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.wait_readable(self._socket)

    def wake_reader(self) -> None:
        """Let the task in `wait_readable` go, with a `ClosedResourceError`."""
        if not self.is_closed:
            trio.lowlevel.notify_closing(self._socket)

    def read(self, size: int) -> bytes | None:
        """Read what is there.

        Args:
            size: Bytes to take from the network at the most.

        Returns:
            None if there is nothing, b"" at the end.

        Raises:
            trio.BrokenResourceError: The connection broke, as its cause says.
            trio.ClosedResourceError: The line is closed.
        """
        if self._early:
            early, self._early = self._early, b""
            return early
        # Kept: the system tells an error once, and then calls it the end.
        if self._read_failure is not None:
            raise trio.BrokenResourceError from self._read_failure
        try:
            data = self._socket.recv(size)
            return data if self._tls is None else self._decrypt(self._tls, data)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if self.is_closed:
                raise trio.ClosedResourceError("the line is closed") from None
            self._read_failure = error
            raise trio.BrokenResourceError from error

    # --- writing ----------------------------------------------------------------------------------

    @property
    def has_rest(self) -> bool:
        """Whether something that was written has not gone yet."""
        return bool(self._rest)

    @property
    def has_room(self) -> bool:
        """Whether what has not gone yet is so little that more may be kept with it."""
        return self._rest_size < _ROOM

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Write what goes at once, and keep the rest for `drain`.

        Returns:
            Whether everything has gone, of this and of what was written before.

        Raises:
            trio.BrokenResourceError: The connection broke; nothing of it was kept.
            trio.ClosedResourceError: The line is closed.
        """
        if self._write_failure is not None:
            raise trio.BrokenResourceError from self._write_failure
        try:
            if self._tls is not None:
                data = self._tls.encrypt(data)
            if not self._rest:
                sent = self._socket.send(data)
                if sent == len(data):
                    return True
                data = memoryview(data)[sent:]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._fail_writing(error)
        self._keep(data)
        return False

    async def drain(self) -> None:
        """Wait until everything that was written has gone.  Any number of tasks.

        Cancellation: what has not gone stays, for whoever drains next.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: As for `write`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._rest:
            if self._is_draining:
                await self._drained.park()
                continue
            if self.is_closed:
                raise trio.ClosedResourceError("the line is closed")
            self._is_draining = True
            try:
                # `wake_reader` wakes this as well, and does not mean it.
                with suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_writable(self._socket)
                self._push()
            finally:
                self._is_draining = False
                self._drained.unpark_all()
        if self._write_failure is not None:
            raise trio.BrokenResourceError from self._write_failure

    def _push(self) -> None:
        try:
            while self._rest:
                # Several at a time, for a system call takes longer than a short one of them.
                sent = _send(self._socket, self._rest[:_GATHERED])
                self._rest_size -= sent
                while self._rest and sent >= len(self._rest[0]):
                    sent -= len(self._rest.pop(0))
                if sent:
                    self._rest[0] = self._rest[0][sent:]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail_writing(error)

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        self._rest.append(memoryview(data))
        self._rest_size += len(data)

    def _fail_writing(self, error: OSError) -> NoReturn:
        self._rest.clear()
        self._rest_size = 0
        if self.is_closed:
            raise trio.ClosedResourceError("the line is closed") from None
        self._write_failure = error
        raise trio.BrokenResourceError from error

    # --- TLS --------------------------------------------------------------------------------------

    async def start_tls(
        self, context: ssl.SSLContext, *, server_hostname: str | None = None
    ) -> None:
        """Do the TLS handshake, as a client if there is the name of a server.

        Cancellation: the line is of no use any more.

        Raises:
            ssl.SSLError: They do not agree, or the certificate is not good.
            trio.BrokenResourceError: The connection broke.
            EOFError: The peer hung up.
        """
        tls = _Tls.of(context, server_hostname)
        while not self._shakes_hands(tls):
            await self.drain()
            await self.wait_readable()
            if (data := self.read(_RECORD)) is not None:
                if not data:
                    raise EOFError
                tls.incoming.write(data)
        await self.drain()
        self._tls = tls
        # A client that speaks first does not wait for our last word.
        self._early = tls.decrypt() or b""

    def _shakes_hands(self, tls: _Tls) -> bool:
        """Take a step of the handshake; True once it is done."""
        is_done = True
        try:
            tls.state.do_handshake()
        except ssl.SSLWantReadError:
            is_done = False
        except ssl.SSLError:
            with suppress(trio.BrokenResourceError):
                self.write(tls.outgoing.read())  # the peer is told why
            raise
        self.write(tls.outgoing.read())
        return is_done

    def _decrypt(self, tls: _Tls, data: bytes) -> bytes | None:
        if data:
            tls.incoming.write(data)
        else:
            tls.incoming.write_eof()
        plain = tls.decrypt()
        # Reading may have something to say as well, such as new keys.
        if tls.outgoing.pending:
            self._keep(tls.outgoing.read())
            with suppress(trio.BrokenResourceError):
                self._push()
        return plain

    # --- the end ----------------------------------------------------------------------------------

    def send_fin(self) -> None:
        """Tell the peer that nothing more will come, if the peer is still there."""
        with suppress(OSError):
            if self._tls is not None and not self._rest:
                self._socket.send(self._tls.say_goodbye())
            self._socket.shutdown(socket.SHUT_WR)

    def reset_on_close(self) -> None:
        """Make closing the socket a reset, which tells the peer's TCP that something broke.

        Data that was not sent yet is lost.
        """
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def close(self) -> None:
        """Close the socket without waiting for anything, not even a checkpoint.  Idempotent."""
        if not self.is_closed:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


@attrs.define(eq=False)
class _Tls:
    """The state of TLS, between what is read and written and what travels."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    state: ssl.SSLObject
    is_over: bool = False
    """Whether the peer has said that nothing more comes."""

    @classmethod
    def of(cls, context: ssl.SSLContext, server_hostname: str | None) -> _Tls:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return cls(
            incoming,
            outgoing,
            context.wrap_bio(
                incoming,
                outgoing,
                server_side=server_hostname is None,
                server_hostname=server_hostname,
            ),
        )

    def encrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        rest = memoryview(data)
        while rest:
            rest = rest[self.state.write(rest) :]
        return self.outgoing.read()

    def decrypt(self) -> bytes | None:
        """All that can be read by now; None if that is nothing, b"" at the end."""
        pieces = []
        try:
            while piece := self.state.read(_RECORD):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces) or None
        except ssl.SSLEOFError:
            # Hung up without TLS's own goodbye, as many do.  What TLS carries has one of its own.
            pass
        self.is_over = True
        return b"".join(pieces)

    def say_goodbye(self) -> bytes:
        with suppress(ssl.SSLError):
            self.state.unwrap()
        return self.outgoing.read()


def _send(sock: socket.socket, pieces: list[memoryview]) -> int:
    # Windows cannot gather what it sends.
    return sock.sendmsg(pieces) if hasattr(sock, "sendmsg") else sock.send(pieces[0])
