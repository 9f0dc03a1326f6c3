"""The parameters of a function as JSON Schema, from its signature, annotations and docstring.

Owns the drawing; `shapes` says what annotations mean.  Everything that is wrong with a function is
said when it becomes a tool, and not when the model calls it.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from realtime_trio._frozen import frozen
from realtime_trio.errors import ToolDefinitionError
from realtime_trio.events import UNSET
from realtime_trio.tools.constraints import kind_of
from realtime_trio.tools.documentation import documentation_of
from realtime_trio.tools.results import ToolResultError, encode_result, to_json
from realtime_trio.tools.shapes import (
    ALLOWED,
    Anything,
    Array,
    Choice,
    FixedArray,
    Member,
    OneOf,
    Record,
    Refined,
    Scalar,
    Table,
    Text,
    kinds_of,
    members_of,
    shape_of,
)

_REFUSED: Final = {
    inspect.Parameter.POSITIONAL_ONLY: (
        "is positional only, and arguments have names; remove the slash"
    ),
    inspect.Parameter.VAR_POSITIONAL: (
        "takes arguments without names; allowed is a list under a name of its own"
    ),
    inspect.Parameter.VAR_KEYWORD: (
        "takes arguments of any name; allowed is a dict[str, ...] under a name of its own"
    ),
}


class Injected:
    """Base of the classes whose parameters the model does not see.

    They are filled in when the tool runs.  A base class here, so that a schema needs no session.
    """

    __slots__ = ()


@frozen(kw_only=True)
class Signature:
    """What a function wants to be called with."""

    name: str
    """The function's own name."""
    description: str | None
    """Its docstring without the sections."""
    parameters: tuple[Member, ...]
    """What the model has to give."""
    injected: str | None
    """Name of the parameter that is filled in when the function runs."""
    is_open: bool
    """It takes arguments of any name; only if its definition is written by hand."""
    is_method: bool
    """It has to be taken from an object first: its `self` is not filled in yet."""


def signature_of(function: Callable[..., object], *, typed: bool = True) -> Signature:
    """Read a function or a method of an object.

    Args:
        function: What to read; it may be decorated, as long as `functools.wraps` was used.
        typed: Whether annotations count.  If not, every parameter takes anything, and `**kwargs`
            is allowed: for functions whose definition is written by hand.

    Raises:
        ToolDefinitionError: It is not a function, or a generator, or a parameter cannot be given in
            JSON; the message names the parameter.
    """
    if not isinstance(function, types.FunctionType | types.MethodType):
        raise ToolDefinitionError(
            f"{function!r} is not a function; "
            "allowed are functions, async functions and methods of objects"
        )
    name = function.__name__
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolDefinitionError(f"{name} is a generator; a call has one output: return it")
    documentation = documentation_of(function)
    parameters: list[Member] = []
    injected: str | None = None
    is_open = is_method = False
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        where = f"{name}: parameter {parameter.name!r}"
        # A method looks like a function until it is taken from an object; only this name tells.
        # With an annotation, `self` is a parameter like others.
        if index == 0 and parameter.name == "self" and parameter.annotation is parameter.empty:
            is_method = True
            continue
        if not typed and parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
            continue
        if parameter.kind in _REFUSED:
            raise ToolDefinitionError(f"{where} {_REFUSED[parameter.kind]}")
        annotation = _resolved(function, parameter, where, typed)
        if _is_injected(annotation):
            if injected is not None:
                raise ToolDefinitionError(
                    f"{where} asks for the same as {injected!r}; one is enough"
                )
            injected = parameter.name
            continue
        required = parameter.default is parameter.empty
        parameters.append(
            Member(
                name=parameter.name,
                annotation=annotation if typed else Any,
                required=required,
                default=UNSET if required else parameter.default,
                description=documentation.members.get(parameter.name),
            )
        )
    return Signature(
        name=name,
        description=documentation.description,
        parameters=tuple(parameters),
        injected=injected,
        is_open=is_open,
        is_method=is_method,
    )


def _is_injected(annotation: Any) -> bool:
    """Whether it is a context, or one or None, since the application may call the function, too."""
    members = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    return any(isinstance(member, type) and issubclass(member, Injected) for member in members)


def _resolved(
    function: Callable[..., object], parameter: inspect.Parameter, where: str, typed: bool
) -> Any:
    """A parameter's annotation without strings."""
    if parameter.annotation is parameter.empty:
        if typed:
            raise ToolDefinitionError(f"{where} has no annotation; {ALLOWED}")
        return Any
    # Where the function was written: a decorator's wrapper has the names of another module.
    home = inspect.unwrap(function)
    scope = getattr(home, "__globals__", {})
    try:
        # One annotation at a time, and not those of the function: what it returns is often known to
        # type checkers alone (`if TYPE_CHECKING`), and does not matter here.
        hints = typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"it": parameter.annotation}),
            scope,
            include_extras=True,
        )
    except Exception as exc:  # an annotation may be any expression
        if typed:
            raise ToolDefinitionError(
                f"{where}: annotation {parameter.annotation!r} cannot be resolved: {exc}; "
                "names in it must be known when the module runs"
            ) from None
        return Any
    return hints["it"]


def parameters_schema(signature: Signature) -> Mapping[str, object]:
    """The JSON Schema of a function's arguments.

    Raises:
        ToolDefinitionError: The annotation of a parameter has no JSON schema.
    """
    describer = _Describer()
    try:
        schema = describer.describe_members(signature.parameters, f"{signature.name}: parameter")
    except RecursionError:
        raise ToolDefinitionError(
            f"{signature.name}: a type contains itself; only classes may"
        ) from None
    # The definition written by hand says what else is allowed; here nothing is ruled out.
    if signature.is_open:
        del schema["additionalProperties"]
    if describer.definitions:
        schema["$defs"] = describer.definitions
    return schema


class _Describer:
    """Draws one function's parameters.

    Classes are drawn where they are used, except those that contain themselves: they get a name.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, object] = {}
        self._names: dict[object, str] = {}
        self._open: list[object] = []

    def describe_members(self, members: tuple[Member, ...], where: str) -> dict[str, object]:
        schema: dict[str, object] = {"type": "object"}
        schema["properties"] = {
            member.name: self._describe_member(member, f"{where} {member.name!r}")
            for member in members
        }
        if required := [member.name for member in members if member.required]:
            schema["required"] = required
        schema["additionalProperties"] = False
        return schema

    def _describe_member(self, member: Member, where: str) -> dict[str, object]:
        schema = self.describe(member.annotation, where)
        shape = shape_of(member.annotation)
        if member.description is not None and not (
            isinstance(shape, Refined) and shape.description
        ):
            schema["description"] = member.description
        if member.default is not UNSET:
            try:
                default = to_json(member.default)
                encode_result(default)
            except (ToolResultError, RecursionError):
                # It has a default that JSON cannot show: the model may leave it out, and that is
                # all.
                return schema
            # A default may be of another kind, as None for an int: the model could not give it.
            if kind_of(default) in kinds_of(shape):
                schema["default"] = default
        return schema

    def describe(self, annotation: Any, where: str) -> dict[str, object]:
        match shape_of(annotation, where):
            case Anything():
                return {}
            case Scalar(kind=kind):
                return {"type": kind}
            case Text(form=form):
                return {"type": "string", "format": form.format}
            case Choice(values=values):
                kinds = list(dict.fromkeys(kind_of(value) for value, _ in values))
                return {
                    "type": kinds[0] if len(kinds) == 1 else kinds,
                    "enum": [value for value, _ in values],
                }
            case Array(element=element, unique=unique):
                schema: dict[str, object] = {
                    "type": "array",
                    "items": self.describe(element, f"{where}, elements"),
                }
                return {**schema, "uniqueItems": True} if unique else schema
            case FixedArray(elements=elements):
                items = [
                    self.describe(element, f"{where}, element {index}")
                    for index, element in enumerate(elements)
                ]
                length = {"minItems": len(items), "maxItems": len(items)}
                return {"type": "array", **({"prefixItems": items} if items else {}), **length}
            case Table(member=member):
                return {
                    "type": "object",
                    "additionalProperties": self.describe(member, f"{where}, members"),
                }
            case OneOf(members=members):
                return {"anyOf": [self.describe(member, where) for member in members]}
            case Refined(inner=inner, description=description, constraints=constraints):
                schema = self.describe(inner, where)
                for limits in constraints:
                    schema |= limits.keywords(kinds_of(shape_of(inner)), where)
                return schema if description is None else {**schema, "description": description}
            case Record(cls=cls):
                return self._describe_class(cls, where)
            case unknown:
                assert_never(unknown)

    def _describe_class(self, cls: Any, where: str) -> dict[str, object]:
        # Met inside itself, or known to contain itself: from here on by name.
        if cls in self._open or cls in self._names:
            return {"$ref": f"#/$defs/{self._name(cls)}"}
        self._open.append(cls)
        schema = self.describe_members(members_of(cls, where), f"{where}, {cls.__name__}")
        self._open.pop()
        if description := documentation_of(cls).description:
            schema["description"] = description
        if cls not in self._names:
            return schema
        self.definitions[self._name(cls)] = schema
        return {"$ref": f"#/$defs/{self._name(cls)}"}

    def _name(self, cls: Any) -> str:
        if cls not in self._names:
            name, number = cls.__name__, 1
            while name in self._names.values():
                number += 1
                name = f"{cls.__name__}_{number}"
            self._names[cls] = name
        return self._names[cls]
