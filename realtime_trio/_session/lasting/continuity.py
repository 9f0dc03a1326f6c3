"""What goes on of a session from one link to the next, and what does not.

Owns the moments in which a session breaks off and goes on, and the list of what was lost between
them.  Each moment is one step without a checkpoint, so that nobody sees half of it.  How long it
takes from one to the other, and how often it is tried, is for `upkeep`.

Theory of operation.  What the server has confirmed is in the conversation and in the configuration;
everything else that was sent is in the log (`_state.unconfirmed`).  When the link breaks, what the
server was doing ends: responses as if they were cancelled, calls on MCP servers for good.  The next
server is told the configuration and the conversation, and then gets the log, in its order, as if
the network had only been slow.  So those who wait for an answer go on waiting and get one, and
nothing is on the new server twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs
import trio
from attrs import define, field

from realtime_trio._frozen import frozen
from realtime_trio._protocol.codec import Codec
from realtime_trio._runtime.outbox import Outbox
from realtime_trio._session.approvals import HostedApprovals
from realtime_trio._session.lasting.policy import Reconnect
from realtime_trio._session.tool_items import ToolItems
from realtime_trio._state.acknowledgements import Acknowledgements, Pending
from realtime_trio._state.conversation.history import entries_of
from realtime_trio._state.conversation.item import LISTING, ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.restoring import Omission, restore
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio._state.introduction import Introduction
from realtime_trio._state.losses import Loss
from realtime_trio._state.turns.actions import Actions
from realtime_trio._state.turns.machine import Turns
from realtime_trio._state.turns.run import cut
from realtime_trio._state.unconfirmed import Unconfirmed, Unsure
from realtime_trio.errors import RequestLost
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ConversationItemTruncated,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    McpApprovalResponse,
    RealtimeSession,
    Response,
    ResponseDone,
    ServerEvent,
    SessionConfig,
    SessionUpdate,
    UnknownEvent,
)

_Audio = InputAudioBufferAppend | InputAudioBufferCommit | InputAudioBufferClear


@frozen(kw_only=True)
class Retold:
    """What another server is told of the conversation."""

    events: tuple[ConversationItemCreate, ...]
    """To be sent in this order."""
    omissions: tuple[Omission, ...]
    """What of it is not in them, or not as it was."""
    orphans: tuple[str, ...]
    """Calls that wait for their outputs and are not in them."""
    places: Mapping[str, int]
    """Where each item stands."""

    def refused(self, introduction: Introduction) -> Iterator[Omission]:
        """What the server did not take of it."""
        for item_id, why in introduction.refused:
            # One that has another id here is not at any place.
            yield Omission(index=self.places.get(item_id, -1), item_id=item_id, reason=why)


@define(eq=False, kw_only=True)
class Continuity:
    """What of one session goes on."""

    policy: Reconnect
    """What is wanted."""
    limit: HistoryLimit
    """How much of the conversation another server is told."""
    codec: Codec
    """Writes what is sent again."""
    new_id: Callable[[str], str]
    """Makes ids."""
    outbox: Outbox[tuple[Event, str]]
    """What waits to be written."""
    acknowledgements: Acknowledgements
    """What waits to be answered."""
    conversation: Conversation
    """The items."""
    turns: Turns
    """Who has the turn."""
    items: ToolItems
    """How the model is told of outputs."""
    approvals: HostedApprovals
    """What somebody has to decide."""
    understand: Callable[[Event], Iterable[Event]]
    """Lets the conversation, and what plays it, take note of an event; returns what follows."""
    account: Callable[[ServerEvent], Iterable[Event]]
    """Lets those take note who count what things cost; returns what follows."""
    publish: Callable[[Event], None]
    """Tells the application."""
    act: Callable[[Actions], None]
    """Does what the turns say."""
    settled: Callable[[Pending], None]
    """Tells those who wait."""
    configured: Callable[[RealtimeSession], None]
    """Puts a configuration in force that the server reports."""
    is_transcribing: Callable[[], bool]
    """Whether the server transcribes what the user says."""
    is_playing: Callable[[], bool]
    """Whether the user may still hear the model."""
    log: Unconfirmed = field(init=False)
    """What was sent and is not known to have arrived."""
    _confirmed: SessionConfig = field(factory=SessionConfig, init=False)
    """What the server has taken of the configuration."""
    _lost: Loss = field(factory=Loss, init=False)
    _wordless: set[str] = field(factory=set, init=False)
    """Messages of which it was said that their transcripts will not come."""

    def __attrs_post_init__(self) -> None:
        self.log = Unconfirmed(lambda: self.turns.under_way)

    # --- while the link holds ---------------------------------------------------------------------

    def note_settled(self, pending: Pending) -> None:
        """Take note that a client event was answered."""
        event = pending.event
        self.log.settled(event, is_refused=pending.error is not None)
        is_taken = pending.acknowledgement is not None
        match event:
            case SessionUpdate(session=SessionConfig() as change) if is_taken:
                self._confirmed = self._confirmed.updated_by(change)

    @property
    def is_idle(self) -> bool:
        """Whether nobody would notice a change of the link now."""
        return self.turns.is_at_rest and self.log.is_quiet and not self.is_playing()

    # --- breaking off -----------------------------------------------------------------------------

    def break_off(self, now: float) -> None:
        """The link is gone: end what its server was doing, and let everybody else wait.

        Args:
            now: The time, in seconds.
        """
        self.outbox.pause()
        creates = self.log.answered
        self.log.down(now)
        cut_short, hosted = self.turns.running, self.turns.hosted_calls
        told: list[Event] = [*self.conversation.show_committed()]
        ends = {response_id: self._end_of(response_id) for response_id in cut_short}
        for response in ends.values():
            ended = ResponseDone(event_id=self.new_id("event_"), response=response)
            told += [ended, *self.understand(ended), *self.account(ended)]
        told += self.conversation.end()
        # What the next server will have of it is not known yet.
        self.conversation.leave_behind(())
        self.conversation.tell_again(())
        ask = self.policy.resume == "ask"
        self.act(self.turns.restart(ask=ask, ends=ends, creates=creates))
        # Published when everybody knows, like the events of a server.
        for event in told:
            self.publish(event)
        self.approvals.forget()
        self._lost += Loss(
            transcripts=tuple(self._transcripts_to_come()),
            responses=tuple(filter(None, cut_short)),
            calls=hosted,
        )

    def _end_of(self, response_id: str) -> Response:
        """How a response ends that nobody heard the end of.

        Services say that a response is done right after its last item is.  So one whose message is
        whole is taken to be over: asking again would say everything twice.
        """
        items = self.conversation.made_by(response_id)
        shown = tuple(item.snapshot for item in items)
        is_whole = bool(items) and all(item.is_complete for item in items)
        return cut(response_id, shown, is_whole=is_whole and items[-1].type == "message")

    def _transcripts_to_come(self) -> Iterator[str]:
        """The messages that are not transcribed, and that no other server will transcribe."""
        if self.is_transcribing():
            for item in self.conversation.items:
                if item.is_awaiting_words and item.id not in self._wordless:
                    self._wordless.add(item.id)
                    yield item.id

    # --- what the next server is told -------------------------------------------------------------

    @property
    def configuration(self) -> SessionUpdate | None:
        """What the last server has taken of the configuration; None if it was given none."""
        if self._confirmed == SessionConfig():
            return None
        return SessionUpdate(event_id=self.new_id("evt_"), session=self._confirmed)

    async def tell(self) -> Retold:
        """The conversation, as it can be told to the next server.

        What was asked of items of the last one, and not answered, is done here instead: the next
        server gets them as they should be.
        """
        await trio.lowlevel.checkpoint()
        # No checkpoint from here on until it is known what is told.
        for entry in self.log:
            self._carry_out(entry)
        under_way = [
            entry.event.item
            for entry in self.log
            if isinstance(entry.event, ConversationItemCreate)
        ]
        # Outputs that nobody has confirmed are in the log, and their calls must be there first.
        answered = {item.call_id for item in under_way if isinstance(item, FunctionCallOutput)}
        items = tuple(self.conversation.items)
        open_calls = {*self.turns.awaited, *answered}
        restored = restore(
            entries_of(items),
            new_id=self.new_id,
            encoding=self.conversation.input_encoding,
            limit=self.limit,
            open_calls=open_calls,
            keep_ids=True,
        )
        if restored.older and self.limit.summarize is not None:
            summary = await self.limit.summarize(restored.older)
            restored = restored.summarized(summary, self.new_id("item_"))
        events = tuple(
            attrs.evolve(create, event_id=self.new_id("evt_")) for create in restored.events
        )
        # Those of a history may be in the log themselves, if nobody has confirmed them either.
        told = {
            item.call_id
            for item in (*(each.item for each in events), *under_way)
            if isinstance(item, FunctionCall)
        }
        return Retold(
            events=events,
            # Lists of tools are not lost: the next server makes its own.
            omissions=tuple(each for each in restored.omitted if items[each.index].type != LISTING),
            orphans=tuple(sorted(open_calls - told)),
            places={item.id: place for place, item in enumerate(items)},
        )

    def _carry_out(self, entry: Unsure) -> None:
        event_id = self.new_id("event_")
        match entry.event:
            case ConversationItemDelete(item_id=item_id) if self._shown(item_id) is not None:
                self._answer(entry, ConversationItemDeleted(event_id=event_id, item_id=item_id))
            case ConversationItemTruncate(item_id=item_id) as asked if self._can_cut(asked):
                truncated = ConversationItemTruncated(
                    event_id=event_id,
                    item_id=item_id,
                    content_index=asked.content_index,
                    audio_end_ms=asked.audio_end_ms,
                )
                self._answer(entry, truncated)
            case ConversationItemRetrieve():
                self._fail(entry, "what the server kept of the item went with the connection")
            case ConversationItemCreate(item=McpApprovalResponse()):
                self._fail(entry, "the call that was to be approved went with the connection")

    def _shown(self, item_id: str) -> ConversationItem | None:
        return next((item for item in self.conversation.items if item.id == item_id), None)

    def _can_cut(self, asked: ConversationItemTruncate) -> bool:
        """Whether a server would have done so; what it would have refused the next one refuses."""
        item = self._shown(asked.item_id)
        if item is None or item.role != "assistant":
            return False
        return 0 <= asked.audio_end_ms <= item.audio_ms

    def _answer(self, entry: Unsure, answer: ServerEvent) -> None:
        told = [*self.understand(answer)]
        self._settle(entry, answer)
        for event in told:
            self.publish(event)

    def _fail(self, entry: Unsure, why: str) -> None:
        assert isinstance(entry.event, ClientEvent | UnknownEvent)
        self._lost += Loss(requests=(entry.event,))
        self._settle(entry, RequestLost(why))

    def _settle(self, entry: Unsure, outcome: ServerEvent | Exception) -> None:
        pending = self.acknowledgements.withdraw(entry.event, outcome)
        if pending is not None:
            self.settled(pending)
        self.log.settled(entry.event, is_refused=True)

    # --- going on ---------------------------------------------------------------------------------

    def go_on(self, introduction: Introduction, retold: Retold, now: float) -> Loss:
        """Go on with a server that was told everything: it gets what nobody has confirmed.

        Returns:
            What was lost since the last time.
        """
        assert introduction.created is not None, "a server that has not greeted is told nothing"
        told = [*self.understand(introduction.created)]
        if introduction.updated is not None:
            told += self.understand(introduction.updated)
        if introduction.session is not None:
            self.configured(introduction.session)
        for event in told:
            self.publish(event)
        orphans = self.items.orphan(retold.orphans)
        present = {"root", *introduction.taken}
        self.conversation.leave_behind({item.id for item in self.conversation.items} - present)
        self.conversation.tell_again(introduction.taken)
        for entry in self.log:
            match entry.event:
                case ConversationItemTruncate() as asked if self._can_cut(asked):
                    self._fail(entry, "the item had just been told again, as text")
                # It was asked for while the conversation was being told.
                case ConversationItemDelete(item_id=gone) if self.conversation.is_left_behind(gone):
                    self._carry_out(entry)
        self._delete_listings()
        rest = self.log.rest(now, self.policy.stale_audio)
        entries: list[tuple[Event, str]] = []
        for entry in rest.entries:
            event, text = self._fitted(entry, present)
            entries.append((event, text))
            if isinstance(event, _Audio):
                # It begins to count anew, with what this server has.
                self.conversation.sent(event)
        self.outbox.refill(entries)
        self.outbox.resume()
        lost = self._lost + Loss(
            omissions=(*retold.omissions, *retold.refused(introduction)),
            audio_ms=rest.audio_ms,
            calls=orphans,
        )
        self._lost = Loss()
        return lost

    def _delete_listings(self) -> None:
        """Take the lists of tools away that the last server made: every server makes its own."""
        for item in [item for item in self.conversation.items if item.type == LISTING]:
            deleted = ConversationItemDeleted(event_id=self.new_id("event_"), item_id=item.id)
            for event in self.understand(deleted):
                self.publish(event)

    def _fitted(self, entry: Unsure, present: set[str]) -> tuple[Event, str]:
        """An event as it can be sent to another server."""
        event = entry.event
        if not isinstance(event, ConversationItemCreate):
            return event, entry.text or self.codec.encode(event)
        fitted = event
        previous = event.previous_item_id
        if previous is not None and previous not in present:
            fitted = attrs.evolve(fitted, previous_item_id=None)
        if isinstance(event.item, FunctionCallOutput):
            fitted = attrs.evolve(fitted, item=self.items.fitted(event.item))
        present.add(str(event.item.id))
        if fitted == event:
            return event, entry.text
        return fitted, self.codec.encode(fitted)
