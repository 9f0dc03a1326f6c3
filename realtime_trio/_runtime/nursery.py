"""One door for failure: a nursery for a session's own tasks that raises at most one exception.

Owns the tasks that serve a block (receiver, sender, workers) and the decision which exception the
block ends with.  What the tasks do is nothing to it.

Theory of operation.  A plain nursery reports everything at once, as a group.  A user of a session
has no use for that: what they raised should arrive as they raised it, and a lost connection should
be a `ConnectionLost`.  So neither the body's exception nor the failure of a task is ever shown to
the trio nursery inside (leaving a cancelled nursery also rebuilds groups, and then it is no longer
the user's object).  Both are held back until the tasks are gone; then exactly one of them leaves,
the first of these:

1. `KeyboardInterrupt`, `SystemExit`, and everything else that is not an `Exception`, from the body
   or from a task;
2. what the body raised, without the `Cancelled` that we caused ourselves;
3. the `Cancelled` of a scope around the block;
4. the first recorded failure.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVarTuple, Unpack

import trio

from realtime_trio.errors import InternalError, RealtimeError

Args = TypeVarTuple("Args")


class ServiceNursery:
    """The background tasks of one `open_service_nursery` block."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._failure: Exception | None = None

    @property
    def failure(self) -> Exception | None:
        """The first recorded failure, or None.  Stays readable after the block."""
        return self._failure

    @property
    def cancel_called(self) -> bool:
        """Whether the block has cancelled itself.

        While the body runs, this is True exactly if something in here went wrong (a failure, or
        Ctrl-C in a task): a `Cancelled` that the body sees is then ours.  Leaving the block cancels
        it, too.
        """
        return self._nursery.cancel_scope.cancel_called

    def start_soon(
        self, async_fn: Callable[[Unpack[Args]], Awaitable[object]], *args: *Args
    ) -> None:
        """Run `await async_fn(*args)` in the background until it returns or the block ends.

        An exception from it is recorded as by `fail`: a `RealtimeError` as it is, anything else as
        the cause of an `InternalError`.
        """
        # Named, or a traceback of trio's would call every task `_run`.
        self._nursery.start_soon(self._run, async_fn, args, name=async_fn)

    def fail(self, error: Exception) -> None:
        """Record a failure and cancel the block: its body and all of its tasks.

        Only the first failure counts.  A later one that says something else becomes a note on the
        first.  Never raises, never blocks.
        """
        if self._failure is None:
            self._failure = error
            self._nursery.cancel_scope.cancel()
        elif (type(error), str(error)) != (type(self._failure), str(self._failure)):
            self._failure.add_note(f"followed by {_describe(error)}")

    async def _run(
        self, async_fn: Callable[[Unpack[Args]], Awaitable[object]], args: tuple[*Args]
    ) -> None:
        held = _Held()
        with held:
            await async_fn(*args)
        if isinstance(held.error, Exception):
            self._record(held.error)
        elif isinstance(held.error, BaseExceptionGroup):
            # A nursery of the task's own mixed errors with Cancelled or Ctrl-C.  Those two are for
            # trio, and come back in `tasks` below.
            errors, others = held.error.split(Exception)
            if errors is not None:
                self._record(errors)
            _raise(others)
        else:
            _raise(held.error)

    def _record(self, error: Exception) -> None:
        if not isinstance(error, RealtimeError):
            name = trio.lowlevel.current_task().name
            cause = error
            error = InternalError(
                f"{name} ended with {type(cause).__name__}; please report this with its traceback"
            )
            error.__cause__ = cause
        self.fail(error)


@asynccontextmanager
async def open_service_nursery() -> AsyncIterator[ServiceNursery]:
    """Open a block whose background tasks end with it, and from which at most one exception leaves.

    At the end of the block its tasks are cancelled and awaited.  Then:

    - An exception of the body leaves unchanged, as the same object; so does a group from a nursery
      of the user's.  If a failure was recorded too it becomes a note on that exception.
      `Cancelled` that came from our own failure is taken out of groups.
    - `KeyboardInterrupt` and `SystemExit` win over everything, also when a task got them.
    - If a scope around the block was cancelled, `Cancelled` leaves and the failure does not
      (`ServiceNursery.failure` still has it).
    - Otherwise the first failure leaves: bare, and without the body's `Cancelled` as its context.

    Cancellation: an outer cancellation reaches body and tasks as in any nursery and is never
    swallowed.  Leaving the block waits for its tasks and is not itself cancellable; a body that has
    returned is not turned into `Cancelled` unless a failure is waiting to be raised.
    """
    body, tasks = _Held(), _Held()
    with tasks:
        async with trio.open_nursery() as nursery:
            services = ServiceNursery(nursery)
            with body:
                yield services
            # Read before the next line: from there on every block has cancelled itself.
            cancelled_itself = services.cancel_called
            nursery.cancel_scope.cancel()

    user_error = body.error
    # Ordinary errors of tasks were recorded; what came out here is Ctrl-C and its like, or trio's
    # own complaint about misnested scopes.
    interrupts = _errors(tasks.error)
    if interrupts and all(isinstance(error, Exception) for error in _errors(user_error)):
        _raise(interrupts[0], instead_of=user_error)
    # Minus infinity is how trio says that a scope around here has been cancelled.
    cancelled_from_outside = trio.current_effective_deadline() == -math.inf
    if cancelled_itself and not cancelled_from_outside:
        user_error = _without_cancelled(user_error)
    if user_error is None and services.failure is not None and cancelled_from_outside:
        # Raises: the cancellation from outside takes precedence over the failure.
        await trio.lowlevel.checkpoint_if_cancelled()
    _raise(user_error, instead_of=services.failure)
    _raise(services.failure)


class _Held:
    """Holds back what its block raises, of whatever kind, for the caller to decide about."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.error = error
        return True


def leaves_of(error: BaseException | None) -> Iterator[BaseException]:
    """The exceptions in a group, at any depth; any other exception is its own only leaf."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from leaves_of(member)
    elif error is not None:
        yield error


def _errors(error: BaseException | None) -> list[BaseException]:
    return [leaf for leaf in leaves_of(error) if not isinstance(leaf, trio.Cancelled)]


def _without_cancelled(error: BaseException | None) -> BaseException | None:
    """Take Cancelled out of a group.

    A group that has none comes back as the same object; `split` would rebuild it.
    """
    if not any(isinstance(leaf, trio.Cancelled) for leaf in leaves_of(error)):
        return error
    return error.split(trio.Cancelled)[1] if isinstance(error, BaseExceptionGroup) else None


def _raise(error: BaseException | None, *, instead_of: BaseException | None = None) -> None:
    """Raise `error`, if there is one, with its own context and a note on what it displaces."""
    if error is None:
        return
    if (
        instead_of is not None
        and _errors(instead_of)
        and all(leaf is not instead_of for leaf in leaves_of(error))
    ):
        error.add_note(f"meanwhile {_describe(instead_of)}")
    # This runs while Python handles the body's exception, and would put that there as the context.
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
