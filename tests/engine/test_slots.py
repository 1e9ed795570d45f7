"""Who may run when: so many at once, in order, or one alone that holds up nobody."""

from __future__ import annotations

import asyncio

import pytest

from daemon.engine.slots import Slots, TooBusy


def test_no_more_than_so_many_run_at_once_and_in_the_order_they_came() -> None:
    async def run() -> tuple[list[int], int]:
        slots, order, most = Slots(2, 10), [], 0

        async def one(number: int) -> None:
            nonlocal most
            async with slots.one():
                order.append(number)
                most = max(most, slots.running)
                await asyncio.sleep(0.01)

        await asyncio.gather(*map(one, range(6)))
        return order, most

    assert asyncio.run(run()) == ([0, 1, 2, 3, 4, 5], 2)


def test_one_that_must_be_alone_lets_others_pass_while_something_runs() -> None:
    async def run() -> list[str]:
        slots, order = Slots(2, 10), []
        ended = asyncio.Event()

        async def long() -> None:
            async with slots.one():
                await ended.wait()
                order.append("long")

        async def alone() -> None:
            async with slots.alone():
                assert slots.running == 1
                order.append("alone")
                await asyncio.sleep(0.01)
                order.append("alone ends")

        async def short(name: str) -> None:
            async with slots.one():
                order.append(name)

        tasks = [asyncio.create_task(each) for each in (long(), alone())]
        await asyncio.sleep(0)
        await short("passes")
        ended.set()
        await tasks[0]
        tasks.append(asyncio.create_task(short("waits")))
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == ["passes", "long", "alone", "alone ends", "waits"]


def test_who_waited_too_long_to_be_alone_takes_a_turn() -> None:
    async def run() -> int:
        slots = Slots(2, 10)
        async with slots.one(), slots.alone(patience_seconds=0.01):
            return slots.running

    assert asyncio.run(run()) == 2


def test_one_that_gives_up_waiting_leaves_no_gap() -> None:
    async def run() -> None:
        slots = Slots(1, 10)
        async with slots.one():
            waiting = asyncio.ensure_future(slots.one().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(1), slots.one():
            assert slots.running == 1

    asyncio.run(run())


def test_too_many_in_hand_are_refused() -> None:
    slots = Slots(1, 2)
    for _ in range(3):
        slots.take_in_hand()
    with pytest.raises(TooBusy):
        slots.take_in_hand()
    slots.let_go()
    slots.take_in_hand()
