"""The bank: a JSON API of account movements, paged by a cursor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_b24.sandbox.php import parse_str, to_text
from airflow_b24.sandbox.wire import Answer, Request, json_answer

OWN_ACCOUNT = "40702810900000000001"
PATH = "/bank/payments"


@dataclass(slots=True)
class Bank:
    """Movements in the order in which the bank delivers them; a record is what it sends, malformed or not."""

    api_key: str = field(default="", repr=False)
    page_size: int = 3
    records: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, record: Mapping[str, Any], today: date) -> Mapping[str, Any]:
        """Deliver one more record; what it leaves out is filled in."""
        filled = {**_defaults(f"sandbox-{len(self.records) + 1}", today), **record}
        self.records.append(filled)
        return filled


def _defaults(record_id: str, today: date) -> dict[str, Any]:
    return {
        "id": record_id,
        "account": OWN_ACCOUNT,
        "amount": "",
        "currency": "RUB",
        "booked_on": today.isoformat(),
        "direction": "credit",
        "status": "booked",
        "payer": {"name": "", "tax_id": "", "account": ""},
        "document_number": "",
        "purpose": "",
    }


def check_record(record: Mapping[str, Any]) -> None:
    """Raise ValueError where names are wrong or the amount is missing; values may be malformed, as a bank's may."""
    known: Mapping[str, Any] = _defaults("", date.min)
    payer = record.get("payer")
    sent, taken = [*record], [*known]
    if isinstance(payer, Mapping):
        sent += [f"payer.{name}" for name in payer]
        taken += [f"payer.{name}" for name in known["payer"]]
    for name in sent:
        if name not in taken:
            raise ValueError(f"{name}: no such field; use {', '.join(taken)}")
    if "amount" not in record:
        raise ValueError('amount: missing; send it as a string like "118.00"')


def answer(bank: Bank, request: Request) -> Answer:
    """`GET /bank/payments?from=YYYY-MM-DD&cursor=...` with `X-Api-Key`; repeating it is safe."""
    if not bank.api_key or request.headers.get("x-api-key") != bank.api_key:
        return _refusal(401, "unauthorized", "X-Api-Key: missing or wrong; send the key of this account")
    if request.verb not in {"GET", "HEAD"}:
        return _refusal(405, "method_not_allowed", "Only GET is served here")
    asked = parse_str(request.query)
    try:
        since = date.fromisoformat(to_text(asked.get("from")) or "0001-01-01")
        first = int(to_text(asked.get("cursor")).removeprefix("after-") or 0)
    except ValueError:
        return _refusal(400, "bad_request", "from, cursor: send from as YYYY-MM-DD and cursor as it was given")
    return json_answer(_page(bank, since, max(first, 0)))


def _page(bank: Bank, since: date, first: int) -> dict[str, object]:
    wanted = [record for record in bank.records if to_text(record.get("booked_on")) >= since.isoformat()]
    following = first + bank.page_size
    more = following < len(wanted)
    return {"payments": wanted[first:following], "next_cursor": f"after-{following}" if more else None}


def _refusal(status: int, code: str, message: str) -> Answer:
    return json_answer({"error": code, "message": message}, status)
