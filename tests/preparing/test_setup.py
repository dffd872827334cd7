from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from datetime import date

import pytest

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import AuthError, UnknownOutcomeError
from airflow_b24.preparing.setup import HANDLER_CODE, PreparationError, prepare
from airflow_b24.sandbox import paysystems, seed
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.server import Addresses, serving
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.state import Webhook as Credential

Open = Callable[..., Client]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, Addresses]]:
    """One served sandbox for all tests of this module: starting it takes longer than any of them."""
    state = State()
    with serving(state, tmp_path_factory.mktemp("portal")) as addresses:
        yield state, addresses


@pytest.fixture
def state(served: tuple[State, Addresses]) -> State:
    """A portal as new for each test."""
    fresh = seed.portal(date(2026, 11, 22))
    for field in fields(State):
        setattr(served[0], field.name, getattr(fresh, field.name))
    return served[0]


@pytest.fixture
def portal(served: tuple[State, Addresses], state: State) -> Addresses:
    return served[1]


@pytest.fixture
def connect(portal: Addresses) -> Iterator[Open]:
    with ExitStack() as stack:

        def start(user_id: int = seed.ADMINISTRATOR, secret: str = seed.ADMIN_SECRET) -> Client:
            webhook = Webhook.parse(portal.https + seed.webhook_path(user_id, secret))
            return stack.enter_context(Client(webhook, ca_bundle=str(portal.ca_file)))

        yield start


def test_a_fresh_portal_gets_the_handler_and_an_inactive_invoice_pay_system_for_each_payer(
    state: State, connect: Open, portal: Addresses
) -> None:
    prepared = prepare(connect(), "Оплата через банк")

    made = [system for system in state.pay_systems.values() if system.action_file == HANDLER_CODE]
    assert [(each.registry, each.person_type_id, each.active, each.xml_id) for each in made] == [
        ("CRM_INVOICE", 2, False, "airflow_b24_crm_company"),
        ("CRM_INVOICE", 1, False, "airflow_b24_crm_contact"),
    ]
    assert {each.name for each in made} == {"Оплата через банк"}
    assert dict(prepared.pay_systems) == {"CRM_COMPANY": made[0].id, "CRM_CONTACT": made[1].id}
    assert prepared.extra == {"pay_system_id": made[0].id}
    assert len(prepared.created) == 3
    assert prepared.existing == ()
    # A customer's data must not be able to leave the portal.
    assert state.handlers[HANDLER_CODE].settings["FORM_DATA"]["ACTION_URI"] == f"{portal.https}/"


def test_the_prepared_pay_system_really_pays_invoices(state: State, connect: Open) -> None:
    state.invoices = seed.demo(date(2026, 11, 22)).invoices
    unpaid = next(invoice for invoice in state.invoices.values() if not invoice.paid and not invoice.cancelled)
    prepared = prepare(connect())

    worker = connect(seed.TECHNICAL, seed.TECHNICAL_SECRET)
    worker.pay_invoice(unpaid.id, pay_system_id=prepared.extra["pay_system_id"])

    assert unpaid.paid


def test_a_second_run_creates_nothing(state: State, connect: Open) -> None:
    first = prepare(connect())
    before = (dict(state.pay_systems), dict(state.handlers))

    second = prepare(connect())

    assert (dict(state.pay_systems), dict(state.handlers)) == before
    assert second.created == ()
    assert second.existing == first.created
    assert second.pay_systems == first.pay_systems


@pytest.mark.parametrize("method", ["sale.paysystem.handler.add", "sale.paysystem.add"])
@pytest.mark.parametrize("kind", ["lost_before", "lost_after"])
def test_a_run_that_broke_off_is_completed_without_doubles(state: State, connect: Open, method: str, kind: str) -> None:
    state.faults.rules.append(Rule(kind, method))
    with pytest.raises(UnknownOutcomeError):
        prepare(connect())

    prepared = prepare(connect())

    ours = [system.id for system in state.pay_systems.values() if system.action_file == HANDLER_CODE]
    assert ours == list(prepared.pay_systems.values())
    assert len(ours) == 2


def test_a_pay_system_of_ours_that_was_turned_into_another_kind_is_not_reused(state: State, connect: Open) -> None:
    first = prepare(connect())
    spoilt = state.pay_systems[first.pay_systems["CRM_COMPANY"]]
    state.pay_systems[spoilt.id] = paysystems.PaySystem(spoilt.id, spoilt.name, "bill", xml_id=spoilt.xml_id)

    second = prepare(connect())

    assert second.pay_systems["CRM_COMPANY"] not in {spoilt.id, first.pay_systems["CRM_CONTACT"]}
    assert second.pay_systems["CRM_CONTACT"] == first.pay_systems["CRM_CONTACT"]


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        (
            Credential(seed.TECHNICAL, "sandboxtechnical0000002", frozenset({"crm", "pay_system"})),
            r"webhook: its user 9 \(Airflow Робот\) is no CRM administrator",
        ),
        (
            Credential(seed.ADMINISTRATOR, "sandboxadminpoor0000001", frozenset({"crm"})),
            "webhook: it lacks the scope pay_system;",
        ),
        (
            Credential(seed.ADMINISTRATOR, "sandboxadminbare0000001", frozenset({"im"})),
            "webhook: it lacks the scope crm and pay_system;",
        ),
    ],
    ids=["no administrator", "no pay_system", "no scope of ours"],
)
def test_a_webhook_that_may_not_prepare_is_told_so_and_changes_nothing(
    state: State, connect: Open, credential: Credential, said: str
) -> None:
    state.webhooks.append(credential)
    with pytest.raises(PreparationError, match=said) as caught:
        prepare(connect(credential.user_id, credential.secret))

    assert credential.secret not in str(caught.value)
    assert HANDLER_CODE not in state.handlers


def test_a_wrong_secret_is_an_error_without_the_secret(connect: Open) -> None:
    with pytest.raises(AuthError) as caught:
        prepare(connect(seed.ADMINISTRATOR, "wrongsecret0000000001"))

    assert "wrongsecret" not in str(caught.value)


def test_a_portal_without_invoice_payers_is_told_where_to_switch_them_on(
    connect: Open, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(paysystems.PERSON_TYPES, "CRM_INVOICE", {})
    with pytest.raises(PreparationError, match="old version"):
        prepare(connect())

    assert HANDLER_CODE not in state.handlers


def test_a_portal_with_contacts_alone_offers_their_pay_system(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paysystems.PERSON_TYPES, "CRM_INVOICE", {1: "CRM_CONTACT"})

    prepared = prepare(connect())

    assert prepared.extra == {"pay_system_id": prepared.pay_systems["CRM_CONTACT"]}


def test_an_empty_name_is_refused_before_anything_is_asked(state: State, connect: Open) -> None:
    with pytest.raises(PreparationError, match="name"):
        prepare(connect(), "  ")

    assert state.requests == 0
