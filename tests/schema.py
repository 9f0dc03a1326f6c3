"""Hold what the simulator says against a JSON Schema of the protocol.

Nothing is checked unless the environment variable REALTIME_SCHEMA names the schema.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

from conformance import validate

# The stubs of jsonschema are a package of their own, which nothing else here needs.
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from realtime_trio._protocol.kinds import SessionKind

DIALECTS = {
    SessionKind.REALTIME: "ga",
    SessionKind.TRANSCRIPTION: "transcription",
    SessionKind.TRANSLATION: "translation",
}


def check_message(text: str, kind: SessionKind = SessionKind.REALTIME) -> None:
    """Fail if a server event does not fit."""
    validators = _validators(kind)
    assert not validators or not validate(json.loads(text), validators)


@functools.cache
def _validators(kind: SessionKind) -> dict[str, Draft202012Validator]:
    path = os.environ.get("REALTIME_SCHEMA")
    if path is None:
        return {}
    schema = json.loads(Path(path).read_text(encoding="utf-8"))
    # The dialect of transcription sessions holds only what is different there.
    roots = schema["map"]["ga"]["server"] | schema["map"][DIALECTS[kind]]["server"]
    return {
        name: Draft202012Validator({**root, "$defs": schema["$defs"]})
        for name, root in roots.items()
    }
