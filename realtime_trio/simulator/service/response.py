"""One response under way, from its creation to its end, also when it is stopped half way.

Owns the life of a response: what it is given to say, its first and last events, what runs after it.
Its items are streamed by `response_output`; what both go by is in `response_progress`.

Theory of operation.  A response is a generator that sends its events to the outbox and yields the
time before which it must not go on.  The server lets it run when that time has come.  What it says
it takes from a queue, which a script fills at once and an agent bit by bit; while that is empty and
more may come, it waits for no time but to be woken.  Stopping it notes how it ends and lets it run
to its end regardless of times: every loop over deltas looks at the note and falls through to the
lines that close the part, the item and the response.  So what is open is closed in the same order
and by the same code, interrupted or not, and what was not said yet is never said.

A call of an MCP tool is made here and run elsewhere, when the response is done.  Like a call of a
function it counts if it was made as a whole, however the response ends after it; one that is cut
short is closed like everything else and is never run.
"""

from __future__ import annotations

import math

from realtime_trio.events import (
    RateLimitsUpdated,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCreated,
    ResponseDone,
    ResponseStatus,
    ResponseStatusDetails,
    ResponseUsage,
)
from realtime_trio.simulator.roles import Piece
from realtime_trio.simulator.script.script import Failure, Pacing, Reply
from realtime_trio.simulator.service.conversation import ServerConversation
from realtime_trio.simulator.service.lifecycle import ServerOutbox, Steps, Task
from realtime_trio.simulator.service.mcp import HostedTools
from realtime_trio.simulator.service.response_output import OutputWriter
from realtime_trio.simulator.service.response_progress import ResponseProgress
from realtime_trio.simulator.service.response_settings import ResolvedSettings
from realtime_trio.simulator.service.usage import InputTokens, make_rate_limits, make_usage


class RunningResponse(Task):
    """A response from its creation to `response.done`.

    Give it either the whole of what it says, by `perform`, or one piece after the other, by `say`
    and finally `end`.

    Args:
        settings: How it is said.
        pacing: How fast, if that is not said by what it performs.
        read: What it had to read.
        hosted: Where its calls of MCP tools go.
        conversation: Where its items go, None if out of band.
        outbox: Where its events go.
        now: Time of its creation.
    """

    def __init__(
        self,
        settings: ResolvedSettings,
        pacing: Pacing,
        *,
        read: InputTokens,
        hosted: HostedTools,
        conversation: ServerConversation | None,
        outbox: ServerOutbox,
        now: float,
    ) -> None:
        # Names it also as a question, for an agent that answers it.
        self.id = outbox.new_id("resp_")
        self._settings = settings
        self._created = now
        self._read = read
        self._hosted = hosted
        self._conversation = conversation
        self._out = outbox
        self._progress = ResponseProgress(pacing, _limit(settings))
        self._writer = OutputWriter(self.id, settings, self._progress, hosted, conversation, outbox)
        super().__init__(self._run(now))

    @property
    def is_open(self) -> bool:
        """Whether more can be said in it."""
        return self.due is not None and self._progress.more_may_come

    @property
    def backlog(self) -> int:
        """How many pieces were given to it and not begun yet."""
        return len(self._progress.queue)

    @property
    def spoken_ms(self) -> float:
        """Milliseconds that its speech plays, as far as there is any."""
        return self._progress.spoken_ms

    def perform(self, reply: Reply, now: float) -> None:
        """Say all of a reply, and nothing more."""
        self._progress.queue += reply.outputs
        self._progress.pacing = reply.pacing or self._progress.pacing
        self.end(now, reply.failure)

    def say(self, piece: Piece, now: float) -> None:
        """Go on with a piece of the message, or with a call."""
        self._progress.queue.append(piece)
        self.wake(now)

    def end(self, now: float, failure: Failure | None = None) -> None:
        """Say what is left in the queue, and nothing more.

        Args:
            now: The present time.
            failure: Why nothing more comes; the response fails when the rest has been said.
        """
        self._progress.more_may_come = False
        self._progress.failure = failure
        self.wake(now)

    def wake(self, now: float) -> None:
        """Let it go on, though not before the time of its first event."""
        super().wake(max(now, self._created + self._progress.pacing.time_to_first_event))

    def cancel(self, reason: str, now: float) -> None:
        """Stop it: what is open is closed, unsaid things stay unsaid, and `response.done` follows.

        Args:
            reason: As the protocol spells it: `client_cancelled` or `turn_detected`.
            now: The present time.
        """
        self._progress.ending = (
            "cancelled",
            ResponseStatusDetails(type="cancelled", reason=reason),
        )
        # Not by `wake`, which would wait for the first event of a response that has none yet.
        self.due = now
        self.advance()
        assert self.due is None, "a response that is ending waits for nothing"

    def _run(self, now: float) -> Steps:
        self._out.send(
            ResponseCreated(event_id=self._out.event_id(), response=self._report("in_progress"))
        )
        index = 0
        now = yield from self._progress.wait(now)
        while self._progress.goes_on:
            output = self._progress.queue.popleft()
            now = yield from self._writer.write(index, output, now)
            index += 1
            now = yield from self._progress.wait(now)
        self._progress.fail_if_told()
        status, details = self._progress.ending or ("completed", None)
        usage = make_usage(
            self._read, text=self._progress.text_tokens, audio=self._progress.audio_tokens
        )
        # A response that fails sends no `error` event beside this.
        self._out.send(
            ResponseDone(
                event_id=self._out.event_id(), response=self._report(status, details, usage)
            )
        )
        # The specification puts the limits at the start of a response; on the wire they follow it.
        self._out.send(
            RateLimitsUpdated(event_id=self._out.event_id(), rate_limits=make_rate_limits(usage))
        )
        # Calls of MCP tools run only now, as the live service does it; its guide lists them within
        # the response.  They start at the time of this step: `now` is when the last delta was due,
        # which lies in the future if the response was cancelled.
        assert self.due is not None, "nothing was called before the first wait"
        for made in self._writer.made:
            self._hosted.run(made, self.due)

    def _report(
        self,
        status: ResponseStatus,
        details: ResponseStatusDetails | None = None,
        usage: ResponseUsage | None = None,
    ) -> Response:
        return Response(
            id=self.id,
            object="realtime.response",
            status=status,
            status_details=details,
            output=tuple(self._progress.output),
            metadata=self._settings.metadata,
            audio=ResponseAudio(
                output=ResponseAudioOutput(format=self._settings.format, voice=self._settings.voice)
            ),
            usage=usage,
            conversation_id=None if self._conversation is None else self._conversation.id,
            output_modalities=(self._settings.modality,),
            max_output_tokens=self._settings.max_output_tokens,
        )


def _limit(settings: ResolvedSettings) -> float:
    return settings.max_output_tokens if isinstance(settings.max_output_tokens, int) else math.inf
