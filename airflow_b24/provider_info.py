"""What Airflow shows of this provider: the connection form, the operators' link, the commands, the settings."""

from __future__ import annotations

from typing import Any


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _secret(label: str, description: str) -> dict[str, Any]:
    schema = {"type": ["string", "null"], "format": "password"}
    return {"label": label, "description": description, "schema": schema}


def _number(label: str, description: str, **limits: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["integer", "null"], **limits}}


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": "Bitrix24", "python-modules": [f"airflow_b24.{name}" for name in names]}]


CONNECTION_FORM: dict[str, Any] = {
    "connection-type": "bitrix24",
    "hook-name": "Bitrix24",
    "hook-class-name": "airflow_b24.hooks.Bitrix24Hook",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login", "port"],
        "relabeling": {"password": "Webhook address (or OAuth access token)", "host": "Portal address (OAuth only)"},
        "placeholders": {
            "password": "https://your-portal.bitrix24.com/rest/1/secret/",
            "host": "leave empty for a webhook",
        },
    },
    "conn-fields": {
        "pay_system_id": _number(
            "Pay system id", "Pays unless a task names another; `airflow-b24 setup` prints it", minimum=1
        ),
        "bx_rest_handler": _text("REST handler", "Code of a REST handler, used when no pay system id is given"),
        "invoice_type": _text("Invoice type", "legacy, smart, or auto (all that the portal has) if empty"),
        "paid_stage": _text(
            "Paid stage", "Where a paid smart invoice is moved, like DT31_5:P; its funnel's stage of success if empty"
        ),
        "also_paid_stages": _text(
            "Also paid stages", "Further stages in which a smart invoice counts as paid, separated by commas"
        ),
        "partial_stage": _text(
            "Partial stage", "Where a smart invoice is moved while parts of its sum come in, like DT31_5:H; optional"
        ),
        "progress_fields": _text(
            "Progress fields", "paid=ufCrm..., balance=ufCrm..., payments=ufCrm..., last_paid_on=ufCrm...; optional"
        ),
        "smart_mark_with": _text("Mark smart invoices with", "stage if empty, or payment: their payment document"),
        "timeline_comments": {
            "label": "Comment in the timeline",
            "description": "Say in the timeline of an invoice (a legacy one's: of its deal or company) what paid it",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "ca_bundle": _text("CA bundle", "A private certificate authority to trust: a path or PEM text"),
        "timeout": _number("Timeout", "Seconds for one request in all; 60 if empty", minimum=1, maximum=600),
        "requests_per_second": _number("Requests per second", "The portal's limit: 2, Enterprise 5", minimum=1),
        "burst": _number("Burst", "The portal's bucket: 50, Enterprise 250", minimum=3),
        "rate_share": _number(
            "Share of the limit",
            "Less than 1 where others ask from the same address",
            type=["number", "null"],
            maximum=1,
        ),
        "client_id": _text(
            "OAuth: client_id", "The application's code; it, its secret and a refresh token go together"
        ),
        "client_secret": _secret(
            "OAuth: client_secret", "The application's key; it also encrypts the tokens in the ledger"
        ),
        "refresh_token": _secret("OAuth: refresh_token", "The one you got when you authorised the application"),
        "oauth_url": _text(
            "OAuth: authorisation server", "https://oauth.bitrix.info if empty; https://oauth.bitrix24.tech in Russia"
        ),
        "allowed_hosts": _text("Allowed hosts", "Where a renamed portal may answer, separated by commas"),
        "trust_env": {
            "label": "Use the environment's proxy",
            "description": "Off by default: the address of a webhook is its password",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
    },
}

PROVIDER_INFO: dict[str, Any] = {
    "package-name": "airflow-b24",
    "name": "Bitrix24",
    "description": "Matches incoming payments with Bitrix24 invoices and marks the right one paid, exactly once.",
    "integrations": [
        {
            "integration-name": "Bitrix24",
            "external-doc-url": "https://apidocs.bitrix24.com/",
            "tags": ["service"],
        }
    ],
    "hooks": _modules("hooks"),
    "operators": _modules("operators"),
    "connection-types": [CONNECTION_FORM],
    "extra-links": ["airflow_b24.links.InvoiceLink"],
    "cli": ["airflow_b24.commands.airflow_commands"],
    "config": {
        "bitrix24": {
            "description": "The ledger of airflow-b24.",
            "options": {
                "ledger_url": {
                    "description": "SQLAlchemy address of the ledger: SQLite on a local disk, or PostgreSQL when "
                    "workers run on several machines. Empty: airflow_b24.db in AIRFLOW_HOME.",
                    "version_added": "0.1.0",
                    "type": "string",
                    "sensitive": True,
                    "example": "postgresql://airflow:***@db/airflow_b24",
                    "default": "",
                }
            },
        }
    },
}
