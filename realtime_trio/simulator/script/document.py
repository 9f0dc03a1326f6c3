"""A file that people write, YAML or JSON, as plain values; and what is wrong in it, with the place.

Owns the two syntaxes and the form of the errors, and nothing of what may be said in a file.  Both
syntaxes have the same values: YAML is read as JSON with another punctuation, so that `on` is a word
and `12:30` a text.  That is YAML 1.2, where PyYAML by itself takes 1.1.
"""

from __future__ import annotations

import difflib
import json
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from realtime_trio._misuse import without_extra
from realtime_trio.errors import LocalProtocolError


class ScriptFileError(LocalProtocolError):
    """A script cannot be read; the message says where, why, and what is allowed there."""

    file: str
    """Which file."""
    where: str
    """The place in it: a path such as `replies[2].call.name`, a line and column, or `""` for the
    whole."""
    problem: str
    """What is wrong there."""

    def __init__(self, problem: str, *, where: str = "", file: str = "script") -> None:
        super().__init__(": ".join(filter(None, (file, where, problem))))
        self.file = file
        self.where = where
        self.problem = problem


def read_document(file: Path) -> object:
    """What a file says: mappings, lists, texts, numbers, true, false and null.  Blocks.

    Raises:
        ScriptFileError: It cannot be read, or is neither YAML nor JSON; or it is YAML and PyYAML is
            not installed.
    """
    read = _SYNTAXES.get(file.suffix.lower())
    if read is None:
        raise ScriptFileError(
            f"a script is a file whose name ends in {', '.join(_SYNTAXES)}", file=str(file)
        )
    try:
        # Some editors on Windows begin a file with a byte order mark.
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScriptFileError(f"cannot be read: {error.strerror}", file=str(file)) from None
    except UnicodeDecodeError as error:
        raise ScriptFileError(f"not UTF-8 from byte {error.start} on", file=str(file)) from None
    return read(text, str(file))


# --- the two syntaxes -----------------------------------------------------------------------------


def _read_json(text: str, file: str) -> object:
    def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members: dict[str, object] = {}
        for key, value in pairs:
            if key in members:
                raise ScriptFileError(
                    f"the key {reprlib.repr(key)} stands twice in one object", file=file
                )
            members[key] = value
        return members

    # Not `parse_json`, which has no such hook: a key that stands twice is a mistake of the writer,
    # and one of its values would silently win.
    try:
        document: object = json.loads(text, object_pairs_hook=distinct)
    except json.JSONDecodeError as error:
        raise ScriptFileError(
            f"not JSON: {error.msg}", where=f"line {error.lineno}, column {error.colno}", file=file
        ) from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or thousands of brackets.
        raise ScriptFileError(f"not readable: {error}", file=file) from None
    return document


_TAG: Final = "tag:yaml.org,2002:"
# With `\Z`, since `$` also matches before a newline at the end.
_LITERALS: Final = {
    "null": re.compile(r"(?:~|null|)\Z"),
    "bool": re.compile(r"(?:true|false)\Z"),
    "int": re.compile(r"-?(?:0|[1-9][0-9]*)\Z"),
    "float": re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z"),
    "merge": re.compile(r"<<\Z"),
}
"""What is not a text although it has no quotes: the JSON schema of YAML 1.2, `~` and the empty
value, and the merge key."""


def _read_yaml(text: str, file: str) -> object:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ScriptFileError(
            f"{without_extra('YAML', 'PyYAML', 'yaml')}; JSON needs nothing", file=file
        ) from None

    class Loader(yaml.SafeLoader):
        # Emptied, because the resolvers of PyYAML are those of YAML 1.1, which take `on` for true.
        # Class attributes, because that is where PyYAML keeps them.
        yaml_implicit_resolvers = {}  # noqa: RUF012
        yaml_constructors = {  # noqa: RUF012
            f"{_TAG}seq": yaml.SafeLoader.construct_yaml_seq,
            f"{_TAG}map": yaml.SafeLoader.construct_yaml_map,
            None: yaml.SafeLoader.construct_undefined,
        }

        # Here and not where the mapping is made of the node, since merging with `<<` may give a key
        # twice by right.
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            assert isinstance(node, yaml.MappingNode)
            keys = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in keys:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {reprlib.repr(key.value)} stands here again",
                        problem_mark=key.start_mark,
                    )
                keys.add(key.value)
            return node

        def construct_text(self, node: yaml.ScalarNode) -> str:
            # JSON may write one character as two escapes, which PyYAML leaves apart.
            return (
                self.construct_scalar(node)
                .encode("utf-16", "surrogatepass")
                .decode("utf-16", "surrogatepass")
            )

        def construct_literal(self, node: yaml.ScalarNode) -> object:
            written = self.construct_scalar(node)
            # What `_LITERALS` lets through is JSON, apart from the two other ways to write null.
            try:
                return json.loads(written) if written not in ("", "~") else None
            except ValueError as error:
                raise yaml.MarkedYAMLError(
                    problem=f"not a value: {error}", problem_mark=node.start_mark
                ) from None

    Loader.add_constructor(f"{_TAG}str", Loader.construct_text)
    for name, pattern in _LITERALS.items():
        Loader.add_implicit_resolver(_TAG + name, pattern, None)
        Loader.add_constructor(_TAG + name, Loader.construct_literal)

    try:
        document: object = yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        problem, mark = ", ".join(filter(None, (error.context, error.problem))), error.problem_mark
        assert mark is not None
        raise ScriptFileError(
            f"not YAML: {problem}",
            where=f"line {mark.line + 1}, column {mark.column + 1}",
            file=file,
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # A control character, or something that PyYAML does not expect.
        raise ScriptFileError(f"not readable: {error}", file=file) from None
    return document


_SYNTAXES: Final[Mapping[str, Callable[[str, str], object]]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
}

# --- places ---------------------------------------------------------------------------------------


@frozen
class FilePlace:
    """Where in which file a value stands."""

    file: str
    """What the file is called."""
    folder: Path
    """Where the names of other files start."""
    path: str = ""
    """The way to the value from the top."""

    def member(self, key: str) -> FilePlace:
        """The place of a member of the mapping that stands here."""
        return evolve(self, path=f"{self.path}.{key}" if self.path else key)

    def element(self, index: int) -> FilePlace:
        """The place of an element of the list that stands here."""
        return evolve(self, path=f"{self.path}[{index}]")

    def error(self, problem: str) -> ScriptFileError:
        """What to raise about this place."""
        return ScriptFileError(problem, where=self.path, file=self.file)

    def misfit(self, expected: str, value: object) -> ScriptFileError:
        """What to raise when a value of another kind stands here."""
        return self.error(f"expected {expected}, got {described(value)}")

    def unknown(self, name: object, allowed: Iterable[str]) -> ScriptFileError:
        """What to raise about a word that may not stand here."""
        names = list(allowed)
        similar = difflib.get_close_matches(str(name), names, n=1)
        guess = f"did you mean {similar[0]}? " if similar else ""
        return self.error(
            f"{reprlib.repr(name)} means nothing here; {guess}allowed: {', '.join(names)}"
        )


def described(value: object) -> str:
    """What kind of value it is, for a person."""
    match value:
        case None:
            return "null"
        # Before the numbers, since a bool is an int.
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return f"the text {reprlib.repr(value)}"
        case list():
            return "a list"
        case Mapping():
            return "a mapping"
    return f"a value of type {type(value).__name__}"
