"""`airflow b24 setup|doctor`: a portal is prepared once, and examined whenever something is wrong."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.commands.answering import PROBLEM, as_json, hooked, tell
from airflow_b24.commands.answering import settings as read_connection
from airflow_b24.commands.bank import bank_answers
from airflow_b24.commands.lookup import open_ledger
from airflow_b24.commands.pinning import ledger_pays
from airflow_b24.commands.printing import finding_lines, setup_lines
from airflow_b24.connection import OAUTH, Settings, read_settings
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.preparing.doctor import examine
from airflow_b24.preparing.findings import untrusted
from airflow_b24.preparing.setup import NAME, Prepared, prepare
from airflow_b24.reconcile.desk import PaySystem


def run_setup(args: Namespace) -> None:
    """Prepare a portal with a webhook read from standard input; the last line printed is the extra as JSON."""
    with hooked(args) as hook:
        connection = _defined(hook)
        # An administrator's webhook, used once, is no application; and its key is not to be printed.
        known = connection.extra_dejson if connection else {}
        extra = {name: value for name, value in known.items() if name not in {*OAUTH, "oauth_url"}}
        if args.ca_bundle:
            extra["ca_bundle"] = _bundle(args.ca_bundle)
        settings = read_settings(_read_webhook(), None, extra)
        for secret in settings.secrets:
            mask_secret(secret)
        if connection:
            _check_same_portal(settings, hook)
        prepared = _prepared(settings, NAME if args.name is None else args.name)
        has_keys = any(known.get(name) for name in OAUTH)
        tell(setup_lines(prepared, str(settings.auth.origin), args.conn_id, has_keys=has_keys))
        tell([json.dumps({**extra, **prepared.extra}, ensure_ascii=False)])


def run_doctor(args: Namespace) -> None:
    """Examine the portal of a connection and the ledger; exits with 1 when there is a problem."""
    with hooked(args) as hook:
        settings = read_connection(hook)
        pay_system = PaySystem(settings.pay_system_id, settings.bx_rest_handler)
        # The tokens of an application are renewed in the ledger alone.
        with hook.get_conn() if settings.application else _client(settings) as client:
            found = examine(client, pay_system, lambda: open_ledger(hook), settings.invoice_type, settings.wishes)
        found.append(ledger_pays(hook))
        if args.http_conn_id:
            found.append(bank_answers(args.http_conn_id, args.http_endpoint))
        tell(as_json([asdict(each) for each in found]) if args.json else finding_lines(found))
    if any(each.state == "problem" for each in found):
        raise SystemExit(PROBLEM)


def _prepared(settings: Settings, name: str) -> Prepared:
    try:
        with _client(settings) as client:
            return prepare(client, name)
    except BitrixError as error:
        fix = " Give your certificate authority with --ca-bundle." if untrusted(error) else ""
        raise ValueError(f"webhook: {error}{fix}") from None


def _client(settings: Settings) -> Client:
    # A pace of its own: a portal is examined also while the ledger is out of order.
    return Client(settings.auth, **settings.options())


def _bundle(given: str) -> str:
    path = Path(given).resolve()
    if not path.is_file():
        raise ValueError(f"--ca-bundle: there is no file {path}; give the path of a PEM file")
    return str(path)


def _read_webhook() -> str:
    prompt = "An administrator's inbound webhook (not shown, not stored): "
    webhook = getpass(prompt, sys.stderr) if sys.stdin.isatty() else sys.stdin.readline()
    if not webhook.strip():
        raise ValueError("webhook: standard input is empty; give the webhook's address as one line")
    return webhook


def _defined(hook: Bitrix24Hook) -> Any:
    try:
        return hook.get_connection(hook.bitrix24_conn_id)
    except AirflowNotFoundException:
        return None


def _check_same_portal(settings: Settings, hook: Bitrix24Hook) -> None:
    here, there = settings.auth.origin, read_connection(hook).auth.origin
    if here != there:
        raise ValueError(
            f"webhook: it is of {here}, but the connection {hook.bitrix24_conn_id!r} is of {there}; give a webhook of "
            "that portal, or another --conn-id"
        )
