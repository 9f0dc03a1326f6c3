"""What the simulated model says and understands: replies in order, or picked by predicates.

Owns the words and nothing of the protocol.  Everything here is a value: one script can serve any
number of connections, each of which has a `Performance` of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import repeat
from types import NoneType

from attrs import define, field, frozen

from realtime_trio._misuse import check_kind, to_tuple
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import McpListedTool
from realtime_trio.recording import Recording
from realtime_trio.simulator.script.from_recording import replies_in, servers_in, transcripts_in
from realtime_trio.simulator.script.reply import (
    INSTANT as INSTANT,
    LIFELIKE as LIFELIKE,
    Call as Call,
    Failure as Failure,
    HostedCall as HostedCall,
    Message as Message,
    Output as Output,
    Pacing as Pacing,
    Predicate as Predicate,
    Reply as Reply,
    Turn as Turn,
    check_delay,
    each_of_kind,
    of_kind,
)


def _to_replies(replies: Iterable[Reply]) -> tuple[Reply, ...]:
    return to_tuple("replies", replies)


def _to_transcripts(transcripts: Iterable[str | None]) -> tuple[str | None, ...]:
    return to_tuple("transcripts", transcripts)


def _to_pairs(phrases: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = to_tuple("translations", phrases)
    for pair in pairs:
        # A text of two letters would come apart into a pair as well.
        check_kind("each of translations", pair, tuple, list, allowed="a pair of texts")
        for words in pair:
            check_kind("each text of translations", words, str, allowed="a str")
        if len(pair) != 2:
            raise TypeError(f"each of translations must be a pair of texts, not {len(pair)} values")
    return tuple((words, translated) for words, translated in pairs)


def _to_listed_tools(tools: Iterable[McpListedTool]) -> tuple[McpListedTool, ...]:
    return to_tuple("tools", tools)


@frozen
class McpServer:
    """What the service finds behind a `server_label`, whatever address the client gives for it."""

    label: str = field(validator=of_kind(str, allowed="a str"))
    """The label under which clients configure it."""
    tools: tuple[McpListedTool, ...] = field(
        default=(),
        converter=_to_listed_tools,
        validator=each_of_kind(McpListedTool, allowed="made of McpListedTool"),
    )
    """All its tools; the client may allow the model only some of them."""
    is_reachable: bool = field(default=True, kw_only=True)
    """Whether its tools can be listed."""
    listing_delay: float = field(default=0.0, validator=check_delay, kw_only=True)
    """Seconds until its tools are listed or that has failed; the model does not wait for it.  With
    0 this comes before anything else, so that even the response whose request names the server can
    call them."""
    completes_item_first: bool = field(default=False, kw_only=True)
    """Whether the item with the tools is done before `mcp_list_tools.completed` says that they are
    known; clients must take both."""


def _to_servers(servers: Iterable[McpServer]) -> tuple[McpServer, ...]:
    return to_tuple("mcp_servers", servers)


_UNHEARD = ("[speech]", "[I am a simulator, so I hear nothing and translate nothing.]")


@frozen
class Script:
    """Everything the simulated model will say.

    For each response the first unused reply is taken whose predicate, if it has one, is true.  When
    no reply is left the agent answers, and where there is no agent the simulator answers for
    itself: it repeats what it was told, and says so.
    """

    replies: tuple[Reply, ...] = field(
        default=(),
        converter=_to_replies,
        validator=each_of_kind(Reply, allowed='made of Reply, such as Reply.text("Hello.")'),
    )
    """The replies, each used once per connection."""
    transcripts: tuple[str | None, ...] = field(
        default=(),
        converter=_to_transcripts,
        validator=each_of_kind(str, NoneType, allowed="made of str and None"),
        kw_only=True,
    )
    """What the user is understood to say, one for each committed piece of audio; None is audio that
    cannot be transcribed.  When they are used up, the transcript is what the ears hear, and where
    there are no ears it is the length of the audio, in brackets."""
    transcription_delay: float = field(default=0.0, validator=check_delay, kw_only=True)
    """Seconds between a commit and the first event of its transcription, which the service does
    beside everything else: a transcript may come while the answer is being given, or after it.
    With 0 it comes before anything else.  The model does not wait for it: it understands the user
    at once or, where there are ears, as soon as they have heard."""
    transcription_jitter: float = field(default=0.0, validator=check_delay, kw_only=True)
    """Up to this many seconds more, at random, but the same in every run.  Transcripts may then
    come in another order than their audio."""
    translations: tuple[tuple[str, str], ...] = field(default=(), converter=_to_pairs, kw_only=True)
    """What a translation session hears, phrase by phrase: the words, and the same in the other
    language.  Each phrase takes as many frames of audio as its translation takes to be spoken;
    after the last one there is silence.  Without phrases the session says over and over that it
    hears nothing: the simulator has no ears."""
    pacing: Pacing = field(
        default=INSTANT, validator=of_kind(Pacing, allowed="a Pacing"), kw_only=True
    )
    """How fast replies come that have no pacing of their own, and transcripts and translations."""
    mcp_servers: tuple[McpServer, ...] = field(
        default=(),
        converter=_to_servers,
        validator=each_of_kind(McpServer, allowed="made of McpServer"),
        kw_only=True,
    )
    """The MCP servers that exist, each label once.  A server that is configured under any other
    label cannot be reached."""

    @mcp_servers.validator
    def _check_labels(self, _: object, servers: tuple[McpServer, ...]) -> None:
        labels = [server.label for server in servers]
        for label in labels:
            if labels.count(label) > 1:
                raise LocalProtocolError(
                    f"there are several MCP servers with the label {label!r}; "
                    "every label stands for one"
                )

    @classmethod
    def from_recording(cls, recording: Recording, *, pacing: Pacing = INSTANT) -> Script:
        """Say again what the model said in a recorded session, whatever the client says.

        Every response of the recording becomes a reply, in their order, with its words, its speech
        and its calls; one that was cut short has what was said of it.  The user is understood as it
        was then.  To hold a client to the recording, play it with a `ReplayServer`.

        Args:
            recording: As `read_recording` returns it.
            pacing: How fast it is said.
        """
        events = [record.event for record in recording.records if record.source == "server"]
        # Otherwise the calls in the replies would be of tools that cannot be called.
        servers = tuple(McpServer(label, tools) for label, tools in servers_in(events).items())
        return cls(
            replies_in(events),
            transcripts=transcripts_in(events),
            pacing=pacing,
            mcp_servers=servers,
        )

    def perform(self) -> Performance:
        """Start from the beginning, for one connection."""
        # Copies, which the performance uses up; the script serves other connections, too.
        phrases = iter(self.translations) if self.translations else repeat(_UNHEARD)
        delays = self.transcription_delay, self.transcription_jitter
        return Performance(
            self.pacing,
            *delays,
            list(self.replies),
            list(self.transcripts),
            phrases,
            self.mcp_servers,
        )


@define
class Performance:
    """One connection's way through a script."""

    pacing: Pacing
    """How fast replies come that have no pacing of their own, and transcripts and translations."""
    transcription_delay: float
    """Seconds between a commit and the first event of its transcription."""
    transcription_jitter: float
    """Up to this many seconds more."""
    _replies: list[Reply]
    _transcripts: list[str | None]
    _translations: Iterator[tuple[str, str]]
    mcp_servers: tuple[McpServer, ...]
    """The MCP servers that exist."""
    # With a seed of its own: the same script gives the same run, also beside other connections.
    _chance: random.Random = field(factory=partial(random.Random, 0), init=False)

    def perform(self) -> Performance:
        """Go on where it is: a further connection of the same client gets the rest."""
        return self

    def answer(self, turn: Turn) -> Reply:
        """Take the reply for this turn; the simulator's own words if there is none.

        Raises:
            LocalProtocolError: A predicate failed; its exception is the cause.
        """
        return self.take_reply(turn) or Reply.text(_own_words(turn))

    def take_reply(self, turn: Turn) -> Reply | None:
        """Take the reply that the script has for this turn; None if it has none.

        Raises:
            LocalProtocolError: A predicate failed; its exception is the cause.
        """
        for index, reply in enumerate(self._replies):
            if _fits(reply, turn):
                return self._replies.pop(index)
        return None

    @property
    def goes_by_words(self) -> bool:
        """Whether what the user said can make a difference to the next reply.

        It cannot if the next reply has no predicate, and is taken in any case.
        """
        return not self._replies or self._replies[0].when is not None

    @property
    def has_transcripts(self) -> bool:
        """Whether the script still says what the user is understood to say."""
        return bool(self._transcripts)

    def transcribe(self, seconds: float) -> str | None:
        """The transcript of the next piece of audio; None if it cannot be transcribed."""
        return (
            self._transcripts.pop(0) if self._transcripts else f"[{seconds:.1f} seconds of audio]"
        )

    def transcription_wait(self) -> float:
        """Seconds until the first event of the next transcription."""
        return self.transcription_delay + self.transcription_jitter * self._chance.random()

    def translate(self) -> tuple[str, str] | None:
        """The next phrase that is heard, and its translation; None if nothing more is said."""
        return next(self._translations, None)


def _fits(reply: Reply, turn: Turn) -> bool:
    try:
        return reply.when is None or reply.when(turn)
    # A predicate is the user's code, and may raise anything.
    except Exception as error:
        raise LocalProtocolError(
            f"the predicate of a reply failed with {type(error).__name__}"
        ) from error


def _own_words(turn: Turn) -> str:
    if turn.tool_output is not None:
        return f"The function returned: {turn.tool_output}"
    if turn.user_text:
        return f"You said: {turn.user_text}"
    if turn.heard_seconds:
        return (
            f"I received {turn.heard_seconds:.1f} seconds of audio, "
            "but I am a simulator and cannot hear."
        )
    return "Hello! I am a simulator, so I can only repeat what you tell me."
