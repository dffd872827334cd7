"""What tells companies apart in a payment: their tax ids and bank accounts, from their requisites."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, check_id, read_id
from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.listing import Listing

T = TypeVar("T")

# docs: crm.requisite.list. Countries call the same thing by different names.
TAX_IDS: Final = (
    "RQ_INN",
    "RQ_CNPJ",
    "RQ_CPF",
    "RQ_VAT_ID",
    "RQ_EDRPOU",
    "RQ_DRFO",
    "RQ_BIN",
    "RQ_IIN",
    "RQ_SIRET",
    "RQ_SIREN",
)
# docs: page of crm.requisite.bankdetail.list
ACCOUNTS: Final = ("RQ_ACC_NUM", "RQ_IBAN")

# docs: crm.enum.ownertype. A bank detail names no type: its ENTITY_ID is always a requisite.
_COMPANY: Final = 4
_CHUNK: Final = 50


@dataclass(frozen=True, slots=True)
class _Detail:
    id: int
    owner_id: int
    values: frozenset[str]


def requisites(company_ids: Iterable[int]) -> Flow[dict[int, frozenset[str]]]:
    """Read the tax ids of companies, normalised; a company without one has an empty set. Repeating is safe."""
    wanted = _ids(company_ids)
    return _tax_ids(wanted)


def bank_accounts(company_ids: Iterable[int]) -> Flow[dict[int, frozenset[str]]]:
    """Read the bank accounts (numbers and IBANs) of companies, normalised. Repeating is safe."""
    wanted = _ids(company_ids)
    return _accounts(wanted)


def normalise(value: str) -> str:
    """Return letters and digits alone, in upper case: `12.345.678/0001-95` is `12345678000195`."""
    return "".join(char for char in value.upper() if char.isalnum())


def _tax_ids(company_ids: Sequence[int]) -> Flow[dict[int, frozenset[str]]]:
    found = yield from _details("crm.requisite.list", _COMPANY, company_ids, TAX_IDS)
    return _grouped(company_ids, found, lambda detail: detail.owner_id)


def _accounts(company_ids: Sequence[int]) -> Flow[dict[int, frozenset[str]]]:
    owners = yield from _details("crm.requisite.list", _COMPANY, company_ids, ())
    company_of = {requisite.id: requisite.owner_id for requisite in owners}
    found = yield from _details("crm.requisite.bankdetail.list", None, sorted(company_of), ACCOUNTS)
    return _grouped(company_ids, found, lambda detail: company_of[detail.owner_id])


def _details(
    method: str, owner_type: int | None, owner_ids: Sequence[int], fields: Sequence[str]
) -> Flow[list[_Detail]]:
    found: list[_Detail] = []
    typed = {} if owner_type is None else {"ENTITY_TYPE_ID": owner_type}
    for chunk in _chunks(owner_ids):
        listing = Listing(
            method,
            {**typed, "@ENTITY_ID": chunk},
            ("ID", *typed, "ENTITY_ID", *fields),
            _reader(owner_type, frozenset(chunk), fields),
        )
        found += yield from listing.all()
    return found


def _reader(
    owner_type: int | None, owner_ids: frozenset[int], fields: Sequence[str]
) -> Callable[[Mapping[str, Any]], _Detail]:
    def read(row: Mapping[str, Any]) -> _Detail:
        owner_id = read_id(row, "ENTITY_ID")
        stray = owner_type is not None and read_id(row, "ENTITY_TYPE_ID") != owner_type
        if stray or owner_id not in owner_ids:
            raise ResponseError(UNEXPECTED_VALUE, f"ENTITY_ID: {owner_id} was not asked for; the filter was ignored")
        values = (normalise(str(row.get(name) or "")) for name in fields)
        return _Detail(read_id(row, "ID"), owner_id, frozenset(value for value in values if value))

    return read


def _grouped(
    company_ids: Sequence[int], details: Iterable[_Detail], company_of: Callable[[_Detail], int]
) -> dict[int, frozenset[str]]:
    found: dict[int, frozenset[str]] = dict.fromkeys(company_ids, frozenset())
    for detail in details:
        found[company_of(detail)] |= detail.values
    return found


def _ids(company_ids: Iterable[int]) -> list[int]:
    return sorted({check_id(company_id, "company_ids") for company_id in company_ids})


def _chunks(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))
