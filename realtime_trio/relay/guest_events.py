"""What a guest may send: every event held against the grant, before the service sees it.

Pure.  Owns the rules of each event that has some, and the words of refusals.  How often and how
much is for `policy`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from realtime_trio._legible import legible
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio.events import SessionConfig, SessionUpdate, UnknownEvent
from realtime_trio.relay.grant import ANY, Grant, allows
from realtime_trio.relay.reading import Json

_LONGEST_NAME: Final = 80
"""Characters of a guest's own words in a refusal."""
_NESTED: Final = ("audio", "audio.input", "audio.output")
"""Parts of a session whose members are changed one by one; all others are replaced as a whole."""


class NotAllowedError(Exception):
    """An event is not for this guest; the text says why, and what would be allowed."""

    def __init__(
        self, message: str, *, code: str = "not_allowed", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class GuestEvents:
    """The rules for the events of one guest.

    Args:
        grant: What it may do.
    """

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._reader = Codec(Role.SERVER, kind=grant.kind)
        self._writer = Codec(Role.CLIENT, kind=grant.kind)
        self._tools = self._write_tools()
        """As the service is told of them."""

    @property
    def are_appends_free(self) -> bool:
        """Whether audio needs no look at anything but its length."""
        return self._grant.unknown == "pass" and allows(
            self._grant.events, "input_audio_buffer.append"
        )

    def check(self, text: str, payload: Json) -> str:
        """The text to pass on: the one that came, unless something had to be taken out.

        Args:
            text: The message.
            payload: The same, read.

        Raises:
            NotAllowedError: It must not be passed on.
        """
        wire_type: str = payload["type"]
        if wire_type == "session.update":
            return self._check_update(text, payload)
        if not allows(self._grant.events, wire_type):
            allowed = ", ".join(sorted(self._grant.events)) or "nothing"
            raise NotAllowedError(
                f"{_quoted(wire_type)} may not be sent here; allowed: {allowed}", param="type"
            )
        if wire_type == "conversation.item.create":
            self._check_item(payload.get("item"))
        elif wire_type == "response.create":
            self._check_response(payload.get("response"))
        return self._known(text)

    def _known(self, text: str) -> str:
        """The text without what this version does not know, if that is to be dropped."""
        if self._grant.unknown == "pass":
            return text
        event = self._reader.decode(text)
        if isinstance(event, UnknownEvent):
            raise NotAllowedError(
                "this event is not known here, or does not fit its type", code="unknown_event"
            )
        return self._writer.encode(event)

    def _write_tools(self) -> list[Json]:
        if not len(self._grant.tools):
            return []
        update = SessionUpdate(session=SessionConfig(tools=self._grant.tools.definitions))
        tools: list[Json] = parse_json(self._writer.encode(update))["session"]["tools"]
        return tools

    # --- items ------------------------------------------------------------------------------------

    def _check_item(self, item: object) -> None:
        if not isinstance(item, dict):
            raise NotAllowedError("an item is an object", param="item")
        for name, param in _names_of(item):
            if not allows(self._grant.items, name):
                allowed = ", ".join(sorted(self._grant.items)) or "nothing"
                raise NotAllowedError(
                    f"{_quoted(name)} may not be put into the conversation; allowed: {allowed}",
                    param=param,
                )
        # Whoever fetches an image sees where from, and must not be sent anywhere by a guest.
        for part in item.get("content") or ():
            image = part.get("image_url") if isinstance(part, dict) else None
            if isinstance(image, str) and not image.startswith("data:"):
                raise NotAllowedError(
                    "an image has to be in the message; allowed: a data URL", param="item.content"
                )

    # --- responses --------------------------------------------------------------------------------

    def _check_response(self, response: object) -> None:
        if response is None:
            return
        if not isinstance(response, dict):
            raise NotAllowedError("a response is configured by an object", param="response")
        for name in response:
            if not allows(self._grant.overrides, name):
                allowed = ", ".join(sorted(self._grant.overrides)) or "nothing"
                raise NotAllowedError(
                    f"{_quoted(name)} may not be chosen for a response; allowed: {allowed}",
                    param=f"response.{legible(name, _LONGEST_NAME)}",
                )

    # --- the session ------------------------------------------------------------------------------

    def _check_update(self, text: str, payload: Json) -> str:
        grant = self._grant
        session = payload.get("session")
        if not grant.updates and grant.other_updates == "refuse":
            raise NotAllowedError("the session is configured already, and stays as it is")
        if not isinstance(session, dict):
            raise NotAllowedError("a session is configured by an object", param="session")
        locked: list[str] = []
        # The model is the grant's, and clients repeat the one that they believe in.
        own = {name: value for name, value in session.items() if name != "model"}
        kept = self._permitted(own, "", locked)
        if locked and grant.other_updates == "refuse":
            raise NotAllowedError(
                f"{_quoted(locked[0])} may not be changed; "
                f"allowed: {', '.join(sorted(grant.updates))}",
                param=f"session.{legible(locked[0], _LONGEST_NAME)}",
            )
        if kept.get("type", grant.kind.value) != grant.kind.value:
            raise NotAllowedError(
                f"this is a {grant.kind.value} session, and stays one", param="session.type"
            )
        has_tools = bool(self._tools) and "tools" in kept
        if has_tools:
            kept["tools"] = self._with_own(kept["tools"])
        if locked or has_tools or len(own) < len(session):
            text = write_json({**payload, "session": kept})
        return self._known(text)

    def _permitted(self, members: Json, path: str, locked: list[str]) -> Json:
        """The members of a session, or of an object in it, that may be changed."""
        kept: Json = {}
        for name, value in members.items():
            full = f"{path}{name}"
            if full == "type" or self._may_update(full):
                kept[name] = value
            elif full in _NESTED and isinstance(value, dict):
                if inner := self._permitted(value, f"{full}.", locked):
                    kept[name] = inner
            else:
                locked.append(full)
        return kept

    def _may_update(self, path: str) -> bool:
        updates = self._grant.updates
        parts = path.split(".")
        return ANY in updates or any(
            ".".join(parts[:end]) in updates for end in range(1, len(parts) + 1)
        )

    def _with_own(self, tools: object) -> object:
        """A guest's list of tools, which replaces all that there are, with those of the grant."""
        if not isinstance(tools, list):
            return tools
        own = {tool.get("name") for tool in self._tools}
        others = [
            tool for tool in tools if not (isinstance(tool, dict) and tool.get("name") in own)
        ]
        return [*self._tools, *others]


def _names_of(item: Json) -> Iterator[tuple[str, str]]:
    """By which names a grant has to allow an item, and where in the event each of them stands."""
    if item.get("type") != "message":
        yield str(item.get("type")), "item.type"
        return
    role, content = item.get("role"), item.get("content")
    parts = content if isinstance(content, list) else [content]
    # A message without any part is one of its role all the same.
    if not parts:
        yield f"{role}.input_text", "item.role"
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        yield f"{role}.{kind}", f"item.content[{index}].type"


def audio_in(payload: Json) -> int:
    """Characters of base64 in an event that brings audio: an append, or a message with some."""
    found: list[Any] = [payload.get("audio")]
    item = payload.get("item")
    content = item.get("content") if isinstance(item, dict) else None
    if isinstance(content, list):
        found += [part.get("audio") for part in content if isinstance(part, dict)]
    return sum(len(audio) for audio in found if isinstance(audio, str))


def items_named_by(payload: Json) -> Iterator[str]:
    """The ids of the items that an event is about."""
    for name in ("item_id", "previous_item_id"):
        if isinstance(value := payload.get(name), str):
            yield value


def _quoted(said: str) -> str:
    return repr(legible(said, _LONGEST_NAME))
