"""What the simulated model reads: what is left out when it is too much, and what is cached."""

from __future__ import annotations

from typing import Any

import pytest
from service_client import audio

from realtime_trio.events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ErrorEvent,
    Event,
    FunctionTool,
    InputAudio,
    InputTokenDetails,
    McpListedTool,
    McpListTools,
    McpTool,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    RetentionRatio,
    SessionConfig,
    SessionUpdate,
    SystemMessage,
    TokenLimits,
    Truncation,
    UserMessage,
)
from realtime_trio.simulator import McpServer, Reply, Script, SimulatedServer, Turn
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.context import Selection
from realtime_trio.simulator.service.item_entry import ItemEntry


class Model:
    """A server, and what it had before it at each response."""

    def __init__(
        self,
        *,
        truncation: Truncation = "auto",
        instructions: str = "",
        model: str = "gpt-realtime",
    ) -> None:
        self.turns: list[Turn] = []
        script = Script(
            [Reply.text("never", when=self._remember), *[Reply.text("Yes.")] * 100],
            mcp_servers=[DOCS],
        )
        self._server = SimulatedServer(script, model=model)
        self._server.connect(0)
        self.send(
            SessionUpdate(
                session=SessionConfig(
                    output_modalities=("text",), truncation=truncation, instructions=instructions
                )
            )
        )

    def _remember(self, turn: Turn) -> bool:
        self.turns.append(turn)
        return False

    def send(self, event: Any) -> tuple[Event, ...]:
        self._server.receive(event, 0)
        return self._server.take_due(0)

    def say(self, tokens: int, name: str, after: str | None = None) -> None:
        """Add an item that takes so many tokens to read."""
        self.send(
            ConversationItemCreate(
                item=UserMessage.text(" word" * tokens, id=name), previous_item_id=after
            )
        )

    def read(self, config: ResponseConfig | None = None) -> list[str | None]:
        """Make a response; return the items that it read."""
        assert self.respond(config).input_tokens is not None
        return [item.id for item in self.turns[-1].items]

    def respond(self, config: ResponseConfig | None = None) -> Any:
        """Make a response; return what it is billed for."""
        events = self.send(ResponseCreate(response=config))
        (done,) = [event for event in events if isinstance(event, ResponseDone)]
        return done.response.usage

    def cached(self, config: ResponseConfig | None = None) -> int:
        details = self.respond(config).input_token_details
        assert isinstance(details, InputTokenDetails)
        return details.cached_tokens

    def is_refused(self, config: ResponseConfig | None = None) -> bool:
        turns = len(self.turns)
        events = self.send(ResponseCreate(response=config))
        if isinstance(events[0], ErrorEvent):
            error = events[0].error
            assert (error.code, error.message) == (
                "conversation_too_long",
                "Conversation is too long to create a Response.",
            )
            assert (len(events), len(self.turns)) == (1, turns)
            return True
        return False


DOCS = McpServer("docs", [McpListedTool(name="search", input_schema={}, description=" word" * 500)])


def keeping(ratio: float, limit: int | None = None) -> RetentionRatio:
    return RetentionRatio(
        retention_ratio=ratio,
        token_limits=None if limit is None else TokenLimits(post_instructions=limit),
    )


# --- what does not fit ----------------------------------------------------------------------------


def test_the_oldest_items_are_left_out_when_there_are_too_many() -> None:
    model = Model()
    for name in "abc":
        model.say(14_000, name)
    assert model.read() == ["b", "c"]
    # They are where they were, only the model does not see them.
    (retrieved,) = model.send(ConversationItemRetrieve(item_id="a"))
    assert retrieved.type == "conversation.item.retrieved"


def test_what_was_left_out_stays_out() -> None:
    model = Model()
    for name in "abc":
        model.say(14_000, name)
    model.read()
    model.send(ConversationItemDelete(item_id="b"))
    names = model.read()
    assert names[0] == "c"
    model.say(1, "first", after="root")
    assert model.read()[:2] == ["first", "c"]


def test_responses_apart_leave_nothing_out_for_good() -> None:
    model = Model(truncation=keeping(1.0, limit=100))
    model.say(60, "a")
    model.say(60, "b")
    assert model.read(ResponseConfig(conversation="none")) == ["b"]
    model.send(SessionUpdate(session=SessionConfig(truncation="auto")))
    assert model.read() == ["a", "b"]


def test_a_reasoning_model_reads_more() -> None:
    model = Model(model="gpt-realtime-2")
    for name in "abc":
        model.say(14_000, name)
    assert model.read() == ["a", "b", "c"]


def test_nothing_is_left_out_if_that_is_not_wanted() -> None:
    model = Model(truncation="disabled")
    model.say(28_000, "a")
    assert model.read() == ["a"]
    model.say(1_000, "b")
    assert model.is_refused()
    assert not model.is_refused(ResponseConfig(input=(UserMessage.text("short"),)))
    model.send(ConversationItemDelete(item_id="a"))
    assert "b" in model.read()


def test_a_part_of_what_fits_is_kept_so_that_the_next_turns_fit_too() -> None:
    model = Model(truncation=keeping(0.5, limit=100))
    for number in range(10):
        model.say(10, f"old{number}")
    assert len(model.read()) == 10
    model.say(10, "new")
    names = model.read()
    assert [*names[:3], *names[4:]] == ["old7", "old8", "old9", "new"]  # between them is the answer
    model.say(10, "newer")
    assert model.read()[:5] == names


def test_without_a_limit_of_its_own_a_ratio_is_of_the_context() -> None:
    model = Model(truncation=keeping(0.5))
    for name in "abcd":
        model.say(8_000, name)
    assert model.read() == ["d"]


def test_the_newest_item_stays_whatever_the_ratio() -> None:
    model = Model(truncation=keeping(0.0, limit=100))
    model.say(60, "a")
    model.say(60, "b")
    assert model.read() == ["b"]


def test_what_can_never_fit_is_refused() -> None:
    model = Model()
    model.say(30_000, "a")
    assert model.is_refused()
    assert model.is_refused(ResponseConfig(input=(), instructions=" word" * 30_000))
    assert model.is_refused(
        ResponseConfig(input=(SystemMessage.text(" word" * 30_000),), conversation="none")
    )


def test_instructions_and_tools_take_room_and_are_never_left_out() -> None:
    model = Model(instructions=" word" * 20_000)
    model.say(6_000, "a")
    model.say(6_000, "b")
    assert model.read() == ["b"]
    assert model.turns[-1].instructions == " word" * 20_000


def test_a_limit_after_the_instructions_does_not_count_them() -> None:
    model = Model(instructions=" word" * 1_000, truncation=keeping(1.0, limit=100))
    model.say(90, "a")
    assert model.read() == ["a"]


def test_a_list_of_tools_that_came_with_the_request_counts() -> None:
    model = Model(truncation=keeping(1.0, limit=600))
    model.say(500, "a")
    docs = McpTool(server_label="docs", server_url="https://docs.example.com")
    model.respond(ResponseConfig(tools=(docs,)))
    (item,) = model.turns[-1].items
    assert isinstance(item, McpListTools)


def test_what_is_left_out_is_not_billed() -> None:
    model = Model(truncation=keeping(1.0, limit=100))
    for name, milliseconds in (("a", 6_000), ("b", 5_000)):
        model.send(ConversationItemCreate(item=UserMessage.audio(audio(milliseconds), id=name)))
    model.say(7, "c")
    details = model.respond().input_token_details
    assert (details.text_tokens, details.audio_tokens) == (7, 50)


# --- the cache ------------------------------------------------------------------------------------


@pytest.fixture
def model() -> Model:
    """One that has read 300 tokens."""
    model = Model(instructions=" word" * 100)
    model.say(100, "a")
    model.say(100, "b")
    assert model.cached() == 0
    return model


def test_what_the_last_response_read_is_cached(model: Model) -> None:
    model.say(100, "c")
    assert model.cached() == 256
    model.say(100, "d")
    assert model.cached() == 384


def test_the_cache_reaches_up_to_the_first_difference(model: Model) -> None:
    model.send(ConversationItemDelete(item_id="b"))
    assert model.cached() == 192
    model.say(100, "e", after="root")
    assert model.cached() == 64


def test_other_instructions_are_another_prompt(model: Model) -> None:
    assert model.cached(ResponseConfig(instructions="Sing.")) == 0
    assert model.cached() == 0
    assert model.cached(ResponseConfig(tools=(FunctionTool(name="look"),))) == 0


def test_leaving_something_out_is_another_prompt(model: Model) -> None:
    model.send(SessionUpdate(session=SessionConfig(truncation=keeping(1.0, limit=150))))
    assert model.cached() == 64


def test_the_cache_begins_anew_with_what_stays(model: Model) -> None:
    model.send(SessionUpdate(session=SessionConfig(truncation=keeping(1.0, limit=250))))
    model.say(140, "c")
    # Without "a"; then two tokens of the answer and "b" are as they were, and "c" is not.
    assert model.cached() == 64
    model.send(ConversationItemDelete(item_id="c"))
    model.say(100, "d")
    assert model.cached() == 192


def test_responses_apart_neither_use_the_cache_nor_fill_it(model: Model) -> None:
    assert model.cached(ResponseConfig(conversation="none")) == 0
    assert model.cached(ResponseConfig(input=(UserMessage.text("x"),), instructions="Sing.")) == 0
    assert model.cached() == 256


# --- what the user turned out to have said --------------------------------------------------------


def test_words_that_come_after_the_selection_are_read_all_the_same() -> None:
    first, heard, last = (
        ItemEntry(name, item, PCM)
        for name, item in (
            ("a", UserMessage.text("first")),
            ("b", UserMessage(content=[InputAudio(audio(100))])),
            ("c", UserMessage.text("last")),
        )
    )
    entries = [first, heard, last]
    selection = Selection(
        entries=entries,
        items=tuple(entry.understood for entry in entries),
        text=2,
        audio=1,
        left_out=0,
        is_conversation=True,
    )
    heard.understand("hello")
    understood = selection.with_words_of(heard)
    assert understood.items == (
        first.item,
        UserMessage(content=[InputAudio(audio(100), "hello")]),
        last.item,
    )
    # Of an item that was not selected nothing is read.
    stranger = ItemEntry("d", UserMessage.text("never"), PCM)
    assert understood.with_words_of(stranger) == understood
