"""The tools of a session: functions that run here, and definitions that run somewhere else.

Owns the names.  Refuses to know how a tool is run: that takes tasks and clocks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import (
    Any,
    Generic,
    Literal,
    ParamSpec,
    SupportsFloat,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

import attrs
from attrs import field, frozen

from realtime_trio import events
from realtime_trio._misuse import check_keywords, check_kind, kind_of
from realtime_trio.errors import LocalProtocolError, ToolDefinitionError
from realtime_trio.events import FunctionTool, McpTool, UnknownObject
from realtime_trio.events.config import check_tool_name
from realtime_trio.tools.arguments import ArgumentReader
from realtime_trio.tools.schema import Injected, Signature, parameters_schema, signature_of

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_T = TypeVar("_T")

Approval = bool | Callable[[Mapping[str, Any]], bool]
"""Which calls need approval: all, none, or those for which a predicate is true.  The predicate gets
the arguments as the function takes them."""

OnInterrupt = Literal["keep", "cancel"]
"""What happens to a running tool when the user starts to speak: it goes on, or it is stopped."""


def _positive(_: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise ToolDefinitionError(
            f"{attribute.name} must be a number of seconds or None, not {kind_of(value)}"
        )
    if not value > 0:
        raise ToolDefinitionError(f"{attribute.name} must be more than 0 seconds, not {value}")


def _answers_at_once(_: object, __: object, value: Approval) -> None:
    # A text would be true, whatever it says.
    is_known = isinstance(value, bool) or callable(value)
    if not is_known or inspect.iscoroutinefunction(value):
        raise ToolDefinitionError(
            "requires_approval must be True, False or a plain function"
            + (": an async one would never be awaited" if is_known else f", not {kind_of(value)}")
        )


def _yes_or_no(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ToolDefinitionError(f"{attribute.name} must be True or False, not {kind_of(value)}")


def _known_policy(_: object, attribute: attrs.Attribute[OnInterrupt], value: OnInterrupt) -> None:
    if value not in ("keep", "cancel"):
        raise ToolDefinitionError(f"{attribute.name} must be 'keep' or 'cancel', not {value!r}")


@frozen(kw_only=True, slots=False, eq=False, repr=False)
class LocalTool(Generic[_P, _R_co]):
    """A function that the model may call and that runs here.

    Made by `tool`; calling it calls the function.  Methods are tools once they are taken from an
    object: `tools=[lights.switch]`, whether `switch` was decorated or not.
    """

    definition: FunctionTool
    """What the model is told."""
    function: Callable[_P, _R_co]
    """What is called."""
    timeout: float | None = field(default=None, validator=_positive)
    """Seconds a call may take; None takes the session's `tool_timeout`, `math.inf` lets it run."""
    requires_approval: Approval = field(default=False, validator=_answers_at_once)
    """Whether the application must approve before it runs."""
    respond: bool = field(default=True, validator=_yes_or_no)
    """Whether the model replies to the output."""
    on_interrupt: OnInterrupt = field(default="keep", validator=_known_policy)
    """What happens to a running call when the user starts to speak."""
    _signature: Signature
    _reader: ArgumentReader

    def __attrs_post_init__(self) -> None:
        # So that help() and inspect show the function.  Through `vars`, because the class is
        # frozen.
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            vars(self)[name] = getattr(self.function, name)
        # For those who unwrap: its signature is the one to look at.
        vars(self)["__wrapped__"] = self.function

    def __repr__(self) -> str:
        return f"<LocalTool {self.name}>"

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co:
        """Call the function as if it were not a tool."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> LocalTool[..., _R_co]:
        """A tool with that object, if a method is taken from an object; otherwise this one."""
        if instance is None or not self.is_unbound:
            return self
        # A function is a descriptor too: this binds it as an undecorated one would be.
        bound = self.function.__get__(instance, owner)
        return attrs.evolve(
            self, function=bound, signature=attrs.evolve(self._signature, is_method=False)
        )

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.definition.name

    @cached_property
    def is_async(self) -> bool:
        """Calling it makes a coroutine; if not, it blocks until it is done, and needs a thread."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def is_unbound(self) -> bool:
        """It is a method without an object, and cannot be called yet."""
        return self._signature.is_method

    @property
    def wants_context(self) -> bool:
        """It has a parameter that is filled in when it runs; the model does not see it."""
        return self._signature.injected is not None

    def read_arguments(self, arguments: str) -> dict[str, object]:
        """Turn the arguments from the model into keyword arguments; what it left out stays out.

        Raises:
            ToolArgumentsError: They are not JSON or do not fit; the message is for the model.
        """
        return self._reader.read(arguments)

    def needs_approval(self, arguments: Mapping[str, object]) -> bool:
        """Whether a call with these arguments needs approval.

        A predicate gets the defaults, too; what it raises comes out.
        """
        if not callable(self.requires_approval):
            return self.requires_approval
        defaults = {
            parameter.name: parameter.default
            for parameter in self._signature.parameters
            if not parameter.required
        }
        return self.requires_approval(defaults | dict(arguments))

    def call(self, arguments: Mapping[str, object], context: Injected | None = None) -> object:
        """Call the function.

        Args:
            arguments: What `read_arguments` has returned.
            context: Value for the parameter that the model does not see, if there is one.

        Returns:
            What the function returned; of async functions a coroutine.
        """
        injected = {} if self._signature.injected is None else {self._signature.injected: context}
        function: Callable[..., object] = self.function
        return function(**arguments, **injected)


AnyTool = LocalTool[..., object] | events.Tool | Callable[..., object]
"""What a list of tools may hold: tools with a function, definitions without one (manual and hosted
tools), and plain functions."""


class ToolOptions(TypedDict, total=False):
    """What can be said about a tool besides its function."""

    name: str
    """Another name than the function's: 1 to 64 letters, digits, `_` and `-`."""
    description: str
    """Another description than the docstring's."""
    definition: FunctionTool
    """A definition written by hand, in place of all that is read from the function.  The function
    then gets the arguments as JSON has them, by name, and may take `**kwargs`."""
    timeout: float | None
    """Seconds a call may take; None, the default, takes the session's `tool_timeout`, and
    `math.inf` lets it run."""
    requires_approval: Approval
    """Whether the application must approve a call before it runs: True, or a predicate of its
    arguments.  Default False."""
    respond: bool
    """Whether the model replies to the output.  Default True."""
    on_interrupt: OnInterrupt
    """`cancel` stops a running call when the user starts to speak, `keep`, the default, lets it
    finish."""


@overload
def tool(
    function: Callable[_P, _R_co], /, **options: Unpack[ToolOptions]
) -> LocalTool[_P, _R_co]: ...


@overload
def tool(
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[_P, _R_co]], LocalTool[_P, _R_co]]: ...


def tool(
    function: Callable[..., object] | None = None, /, **options: Unpack[ToolOptions]
) -> LocalTool[..., object] | Callable[[Callable[..., object]], LocalTool[..., object]]:
    """Make a function a tool.

    `@tool`, `@tool(timeout=5)` or `tool(lights.switch, name="switch_lights")`.  Name, description
    and JSON schema come from the function: its name, its docstring and its annotations.  A
    parameter annotated `ToolContext` is filled in and not shown to the model.

    Args:
        function: A function or async function, or a method of an object.
        **options: See `ToolOptions`.

    Raises:
        ToolDefinitionError: The function cannot be a tool; the message names the parameter and says
            what would be allowed.
        TypeError: There is no such option, or a definition was given together with a name or a
            description.
    """
    # Here and not in `_make`: at the line that says it, and not where a function is decorated.
    check_keywords(options, ToolOptions.__annotations__)
    return partial(_make, **options) if function is None else _make(function, **options)


def _make(
    function: Callable[..., object],
    *,
    name: str | None = None,
    description: str | None = None,
    definition: FunctionTool | None = None,
    timeout: float | None = None,
    requires_approval: Approval = False,
    respond: bool = True,
    on_interrupt: OnInterrupt = "keep",
) -> LocalTool[..., object]:
    if definition is not None and not (name is None and description is None):
        raise TypeError("name and description are part of the definition")
    for option, given, kind in (
        ("name", name, str),
        ("description", description, str),
        ("definition", definition, FunctionTool),
    ):
        if not isinstance(given, kind | None):
            raise ToolDefinitionError(f"{option} must be a {kind.__name__}, not {kind_of(given)}")
    signature = signature_of(function, typed=definition is None)
    schema = parameters_schema(signature)
    if definition is None:
        if name is None and signature.name == "<lambda>":
            raise ToolDefinitionError(
                "a lambda has no name the model could use; give it one with name="
            )
        definition = FunctionTool(
            name=signature.name if name is None else name,
            description=description or signature.description,
            parameters=schema,
        )
    check_tool_name(definition.name)
    return LocalTool(
        definition=definition,
        function=function,
        timeout=timeout,
        requires_approval=requires_approval,
        respond=respond,
        on_interrupt=on_interrupt,
        signature=signature,
        reader=ArgumentReader(signature),
    )


# --- many of them ---------------------------------------------------------------------------------


class ToolRegistry:
    """The tools of a session, in the order in which they were added.

    Names are unique, and so are the labels of hosted servers among them.

    Args:
        tools: Tools, definitions and plain functions.

    Raises:
        TypeError: It is not a list, but perhaps a single tool.
        LocalProtocolError: Two have the same name, or one is a method without an object.
        ToolDefinitionError: A plain function cannot be a tool, or the service would not take a
            name.
    """

    def __init__(self, tools: Iterable[AnyTool] = ()) -> None:
        self._tools: dict[str, LocalTool[..., object] | events.Tool] = {}
        for each in several(tools):
            self.add(each)

    @classmethod
    def known(cls, tools: Iterable[LocalTool[..., object] | events.Tool]) -> ToolRegistry:
        """The same of tools that a server has taken already, whatever it lets them be called.

        Raises:
            LocalProtocolError: Two have the same name.
        """
        registry = cls()
        for each in tools:
            registry._keep(*_named(each))
        return registry

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[LocalTool[..., object] | events.Tool]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(self._tools)

    @property
    def definitions(self) -> tuple[events.Tool, ...]:
        """What the server is told, in order."""
        return tuple(each.definition if isinstance(each, LocalTool) else each for each in self)

    def get(self, name: str) -> LocalTool[..., object] | events.Tool | None:
        """The tool of this name, None if there is none."""
        return self._tools.get(name)

    def add(self, added: AnyTool) -> LocalTool[..., object] | events.Tool:
        """Add a tool, and return it as it is kept: a plain function becomes a `LocalTool`.

        Raises:
            LocalProtocolError: There is one of this name already, or it is a method without an
                object.
            ToolDefinitionError: A plain function cannot be a tool, or the service would not take
                its name.
        """
        name, kept = _named(added)
        if isinstance(kept, FunctionTool):
            check_tool_name(name)
        self._keep(name, kept)
        return kept

    def remove(self, name: str) -> LocalTool[..., object] | events.Tool:
        """Take a tool away, and return it.

        Raises:
            TypeError: This is not a name.
            LocalProtocolError: There is none of this name.
        """
        check_kind("name", name, str, allowed="the name of a tool")
        removed = self._known(name)
        del self._tools[name]
        return removed

    def copy(self) -> ToolRegistry:
        """Another one with the same tools, to be changed without changing this one."""
        return ToolRegistry.known(self)

    def with_definitions(self, definitions: Iterable[events.Tool]) -> ToolRegistry:
        """Another one, with these definitions in place of those without a function.

        What stays keeps its place.

        Raises:
            LocalProtocolError: Two have the same name, or one has the name of a function.
        """
        # The server knows definitions only, so a new list of them says nothing about functions: the
        # functions stay, and what was defined without one is replaced.
        given = ToolRegistry(definitions)
        stay = [
            each if isinstance(each, LocalTool) else given.get(name)
            for name, each in self._tools.items()
        ]
        new = [
            each
            for name, each in given._tools.items()
            if isinstance(self.get(name), LocalTool | None)
        ]
        return ToolRegistry.known([*(each for each in stay if each is not None), *new])

    def _keep(self, name: str, kept: LocalTool[..., object] | events.Tool) -> None:
        if name in self._tools:
            raise LocalProtocolError(
                f"there is a tool named {name!r} already; "
                "remove it first, or give this one another name"
            )
        self._tools[name] = kept

    def _known(self, name: str) -> LocalTool[..., object] | events.Tool:
        if name not in self._tools:
            names = ", ".join(map(repr, self._tools)) or "none"
            raise LocalProtocolError(f"there is no tool named {name!r}; there are: {names}")
        return self._tools[name]


def several(tools: Iterable[_T]) -> tuple[_T, ...]:
    """The tools of a list of them.

    Raises:
        TypeError: It is not a list, but perhaps a single tool.
    """
    # A text and a dictionary can be iterated, too, but not into tools.
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of tools, not {kind_of(tools)}")
    return tuple(tools)


def _named(added: AnyTool) -> tuple[str, LocalTool[..., object] | events.Tool]:
    match added:
        case LocalTool():
            if added.is_unbound:
                raise LocalProtocolError(
                    f"{added.name} is a method; take it from an object: "
                    f"some_object.{added.function.__name__}"
                )
            return added.name, added
        case FunctionTool():
            return added.name, added
        case McpTool():
            return added.server_label, added
        case UnknownObject():
            # A kind of tool that is newer than this library: by the names that the known kinds
            # have.
            label = added.raw.get("name") or added.raw.get("server_label") or added.type
            return str(label), added
        case _ if callable(added):
            return _named(_make(added))
        case _:
            raise ToolDefinitionError(
                f"{kind_of(added)} is not a tool; allowed are functions, what tool() makes of "
                "them, FunctionTool for one that you answer for yourself, and McpTool"
            )
