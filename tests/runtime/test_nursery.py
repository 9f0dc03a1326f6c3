"""What leaves an `open_service_nursery` block, however its body ends and its tasks fail."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio.errors import ConnectionLost, InternalError, SlowConsumer

NOTE = "meanwhile ConnectionLost: connection lost: 1006 gone"
FAILURES = ["failure before", "failure during", "two failures"]
WITHOUT_AND_WITH_FAILURES = ["no failure", *FAILURES]

Body = Callable[[], Awaitable[None]]


def lost() -> ConnectionLost:
    return ConnectionLost(1006, "gone")


def notes_of(error: BaseException | None) -> list[str]:
    return list(getattr(error, "__notes__", []))


@contextmanager
def kept() -> Iterator[list[BaseException]]:
    """Keep what the block raises.  Cancelled is let through, as trio demands."""
    errors: list[BaseException] = []
    try:
        yield errors
    except trio.Cancelled:
        raise
    except BaseException as error:
        errors.append(error)


async def what_leaves(
    body: Callable[[ServiceNursery], Awaitable[None]],
) -> tuple[BaseException | None, ServiceNursery]:
    """Run a block; report the one thing that left it."""
    with trio.fail_after(5), kept() as errors:
        async with open_service_nursery() as services:
            await body(services)
    return (errors[0] if errors else None), services


# --- the matrix -----------------------------------------------------------------------------------


async def end_of(body: Body, kind: str) -> tuple[BaseException | None, ServiceNursery]:
    """Run `body` in a block with failures of `kind`."""

    async def fail_once_the_body_runs(services: ServiceNursery) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        services.fail(lost())
        if kind == "two failures":
            raise ValueError("second")

    async def arrange_and_run(services: ServiceNursery) -> None:
        if kind == "failure before":
            services.fail(lost())
        elif kind != "no failure":
            services.start_soon(fail_once_the_body_runs, services)
        await body()

    left, services = await what_leaves(arrange_and_run)
    assert isinstance(services.failure, ConnectionLost) == (kind != "no failure")
    return left, services


async def blocks_forever() -> None:
    await trio.sleep_forever()


async def returns() -> None:
    """Return once the failing task, if any, has failed."""
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()


async def raises(error: BaseException) -> None:
    """Raise once the failing task, if any, has failed."""
    await returns()
    raise error


async def raises_a_group_with_cancelled(error: BaseException | None) -> None:
    """A user's nursery that is cancelled from outside while one of its tasks fails cleaning up."""

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            if error is not None:
                raise error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(trio.sleep_forever)
        await trio.sleep_forever()


@pytest.mark.parametrize(
    "body", [returns, blocks_forever, partial(raises_a_group_with_cancelled, None)]
)
@pytest.mark.parametrize("kind", FAILURES)
async def test_a_failure_leaves_bare_when_the_body_returns_or_only_ended_because_of_it(
    body: Body, kind: str
) -> None:
    left, services = await end_of(body, kind)
    assert left is services.failure
    assert left is not None
    assert left.__context__ is None
    assert left.__cause__ is None
    assert [note[:27] for note in notes_of(left)] == (
        ["followed by InternalError: "] if kind == "two failures" else []
    )


async def test_without_failure_a_body_that_returns_goes_on_after_the_block() -> None:
    left, services = await end_of(returns, "no failure")
    assert left is None
    assert services.failure is None


@pytest.mark.parametrize("kind", WITHOUT_AND_WITH_FAILURES)
async def test_what_the_body_raises_leaves_as_the_same_object_with_the_failure_as_a_note(
    kind: str,
) -> None:
    context = KeyError("was here before")
    error = LookupError("mine")
    error.__context__ = context
    left, _ = await end_of(partial(raises, error), kind)
    assert left is error
    assert left.__context__ is context
    assert notes_of(left) == ([] if kind == "no failure" else [NOTE])


@pytest.mark.parametrize("kind", WITHOUT_AND_WITH_FAILURES)
async def test_a_group_of_the_body_passes_unchanged_nested_or_not(kind: str) -> None:
    group = ExceptionGroup("mine", [LookupError("a"), ExceptionGroup("inner", [OSError("b")])])
    members = group.exceptions
    left, _ = await end_of(partial(raises, group), kind)
    assert left is group
    assert group.exceptions is members
    assert notes_of(left) == ([] if kind == "no failure" else [NOTE])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", WITHOUT_AND_WITH_FAILURES)
async def test_an_interrupt_in_the_body_wins(interrupt: type[BaseException], kind: str) -> None:
    error = interrupt()
    left, _ = await end_of(partial(raises, error), kind)
    assert left is error
    assert notes_of(left) == ([] if kind == "no failure" else [NOTE])


@pytest.mark.parametrize("body", [blocks_forever, trio.lowlevel.checkpoint])
@pytest.mark.parametrize("kind", WITHOUT_AND_WITH_FAILURES)
async def test_an_outer_cancellation_is_never_swallowed(body: Body, kind: str) -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        await end_of(body, kind)
    assert outer.cancelled_caught


@pytest.mark.parametrize("kind", FAILURES)
async def test_an_outer_cancellation_wins_over_a_failure_even_if_the_body_returned(
    kind: str,
) -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        await end_of(returns, kind)
    assert outer.cancelled_caught


async def test_without_failure_a_body_that_returned_is_not_turned_into_cancelled() -> None:
    with trio.CancelScope() as outer:
        outer.cancel()
        left, _ = await end_of(returns, "no failure")
    assert left is None
    assert not outer.cancelled_caught


async def test_an_outer_cancellation_while_tasks_clean_up_after_a_failure_still_propagates() -> (
    None
):
    async def slow_to_leave() -> None:
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        outer.cancel()

    async def body(services: ServiceNursery) -> None:
        services.start_soon(slow_to_leave)
        services.fail(lost())
        await trio.sleep_forever()

    with trio.CancelScope() as outer:
        await what_leaves(body)
    assert outer.cancelled_caught


# --- groups that contain Cancelled ----------------------------------------------------------------


@pytest.mark.parametrize("kind", FAILURES)
async def test_only_the_user_part_of_a_group_leaves_when_the_rest_is_our_cancellation(
    kind: str,
) -> None:
    error = LookupError("mine")
    left, _ = await end_of(partial(raises_a_group_with_cancelled, error), kind)
    assert isinstance(left, ExceptionGroup)
    assert left.exceptions == (error,)
    assert left.__context__ is None
    assert notes_of(left) == [NOTE]


@pytest.mark.parametrize("kind", WITHOUT_AND_WITH_FAILURES)
async def test_a_group_that_contains_an_outer_cancellation_passes_unchanged(kind: str) -> None:
    raised: list[BaseException] = []

    async def body() -> None:
        await returns()
        outer.cancel()
        try:
            await raises_a_group_with_cancelled(LookupError("mine"))
        except BaseExceptionGroup as group:
            raised.append(group)
            raise

    with trio.CancelScope() as outer:
        left, _ = await end_of(body, kind)
    assert left is raised[0]
    assert isinstance(left, BaseExceptionGroup)
    assert left.subgroup(trio.Cancelled) is not None
    assert notes_of(left) == ([] if kind == "no failure" else [NOTE])


# --- service tasks --------------------------------------------------------------------------------


async def what_leaves_with_task(task: Body) -> tuple[BaseException | None, ServiceNursery]:
    async def body(services: ServiceNursery) -> None:
        services.start_soon(task)
        await trio.sleep_forever()

    return await what_leaves(body)


async def what_leaves_with_task_cancelled(
    task: Body,
) -> tuple[BaseException | None, ServiceNursery]:
    async def body(services: ServiceNursery) -> None:
        services.start_soon(task)
        await wait_all_tasks_blocked()

    return await what_leaves(body)


async def test_a_foreign_error_of_a_task_becomes_an_internal_error_that_names_the_task_only() -> (
    None
):
    async def receive_loop() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("something private")

    left, services = await what_leaves_with_task(receive_loop)
    assert isinstance(left, InternalError)
    assert left is services.failure
    assert "receive_loop ended with ValueError" in str(left)
    assert "private" not in str(left)
    assert isinstance(left.__cause__, ValueError)
    assert left.__context__ is None


async def test_a_realtime_error_of_a_task_is_the_failure_itself() -> None:
    error = SlowConsumer(3)
    left, _ = await what_leaves_with_task(partial(raises, error))
    assert left is error


async def test_a_failure_keeps_the_cause_and_context_it_was_raised_with() -> None:
    async def translate() -> None:
        await trio.lowlevel.checkpoint()
        try:
            raise OSError("reset by peer")
        except OSError as error:
            raise lost() from error

    left, _ = await what_leaves_with_task(translate)
    assert isinstance(left, ConnectionLost)
    assert isinstance(left.__cause__, OSError)
    assert left.__context__ is left.__cause__


async def test_a_group_from_a_task_becomes_one_internal_error() -> None:
    group = ExceptionGroup("from a nursery of its own", [OSError("a"), ValueError("b")])
    left, _ = await what_leaves_with_task(partial(raises, group))
    assert isinstance(left, InternalError)
    assert left.__cause__ is group


async def test_a_task_that_fails_in_its_cleanup_inside_a_nursery_of_its_own_is_recorded_too() -> (
    None
):
    error = OSError("clean-up failed")
    left, _ = await what_leaves_with_task_cancelled(partial(raises_a_group_with_cancelled, error))
    assert isinstance(left, InternalError)
    assert isinstance(left.__cause__, ExceptionGroup)
    assert left.__cause__.exceptions == (error,)


async def test_a_task_that_ends_in_a_group_of_nothing_but_cancelled_is_no_failure() -> None:
    left, services = await what_leaves_with_task_cancelled(
        partial(raises_a_group_with_cancelled, None)
    )
    assert left is None
    assert services.failure is None


async def test_a_failure_while_the_block_is_already_leaving_is_raised() -> None:
    async def sender() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise lost()

    left, services = await what_leaves_with_task_cancelled(sender)
    assert isinstance(left, ConnectionLost)
    assert left is services.failure


async def test_tasks_are_cancelled_and_awaited_when_the_body_ends() -> None:
    steps: list[str] = []

    async def serve() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await wait_all_tasks_blocked()
            steps.append("task ended")

    async with open_service_nursery() as services:
        services.start_soon(serve)
        await wait_all_tasks_blocked()
        steps.append("body ended")
    steps.append("block ended")
    assert steps == ["body ended", "task ended", "block ended"]


async def test_a_task_that_returns_ends_nothing_else() -> None:
    with trio.fail_after(5):
        async with open_service_nursery() as services:
            services.start_soon(returns)
            await wait_all_tasks_blocked()
            assert not services.cancel_called


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_in_a_task_cancels_the_block_and_leaves_bare(
    interrupt: type[BaseException],
) -> None:
    error = interrupt()
    left, services = await what_leaves_with_task(partial(raises, error))
    assert left is error
    assert left.__context__ is None
    assert notes_of(left) == []
    assert services.failure is None
    assert services.cancel_called


async def test_an_interrupt_in_a_task_wins_over_an_exception_of_the_body() -> None:
    async def body(services: ServiceNursery) -> None:
        services.start_soon(raises, KeyboardInterrupt())
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("mine")

    left, _ = await what_leaves(body)
    assert isinstance(left, KeyboardInterrupt)
    assert notes_of(left) == ["meanwhile OSError: mine"]


async def test_of_two_interrupts_the_one_of_the_body_leaves() -> None:
    async def body(services: ServiceNursery) -> None:
        services.start_soon(raises, KeyboardInterrupt())
        try:
            await trio.sleep_forever()
        finally:
            raise SystemExit(3)

    left, _ = await what_leaves(body)
    assert isinstance(left, SystemExit)


async def test_an_interrupt_in_a_group_of_a_task_leaves_bare_and_its_companion_is_recorded() -> (
    None
):
    interrupt = KeyboardInterrupt()
    left, services = await what_leaves_with_task(
        partial(raises, BaseExceptionGroup("its own nursery", [OSError("a"), interrupt]))
    )
    assert left is interrupt
    assert isinstance(services.failure, InternalError)


def test_a_real_ctrl_c_leaves_the_block_as_keyboard_interrupt() -> None:
    async def main() -> None:
        async with open_service_nursery() as services:
            services.start_soon(trio.sleep_forever)
            await wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)


# --- fail, failure, cancel_called -----------------------------------------------------------------


async def test_the_body_can_tell_our_cancellation_from_somebody_elses() -> None:
    seen: list[tuple[bool, bool]] = []

    async def watch_the_end(services: ServiceNursery) -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append((services.cancel_called, services.failure is not None))

    async def fails(services: ServiceNursery) -> None:
        services.start_soon(raises, lost())
        await watch_the_end(services)

    await what_leaves(fails)
    with trio.move_on_after(0):
        await what_leaves(watch_the_end)
    assert seen == [(True, True), (False, False)]


async def test_a_failure_cancels_the_body_and_every_other_task() -> None:
    cancelled: list[str] = []

    async def serve(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(name)

    async def body(services: ServiceNursery) -> None:
        services.start_soon(serve, "a")
        services.start_soon(serve, "b")
        await wait_all_tasks_blocked()
        services.fail(lost())
        await serve("body")

    await what_leaves(body)
    assert sorted(cancelled) == ["a", "b", "body"]


async def test_later_failures_are_notes_unless_they_say_the_same() -> None:
    first = lost()

    async def body(services: ServiceNursery) -> None:
        await trio.lowlevel.checkpoint()
        for error in (first, first, lost(), SlowConsumer(1), ConnectionLost(1011)):
            services.fail(error)

    left, _ = await what_leaves(body)
    assert left is first
    assert [note.split(":")[0] for note in notes_of(first)] == [
        "followed by SlowConsumer",
        "followed by ConnectionLost",
    ]


@pytest.mark.parametrize("in_a_group", [False, True])
async def test_a_body_that_raises_the_failure_itself_gets_no_note(in_a_group: bool) -> None:
    failure = lost()
    mine = ExceptionGroup("mine", [failure]) if in_a_group else failure

    async def body(services: ServiceNursery) -> None:
        await trio.lowlevel.checkpoint()
        services.fail(failure)
        raise mine

    left, _ = await what_leaves(body)
    assert left is mine
    assert notes_of(mine) == notes_of(failure) == []


async def test_misnested_cancel_scopes_in_the_body_are_still_reported() -> None:
    async def body(services: ServiceNursery) -> None:
        await trio.lowlevel.checkpoint()
        trio.CancelScope().__enter__()

    left, _ = await what_leaves(body)
    assert isinstance(left, RuntimeError)
    assert "Cancel scope stack corrupted" in str(left)


async def test_blocks_nest_and_each_failure_leaves_its_own_block() -> None:
    for failing in ("inner", "outer"):
        seen: list[BaseException | None] = []

        async def inner_body(
            inner: ServiceNursery, outer: ServiceNursery, failing: str = failing
        ) -> None:
            (inner if failing == "inner" else outer).fail(lost())
            await trio.sleep_forever()

        async def outer_body(
            outer: ServiceNursery, seen: list[BaseException | None] = seen
        ) -> None:
            left, _ = await what_leaves(partial(inner_body, outer=outer))
            seen.append(left)

        left, _ = await what_leaves(outer_body)
        seen.append(left)
        expected = [ConnectionLost, type(None)] if failing == "inner" else [ConnectionLost]
        assert [type(error) for error in seen] == expected


async def test_a_cancelled_that_is_neither_ours_nor_the_outer_scopes_is_not_swallowed() -> None:
    async def body(services: ServiceNursery) -> None:
        with trio.move_on_after(0):
            try:
                await trio.sleep_forever()
            except trio.Cancelled as cancelled:
                stray.append(cancelled)
                raise
        raise stray[0]

    stray: list[BaseException] = []
    with pytest.raises(trio.Cancelled) as caught:
        await what_leaves(body)
    assert caught.value is stray[0]


async def test_stop_async_iteration_passes_through() -> None:
    left, _ = await end_of(partial(raises, StopAsyncIteration()), "no failure")
    assert isinstance(left, StopAsyncIteration)
