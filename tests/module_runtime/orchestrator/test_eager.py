"""Work that begins at once goes on, fails, and is cancelled as a task is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sdk.module_runtime.orchestrator.eager import EagerTasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


async def started(eager: EagerTasks, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Begun as it is when a message arrives: from the loop and not from a task."""
    loop = asyncio.get_running_loop()
    await ready(eager)
    begun: asyncio.Future[asyncio.Task[None] | None] = loop.create_future()
    loop.call_soon(lambda: begun.set_result(eager.start(work)))
    return await begun


async def ready(eager: EagerTasks) -> None:
    """The very first work is a task as any other; then the next begins at once."""
    first = eager.start(asyncio.sleep(0, None))
    if first is not None:
        await first
    await asyncio.sleep(0)


async def test_what_does_not_wait_has_ended_and_left_no_task_behind() -> None:
    eager, done = EagerTasks(), []

    async def work(number: int) -> None:
        done.append(number)

    assert [await started(eager, work(number)) for number in range(10)] == [None] * 10
    assert done == list(range(10))
    assert len(asyncio.all_tasks()) <= 2  # this one, and perhaps the one that waits for work
    eager.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_all_steps_are_of_one_task_and_other_work_begins_meanwhile() -> None:
    eager, seen = EagerTasks(), []

    async def work(name: str) -> None:
        for _ in range(3):
            seen.append((name, asyncio.current_task()))
            await asyncio.sleep(0.001)
        seen.append((name, asyncio.current_task()))

    tasks = [await started(eager, work(name)) for name in "ab"]
    assert all(task is not None for task in tasks)
    await asyncio.gather(*(task for task in tasks if task is not None))
    assert [task for name, task in seen if name == "a"] == [tasks[0]] * 4
    assert [task for name, task in seen if name == "b"] == [tasks[1]] * 4
    assert tasks[0] is not tasks[1]
    eager.close()


async def test_a_time_limit_of_the_first_step_ends_the_wait() -> None:
    eager, ended = EagerTasks(), []

    async def work() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append("late")
        await asyncio.sleep(0)
        ended.append("went on")

    task = await started(eager, work())
    assert task is not None
    await task
    assert ended == ["late", "went on"]
    eager.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_a_cancellation_reaches_the_work_which_may_still_tidy_up(turns: int) -> None:
    eager, ended = EagerTasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("tidied up")

    await ready(eager)
    begun: asyncio.Future[asyncio.Task[None]] = asyncio.get_running_loop().create_future()

    def begin() -> None:
        task = eager.start(work())
        assert task is not None
        if turns == 0:
            task.cancel()
        begun.set_result(task)

    asyncio.get_running_loop().call_soon(begin)
    task = await begun
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["tidied up"]
    eager.close()


async def test_work_may_swallow_a_cancellation_and_end() -> None:
    eager = EagerTasks()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    task = await started(eager, work())
    assert task is not None
    task.cancel()
    await task
    assert not task.cancelled()
    eager.close()


async def test_an_error_is_loud_at_the_first_step_and_the_tasks_own_later() -> None:
    eager, told = EagerTasks(), []
    handler: Callable[..., None] = lambda _loop, context: told.append(context["exception"])  # noqa: E731
    asyncio.get_running_loop().set_exception_handler(handler)

    async def fail(late: bool) -> None:
        if late:
            await asyncio.sleep(0)
        raise ZeroDivisionError

    assert await started(eager, fail(False)) is None
    assert [type(error) for error in told] == [ZeroDivisionError]
    task = await started(eager, fail(True))
    assert task is not None
    with pytest.raises(ZeroDivisionError):
        await task
    assert await started(eager, asyncio.sleep(0, None)) is not None
    eager.close()


async def test_within_a_task_it_is_a_task_of_its_own() -> None:
    eager, seen = EagerTasks(), []

    async def work() -> None:
        seen.append(asyncio.current_task())

    task = eager.start(work())
    if task is not None:
        await task
    assert seen != [asyncio.current_task()]
    assert len(seen) == 1
    eager.close()
