"""A portal and a ledger examined: what works, what does not and how to mend it. Nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, TypeVar

from sqlalchemy import false, update
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.companies import bank_accounts, requisites
from airflow_b24.bitrix.errors import ADVICE, AuthError, BitrixError, RequestError
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.invoices import Invoice, PayInvoice, invoice_listing
from airflow_b24.bitrix.paysystems import (
    INVOICE_REGISTRY,
    Handler,
    Profile,
    handlers,
    invoice_pay_system_ids,
    invoice_settings,
    may_pay_invoices,
    pay_systems,
    profile,
    scopes,
)
from airflow_b24.bitrix.paysystems import PaySystem as Registered
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import portal as portal_table
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.desk import PaySystem

T = TypeVar("T")

Verdict = Literal["ok", "problem", "warning", "not checkable"]
OPEN_INVOICES_READ: Final = 500
"""How many open invoices the coverage is counted on."""

_SETUP: Final = "run `airflow-b24 setup` with an administrator's webhook and put the pay system it prints into the extra"
_RIGHTS: Final = "in CRM > Settings > Access permissions give the webhook's user read and update for invoices"
_OLD_INVOICES: Final = "switch invoices (old version) on in CRM > Settings > Other > Other settings, if they are in use"
_FIRST: Final = "mend the findings above, then run this again"
