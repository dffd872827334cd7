from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_b24.bitrix import paysystems
from airflow_b24.bitrix.errors import ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.paysystems import Handler, PaySystem, PersonType, Profile
from airflow_b24.bitrix.protocol import Response

Talk = Callable[..., tuple[list[Any], Any]]


def test_scopes_are_a_set(talk: Talk) -> None:
    assert talk(paysystems.scopes(), Response(["crm", "pay_system"]))[1] == {"crm", "pay_system"}


@pytest.mark.parametrize(("admin", "expected"), [(True, True), ("Y", True), (False, False), (None, False)])
def test_the_profile_says_who_we_are(talk: Talk, admin: object, expected: bool) -> None:
    answer = Response({"ID": "7", "ADMIN": admin, "NAME": "Robot", "LAST_NAME": ""})
    assert talk(paysystems.profile(), answer)[1] == Profile(7, expected, "Robot")


def test_handlers_are_found_by_code(talk: Talk) -> None:
    # docs: page of sale.paysystem.handler.list
    answer = Response(
        [{"ID": "1", "NAME": "REST Handler", "CODE": "resthandlercodedoc", "SORT": "100", "SETTINGS": {}}]
    )
    _, found = talk(paysystems.handlers(), answer)
    assert found == {"resthandlercodedoc": Handler(1, "resthandlercodedoc", "REST Handler")}


def test_person_types_are_read(talk: Talk) -> None:
    assert talk(paysystems.person_types(), Response([{"ID": "2", "NAME": "Company"}]))[1] == (PersonType(2, "Company"),)


def test_only_a_rest_system_of_the_invoice_registry_can_pay(talk: Talk) -> None:
    # docs: page of sale.paysystem.list
    rows = [
        {
            "ID": 1,
            "NAME": "A",
            "ACTION_FILE": "bank",
            "ENTITY_REGISTRY_TYPE": "CRM_INVOICE",
            "ACTIVE": "Y",
            "PERSON_TYPE_ID": 3,
        },
        {"ID": 2, "NAME": "B", "ACTION_FILE": "bill", "ENTITY_REGISTRY_TYPE": "CRM_INVOICE", "ACTIVE": "N"},
        {"ID": "3", "NAME": "C", "ACTION_FILE": "bank", "ENTITY_REGISTRY_TYPE": "ORDER", "PERSON_TYPE_ID": ""},
    ]
    _, found = talk(paysystems.pay_systems(), Response(rows))
    assert found[0] == PaySystem(1, "A", "bank", "CRM_INVOICE", active=True, person_type_id=3)
    handlers = {"bank": Handler(1, "bank", "Bank")}
    assert [system.can_pay_invoices(handlers) for system in found] == [True, False, False]


def test_what_is_added_is_a_write_for_the_invoice_registry(talk: Talk) -> None:
    effects, new_id = talk(paysystems.add_pay_system("Bank", "bank", 2), Response(9))
    assert new_id == 9
    assert effects[0].write
    assert effects[0].arguments["ENTITY_REGISTRY_TYPE"] == "CRM_INVOICE"
    with pytest.raises(UnknownOutcomeError):
        talk(paysystems.add_handler("Bank", "bank", {}), UnknownOutcomeError("A"))


@pytest.mark.parametrize(("result", "expected"), [([], {}), ({"A": "b"}, {"A": "b"})])
def test_settings_may_be_empty(talk: Talk, result: object, expected: dict[str, str]) -> None:
    effects, settings = talk(paysystems.invoice_settings(PayInvoice(10, 11)), Response(result))
    assert effects[0].arguments == {"INVOICE_ID": 10, "PAY_SYSTEM_ID": 11}
    assert not effects[0].write
    assert settings == expected


@pytest.mark.parametrize(
    "flow",
    [
        paysystems.scopes,
        paysystems.profile,
        paysystems.handlers,
        paysystems.pay_systems,
        paysystems.person_types,
        lambda: paysystems.invoice_settings(PayInvoice(1, 2)),
        lambda: paysystems.add_pay_system("Bank", "bank", 2),
    ],
)
def test_an_answer_of_another_shape_is_an_error(talk: Talk, flow: Callable[[], Any]) -> None:
    with pytest.raises(ResponseError):
        talk(flow(), Response("text"))
