"""fast_bitrix24: asynchronous, its batches side by side; it does not verify what it pays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode
from urllib.request import urlopen

from fast_bitrix24 import BitrixAsync  # type: ignore[import-not-found]

from airflow_b24.bitrix.legacy_invoice import SELECT
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.outcome import LISTED, PAID, Outcome, Said, timed
from tests.benchmarks.portal import PAY

Work = Callable[[BitrixAsync, Said], Awaitable[None]]


def pay_in_bulk(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay with its own concurrency, held down to so many requests at once."""
    return _timed(_webhook(addresses), lambda client, said: _pay(client, invoice_ids, said), concurrency)


def pay_in_turns(addresses: Addresses, turns: Sequence[Sequence[int]]) -> Outcome:
    """Pay a batch, then the next."""

    async def work(client: BitrixAsync, said: Said) -> None:
        for invoice_ids in turns:
            await _pay(client, invoice_ids, said)

    return _timed(_webhook(addresses), work)


def pay_one_by_one(addresses: Addresses, invoice_ids: Sequence[int]) -> Outcome:
    """Pay one invoice, then the next."""

    async def work(client: BitrixAsync, said: Said) -> None:
        for invoice_id in invoice_ids:
            if await client.call(PAY, _arguments(invoice_id)) is True:
                said[invoice_id] = PAID

    return _timed(_webhook(addresses), work)


def list_all(addresses: Addresses) -> Outcome:
    """List as its documentation says."""

    async def work(client: BitrixAsync, said: Said) -> None:
        rows = await client.get_all("crm.invoice.list", {"select": list(SELECT)})
        said.update((int(row["ID"]), LISTED) for row in rows)

    return _timed(_webhook(addresses), work)


def pay_as_application(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay with OAuth: it leaves getting and renewing the token to a function of its user's."""
    held = {"refresh_token": seed.REFRESH_TOKEN}

    async def token() -> str:
        if "access_token" not in held:
            held["access_token"] = seed.ACCESS_TOKEN
        else:
            held.update(await asyncio.to_thread(_renewed, addresses, held["refresh_token"]))
        return held["access_token"]

    client = BitrixAsync(f"{addresses.https}/rest/", token_func=token, verbose=False)
    return _timed(client, lambda client, said: _pay(client, invoice_ids, said), concurrency)


def _renewed(addresses: Addresses, refresh_token: str) -> dict[str, str]:
    form = {"grant_type": "refresh_token", "client_id": seed.CLIENT_ID, "client_secret": seed.CLIENT_SECRET}
    asked = urlencode({**form, "refresh_token": refresh_token})
    with urlopen(f"{addresses.https}/oauth/token/?{asked}", timeout=30) as answer:  # noqa: S310 - the sandbox
        given = json.load(answer)
    return {name: given[name] for name in ("access_token", "refresh_token")}


def _webhook(addresses: Addresses) -> BitrixAsync:
    return BitrixAsync(addresses.https + seed.webhook_path(), verbose=False)


def _timed(client: BitrixAsync, work: Work, concurrency: int = 50) -> Outcome:
    async def main(said: Said) -> None:
        with client.slow(concurrency):
            await work(client, said)

    return timed(lambda said: asyncio.run(main(said)))


async def _pay(client: BitrixAsync, invoice_ids: Sequence[int], said: Said) -> None:
    answers = await client.call(PAY, [_arguments(each) for each in invoice_ids])
    said.update((each, PAID) for each, answer in zip(invoice_ids, answers, strict=False) if answer is True)


def _arguments(invoice_id: int) -> dict[str, int]:
    return {"INVOICE_ID": invoice_id, "PAY_SYSTEM_ID": seed.REST_SYSTEM}
