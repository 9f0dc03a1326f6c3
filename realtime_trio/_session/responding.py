"""Talking: what the user says, and the responses of the model.

Owns asking for responses, one turn after the other, and giving them up.  Tools and configuration
are for the voice session that builds on it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Unpack

import attrs
import trio

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio._session.items import ItemOrId, ItemSession, id_of
from realtime_trio._session.parts import SessionParts
from realtime_trio._session.patience import Patience
from realtime_trio._session.response_book import ResponseBook
from realtime_trio._session.responses import FOLLOWED, Answer, LiveResponse
from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.turns.actions import Actions, ResponseRequest
from realtime_trio._state.turns.machine import Turns
from realtime_trio.connection import check_options
from realtime_trio.errors import LocalProtocolError, SessionClosed
from realtime_trio.events import (
    AudioFormat,
    ClientEvent,
    ConversationItemCreate,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    MessageContent,
    OutputAudio,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseSettings,
    ServerEvent,
    UserMessage,
)

if TYPE_CHECKING:
    import numpy as np

    from realtime_trio._session import playing
else:
    np = _elsewhere.module("numpy")
    playing = _elsewhere.module("realtime_trio._session.playing")


class RespondingSession(ItemSession):
    """Base of sessions in which the model responds."""

    _is_in_turn = False
    _playing: playing.SessionPlayback | None = None

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        if parts.playback is not None:
            self._playing = playing.SessionPlayback(
                parts.playback, self._conversation, self._post_reflex
            )
        self._turns = Turns(parts.new_id, self._admit)
        self._book = ResponseBook(self._turns, self._post, self._give_up_calls, self._silence)
        self._patience = Patience(
            self._turns, parts.services, lambda: self._book.act(self._turns.stop_waiting_for_user())
        )

    # --- speaking ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def user_turn(
        self, *, respond: bool = True, interrupt: bool = True
    ) -> AsyncIterator[None]:
        """Push to talk: append audio inside the block; leaving it commits and asks for a response.

        Needs turn detection to be off.  Leaving by an exception discards the audio, and so does
        less than 100 ms of it, which is an error.  There is one turn at a time, because there is
        one input buffer.

        Args:
            respond: Ask for a response at the end.
            interrupt: Stop the response that is being spoken, as somebody who begins to talk
                expects.

        Raises:
            LocalProtocolError: Turn detection is on, another turn is open, or less than 100 ms of
                audio were appended.
            BudgetExceeded: A response is asked for, and the budget is spent: on entering, or when
                the audio is committed.
            ServerError, SessionClosed: As for `update`.
        """
        if self._is_detecting_turns:
            raise LocalProtocolError(
                "user_turn() needs turn detection to be off: open_session(turn_detection=None)"
            )
        await trio.lowlevel.checkpoint()
        if self._is_in_turn:
            raise LocalProtocolError(
                "a user_turn() is open already: its audio and that of another one would be one "
                "message; leave it first"
            )
        if respond:
            # Rather now than when somebody has talked for nothing.
            self._check_budget()
        self._is_in_turn = True
        if interrupt:
            # Before the first audio: the model stops when somebody begins to talk.
            self._take_floor()
        try:
            try:
                yield
            finally:
                # Before the commit is waited for: who presses the button again begins anew.
                self._is_in_turn = False
            await self.commit_audio()
        except BaseException:
            # Posted, not awaited: this may be a cancellation, and what was appended must not become
            # part of the next turn.
            self._post(self._named(InputAudioBufferClear()))
            raise
        if respond:
            await self.respond()

    async def send_message(
        self,
        content: MessageContent,
        *,
        respond: bool = True,
        previous_item_id: ItemOrId | None = None,
        **settings: Unpack[ResponseSettings],
    ) -> str | None:
        """Say something to the model, and ask for a response.

        The message and the request for its response leave together, when it is their turn: after
        the response that is active now.  So every response answers its own message, also if several
        tasks talk.

        Audio that was appended before and waits to be committed is committed first, if turn
        detection is off.

        Args:
            content: A text, audio (int16 or float32 array, or bytes), a content part, or several
                texts and parts.
            respond: Ask for a response.
            previous_item_id: Insert after this item, given by its id or itself; `root` at the
                front; None appends.
            **settings: Settings for this response alone.

        Returns:
            Id that the user message has or will have; None if the content was an empty list, which
            only asks for a response.

        Raises:
            LocalProtocolError: The content or the settings do not fit the protocol, or less than
                100 ms of audio wait to be committed; nothing was sent.
            BudgetExceeded: A response is asked for, and the budget is spent; nothing was sent.  If
                it is spent before it is the message's turn, that is sent without a response.
            SessionClosed: The session has ended.

        Cancel-safe: nothing was sent.
        """
        if settings and not respond:
            raise TypeError("settings are for the response, and none is asked for")
        about = self._message(content, previous_item_id)
        request = self._request_for(None, settings, about) if respond else None
        await self._wait_to_speak()
        if request is not None:
            self._check_budget()
        self._commit_pending()
        if request is not None:
            self._want(request)
        else:
            for create in about:
                self._post(create)
        return about[0].item.id if about else None

    # --- responses --------------------------------------------------------------------------------

    async def respond(
        self, config: ResponseConfig | None = None, **settings: Unpack[ResponseSettings]
    ) -> None:
        """Ask for a response, which begins when it is its turn: after the one that is active now.

        Audio that was appended and waits to be committed is committed first, if turn detection is
        off.

        Args:
            config: Settings for this response alone, as the protocol nests them.
            **settings: The same as flat keywords, instead of `config`.  `conversation="none"`
                makes it out of band: it may run beside others and leaves no trace.

        Raises:
            LocalProtocolError: The settings do not fit the protocol, or less than 100 ms of audio
                wait to be committed; nothing was sent.
            BudgetExceeded: The budget is spent; nothing was sent.
            SessionClosed: The session has ended.
        """
        request = self._request_for(config, settings)
        await trio.lowlevel.checkpoint()
        self._check_budget()
        if not request.is_out_of_band:
            self._commit_pending()
        self._want(request)

    async def greet(
        self, how: str = "Greet the user.", /, **settings: Unpack[ResponseSettings]
    ) -> None:
        """Let the model speak first, before the user has said anything.

        Like `respond`, but that the instructions of the session still apply: those of a single
        response would replace them.

        Args:
            how: What the model should say, or how, after the instructions of the session.
            **settings: As for `respond`; `instructions` take the place of those of the session.

        Raises:
            LocalProtocolError, BudgetExceeded, SessionClosed: As for `respond`.
        """
        always = settings.get("instructions", self.config.instructions)
        settings["instructions"] = f"{always}\n\n{how}" if always else how
        await self.respond(None, **settings)

    def audio_output(self, size: int | None = None) -> playing.AudioOutput:
        """Open a stream of the speech that comes next, for `async for samples in ...`.

        Its chunks are int16 arrays at the rate of the playback.  It ends with the item, and at once
        when that is interrupted; call this again for the next one.  It is a sink: what it has
        returned was taken from the playback, which is what `tracking` goes by.

        Args:
            size: Samples in a chunk; None for 20 ms.  The last one of an item may be shorter.

        Raises:
            LocalProtocolError: The session has no playback, or the size is less than 1.
        """
        return playing.open_output(self._playing, size)

    @asynccontextmanager
    async def open_response(
        self, config: ResponseConfig | None = None, **settings: Unpack[ResponseSettings]
    ) -> AsyncIterator[LiveResponse]:
        """Ask for a response and follow it while it is being given.

        Iterate what the block is given: `async for delta in response`.  Leaving the block before
        the end cancels the response, or withdraws the request if it has not been its turn yet.  A
        `playback` is then silent at once, and the item is cut to what was heard.

        Args:
            config: As for `respond`.
            **settings: As for `respond`.
        """
        request = self._request_for(config, settings)
        await trio.lowlevel.checkpoint()
        self._check_budget()
        if not request.is_out_of_band:
            self._commit_pending()
        with self._follow(request) as live:
            yield live

    async def ask(
        self, content: MessageContent | None = None, **settings: Unpack[ResponseSettings]
    ) -> Answer:
        """Say something and wait for the answer: the last response, after all rounds of tools.

        Args:
            content: As for `send_message`; None asks about what is there already.
            **settings: Settings for the first response.

        Raises:
            ServerError: The server refused the response, or the one to its tools.
            LocalProtocolError: As for `send_message`.
            BudgetExceeded: The budget is spent, or was before it was this one's turn, so that
                nothing was sent; or before the model could reply to its tools.
            SessionClosed: The session ended first.

        Cancellation: cancels the response, as leaving `open_response` does; before its turn nothing
            was sent.
        """
        about = () if content is None else self._message(content, None)
        request = self._request_for(None, settings, about)
        await self._wait_to_speak()
        self._check_budget()
        if about or not request.is_out_of_band:
            self._commit_pending()
        if request.is_out_of_band:  # its speech is nowhere but in its events
            with self._follow(request) as live:
                return await live.wait()
        response = await self._book.wait_concluded(request)
        return self._answer(response)

    async def cancel_response(
        self, item_id: ItemOrId | None = None, sample_count: float = 0
    ) -> ConversationItem | None:
        """Interrupt the model: cancel its response, and cut an item to what the user heard.

        Tools that wish to be interrupted (`on_interrupt="cancel"`) are stopped, too.

        A session with a `playback` knows by itself what is being played and what was heard, so that
        nothing is given: the playback is silent at once, and everything is cut to what was heard.

        Nothing is sent that the server would refuse: no cancel where nothing is active, and no more
        milliseconds than arrived.  An item that has its final length and was heard to its end is
        left alone, because cutting it would only take its transcript from the model; so is one that
        was told again on another connection, where it is text.

        Args:
            item_id: The assistant message that was being played, or its id; None only cancels.
            sample_count: How many of its samples were played, at the session's output rate; a
                fraction is rounded.

        Returns:
            The item, None if none was given; with a playback the one that was audible, if any.

        Raises:
            LocalProtocolError: There is no such item, it is not an assistant message, it has no
                audio, or the count is not a finite number; or the session has a playback.  Nothing
                was sent.
        """
        if item_id is not None and self._playing is not None:
            raise LocalProtocolError(
                "the playback of this session knows what was heard: cancel_response() alone"
            )
        await trio.lowlevel.checkpoint()
        item = None if item_id is None else self._spoken_item(id_of(item_id))
        cut = None if item is None else _cut_to_heard(item, sample_count)
        if item is not None and self._conversation.is_told_again(item.id):
            cut = None  # to the present server it is text
        # The cancel goes first, or the server would go on adding to what is being cut.
        silenced = self._take_floor()
        if cut is not None:
            self._post(self._named(cut))
        return item or silenced

    # --- what a kind of session adds --------------------------------------------------------------

    def _check_budget(self) -> None:
        """Refuse to ask for a response, before anything is sent that is about it.

        Raises:
            BudgetExceeded: Nothing is left.
        """

    def _admit(self, create: ResponseCreate) -> ResponseCreate:
        """Let a response be asked for, or say what to send in its place.

        Raises:
            BudgetExceeded: It must not be sent.
        """
        return create

    # --- inside -----------------------------------------------------------------------------------

    def _take_turns(self, event: ServerEvent) -> None:
        self._act(self._turns.apply(event))

    def _act(self, actions: Actions) -> None:
        """Do what the turns say; it may leave a reply withheld."""
        self._book.act(actions)
        self._patience.look()

    def _take_floor(self) -> ConversationItem | None:
        """Stop the response that is being spoken, as somebody who begins to talk expects.

        Returns:
            What was audible, as far as there is a playback that knows.
        """
        silenced = None if self._playing is None else self._playing.item
        self._book.act(self._turns.cancel())
        if self._playing is not None:
            self._playing.interrupt()
        return silenced

    def _silence(self, response_id: str) -> None:
        """Let nothing more be heard of a response that was cancelled."""
        if self._playing is not None:
            self._playing.interrupt(response_id)

    def _post_reflex(self, event: ClientEvent) -> str:
        named = self._named(event)
        self._post(named)
        return str(named.event_id)

    def _give_up_calls(self, call_ids: frozenset[str]) -> None:
        """Stop the tools of a turn for which nobody waits any more."""

    @contextmanager
    def _follow(self, request: ResponseRequest) -> Iterator[LiveResponse]:
        self._check_open()
        # Subscribed before the request goes out, or the first delta might be missed.
        with (
            self._hub.subscribe(*FOLLOWED, kept=False) as stream,
            self._book.following(request, stream, lambda: self._encoding_of(request)) as live,
        ):
            yield live

    async def _wait_to_speak(self) -> None:
        """Wait until something may be queued, which has to happen before the next checkpoint.

        There is none afterwards, so that who opens a stream next misses nothing of what comes.
        """
        await trio.lowlevel.checkpoint()
        await self._outbox.wait_for_room()
        self._check_open()

    def _message(
        self, content: MessageContent, previous_item_id: ItemOrId | None
    ) -> tuple[ConversationItemCreate, ...]:
        """The event that says this to the model; none if there is nothing to be said."""
        message = attrs.evolve(UserMessage.of(content), id=self._new_id("item_"))
        after = None if previous_item_id is None else id_of(previous_item_id)
        create = ConversationItemCreate(item=message, previous_item_id=after)
        self._codec.encode(create)
        if not message.content:
            return ()
        named = self._named(create)
        assert isinstance(named, ConversationItemCreate)
        return (named,)

    def _request_for(
        self,
        config: ResponseConfig | None,
        settings: ResponseSettings,
        about: tuple[ConversationItemCreate, ...] = (),
    ) -> ResponseRequest:
        if config is not None and settings:
            raise TypeError("a response takes either a ResponseConfig or keywords, not both")
        if not isinstance(config, ResponseConfig | None):
            raise TypeError(
                "a response takes a ResponseConfig or keywords such as "
                f'instructions="Be brief.", not {kind_of(config)}'
            )
        if settings:
            check_options(settings, ResponseSettings)
            config = ResponseConfig.of(**settings)
        event = ResponseCreate(event_id=self._new_id("evt_"), response=config)
        # Checked before anything is sent: a message without its response is half a call.
        self._codec.encode(event)
        return ResponseRequest(event, about=about)

    def _want(self, request: ResponseRequest) -> None:
        self._check_open()
        self._book.ask_for(request)

    def _encoding_of(self, request: ResponseRequest) -> str:
        asked, present = request.event.response or ResponseConfig(), self.config
        outputs = [
            settings.audio.output for settings in (asked, present) if settings.audio is not None
        ]
        formats = [output.format for output in outputs if output is not None]
        return next(
            (known.type for known in formats if known is not None and known.type),
            str(AudioFormat.pcm().type),
        )

    def _answer(self, response: Response) -> Answer:
        known = [self._conversation.get(item.id or "") for item in response.output]
        spoken = [item for item in known if item is not None]
        pieces = [item.audio for item in spoken]
        return Answer(
            response=response,
            audio=np.concatenate(pieces) if pieces else np.empty(0, np.int16),
            is_audio_whole=all(item.is_audio_whole for item in spoken),
        )

    def _note_sent(self, event: Event) -> None:
        super()._note_sent(event)
        if isinstance(event, InputAudioBufferAppend):
            self._patience.heard_audio()

    def _settled(self, pending: Pending) -> None:
        super()._settled(pending)
        if isinstance(pending.event, ConversationItemCreate):
            self._book.message_settled(pending.event, pending.error)

    def _is_benign(self, event: ErrorEvent) -> bool:
        if self._playing is not None and self._playing.is_benign(event):
            return True
        return self._book.is_benign(event.error) or super()._is_benign(event)

    def _over(self) -> None:
        error = SessionClosed("the session ended before the response did")
        self._book.act(self._turns.disconnected(error))
        super()._over()
        if self._playing is not None:
            self._playing.close()


def _cut_to_heard(item: ConversationItem, sample_count: float) -> ConversationItemTruncate | None:
    """The cut of a message to what was heard; None if that is all there is and will be."""
    if not math.isfinite(sample_count):
        raise LocalProtocolError(f"{sample_count} samples cannot have been played")
    # A loudspeaker may have counted silence that it played itself; the server would refuse that.
    heard_ms = min(max(0, round(sample_count)) * 1000 // item.audio_rate, item.audio_ms)
    if heard_ms == item.audio_ms and item.is_complete and not item.dropped_ms:
        return None
    index = next(i for i, part in enumerate(item.parts) if isinstance(part, OutputAudio))
    return ConversationItemTruncate(item_id=item.id, content_index=index, audio_end_ms=heard_ms)
