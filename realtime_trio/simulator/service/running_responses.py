"""The responses of a session: which may begin, which are under way, and who says what they say.

Owns the one slot of the conversation, and the responses for which it is not decided yet what they
say.  How a response is streamed is not known here, nor who asked for it.

Theory of operation.  One response at a time may write to the conversation; those out of band run
beside it, as many as there are.  What a response says the script decides, else an agent, else the
simulator's own words.  If it depends on what the user said, and ears have not answered yet, the
decision waits: the response has begun, and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs import frozen

from realtime_trio.events import (
    InputItem,
    ItemReference,
    RealtimeSession,
    ResponseConfig,
    ToolChoice,
    UserMessage,
)
from realtime_trio.simulator.script.script import Performance, Turn
from realtime_trio.simulator.service.configuration import input_format
from realtime_trio.simulator.service.context import Context, Selection
from realtime_trio.simulator.service.conversation import ServerConversation, check_item
from realtime_trio.simulator.service.item_entry import ItemEntry
from realtime_trio.simulator.service.lifecycle import ServerOutbox, Task
from realtime_trio.simulator.service.mcp import HostedTools
from realtime_trio.simulator.service.questions import AnswerWanted, Questions
from realtime_trio.simulator.service.refusal import Refusal, check_choice
from realtime_trio.simulator.service.response import RunningResponse
from realtime_trio.simulator.service.response_settings import ResolvedSettings, settings_for
from realtime_trio.simulator.service.understanding import Understanding


@frozen
class _Undecided:
    """A response of which it is not known yet what it says."""

    response: RunningResponse
    context: Selection
    """What it reads."""
    settings: ResolvedSettings
    tool_choice: ToolChoice


class RunningResponses:
    """The responses of one session that are under way.

    Args:
        performance: What the script says.
        conversation: What they read and write.
        hosted: The MCP tools that they may call.
        understanding: What the user says.
        questions: Where an agent is asked.
        outbox: Where their events go.
    """

    def __init__(
        self,
        performance: Performance,
        conversation: ServerConversation,
        hosted: HostedTools,
        understanding: Understanding,
        questions: Questions,
        outbox: ServerOutbox,
    ) -> None:
        self._performance = performance
        self._conversation = conversation
        self._context = Context(conversation)
        self._hosted = hosted
        self._understanding = understanding
        self._questions = questions
        self._out = outbox
        self._running: list[RunningResponse] = []
        self._active: RunningResponse | None = None
        self._undecided: list[_Undecided] = []

    @property
    def tasks(self) -> Sequence[Task]:
        """The responses under way."""
        return self._running

    @property
    def is_active(self) -> bool:
        """Whether a response writes to the conversation."""
        return self._active is not None

    def forget_finished(self) -> RunningResponse | None:
        """Drop the responses that are over; returns the one of the conversation, if it is."""
        self._running = [response for response in self._running if response.due is not None]
        if self._active is None or self._active in self._running:
            return None
        finished, self._active = self._active, None
        return finished

    def answering(self, response_id: str) -> RunningResponse | None:
        """The response of this id, if an agent may go on with it."""
        return next(
            (running for running in self._running if running.id == response_id and running.is_open),
            None,
        )

    # --- the beginning ----------------------------------------------------------------------------

    def create(self, session: RealtimeSession, config: ResponseConfig, now: float) -> None:
        """Begin a response.

        Raises:
            Refusal: It may not begin now, or not like this.  Then nothing has changed, and no reply
                of the script is used up.
            LocalProtocolError: A predicate of the script failed.
        """
        check_choice(config.conversation or "auto", ("auto", "none"), "response.conversation")
        # The slot is the conversation's: what is out of band needs none, whatever it reads.
        is_out_of_band = config.conversation == "none"
        if self._active is not None and not is_out_of_band:
            # Clients look for the id in this text, to try again when that response is done.
            raise Refusal(
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        settings = settings_for(session, config, has_spoken=self._conversation.has_spoken)
        self._hosted.check(config.tools or (), "response.tools")
        given = (
            None
            if config.input is None
            else [self._resolve(session, *numbered) for numbered in enumerate(config.input)]
        )
        # Selected before anything is changed, because it may refuse.
        context = self._context.select(given, settings)
        if config.tools:
            # Only now, because a request that is refused lists nothing.
            self._hosted.discover(config.tools, now)
            # A listing that takes no time is in the conversation now.
            context = self._context.select(given, settings)
        response = RunningResponse(
            settings,
            self._performance.pacing,
            read=self._context.read(context, settings, is_apart=is_out_of_band),
            hosted=self._hosted,
            conversation=None if is_out_of_band else self._conversation,
            outbox=self._out,
            now=now,
        )
        self._running.append(response)
        if not is_out_of_band:
            self._active = response
        tool_choice = (
            config.tool_choice if config.tool_choice is not None else session.tool_choice or "auto"
        )
        if self._questions.has_ears and self._performance.goes_by_words:
            # Of the conversation only what is new: all else was asked about already.
            visible = self._conversation.visible
            for entry in visible.take_unheard() if given is None else given:
                self._understanding.listen(entry)
        self._decide_when_understood(_Undecided(response, context, settings, tool_choice), now)

    def _resolve(self, session: RealtimeSession, index: int, item: InputItem) -> ItemEntry:
        """An item that a response reads in place of the conversation."""
        param = f"response.input[{index}]"
        if isinstance(item, ItemReference):
            entry = self._conversation.find(item.id)
            if entry is None:
                raise Refusal(
                    f"Invalid '{param}.id': the item with id '{item.id}' does not exist.",
                    code="invalid_value",
                    param=f"{param}.id",
                )
            return entry
        return ItemEntry(item.id or "", check_item(item, param), input_format(session))

    # --- what it says -----------------------------------------------------------------------------

    def decide_waiting(self, understood: ItemEntry, now: float) -> None:
        """Decide what those responses say for which some audio had to be understood first.

        Args:
            understood: The item with the audio.
            now: The present time.

        Raises:
            LocalProtocolError: A predicate of the script failed.
        """
        # Taken off first, because those that have to wait longer are put back on the list.
        undecided, self._undecided = self._undecided, []
        for pending in undecided:
            context = pending.context.with_words_of(understood)
            self._decide_when_understood(attrs.evolve(pending, context=context), now)

    def _decide_when_understood(self, pending: _Undecided, now: float) -> None:
        if self._performance.goes_by_words and self._understanding.awaits_any(
            pending.context.entries
        ):
            self._undecided.append(pending)
        elif pending.response.is_open:  # it may have been cancelled while it waited
            self._decide(pending, now)

    def _decide(self, pending: _Undecided, now: float) -> None:
        """Let a response say what the script has for it, or an agent, or else the simulator."""
        turn = _turn(pending)
        reply = (
            self._performance.take_reply(turn)
            if self._questions.has_agent
            else self._performance.answer(turn)
        )
        if reply is None:
            self._questions.ask(AnswerWanted(id=pending.response.id, turn=turn))
        else:
            pending.response.perform(self._hosted.offered(reply, pending.settings.tools), now)

    # --- the end ----------------------------------------------------------------------------------

    def cancel(self, response_id: str | None, now: float) -> None:
        """Cancel a response: this one, or without an id that of the conversation.

        Raises:
            Refusal: There is none.
        """
        if response_id is None:
            response = self._active
        else:
            response = next(
                (running for running in self._running if running.id == response_id), None
            )
        if response is None:
            raise Refusal(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        response.cancel("client_cancelled", now)

    def interrupt(self, now: float) -> None:
        """Cancel the response of the conversation, if there is one, because the user speaks.

        Those out of band go on: nobody hears them.
        """
        if self._active is not None:
            self._active.cancel("turn_detected", now)


def _turn(pending: _Undecided) -> Turn:
    """What scripts and agents are told of a response."""
    context, settings = pending.context, pending.settings
    heard = next(
        (
            entry.heard_ms
            for entry in reversed(context.entries)
            if isinstance(entry.item, UserMessage)
        ),
        0.0,
    )
    return Turn(
        items=context.items,
        modality=settings.modality,
        instructions=settings.instructions,
        tools=settings.tools,
        tool_choice=pending.tool_choice,
        max_output_tokens=settings.max_output_tokens
        if isinstance(settings.max_output_tokens, int)
        else None,
        metadata=settings.metadata,
        heard_seconds=heard / 1000,
    )
