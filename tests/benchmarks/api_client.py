"""b24api: one batch after the other, stopped at the first error; more at once takes threads of its user's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from b24api import Bitrix24  # type: ignore[import-not-found]

from airflow_b24.bitrix.legacy_invoice import SELECT
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.outcome import CANNOT, LISTED, PAID, Outcome, Said, chunked, in_threads, timed
from tests.benchmarks.portal import PAY


def pay_in_bulk(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay in batches of 50, so many threads side by side."""
    client = _webhook(addresses)
    chunks = chunked(invoice_ids)
    return timed(lambda said: in_threads(lambda chunk: _pay(client, chunk, said), chunks, concurrency))


def pay_in_turns(addresses: Addresses, turns: Sequence[Sequence[int]]) -> Outcome:
    """Pay a batch, then the next."""
    client = _webhook(addresses)

    def work(said: Said) -> None:
        for invoice_ids in turns:
            _pay(client, invoice_ids, said)

    return timed(work)


def pay_one_by_one(addresses: Addresses, invoice_ids: Sequence[int]) -> Outcome:
    """Pay one invoice, then the next."""
    client = _webhook(addresses)

    def work(said: Said) -> None:
        for invoice_id in invoice_ids:
            if client.call(_request(invoice_id)) is True:
                said[invoice_id] = PAID

    return timed(work)


def list_all(addresses: Addresses) -> Outcome:
    """List with its fast way, without counting."""
    client = _webhook(addresses)
    request = {"method": "crm.invoice.list", "parameters": {"select": list(SELECT)}}
    return timed(lambda said: said.update((int(row["ID"]), LISTED) for row in client.list_batched_no_count(request)))


def pay_as_application(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """It knows webhooks alone."""
    return CANNOT


def _webhook(addresses: Addresses) -> Any:
    os.environ["BITRIX24_API_WEBHOOK_URL"] = addresses.https + seed.webhook_path()
    return Bitrix24()


def _pay(client: Any, invoice_ids: Sequence[int], said: Said) -> None:
    for answer, each in client.batch([(_request(each), each) for each in invoice_ids], with_payload=True):
        if answer is True:
            said[each] = PAID


def _request(invoice_id: int) -> dict[str, object]:
    return {"method": PAY, "parameters": {"INVOICE_ID": invoice_id, "PAY_SYSTEM_ID": seed.REST_SYSTEM}}
