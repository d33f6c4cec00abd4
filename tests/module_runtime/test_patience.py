"""A shared time limit ends a block as ``asyncio.timeout`` does: in time, once, and nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from sdk.module_runtime.patience import TICK, Patience


async def test_a_limit_ends_its_own_block_no_sooner_than_said_and_others_go_on() -> None:
    patience, loop = Patience(), asyncio.get_running_loop()
    began = loop.time()
    ended: dict[float, float] = {}

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError), patience.limit(seconds):
            await asyncio.Event().wait()
        ended[seconds] = loop.time() - began

    async def answered() -> str:
        with patience.limit(0.05):
            await asyncio.sleep(0)
        await asyncio.sleep(3 * TICK + 0.05)
        return "went on after its block"

    *_, last = await asyncio.gather(wait(0.01), wait(0.011), wait(0.1), answered())
    assert last == "went on after its block"
    assert ended.keys() == {0.01, 0.011, 0.1}
    assert all(lasted >= seconds - 0.001 for seconds, lasted in ended.items())


async def test_a_cancellation_by_somebody_else_stays_a_cancellation() -> None:
    patience, inside = Patience(), asyncio.Event()

    async def wait() -> None:
        with patience.limit(0.01):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_together_with_the_limit_is_not_lost() -> None:
    patience = Patience()

    async def wait() -> None:
        limit = patience.limit(30)
        with limit:
            limit.reached()
            own = asyncio.current_task()
            assert own is not None
            own.cancel()
            await asyncio.sleep(0)

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_passes_though_the_time_is_over() -> None:
    patience = Patience()

    async def fail() -> None:
        with patience.limit(0.01):
            try:
                await asyncio.Event().wait()
            finally:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await asyncio.sleep(0)  # the cancellation was taken back


async def test_what_ended_is_not_kept() -> None:
    patience = Patience()
    for _ in range(100):
        with patience.limit(30):
            pass
    assert not any(patience._ending.values())
    assert len(patience._ending) <= 2
