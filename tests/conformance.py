"""Hold the event classes against a JSON Schema of the protocol.

    python tests/conformance.py SCHEMA.json

The schema's top-level key `map` says what to look at: dialect (`ga`, `transcription`,
`translation`, `beta`) -> side that sends (`client`, `server`) -> wire type -> `{"$ref": ...}`.
Objects marked `"x-closed": true` must hold nothing else when a client sends them.

Two directions.  *Sent*: what we encode is valid, for many instances of every class.  *Read*: every
kind of value that the schema allows is decoded as what it is, and what we encode of it is valid
again and has lost nothing.  Where schema and library differ on purpose, a table says so and why.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, cast

from hypothesis import HealthCheck, Phase, Verbosity, given, settings, strategies as st

# The stubs of jsonschema are a package of their own, which nothing else here needs.
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from strategies import TEXTS, Palette, events

from realtime_trio import events as v
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import UNSET, Event, UnknownEvent

Schema = dict[str, object]
Json = dict[str, object]

INSTANCES: Final = 50
"""How many instances of each class are encoded."""


class Speech(NamedTuple):
    """Who speaks in which dialect."""

    dialect: str
    side: str

    def codec(self, role: Role) -> Codec:
        kind = (
            SessionKind(self.dialect)
            if self.dialect in {kind.value for kind in SessionKind}
            else SessionKind.REALTIME
        )
        return Codec(role, Dialect.BETA if self.dialect == "beta" else Dialect.GA, kind=kind)

    @property
    def sender(self) -> Codec:
        return self.codec(Role(self.side))

    @property
    def receiver(self) -> Codec:
        return self.codec(Role.SERVER if self.side == "client" else Role.CLIENT)

    @property
    def classes(self) -> tuple[type[Event], ...]:
        if self.dialect == "translation":
            return (
                v.TRANSLATION_CLIENT_EVENTS
                if self.side == "client"
                else v.TRANSLATION_SERVER_EVENTS
            )
        return v.CLIENT_EVENTS if self.side == "client" else v.SERVER_EVENTS


SPEECHES: Final = [
    Speech(dialect, side)
    for dialect in ("ga", "transcription", "translation", "beta")
    for side in ("client", "server")
]


# --- known differences ----------------------------------------------------------------------------

NOT_SENT: Final[Mapping[Speech, tuple[type[Event], ...]]] = {
    # Beta's only event about a new item is conversation.item.created; the timeout and the telephone
    # came later.
    Speech("beta", "server"): (
        v.ConversationItemDone,
        v.InputAudioBufferTimeoutTriggered,
        v.InputAudioBufferDtmfEventReceived,
    ),
}
"""Classes that a dialect has no event for: encoding them is refused."""

REFUSED: Final[Mapping[str, str]] = {
    (
        r"(required field missing|expected a string, got null)"
        r" @ \$\.(session|response)\.tools\[\d\]\.name$"
    ): ("The schema requires nothing of a function, but one without a name cannot be called."),
    (
        r"(required field missing|expected a string, got null)"
        r" @ \$\.(item|response\.(input|output)\[\d\])\.(name|arguments|call_id|output)$"
    ): (
        "Beta's items are one object with every member optional.  What names no function is not a "
        "call, and what names no call is not its output."
    ),
    (
        r"(required field missing|expected a list, got null)"
        r" @ \$\.(item|response\.(input|output)\[\d\])\.content$"
    ): ("The same object: a message has content, if only an empty list."),
    r"required field missing @ \$\.response\.input\[\d\]\.id$": (
        "The same object: a reference refers to something."
    ),
    r"expected null or an object, got a string @ \$\.session\.audio\.input\.format$": (
        "The session of beta's transcription_session events may name any encoding; there are only "
        "three."
    ),
}
"""What the schema allows and we do not read: pattern of the problem -> why we are right."""


LOST: Final[Mapping[str, str]] = {
    r"\.content\[\]\.(text|audio|image_url|detail|transcript|format)$": (
        "The schema has one object for all parts of a message; in ours a part of text has no "
        "audio, and so on."
    ),
    r"\.content\[\]\.type$": (
        "Assistant content spelled the old way, `text` or `audio`, is written the new way."
    ),
}
"""What the schema allows and we read, but do not keep: pattern of the path -> why we are right.
Beta has many more: see `dialects`."""


# --- what we send ---------------------------------------------------------------------------------

NONE: Final = st.none()
UNSET_: Final = st.just(UNSET)
METADATA: Final = NONE | st.dictionaries(TEXTS, TEXTS, max_size=3)
TEXTS_OR_NONE: Final = NONE | st.lists(TEXTS, min_size=1, max_size=2).map(tuple)
SPEEDS: Final = st.floats(0.25, 1.5)
TOOL_CHOICES: Final = st.one_of(
    st.sampled_from(["none", "auto", "required"]),
    events(v.ToolChoiceFunction),
    events(v.ToolChoiceMcp),
)
ITEMS_WITH_OBJECT: Final = (
    v.SystemMessage,
    v.UserMessage,
    v.AssistantMessage,
    v.FunctionCall,
    v.FunctionCallOutput,
)
Fields = dict[tuple[type, str], st.SearchStrategy[object]]

LIMITS: Final[Fields] = {
    (v.ServerVad, "threshold"): NONE | st.floats(0, 1),
    (v.ServerVad, "idle_timeout_ms"): UNSET_ | NONE | st.integers(5_000, 30_000),
    (v.AudioOutputConfig, "speed"): UNSET_ | SPEEDS,
    (v.SessionAudioOutput, "speed"): NONE | SPEEDS,
    (v.RetentionRatio, "retention_ratio"): st.floats(0, 1),
    (v.TokenLimits, "post_instructions"): NONE | st.integers(0, 10**6),
    (v.Transcription, "languages"): TEXTS_OR_NONE,
    (v.Prompt, "variables"): METADATA,
    (v.McpTool, "headers"): METADATA,
    (v.McpTool, "connector_id"): st.sampled_from([None, "connector_gmail"]),
    (v.McpTool, "tunnel_id"): st.sampled_from([None, "tunnel_" + "0123456789abcdef" * 2]),
    (v.McpTool, "allowed_callers"): st.sampled_from(
        [None, ("direct",), ("direct", "programmatic")]
    ),
    (v.SessionConfig, "tool_choice"): UNSET_ | TOOL_CHOICES,
    (v.ResponseConfig, "tool_choice"): NONE | TOOL_CHOICES,
    (v.ResponseConfig, "metadata"): METADATA,
    (v.Response, "metadata"): METADATA,
    (v.Response, "object"): st.sampled_from([None, "realtime.response"]),
    (v.ResponseStatusDetails, "type"): st.sampled_from(
        [None, "completed", "cancelled", "failed", "incomplete"]
    ),
    (v.RealtimeSession, "tool_choice"): NONE | TOOL_CHOICES,
    (v.RealtimeSession, "object"): st.just("realtime.session"),
    (v.TranscriptionSession, "object"): st.just("realtime.transcription_session"),
    (v.ConversationInfo, "object"): st.sampled_from([None, "realtime.conversation"]),
    (v.TranslationSessionOutputAudioDelta, "format"): st.sampled_from([None, "pcm16"]),
    **{(cls, "object"): st.sampled_from([None, "realtime.item"]) for cls in ITEMS_WITH_OBJECT},
}
"""What the server accepts or says in fields whose types leave that to it."""

FORMATS: Final = st.sampled_from([v.AudioFormat.pcm(), v.AudioFormat.pcmu(), v.AudioFormat.pcma()])


def palette_of(speech: Speech) -> Palette:
    """What the events of a dialect may hold."""
    fields = dict(LIMITS)
    classes: dict[type, st.SearchStrategy[object]] = {v.AudioFormat: FORMATS}
    if speech.side == "client":
        # Only the server says how it encoded what it stored.
        fields[v.OutputAudio, "format"] = NONE
        for config in (v.SessionConfig, v.TranscriptionSessionConfig):
            fields[config, "include"] = (
                UNSET_ | st.just(()) | st.just(("item.input_audio_transcription.logprobs",))
            )
    if speech.dialect == "translation":
        # Translation sessions share the classes of others, but not all of their freedom.
        classes[v.Transcription] = st.builds(v.Transcription, model=TEXTS)
        fields[v.NoiseReduction, "type"] = st.sampled_from(["near_field", "far_field"])
    if speech.dialect == "beta":
        # Beta knows messages of text and audio, functions and their calls.
        for unknown in (
            v.McpApprovalResponse,
            v.McpListTools,
            v.McpCall,
            v.McpApprovalRequest,
            v.McpTool,
            v.InputImage,
        ):
            classes[unknown] = st.nothing()
        names = st.sampled_from(["none", "auto", "required"])
        fields[v.SessionConfig, "tool_choice"] = UNSET_ | names | events(v.ToolChoiceFunction)
        fields[v.RealtimeSession, "tool_choice"] = NONE | names
        fields[v.SessionAudioOutput, "voice"] = NONE | TEXTS
    return Palette(future=False, fields=fields, classes=classes)


def check_sent(
    speech: Speech,
    cls: type[Event],
    validators: Mapping[str, Draft202012Validator],
    palette: Palette,
) -> str:
    """Encode instances of a class; say what is wrong with the first bad one, "" if none is."""
    sender = speech.sender

    @settings(
        max_examples=INSTANCES,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(events(cls, palette))
    def encodes(event: Event) -> None:
        complaint = validate(json.loads(sender.encode(event)), validators)
        assert not complaint, f"{complaint}, in {shown(sender.encode(event))}"

    try:
        encodes()
    except (AssertionError, LocalProtocolError) as error:
        return str(error)
    return ""


# --- what we read ---------------------------------------------------------------------------------


class Variants:
    """Instances of a schema.

    One holds as little as possible; for each thing that the schema leaves open, another one has it
    or does it otherwise.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self.definitions = definitions

    def of(self, schema: Schema) -> list[object]:
        """All variants, the plainest first."""
        if "$ref" in schema:
            return self.of(self.definitions[str(schema["$ref"]).removeprefix("#/$defs/")])
        # Every allOf has one member: it is there to carry a description beside a reference.
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return unique(
                    variant
                    for member in cast("list[Schema]", schema[union])
                    for variant in self.of(member)
                )
        if "const" in schema:
            return [schema["const"]]
        if "enum" in schema:
            return list(cast("list[object]", schema["enum"]))
        types = schema.get("type", "object")
        by_type: Mapping[str, Callable[[Schema], list[object]]] = {
            "object": self.objects,
            "array": self.arrays,
            "string": strings,
            "integer": lambda limits: [limits.get("minimum", 0), limits.get("maximum", 2**31)],
            "number": lambda limits: [
                limits.get("minimum", 0),
                limits.get("maximum", 2**31),
                limits.get("minimum", 0.5),
            ],
            "boolean": lambda _: [False, True],
            "null": lambda _: [None],
        }
        return unique(
            variant
            for t in (types if isinstance(types, list) else [types])
            for variant in by_type[str(t)](schema)
        )

    def objects(self, schema: Schema) -> list[object]:
        properties = cast("Mapping[str, Schema]", schema.get("properties", {}))
        required = cast("list[str]", schema.get("required", []))
        variants = {name: self.of(member) for name, member in properties.items()}
        least = {name: variants[name][0] for name in required}
        most = {
            name: values[-1] if values[-1] is not None else values[0]
            for name, values in variants.items()
        }
        if not properties:
            return [
                {},
                *(
                    {"key": value}
                    for value in self.of(
                        cast("Schema", schema.get("additionalProperties") or {"type": "string"})
                    )
                ),
            ]
        return unique(
            [
                least,
                *({**least, name: value} for name, values in variants.items() for value in values),
                most,
            ]
        )

    def arrays(self, schema: Schema) -> list[object]:
        elements = self.of(cast("Schema", schema["items"]))
        shortest: list[object] = elements[: cast("int", schema.get("minItems", 0))]
        return [shortest, *([element] for element in elements), elements[-2:]]


def strings(schema: Schema) -> list[object]:
    if "pattern" in schema:
        return ["tunnel_" + "0123456789abcdef" * 2]
    if schema.get("contentEncoding") == "base64":
        return ["", "AAAA", "AAA="]
    return ["https://example.com/x"] if schema.get("format") == "uri" else ["", "é"]


def unique(values: Iterator[object] | list[object]) -> list[object]:
    """In the same order; 1, 1.0 and true are three."""
    return list({json.dumps(value): value for value in values}.values())


def lost(before: object, after: object, path: str = "$") -> Iterator[str]:
    """Where something was read but not written again.  Nulls do not count."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if value is not None:
                yield from lost(value, after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from lost(one, other, f"{path}[]")
    elif before != after:
        yield path


class Reading(NamedTuple):
    read: int
    refused: int
    complaint: str


def check_read(
    speech: Speech, instances: list[object], validators: Mapping[str, Draft202012Validator]
) -> Reading:
    """Decode instances of a schema and encode them again."""
    receiver, sender = speech.receiver, speech.sender
    refused = 0
    for instance in instances:
        text = json.dumps(instance)
        event = receiver.decode(text)
        if isinstance(event, UnknownEvent):
            problem = event.problem or "unknown type"
            if not any(re.search(pattern, problem) for pattern in REFUSED):
                return Reading(0, 0, f"{problem}, in {shown(text)}")
            refused += 1
            continue
        try:
            again = json.loads(sender.encode(event))
            complaint = validate(again, validators)
            if not complaint and speech.dialect != "beta":
                complaint = next(
                    (
                        f"lost {path}"
                        for path in lost(instance, again)
                        if not any(re.search(p, path) for p in LOST)
                    ),
                    "",
                )
        except LocalProtocolError as error:
            complaint = str(error)
        if complaint:
            return Reading(0, 0, f"{complaint}, made of {shown(text)}")
    return Reading(len(instances) - refused, refused, "")


# --- the schema -----------------------------------------------------------------------------------


def closed(schema: object) -> object:
    """The schema with marked objects closed."""
    if isinstance(schema, list):
        return [closed(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: closed(member) for key, member in schema.items()}
    return {**copy, "additionalProperties": False} if copy.get("x-closed") is True else copy


def validate(payload: Json, validators: Mapping[str, Draft202012Validator]) -> str:
    """Say what is wrong with a message, "" if nothing is."""
    validator = validators.get(str(payload["type"]))
    if validator is None:
        return f"the schema has no {payload['type']}"
    error = best_match(validator.iter_errors(payload))
    return f"{error.message[:200]} @ {error.json_path}" if error else ""


def shown(text: str) -> str:
    return text if len(text) <= 400 else text[:400] + "..."


def main(path: str) -> int:
    """Print a line for every event of every dialect and side; return the exit code."""
    started = time.perf_counter()
    schema = json.loads(Path(path).read_text(encoding="utf-8"))
    definitions = {"server": schema["$defs"], "client": closed(schema["$defs"])}
    passed = failed = 0

    def report(complaint: str, what: str, success: str) -> None:
        nonlocal passed, failed
        passed, failed = passed + (not complaint), failed + bool(complaint)
        print(
            f"FAILED  {what}: {complaint}" if complaint else f"passed  {what}: {success}",
            flush=True,
        )

    for speech in SPEECHES:
        roots: Mapping[str, Schema] = schema["map"][speech.dialect][speech.side]
        validators = {
            name: Draft202012Validator({**root, "$defs": definitions[speech.side]})
            for name, root in roots.items()
        }
        palette = palette_of(speech)
        for cls in speech.classes:
            what = f"{speech.dialect} {speech.side} sends {cls.__name__}"
            if cls in NOT_SENT.get(speech, ()):
                continue
            if speech.dialect == "transcription" and cls.type not in roots:
                continue
            report(check_sent(speech, cls, validators, palette), what, f"{INSTANCES} instances")
        variants = Variants(definitions[speech.side])
        for name, root in roots.items():
            # The schema of session.update allows null, which is no event.
            instances = [instance for instance in variants.of(root) if instance is not None]
            reading = check_read(speech, instances, validators)
            success = f"{reading.read} instances" + (
                f", {reading.refused} rightly refused" if reading.refused else ""
            )
            report(
                reading.complaint,
                f"{speech.receiver.role.value} reads {speech.dialect} {name}",
                success,
            )
    print(f"\n{passed} passed, {failed} failed, in {time.perf_counter() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
