"""Reading ahead, several requests at once: what a lookahead asks for is read in threads, or in asyncio's tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from airflow_b24.bitrix.lookahead import LANES, Lookahead, Pages, Question

T = TypeVar("T")


def in_threads(ahead: Lookahead[T], read: Callable[[Question], Pages[T]]) -> Iterator[T]:
    """Yield the rows in their order; raises what `read` raises. What is on its way at the end is waited for."""
    opening = ahead.open()
    ahead.take(opening, read(opening))
    yield from ahead.rows()
    if ahead.ended:
        return
    running: dict[Future[Pages[T]], Question] = {}

    def ask() -> None:
        while question := ahead.ask():
            # A copy each: whether it is urgent is known by the context.
            running[pool.submit(copy_context().run, read, question)] = question

    with ThreadPoolExecutor(LANES, thread_name_prefix="b24-list") as pool:
        while not ahead.ended:
            ask()
            yield from ahead.rows()
            # What was handed out makes room for more.
            ask()
            for each in wait(running, return_when=FIRST_COMPLETED).done:
                ahead.take(running.pop(each), each.result())
    yield from ahead.rows()


async def in_tasks(ahead: Lookahead[T], read: Callable[[Question], Coroutine[Any, Any, Pages[T]]]) -> AsyncIterator[T]:
    """Yield the rows in their order; raises what `read` raises. What is on its way at the end is cancelled."""
    opening = ahead.open()
    ahead.take(opening, await read(opening))
    for row in ahead.rows():
        yield row
    running: dict[asyncio.Task[Pages[T]], Question] = {}

    def ask() -> None:
        while question := ahead.ask():
            running[asyncio.create_task(read(question))] = question

    try:
        while not ahead.ended:
            ask()
            for row in ahead.rows():
                yield row
            # What was handed out makes room for more.
            ask()
            done = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED) if running else ((), ())
            for each in done[0]:
                ahead.take(running.pop(each), each.result())
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for row in ahead.rows():
        yield row
