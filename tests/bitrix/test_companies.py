from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_b24.bitrix.companies import bank_accounts, normalise, requisites
from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.protocol import Response

Talk = Callable[..., tuple[list[Any], Any]]


def requisite(row_id: int, company: int, **fields: object) -> dict[str, object]:
    return {"ID": str(row_id), "ENTITY_TYPE_ID": "4", "ENTITY_ID": str(company), **fields}


def detail(row_id: int, owner: int, **fields: object) -> dict[str, object]:
    return {"ID": str(row_id), "ENTITY_ID": str(owner), **fields}


def test_tax_ids_of_every_country_are_gathered_by_company(talk: Talk) -> None:
    rows = [
        requisite(1, 5, RQ_INN="7707083893", RQ_VAT_ID=""),
        requisite(2, 5, RQ_CNPJ="12.345.678/0001-95", RQ_INN=None),
        requisite(3, 6, RQ_VAT_ID="de 123 456 789"),
    ]
    effects, found = talk(requisites([6, 5, 7, 5]), Response(rows), Response([]))
    assert found == {
        5: frozenset({"7707083893", "12345678000195"}),
        6: frozenset({"DE123456789"}),
        7: frozenset(),
    }
    assert effects[0].arguments["filter"] == {"ENTITY_TYPE_ID": 4, "@ENTITY_ID": [5, 6, 7], ">ID": 0}


def test_accounts_are_found_through_the_requisites(talk: Talk) -> None:
    owners = [requisite(40, 5), requisite(41, 6)]
    details = [detail(1, 40, RQ_ACC_NUM="4070 2810"), detail(2, 40, RQ_IBAN="de89 3704"), detail(3, 41, RQ_ACC_NUM="")]
    effects, found = talk(bank_accounts([5, 6]), Response(owners), Response([]), Response(details), Response([]))
    assert found == {5: frozenset({"40702810", "DE893704"}), 6: frozenset()}
    assert effects[2].method == "crm.requisite.bankdetail.list"
    assert effects[2].arguments["filter"] == {"@ENTITY_ID": [40, 41], ">ID": 0}


def test_many_companies_are_asked_for_in_parts(talk: Talk) -> None:
    effects, found = talk(requisites(range(1, 121)), Response([]), Response([]), Response([]))
    assert [len(effect.arguments["filter"]["@ENTITY_ID"]) for effect in effects] == [50, 50, 20]
    assert len(found) == 120


def test_no_companies_need_no_request(talk: Talk) -> None:
    assert talk(requisites([])) == ([], {})
    assert talk(bank_accounts([])) == ([], {})


@pytest.mark.parametrize("row", [requisite(1, 99, RQ_INN="1"), requisite(1, 5) | {"ENTITY_TYPE_ID": "3"}])
def test_a_stranger_among_the_answers_is_an_error(talk: Talk, row: dict[str, object]) -> None:
    with pytest.raises(ResponseError, match="was not asked for"):
        talk(requisites([5]), Response([row]))


def test_a_stranger_among_the_accounts_is_an_error(talk: Talk) -> None:
    owners = [Response([requisite(40, 5)]), Response([])]
    with pytest.raises(ResponseError, match="99 was not asked for"):
        talk(bank_accounts([5]), *owners, Response([detail(1, 99, RQ_ACC_NUM="1")]))


@pytest.mark.parametrize("company", [0, True, "x", 5.0])
def test_a_wrong_company_id_is_refused_at_once(company: Any) -> None:
    with pytest.raises(ValueError, match="company_ids"):
        requisites([company])


def test_spelling_does_not_tell_companies_apart() -> None:
    assert normalise(" 77 07-083.893 ") == "7707083893"
