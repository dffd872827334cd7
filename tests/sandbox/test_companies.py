from __future__ import annotations

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.bank import OWN_ACCOUNT
from airflow_b24.sandbox.scenarios import COMPANIES


def test_a_tax_id_leads_to_its_company(desk) -> None:
    sent = {"filter": {"=RQ_INN": COMPANIES[21][1], "ENTITY_TYPE_ID": 4}, "select": ["ENTITY_ID", "ENTITY_TYPE_ID"]}
    assert desk.result("crm.requisite.list", sent) == [{"ENTITY_TYPE_ID": "4", "ENTITY_ID": "21"}]


def test_our_own_account_leads_to_our_own_company(desk) -> None:
    details = desk.result("crm.requisite.bankdetail.list", {"filter": {"RQ_ACC_NUM": OWN_ACCOUNT}})
    owner = desk.result("crm.requisite.list", {"filter": {"ID": details[0]["ENTITY_ID"]}})
    mine = desk.result("crm.company.list", {"filter": {"IS_MY_COMPANY": "Y"}, "select": ["ID"]})
    assert owner[0]["ENTITY_ID"] == mine[0]["ID"] == str(seed.OWN_COMPANY)


def test_start_minus_one_answers_no_total_here(desk) -> None:
    assert desk.call("crm.company.list", {"start": -1})[1]["total"] == 0
