"""The methods crm.company.list, crm.requisite.list and crm.requisite.bankdetail.list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_b24.sandbox.listing import Column, Columns, Result, page
from airflow_b24.sandbox.php import to_int
from airflow_b24.sandbox.state import Turn
from airflow_b24.sandbox.wire import RestError

COMPANY = "4"
_NUMBERS = frozenset({"ID", "ENTITY_TYPE_ID", "ENTITY_ID", "PRESET_ID", "COUNTRY_ID", "SORT"})
_TAX_IDS = ("RQ_INN", "RQ_KPP", "RQ_OGRN", "RQ_OGRNIP", "RQ_VAT_ID", "RQ_EDRPOU", "RQ_DRFO", "RQ_IIN", "RQ_BIN")
_ABROAD = ("RQ_CNPJ", "RQ_CPF", "RQ_SIRET", "RQ_SIREN")


def _columns(names: Sequence[str]) -> Columns:
    def column(name: str) -> Column:
        if name in _NUMBERS:
            return Column("int", lambda row: to_int(row.get(name, "")))
        return Column("text", lambda row: row.get(name, ""))

    return {name: column(name) for name in names}


COMPANIES = _columns(("ID", "TITLE", "COMPANY_TYPE", "IS_MY_COMPANY", "CURRENCY_ID", "XML_ID"))
_OWNER = ("ID", "ENTITY_TYPE_ID", "ENTITY_ID")
REQUISITES = _columns((*_OWNER, "PRESET_ID", "NAME", "ACTIVE", "SORT", "RQ_COMPANY_NAME", *_TAX_IDS, *_ABROAD))
BANK_DETAILS = _columns(
    (
        *("ID", "ENTITY_ID", "COUNTRY_ID", "NAME", "ACTIVE", "SORT"),
        *("RQ_ACC_NUM", "RQ_COR_ACC_NUM", "RQ_BIK", "RQ_BANK_NAME", "RQ_IBAN", "RQ_BIC", "RQ_ACC_CURRENCY"),
    )
)


def _list(turn: Turn, rows: Sequence[Mapping[str, str]], columns: Columns) -> Result:
    if "read" not in turn.caller.user.invoice_rights:
        # docs: crm.requisite.list answers the code 0.
        raise RestError(400, "0", "Access denied.")
    return page(rows, columns, turn.arguments, turn.state.zone, counts_fast=False)


def companies(turn: Turn) -> Result:
    """crm.company.list; our own companies are rows with IS_MY_COMPANY=Y."""
    return _list(turn, turn.state.companies, COMPANIES)


def requisites(turn: Turn) -> Result:
    """crm.requisite.list; ENTITY_TYPE_ID 4 is a company."""
    return _list(turn, turn.state.requisites, REQUISITES)


def bank_details(turn: Turn) -> Result:
    """crm.requisite.bankdetail.list; ENTITY_ID is the id of a requisite."""
    return _list(turn, turn.state.bank_details, BANK_DETAILS)
