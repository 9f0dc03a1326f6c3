"""Documents that are scripts, for tests: what they mean, and how those with mistakes fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_trio.simulator import Reply
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script_file import (
    ScriptFile,
    ScriptFileError,
    load_script,
    parse_script,
)

NOWHERE = Path("/nonexistent")
FAULTS = [name for name, member in vars(Fault).items() if isinstance(member, classmethod)]


def parsed(**document: object) -> ScriptFile:
    return parse_script(document, folder=NOWHERE)


def reply(written: object) -> Reply:
    (only,) = parsed(replies=[written]).script.replies
    return only


def fault(written: object) -> Fault:
    (only,) = parsed(faults=[written]).faults
    return only


def error_of(document: object, folder: Path = NOWHERE) -> ScriptFileError:
    with pytest.raises(ScriptFileError) as caught:
        parse_script(document, folder=folder)
    return caught.value


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def error_in(folder: Path, name: str, text: str) -> ScriptFileError:
    with pytest.raises(ScriptFileError) as caught:
        load_script(written(folder, name, text))
    return caught.value
