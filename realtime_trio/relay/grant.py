"""What a guest of a relay may do: the value that an application gives for every guest it lets in.

Pure.  Owns the words of the rules and their defaults; `guest_events` and `service_events` go by
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, Final, Literal

from attrs import Attribute, field, frozen

from realtime_trio._misuse import check_choice, check_kind, check_number, to_tuple
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio._state.budget import Budget, BudgetMeter
from realtime_trio._state.prices import Prices
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    SessionConfig,
    TranscriptionSessionConfig,
    TranslationSessionConfig,
    Unset,
)
from realtime_trio.relay.limits import Limits
from realtime_trio.tools.registry import AnyTool, LocalTool, ToolRegistry

Config = SessionConfig | TranscriptionSessionConfig | TranslationSessionConfig
"""The configuration of a session of any kind."""

ANY: Final = "*"
"""Allows all of something."""

DEFAULT_EVENTS: Final = frozenset(
    {
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "conversation.item.create",
        "conversation.item.truncate",
        "response.create",
        "response.cancel",
        # Those of a translation session, which has names of its own.
        "session.input_audio_buffer.append",
        "session.close",
    }
)
"""What guests may send unless a grant says otherwise, `session.update` apart: see `updates`."""
DEFAULT_ITEMS: Final = frozenset({"user.input_text", "user.input_audio", "user.input_image"})
"""What guests may put into the conversation unless a grant says otherwise."""
DEFAULT_OVERRIDES: Final = frozenset({"metadata"})
"""What a `response.create` may say about its response: labels, by which clients know it again."""
DEFAULT_HIDDEN: Final = frozenset({"instructions", "tools"})
"""What guests are not told of sessions and responses unless a grant says otherwise."""

_SESSION_CLASSES: Final = {
    SessionKind.REALTIME: SessionConfig,
    SessionKind.TRANSCRIPTION: TranscriptionSessionConfig,
    SessionKind.TRANSLATION: TranslationSessionConfig,
}


def _to_names(names: Iterable[str]) -> frozenset[str]:
    given = to_tuple("names in a grant", names)
    for name in given:
        check_kind("each name in a grant", name, str, allowed="a str")
    return frozenset(given)


def _to_tools(tools: Iterable[AnyTool]) -> ToolRegistry:
    return tools if isinstance(tools, ToolRegistry) else ToolRegistry(tools)


def _one_of(*choices: str) -> Any:
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        check_choice(attribute.name, value, choices)

    return check


@frozen(kw_only=True)
class Grant:
    """What one guest may do, and what the session is that it gets.

    The default is a guest that may speak, write and show images, hear the answers, interrupt them,
    and change nothing else.

    Raises:
        TypeError, LocalProtocolError: A part of it makes no sense.
        ToolDefinitionError: A function cannot be a tool.
    """

    who: str = "anonymous"
    """Who the guest is, in your words: in the audit, and to count sessions by.  No secret."""
    model: str | None = None
    """Model, whatever the guest's URL says; None is the default of the kind of session."""
    kind: SessionKind = SessionKind.REALTIME
    """What the session is for; a guest that asks for another kind is refused."""
    session: Config | None = None
    """The configuration, which the relay gives the session before the guest has it; None leaves
    that of the service."""
    tools: ToolRegistry = field(factory=ToolRegistry, converter=_to_tools)
    """Functions that the model may call and that run in the relay, and definitions of tools that
    the guest runs (for which `items` has to allow `function_call_output`)."""
    hide_tools: bool = True
    """Whether the guest is not told of the calls that the relay answers, and of their outputs."""
    events: frozenset[str] = field(default=DEFAULT_EVENTS, converter=_to_names)
    """Types of the events that the guest may send, or `{"*"}`."""
    items: frozenset[str] = field(default=DEFAULT_ITEMS, converter=_to_names)
    """What the guest may put into the conversation, or `{"*"}`: parts of messages with the role in
    front, such as `user.input_text`, and types of other items, such as `function_call_output`."""
    overrides: frozenset[str] = field(default=DEFAULT_OVERRIDES, converter=_to_names)
    """Fields that the `response` of a `response.create` may have, or `{"*"}`."""
    updates: frozenset[str] = field(default=frozenset(), converter=_to_names)
    """Fields of the session that the guest may change, or `{"*"}`: `instructions`,
    `audio.input.turn_detection`, `audio.output.voice`, ...; with a field, all that is in it."""
    other_updates: Literal["refuse", "drop"] = field(
        default="refuse", validator=_one_of("refuse", "drop")
    )
    """What becomes of a `session.update` with other fields: it is refused, or goes on without them.
    Clients that cannot do without configuring their session need `drop`."""
    hidden: frozenset[str] = field(default=DEFAULT_HIDDEN, converter=_to_names)
    """Fields of sessions and responses that are cut out of what the service says."""
    unknown: Literal["pass", "drop"] = field(default="pass", validator=_one_of("pass", "drop"))
    """What becomes of events and fields that this version does not know.  `pass` is for a service
    that is newer; what a guest sends has to be in `events` in any case."""
    limits: Limits = field(factory=Limits)
    """How much the guest may use."""
    budget: Budget | None = None
    """What the session may take in tokens, money and seconds.  Once it is spent, no response is
    passed on, those that turn detection begins are cancelled, and the session ends if the budget
    says so."""
    prices: Prices = field(factory=dict, repr=False)
    """What models cost: needed for a budget in money, and for the cost in the audit; see
    `realtime_trio.money.known_prices`."""
    sessions: float = 10
    """Sessions at once of everybody with this `who`; `math.inf` is no limit.  A person has several
    tabs and devices, and one more session while a page is loaded again."""

    def __attrs_post_init__(self) -> None:
        check_kind("who", self.who, str, allowed="a str")
        check_kind("model", self.model, str, NoneType, allowed="a str or None")
        check_kind("kind", self.kind, SessionKind, allowed="a SessionKind")
        check_kind("limits", self.limits, Limits, allowed="Limits")
        check_kind("budget", self.budget, Budget, NoneType, allowed="a Budget or None")
        check_number("sessions", self.sessions, lambda most: most >= 1, allowed="1 or more")
        fitting = _SESSION_CLASSES[self.kind]
        check_kind(
            "session", self.session, fitting, NoneType, allowed=f"a {fitting.__name__} or None"
        )
        if len(self.tools) and self.kind is not SessionKind.REALTIME:
            raise LocalProtocolError(f"a {self.kind.value} session has no tools")
        if isinstance(self.session, SessionConfig) and not isinstance(self.session.tools, Unset):
            raise LocalProtocolError("the tools of a grant are in `tools`, not in `session`")
        # Raises for a budget in money of a model without a price.
        self.meter(0.0)

    @property
    def model_or_default(self) -> str:
        """The model that the session gets."""
        return self.model or KINDS[self.kind].default_model

    @property
    def instructions(self) -> str | None:
        """The instructions of the session, as far as the grant has some."""
        given = self.session.instructions if isinstance(self.session, SessionConfig) else None
        return None if isinstance(given, Unset) else given

    def meter(self, now: float) -> BudgetMeter | None:
        """What keeps the budget, if there is one."""
        if self.budget is None:
            return None
        return BudgetMeter(self.budget, prices=self.prices, model=self.model_or_default, now=now)

    @property
    def own_tools(self) -> frozenset[str]:
        """The names of the tools that run in the relay."""
        return frozenset(tool.name for tool in self.tools if isinstance(tool, LocalTool))


def allows(names: frozenset[str], name: str) -> bool:
    """Whether one of the sets of names in a grant has this name, or all."""
    return name in names or ANY in names
