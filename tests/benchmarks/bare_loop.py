"""The yardstick for lists: a bare loop over ranges of ids, which parses JSON and checks nothing. No product."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from airflow_b24.bitrix.legacy_invoice import SELECT
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.outcome import LISTED, Outcome, Said, timed

PAGE, RANGES, AT_ONCE = 50, 10, 4


def list_all(addresses: Addresses) -> Outcome:
    """Ask for the last id, then for all pages, ten ranges to a batch and four batches at once."""
    context = ssl.create_default_context(cafile=str(addresses.ca_file))
    return timed(lambda said: asyncio.run(_list(addresses.https + seed.webhook_path(), context, said)))


async def _list(webhook: str, context: ssl.SSLContext, said: Said) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=60) as client:

        async def ask(method: str, arguments: Mapping[str, object]) -> Any:
            async with gate:
                return (await client.post(webhook + method, json=arguments)).raise_for_status().json()["result"]

        newest = {"order": {"ID": "DESC"}, "select": ["ID"], "start": -1}
        last = int((await ask("crm.invoice.list", newest))[0]["ID"])
        batches = [_batch(first, last) for first in range(0, last, PAGE * RANGES)]
        for result in await asyncio.gather(*(ask("batch", batch) for batch in batches)):
            said.update((int(row["ID"]), LISTED) for page in _pages(result["result"]) for row in page)


def _batch(first: int, last: int) -> dict[str, object]:
    starts = range(first, min(first + PAGE * RANGES, last), PAGE)
    return {"halt": 0, "cmd": {f"r{start}": f"crm.invoice.list?{urlencode(_range(start))}" for start in starts}}


def _range(start: int) -> list[tuple[str, object]]:
    ids = [("filter[>ID]", start), ("filter[<=ID]", start + PAGE)]
    return [*ids, ("order[ID]", "ASC"), ("start", -1), *(("select[]", name) for name in SELECT)]


def _pages(result: Any) -> Any:
    return result.values() if isinstance(result, dict) else result
