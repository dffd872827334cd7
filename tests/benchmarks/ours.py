"""Ours: what is paid is verified, and every outcome is on disk before anything is said of it.

In bulk it settles what stands in the ledger already, as after matching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_b24.bitrix.auth import Auth, OAuth, Origin, Secret, Webhook
from airflow_b24.bitrix.bulk import MOST_PAYS
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import BitrixError, RefusedError
from airflow_b24.bitrix.legacy_invoices import invoice_listing
from airflow_b24.bitrix.renewal import Application
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.plain import Plain, open_plain
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile import bulk
from airflow_b24.reconcile.bulk import settle_all
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.renewing import SharedTokens
from airflow_b24.reconcile.settling import settle_plain
from airflow_b24.results import paid_or_raise
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.memory import peak_of
from tests.benchmarks.outcome import LISTED, Outcome, Said, timed
from tests.benchmarks.portal import price_of
from tests.benchmarks.streamed import Streamed

PAY_SYSTEM = PaySystem(seed.REST_SYSTEM)
MakeAuth = Callable[[Store, int, str], Auth]


def pay_in_bulk(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int, most: int | None = None) -> Outcome:
    """Pay and verify, so many requests at once, each with at most so many pays."""
    if most is not None:
        bulk.MOST_PAYS = dict.fromkeys(MOST_PAYS, most)  # type: ignore[misc]
    with _desk(addresses) as desk:
        wanted = _expected(desk, invoice_ids)
        return timed(lambda said: _settle_all(desk, wanted, concurrency, said))


def pay_in_turns(addresses: Addresses, turns: Sequence[Sequence[int]]) -> Outcome:
    """Pay and verify a few, then the next."""

    def work(said: Said) -> None:
        for each in wanted:
            _settle_all(desk, each, 1, said)

    with _desk(addresses) as desk:
        wanted = [_expected(desk, invoice_ids) for invoice_ids in turns]
        return timed(work)


def pay_as_task(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay and verify; what has no end yet fails, as a task of Airflow's would, when all else is done."""

    def work(said: Said) -> None:
        waiting: list[BitrixError] = []
        for settlement_id, outcome in settle_all(desk, wanted, PAY_SYSTEM, lanes=concurrency).items():
            try:
                said[wanted[settlement_id]] = paid_or_raise(outcome, matched=True)["status"]  # type: ignore[arg-type]
            except RefusedError as error:
                said[wanted[settlement_id]] = "waiting"
                waiting.append(error)
        if waiting:
            raise waiting[0]

    with _desk(addresses) as desk:
        wanted = _expected(desk, invoice_ids)
        return timed(work)


def pay_one_by_one(addresses: Addresses, invoice_ids: Sequence[int]) -> Outcome:
    """Pay and verify one invoice, then the next."""
    with _desk(addresses) as desk:
        return timed(lambda said: _settle_each(desk, invoice_ids, said))


def list_all(addresses: Addresses) -> Outcome:
    """List, in order of id."""
    with _desk(addresses) as desk:
        return timed(lambda said: said.update((row.id, LISTED) for row in desk.client.iterate(invoice_listing())))


def stream_all(addresses: Addresses) -> Outcome:
    """List, and keep no row."""
    seen = {"rows": 0, "last": 0, "disorder": 0}

    def work(said: Said) -> None:
        for row in desk.client.iterate(invoice_listing()):
            seen["rows"] += 1
            seen["disorder"] += row.id <= seen["last"]
            seen["last"] = row.id

    with _desk(addresses) as desk:
        outcomes: list[Outcome] = []
        peak_mib = peak_of(lambda: outcomes.append(timed(work)))
    told = outcomes[0]
    return Streamed({}, told.seconds, told.error, rows=seen["rows"], in_order=not seen["disorder"], peak_mib=peak_mib)


def pay_as_application(addresses: Addresses, invoice_ids: Sequence[int], concurrency: int) -> Outcome:
    """Pay and verify with OAuth, whose tokens lie encrypted in the ledger."""

    def auth(store: Store, portal: int, ca_file: str) -> Auth:
        origin = Origin.parse(addresses.https)
        secrets = (seed.CLIENT_SECRET, seed.REFRESH_TOKEN, seed.ACCESS_TOKEN)
        application = Application(origin, seed.CLIENT_ID, *map(Secret, secrets))
        return OAuth(origin, SharedTokens(store, portal, application, mask=lambda _: None, ca_bundle=ca_file))

    with _desk(addresses, auth) as desk:
        wanted = _expected(desk, invoice_ids)
        return timed(lambda said: _settle_all(desk, wanted, concurrency, said))


def _expected(desk: Desk, invoice_ids: Sequence[int]) -> dict[int, int]:
    """Write down what is to be settled, {settlement's id: its invoice's}; the portal is not asked."""
    facts = ((each, f"2026/{each}", price_of(each), "RUB", 2) for each in invoice_ids)
    return {open_plain(desk.store, Plain(desk.portal_id, "legacy", *each)): each[0] for each in facts}


def _settle_all(desk: Desk, wanted: Mapping[int, int], lanes: int, said: Said) -> None:
    for settlement_id, outcome in settle_all(desk, wanted, PAY_SYSTEM, lanes=lanes).items():
        name = type(outcome).__name__ if isinstance(outcome, Exception) else outcome.row.state.value
        said[wanted[settlement_id]] = name


def _settle_each(desk: Desk, invoice_ids: Sequence[int], said: Said) -> None:
    for invoice_id in invoice_ids:
        try:
            said[invoice_id] = settle_plain(desk, invoice_id, PAY_SYSTEM).row.state.value
        except (BitrixError, LedgerError) as error:
            said[invoice_id] = type(error).__name__


@contextmanager
def _desk(addresses: Addresses, make_auth: MakeAuth | None = None) -> Iterator[Desk]:
    """Open a new ledger on SQLite in this process's folder; the settings are the hook's."""
    store = Store.open(f"sqlite:///{Path.cwd() / 'ledger.db'}")
    webhook, ca_file = Webhook.parse(addresses.https + seed.webhook_path()), str(addresses.ca_file)
    with store.transaction() as connection:
        portal = portal_id(connection, webhook.origin.netloc)
    auth = make_auth(store, portal, ca_file) if make_auth else webhook
    pace: Any = LedgerPace(store, portal)
    with Client(auth, pace=pace, ca_bundle=ca_file) as client:
        yield Desk(store, client, portal, pace)
    store.close()
