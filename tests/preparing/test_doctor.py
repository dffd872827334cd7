from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.limits import LocalPace
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger.schema import event
from airflow_b24.ledger.schema import portal as portal_table
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.preparing.doctor import examine
from airflow_b24.preparing.findings import Finding
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.sandbox import methods, seed
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.server import Addresses, serving
from airflow_b24.sandbox.state import State

TECHNICAL = (seed.TECHNICAL, seed.TECHNICAL_SECRET)
ADMINISTRATOR = (seed.ADMINISTRATOR, seed.ADMIN_SECRET)
CRM_ONLY = (seed.TECHNICAL, seed.CRM_ONLY_SECRET)
PREPARED = PaySystem(seed.REST_SYSTEM)
READER = (seed.READER, seed.READER_SECRET)

Examine = Callable[..., dict[str, Finding]]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, Addresses]]:
    """One served sandbox for all tests of this module: starting it takes longer than any of them."""
    state = State()
    with serving(state, tmp_path_factory.mktemp("portal")) as addresses:
        yield state, addresses


@pytest.fixture
def state(portal: tuple[State, Addresses]) -> State:
    """The demo's day without its faults and smart invoices, as new for each test."""
    fresh = seed.demo(date(2026, 11, 22))
    fresh.faults.rules.clear()
    fresh.smart_invoices.clear()
    for field in fields(State):
        setattr(portal[0], field.name, getattr(fresh, field.name))
    return portal[0]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def ledger(migrated: Path, tmp_path: Path) -> Iterator[Store]:
    copy = tmp_path / "ledger.db"
    shutil.copy(migrated, copy)
    store = Store(make_engine(f"sqlite:///{copy}"))
    yield store
    store.close()


@pytest.fixture
def examination(portal: tuple[State, Addresses], state: State, ledger: Store) -> Iterator[Examine]:
    """Examine the sandbox as one of its users; every text is looked through for the secret."""
    addresses = portal[1]
    with ExitStack() as stack:

        def run(
            who: tuple[int, str] = TECHNICAL,
            pay_system: PaySystem | None = PREPARED,
            open_store: Callable[[], Store] = lambda: ledger,
            invoice_type: Any = "auto",
            wishes: Wishes | None = None,
            **options: Any,
        ) -> dict[str, Finding]:
            options = {"ca_bundle": str(addresses.ca_file)} | options
            client = stack.enter_context(
                Client(Webhook.parse(addresses.https + seed.webhook_path(*who)), sleep=lambda _: None, **options)
            )
            found = examine(client, pay_system, open_store, invoice_type, wishes)
            assert who[1] not in repr(found)
            assert [each for each in found if (each.state == "ok") == bool(each.fix)] == []
            return {each.check: each for each in found}

        yield run


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {check: finding.state for check, finding in found.items() if finding.state != "ok"}


def test_a_portal_prepared_for_a_technical_user_is_all_well(examination: Examine) -> None:
    found = examination()

    assert states(found) == {}
    assert "(Airflow Робот)" in found["user"].text
    assert found["it really pays"].text == "It is built on a REST handler, for invoices."
    assert "verified certificate" in found["reachable"].text


def test_an_examination_changes_neither_portal_nor_ledger(examination: Examine, state: State, ledger: Store) -> None:
    before = repr((state.invoices, state.pay_systems, state.handlers))

    examination(ADMINISTRATOR)
    examination()

    assert repr((state.invoices, state.pay_systems, state.handlers)) == before
    with ledger.snapshot() as connection:
        assert [connection.scalar(select(func.count()).select_from(table)) for table in (portal_table, event)] == [0, 0]


def test_an_administrators_webhook_is_a_warning(examination: Examine) -> None:
    found = examination(ADMINISTRATOR)

    assert states(found) == {"user": "warning"}
    assert found["it really pays"].text == "'Банк через Airflow' is built on a REST handler, for invoices."


@pytest.mark.parametrize(
    ("who", "system", "verdict", "said"),
    [
        (ADMINISTRATOR, PaySystem(seed.BILL_SYSTEM), "problem", "'bill', which is no REST handler: the portal would"),
        (ADMINISTRATOR, PaySystem(seed.GATEWAY_SYSTEM), "problem", "'yandexcheckout', which is no REST handler"),
        (ADMINISTRATOR, PaySystem(seed.ORDER_SYSTEM), "problem", "belongs to ORDER"),
        (ADMINISTRATOR, PaySystem(999), "problem", "No pay system is pay system 999"),
        (ADMINISTRATOR, PaySystem(None, "nobody"), "problem", "No pay system is the REST handler 'nobody'"),
        (ADMINISTRATOR, PaySystem(None, seed.HANDLER), "problem", "33 belongs to ORDER"),
        (TECHNICAL, PaySystem(seed.BILL_SYSTEM), "problem", "not built on a REST handler"),
        (TECHNICAL, PaySystem(seed.GATEWAY_SYSTEM), "problem", "not built on a REST handler"),
        (TECHNICAL, PaySystem(seed.ORDER_SYSTEM), "not checkable", "not shown to this user"),
        (TECHNICAL, PaySystem(999), "problem", "Pay system with ID=999 not found"),
        (TECHNICAL, PaySystem(None, "nobody"), "problem", "Incorrect rest handler code"),
        (TECHNICAL, PaySystem(None, seed.HANDLER), "not checkable", "not shown to this user"),
    ],
)
def test_a_pay_system_that_does_not_pay_is_found_out_as_far_as_the_user_may_see(
    examination: Examine, who: tuple[int, str], system: PaySystem, verdict: str, said: str
) -> None:
    found = examination(who, system)

    assert found["pay system"].state == "ok"
    assert (found["it really pays"].state, said in found["it really pays"].text) == (verdict, True)


def test_without_an_invoice_to_try_it_on_a_technical_user_is_told_that_this_is_not_checkable(
    examination: Examine, state: State
) -> None:
    state.invoices.clear()
    found = examination()

    unknown = {"it really pays", "payers' tax ids", "own bank accounts"}
    assert states(found) == dict.fromkeys(unknown, "not checkable")
    assert "administrator" in found["it really pays"].fix


@pytest.mark.parametrize("system", [None, PaySystem(), PaySystem(None, " "), PaySystem(0)])
def test_a_connection_without_a_usable_pay_system_is_a_problem_mended_by_setup(
    examination: Examine, system: PaySystem | None
) -> None:
    found = examination(pay_system=system)

    assert states(found) == {"pay system": "problem", "it really pays": "not checkable"}
    assert "setup" in found["pay system"].fix


def test_a_missing_scope_is_named_and_what_depends_on_it_is_not_checkable(examination: Examine) -> None:
    found = examination(CRM_ONLY)

    assert states(found) == {"scopes": "problem", "right to pay": "not checkable", "it really pays": "not checkable"}
    assert "pay_system" in found["scopes"].fix


def test_a_user_without_rights_on_invoices_is_told_where_they_are_given(examination: Examine, state: State) -> None:
    state.users[seed.READER] = replace(state.users[seed.READER], invoice_rights=frozenset())
    found = examination(READER)

    assert (found["reading invoices"].state, found["right to pay"].state) == ("problem", "problem")
    assert "Access permissions" in found["reading invoices"].fix
    assert found["it really pays"].state == "not checkable"


def test_a_user_who_may_only_read_may_not_pay(examination: Examine) -> None:
    found = examination(READER)

    assert states(found) == {"right to pay": "problem", "it really pays": "not checkable"}


def test_a_portal_that_cannot_pay_invoices_at_all_is_not_taken_for_a_right_to_pay(
    examination: Examine, state: State
) -> None:
    state.settings.crm_module = False
    found = examination()

    assert found["right to pay"].state == "not checkable"
    assert "ERROR_INVOICE_NO_SUPPORTED" in found["right to pay"].text


@pytest.mark.parametrize(
    ("kinds", "legacy", "smart"),
    [
        (["INVOICE_STATUS", "SMART_INVOICE_STAGE_5"], "ok", "ok"),
        (["SMART_INVOICE_STAGE_5"], "warning", "ok"),
        (["DEAL_STAGE"], "warning", "ok"),
    ],
)
def test_kinds_of_invoices_are_told_apart(
    examination: Examine, monkeypatch: pytest.MonkeyPatch, kinds: list[str], legacy: str, smart: str
) -> None:
    answer = methods.Method(lambda _: Result([{"ID": kind} for kind in kinds]), "crm")
    monkeypatch.setitem(methods.METHODS, "crm.status.entity.types", answer)  # type: ignore[arg-type]
    found = examination()

    assert (found["legacy invoices"].state, found["smart invoices"].state) == (legacy, smart)


@pytest.fixture
def smart_only(state: State) -> State:
    state.invoices.clear()
    state.settings.legacy_invoices = False
    seed.add_smart_invoice(state, seed.SmartBill(501, "2026/501", "118.00", 21, 9), date(2026, 11, 22))
    return state


@pytest.mark.usefixtures("smart_only")
def test_a_portal_with_smart_invoices_alone_needs_neither_a_pay_system_nor_its_scope(examination: Examine) -> None:
    found = examination(CRM_ONLY, None)

    assert states(found) == {}
    assert {"reading invoices", "right to pay", "pay system", "it really pays"} & set(found) == set()
    assert found["legacy invoices"].text == "The portal has no legacy invoices."
    assert found["smart invoices"].text.startswith(
        "1 open smart invoice can be read; a paid one is moved to DT31_5:P ("
    )
    assert "DT31_8:UC_PAID01 (" in found["smart invoices"].text
    assert "waits" not in found["smart invoices"].text
    assert found["payers' tax ids"].text == "1 of 1 open invoices name a company with a tax id."


@pytest.mark.usefixtures("smart_only")
def test_who_counts_more_stages_as_paid_is_told_which(examination: Examine) -> None:
    text = examination(wishes=Wishes(also_paid=("DT31_5:S",)))["smart invoices"].text

    assert "and one in DT31_5:S (" in text


@pytest.mark.usefixtures("smart_only")
def test_who_wishes_for_a_stage_of_parts_is_told_which_one(examination: Examine) -> None:
    text = examination(wishes=Wishes(partial_stage=("DT31_5:S",)))["smart invoices"].text

    assert "one that waits for the rest of its money to DT31_5:S (" in text


CONTRACT = {"paid": seed.CONTRACT, "last_paid_on": "begindate"}


@pytest.mark.usefixtures("smart_only")
def test_who_wishes_for_fields_of_progress_is_told_where_it_is_written(examination: Examine) -> None:
    found = examination(CRM_ONLY, None, wishes=Wishes(fields=CONTRACT))

    assert states(found) == {}
    said = f"paid in {seed.CONTRACT} (Договор), last_paid_on in begindate (begindate)."
    assert found["progress fields"].text == f"The progress of smart invoices is written: {said}"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (
            {"paid": "ufCrm_GONE"},
            f"paid names ufCrm_GONE, which smart invoices do not have (they have {seed.CONTRACT} (Договор)).",
        ),
        ({"last_paid_on": "movedTime"}, "last_paid_on names movedTime (movedTime), which is read-only."),
        (
            {"balance": "begindate"},
            "balance names begindate (begindate), which is of type date; give one of type number or text.",
        ),
        (
            {"paid": "observers"},
            "paid names observers (observers), which is a list of type user; give one of type number or text.",
        ),
        ({"payments": "ufCrm_X", "paid": "ufCrm_Y"}, "payments names ufCrm_X, which"),
    ],
)
@pytest.mark.usefixtures("smart_only")
def test_a_field_that_cannot_hold_the_progress_is_a_problem_that_names_it(
    examination: Examine, fields: dict[str, str], named: str
) -> None:
    found = examination(CRM_ONLY, None, wishes=Wishes(fields=fields))

    assert states(found) == {"progress fields": "problem"}
    assert found["progress fields"].text.startswith(f"extra.progress_fields: {named}")
    assert "name another one in extra.progress_fields" in found["progress fields"].fix


@pytest.mark.usefixtures("smart_only")
def test_fields_that_the_portal_does_not_describe_are_not_checkable(examination: Examine, state: State) -> None:
    state.faults.rules.append(Rule("error", "crm.item.fields", times=9, status=400, code="ACCESS_DENIED"))

    assert states(examination(wishes=Wishes(fields=CONTRACT)))["progress fields"] == "not checkable"


@pytest.mark.parametrize(("kind", "fields"), [("auto", {}), ("legacy", CONTRACT)])
def test_where_no_field_is_wished_for_or_no_smart_invoice_is_paid_fields_are_no_matter(
    examination: Examine, kind: str, fields: dict[str, str]
) -> None:
    assert "progress fields" not in examination(invoice_type=kind, wishes=Wishes(fields=fields))


@pytest.mark.usefixtures("smart_only")
def test_who_works_with_payment_documents_is_told_of_them(examination: Examine) -> None:
    text = examination(wishes=Wishes(mark_with="payment"))["smart invoices"].text

    assert text == "1 open smart invoice can be read; a paid one is marked by its payment document of the whole sum."


@pytest.mark.usefixtures("smart_only")
def test_smart_invoices_that_this_user_may_not_read_are_a_problem(examination: Examine, state: State) -> None:
    state.faults.rules.append(Rule("error", "crm.item.list", times=9, status=400, code="ACCESS_DENIED"))
    found = examination()

    assert (found["smart invoices"].state, found["payers' tax ids"].state) == ("problem", "not checkable")
    assert "Access permissions" in found["smart invoices"].fix


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        (Wishes(paid_stage=("DT31_77:P",)), "extra.paid_stage: there is no stage 'DT31_77:P' here"),
        (Wishes(also_paid=("DT31_5:Q",)), "extra.also_paid_stages: there is no stage 'DT31_5:Q' here"),
        (Wishes(paid_stage=("DT31_5:D",)), "extra.paid_stage: DT31_5:D ("),
        (Wishes(also_paid=("DT31_5:N",)), "extra.also_paid_stages: DT31_5:N ("),
        (Wishes(partial_stage=("DT31_5:Q",)), "extra.partial_stage: there is no stage 'DT31_5:Q' here"),
        (Wishes(partial_stage=("DT31_5:P",)), "extra.partial_stage: DT31_5:P means paid or lost"),
    ],
)
@pytest.mark.usefixtures("smart_only")
def test_a_stage_that_is_not_there_is_a_problem(examination: Examine, wishes: Wishes, named: str) -> None:
    found = examination(wishes=wishes)

    assert found["smart invoices"].state == "problem"
    assert found["smart invoices"].text.startswith(named)


@pytest.mark.usefixtures("smart_only")
def test_who_works_with_legacy_invoices_alone_is_not_told_of_smart_ones(examination: Examine) -> None:
    found = examination(invoice_type="legacy")

    assert found["smart invoices"].text == "Not looked at: extra.invoice_type leaves smart invoices out."
    assert found["legacy invoices"].state == "problem"


@pytest.mark.usefixtures("smart_only")
def test_who_works_with_smart_invoices_alone_is_not_told_that_there_are_no_legacy_ones(examination: Examine) -> None:
    found = examination(CRM_ONLY, None, invoice_type="smart")

    assert states(found) == {}
    assert found["legacy invoices"].text == "Not looked at: extra.invoice_type leaves legacy invoices out."


@pytest.mark.usefixtures("smart_only")
def test_legacy_invoices_that_this_user_may_not_see_are_not_called_none(examination: Examine, state: State) -> None:
    state.faults.rules.append(
        Rule("error", "crm.invoice.list", times=9, status=400, code="", description="Access denied.")
    )
    found = examination(CRM_ONLY, None)

    assert states(found) == {"legacy invoices": "not checkable"}
    assert found["legacy invoices"].text.startswith("The webhook's user may not see any")
    assert found["legacy invoices"].fix.endswith('set extra.invoice_type to "smart".')


def test_a_portal_without_smart_invoices_is_told_so(examination: Examine, state: State) -> None:
    state.settings.smart_invoices = False

    assert examination()["smart invoices"].text == "The portal has no smart invoices."


def test_payers_without_tax_ids_are_a_warning(examination: Examine, state: State) -> None:
    covered = examination()["payers' tax ids"]
    for row in state.requisites:
        row["RQ_INN"] = ""
    state.bank_details.clear()
    found = examination()

    assert covered.text.partition(" of ")[0] != "0"
    assert states(found) == {"payers' tax ids": "warning", "own bank accounts": "warning"}
    assert found["payers' tax ids"].text.startswith("0 of ")


def test_a_private_authority_that_is_not_trusted_is_mended_with_a_ca_bundle(examination: Examine) -> None:
    found = examination(ca_bundle=None)

    assert found["reachable"].state == "problem"
    assert "extra.ca_bundle" in found["reachable"].fix
    rest = set(found) - {"reachable", "pay system", "ledger"}
    assert {found[check].state for check in rest} == {"not checkable"}


def test_a_wrong_secret_is_a_problem_without_the_secret(examination: Examine) -> None:
    found = examination((seed.TECHNICAL, "wrongsecret0000000001"))

    assert "INVALID_CREDENTIALS" in found["reachable"].text
    assert "new inbound webhook" in found["reachable"].fix


@pytest.mark.parametrize(
    ("method", "checks"),
    [
        ("scope", {"scopes", "reading invoices", "legacy invoices", "it really pays"}),
        ("crm.invoice.list", {"reading invoices", "payers' tax ids", "own bank accounts", "it really pays"}),
        ("crm.status.entity.types", {"legacy invoices", "smart invoices"}),
        ("crm.requisite.list", {"payers' tax ids", "own bank accounts"}),
        ("sale.paysystem.list", {"it really pays"}),
        ("sale.paysystem.settings.invoice.get", {"right to pay"}),
        ("crm.paysystem.list", {"it really pays"}),
    ],
)
def test_a_portal_that_breaks_down_is_a_finding_and_never_an_exception(
    examination: Examine, state: State, method: str, checks: set[str]
) -> None:
    state.faults.rules.append(Rule("error", method, times=1000, status=500, code="INTERNAL_SERVER_ERROR"))
    found = examination()

    assert {found[check].state for check in checks} == {"not checkable"}
    assert "problem" not in states(found).values()


def test_a_ledger_that_cannot_be_opened_is_a_problem(examination: Examine, tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/missing/ledger.db"
    found = examination(open_store=lambda: Store.open(address))

    assert states(found) == {"ledger": "problem"}


def test_a_ledger_without_its_tables_is_a_problem(examination: Examine, ledger: Store) -> None:
    with ledger.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE b24_portal RENAME TO other")

    assert examination()["ledger"].text.startswith("the ledger's database failed (OperationalError)")


def test_many_open_invoices_are_read_up_to_a_limit(
    examination: Examine, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_b24.preparing.invoice_kinds.OPEN_INVOICES_READ", 3)
    found = examination(pace=LocalPace(burst=1000, margin=0))

    assert found["reading invoices"].text == "At least 3 open legacy invoices can be read."
    assert found["payers' tax ids"].text.split(" open ")[0].endswith(" of 3")
