"""Bitrix24Hook: an Airflow connection becomes a ready client and a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

from airflow.configuration import AIRFLOW_HOME, conf
from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret
from sqlalchemy import URL, make_url

from airflow_b24.bitrix.auth import Auth, OAuth
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.paysystems import profile
from airflow_b24.bitrix.protocol import Response
from airflow_b24.bitrix.redaction import Frameless
from airflow_b24.connection import CONN_TYPE, Settings, read_settings
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile import reporting, reviewing
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.portal import check_invoice_type
from airflow_b24.reconcile.renewing import SharedTokens

SSL_EXTRAS = frozenset({"sslcert", "sslkey", "sslmode", "sslrootcert"})


# What a task's log shows of a report; the rest is what `airflow-b24 report` is for.
SHOWN = 100
WIDTH = 160


class Bitrix24Hook(BaseHook):
    """Talks to one Bitrix24 portal and keeps its ledger.

    :param bitrix24_conn_id: the connection; its password is the inbound webhook's address, or it names an OAuth
        application, whose tokens are then renewed once for all workers and kept, encrypted, in the ledger
    :param ledger_conn_id: a database connection for the ledger; without one `[bitrix24] ledger_url` counts, else an
        SQLite file in AIRFLOW_HOME
    """

    conn_name_attr = "bitrix24_conn_id"
    default_conn_name = "bitrix24_default"
    conn_type = CONN_TYPE
    hook_name = "Bitrix24"

    def __init__(self, bitrix24_conn_id: str = default_conn_name, ledger_conn_id: str | None = None) -> None:
        super().__init__()
        for name, conn_id in (("bitrix24_conn_id", bitrix24_conn_id), ("ledger_conn_id", ledger_conn_id)):
            if "://" in (conn_id or ""):
                fix = "make a connection of it and give its id here"
                raise ValueError(f"{name}: this is an address, which may hold a secret; {fix}")
        self.bitrix24_conn_id = bitrix24_conn_id
        self.ledger_conn_id = ledger_conn_id

    @cached_property
    def settings(self) -> Settings:
        """The connection, checked. Raises ValueError naming the field and the fix."""
        with Frameless():
            return self._read(self.get_connection(self.bitrix24_conn_id))

    def _read(self, connection: Any) -> Settings:
        settings = read_settings(connection.password, connection.host, connection.extra_dejson)
        # Airflow masks the whole password by itself; the secret inside it, and its other spellings, only if told.
        for secret in settings.secrets:
            mask_secret(secret)
        return settings

    @cached_property
    def ledger(self) -> Store:
        """The ledger, its tables up to date. Raises LedgerError when it cannot be used."""
        with Frameless():
            return Store.open(ledger_url(self.ledger_conn_id))

    @cached_property
    def _client(self) -> Client:
        return Client(self._auth, **self.settings.options(self._pace))

    @property
    def _auth(self) -> Auth:
        settings = self.settings
        if settings.application is None:
            return settings.auth
        tokens = SharedTokens(
            self.ledger, self._portal_id, settings.application, mask=mask_secret, **settings.options(self._pace)
        )
        return OAuth(settings.auth.origin, tokens)

    @cached_property
    def _portal_id(self) -> int:
        with self.ledger.transaction() as connection:
            return portal_id(connection, self.settings.auth.origin.netloc, self.settings.allowed_hosts)

    @cached_property
    def _pace(self) -> LedgerPace:
        settings = self.settings
        return LedgerPace(self.ledger, self._portal_id, per_second=settings.requests_per_second, burst=settings.burst)

    def close(self) -> None:
        """Close the client and the ledger, as far as they were opened; `with Bitrix24Hook() as hook:` does it too."""
        try:
            self._keep_new_name()
        finally:
            for name in ("_client", "_pace", "ledger"):
                opened = self.__dict__.pop(name, None)
                if hasattr(opened, "close"):
                    opened.close()

    def _keep_new_name(self) -> None:
        """A renamed portal that was reached under an announced name is known by it from now on."""
        client: Client | None = self.__dict__.get("_client")
        if client is not None and client.origin != self.settings.auth.origin:
            with self.ledger.transaction() as connection:
                portal_id(connection, client.origin.netloc, [self.settings.auth.origin.netloc])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def get_conn(self) -> Client:
        """A ready client, paced together with every other worker that shares the ledger."""
        return self._client

    async def aget_conn(self) -> AsyncClient:
        """The same for a running event loop, with a pace of its own process: a trigger has no ledger.

        So it has no renewed tokens either: an OAuth connection works with the access token pasted into it, for its hour.
        """
        with Frameless():
            settings = self._read(await self.aget_connection(self.bitrix24_conn_id))
        # cached_property: from here on nothing asks for the connection again, which could block the loop.
        self.__dict__["settings"] = settings
        return AsyncClient(settings.auth, **settings.options())

    def call(self, method: str, arguments: Mapping[str, Any] | None = None) -> Response:
        """Call any REST method; reads are repeated, a write only when it was refused before running."""
        return self._client.call(method, arguments)

    def desk(self, invoice_type: str | None = None) -> Desk:
        """What settling and matching work with; an `invoice_type` given here beats the connection's."""
        settings = self.settings
        patience = replace(Patience(), deadline_s=settings.timeout_s)
        wanted = settings.invoice_type if invoice_type is None else check_invoice_type(invoice_type)
        client, pace = self._client, self._pace
        return Desk(self.ledger, client, self._portal_id, pace, patience, invoice_type=wanted, wishes=settings.wishes)

    @property
    def own_pay_system(self) -> PaySystem | None:
        """The pay system that the connection names, None when it is left to the tasks."""
        settings = self.settings
        if settings.pay_system_id is None and settings.bx_rest_handler is None:
            return None
        return PaySystem(settings.pay_system_id, settings.bx_rest_handler)

    def pay_system(self, pay_system_id: Any = None, bx_rest_handler: Any = None) -> PaySystem | None:
        """The pay system to use: an argument beats the connection's extra, an id beats a handler; None without any.

        Raises ValueError when one is no id or code.
        """
        if pay_system_id is None and bx_rest_handler is None:
            return self.own_pay_system
        # Checked here, before anything is asked of the portal.
        checked = PayInvoice(1, pay_system_id, bx_rest_handler)
        return PaySystem(checked.pay_system_id, checked.bx_rest_handler)

    def report(self) -> dict[str, Any]:
        """Totals of everything in the ledger; see `reconcile.reporting.report`."""
        totals, (shown, waiting) = reporting.report(self.ledger), reviewing.foremost(self.ledger, SHOWN)
        every = totals["payments"] - totals["review"] + waiting
        cut = "" if len(shown) == every else f" ({len(shown)} of {every}; `airflow-b24 report` shows all)"
        self.log.info(
            "What waits for a person first, then the newest payments%s:\n%s", cut, reporting.page(shown, WIDTH)
        )
        self.log.info("All payments in the ledger: %s", totals)
        return totals

    def test_connection(self) -> tuple[bool, str]:
        """Ask the portal who we are; used by the Test button, writes nothing, and so renews no token."""
        try:
            settings = self.settings
            with Client(settings.auth, **settings.options()) as client:
                who = client.run(profile())
        except (BitrixError, ValueError) as error:
            return False, str(error)
        return True, f"Connected to {settings.auth.origin} as user {who.id} ({who.name})."


def ledger_url(ledger_conn_id: str | None = None) -> str:
    """Where the ledger is: the named connection, `[bitrix24] ledger_url`, or an SQLite file in AIRFLOW_HOME."""
    if ledger_conn_id is not None:
        return _database(BaseHook.get_connection(ledger_conn_id)).render_as_string(hide_password=False)
    configured: str = conf.get("bitrix24", "ledger_url", fallback="")
    if configured:
        mask_secret(make_url(configured).password)
        return configured
    return f"sqlite:///{AIRFLOW_HOME}/airflow_b24.db"


def _database(connection: Any) -> URL:
    # Not Connection.get_uri(): it writes SQLite's path as a host, and extras as a parameter no driver knows.
    if connection.conn_type == "sqlite":
        return URL.create("sqlite", database=connection.host or connection.schema)
    known = {name: str(value) for name, value in connection.extra_dejson.items() if name in SSL_EXTRAS}
    return URL.create(
        connection.conn_type,
        username=connection.login,
        password=connection.password,
        host=connection.host,
        port=connection.port,
        database=connection.schema,
        query=known,
    )
