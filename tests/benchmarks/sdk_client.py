"""b24pysdk, the official SDK: one batch after the other; more at once takes threads of its user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from b24pysdk import BitrixApp, BitrixToken, BitrixWebhook  # type: ignore[import-not-found]
from b24pysdk.api.requesters import BitrixOAuthRequester  # type: ignore[import-not-found]

from airflow_b24.bitrix.legacy_invoice import SELECT
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.outcome import LISTED, PAID, Outcome, Said, chunked, in_threads, timed
from tests.benchmarks.portal import PAY


def pay_in_bulk(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay in batches of 50, so many threads side by side."""
    return timed(_bulk(_webhook(addresses), invoice_ids, concurrency))


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
            if client.call_method(PAY, _arguments(invoice_id))["result"] is True:
                said[invoice_id] = PAID

    return timed(work)


def list_all(addresses: Addresses) -> Outcome:
    """List with its fast way, without counting."""
    client = _webhook(addresses)

    def work(said: Said) -> None:
        listed = client.call_list_fast("crm.invoice.list", {"select": list(SELECT)})["result"]
        said.update((int(row["ID"]), LISTED) for row in listed)

    return timed(work)


def pay_as_application(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay with OAuth; the authorisation server's address, which is fixed in it, is turned to the sandbox."""
    BitrixOAuthRequester._OAUTH_TOKEN_URL = f"{addresses.https}/oauth/token/"
    app = BitrixApp(client_id=seed.CLIENT_ID, client_secret=seed.CLIENT_SECRET)
    tokens = {"auth_token": seed.ACCESS_TOKEN, "refresh_token": seed.REFRESH_TOKEN}
    client = BitrixToken(domain=addresses.https.removeprefix("https://"), bitrix_app=app, **tokens)
    return timed(_bulk(client, invoice_ids, concurrency))


def _webhook(addresses: Addresses) -> Any:
    token = seed.webhook_path().strip("/").removeprefix("rest/")
    return BitrixWebhook(domain=addresses.https.removeprefix("https://"), webhook_token=token)


def _bulk(client: Any, invoice_ids: Sequence[int], concurrency: int) -> Callable[[Said], None]:
    return lambda said: in_threads(lambda chunk: _pay(client, chunk, said), chunked(invoice_ids), concurrency)


def _pay(client: Any, invoice_ids: Sequence[int], said: Said) -> None:
    answer = client.call_batch({str(each): (PAY, _arguments(each)) for each in invoice_ids})["result"]
    for each in invoice_ids:
        if _entry(answer["result"], each) is True:
            said[each] = PAID
        elif (refused := _entry(answer["result_error"], each)) is not None:
            said[each] = str(refused["error"])


def _entry(answers: Any, invoice_id: int) -> Any:
    # An empty PHP array is a list.
    return answers.get(str(invoice_id)) if isinstance(answers, Mapping) else None


def _arguments(invoice_id: int) -> dict[str, int]:
    return {"INVOICE_ID": invoice_id, "PAY_SYSTEM_ID": seed.REST_SYSTEM}
