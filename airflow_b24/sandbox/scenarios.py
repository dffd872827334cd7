"""The demo's day: what the bank reports, which invoices are open, and how each story must end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.seed_funnels import AUTOMATED, CONTRACT, RENAMED, STANDARD

PAY = "sale.paysystem.pay.invoice"
End = Literal["paid", "by_hand", "review", "ignored"]


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice of the demo; `state` sets further attributes, days count back from today.

    With a funnel it is a smart invoice, whose id is one of another space.
    """

    id: int
    price: str
    company_id: int
    days_ago: int
    paid_days_ago: int | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    funnel_id: int | None = None
    stage_id: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One payment and its end; {n0} and {d0} in `purpose` are number and date of the first bill, and so on."""

    name: str
    end: End
    amount: str | float
    company_id: int
    purpose: str
    bills: tuple[Bill, ...] = ()
    days_ago: int = 1
    document: str = ""
    knows_tax_id: bool = True
    direction: str = "credit"
    status: str = "booked"
    deliveries: int = 1
    faults: tuple[Rule, ...] = ()


# Title and tax id of the payers; all of them are made up.
COMPANIES: Mapping[int, tuple[str, str]] = {
    21: ("ООО «Северный ветер»", "7711000219"),
    22: ("ИП Орлова Мария Сергеевна", "771100022099"),
    23: ("ООО «Вектор Плюс»", "7711000233"),
    24: ("АО «Технопарк Восток»", "7711000240"),
    25: ("ООО «Полярная звезда»", "7711000258"),
    26: ("ООО «Медиа Дом»", "7711000265"),
    27: ("ООО «Гранит»", "7711000272"),
    28: ("АО «Балтийские линии»", "7711000280"),
    29: ("Nordlicht Software GmbH", "7711000297"),
    30: ("Harbour Trading Ltd", "7711000307"),
}


def _on(invoice_id: int, kind: str, times: int) -> tuple[Rule, ...]:
    return (Rule(kind, PAY, {"INVOICE_ID": str(invoice_id)}, times),)


def _plain(number: int, amount: str, company_id: int, purpose: str, days_ago: int = 1) -> Scenario:
    bill = Bill(117 + number, amount, company_id, 9 + number)
    return Scenario(f"plain_{number}", "paid", amount, company_id, purpose, (bill,), days_ago)


def _smart(name: str, end: End, bill: Bill, days_ago: int = 1, faults: tuple[Rule, ...] = ()) -> Scenario:
    return Scenario(name, end, bill.price, bill.company_id, _RU, (bill,), days_ago, faults=faults)


_CONTRACT = {"custom": {CONTRACT: "14/2026"}}
_CANCELLED = {"status_id": "D", "cancelled": True}
_PART = "Частичная оплата по счету № {n0} от {d0}, в т.ч. НДС 20%"
_IN_PARTS = Bill(125, "29500.00", 22, 13)
_RU = "Оплата по счету № {n0} от {d0}, в т.ч. НДС 20%"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("number_and_tax_id", "paid", "118000.00", 21, _RU, (Bill(101, "118000.00", 21, 14),), 2),
    _plain(1, "36000.00", 21, "Оплата по счёту №{n0} от {d0} за обслуживание. НДС не облагается", 2),
    Scenario(
        *("number_and_date", "paid", "45300.50", 22, "Оплата по счету № {n0} от {d0}. Без НДС"),
        *((Bill(102, "45300.50", 22, 12),), 2),
        knows_tax_id=False,
    ),
    Scenario("overpaid", "review", "12500.00", 23, _RU, (Bill(103, "12000.00", 23, 11),), 2),
    Scenario("duplicate_delivery", "paid", "23400.00", 27, _RU, (Bill(109, "23400.00", 27, 8),), 2, deliveries=2),
    Scenario(
        *("paid_by_hand", "by_hand", "9870.00", 28, _RU),
        *((Bill(110, "9870.00", 28, 16, 1, {"voucher_number": "4711", "reason_marked": "Выписка банка"}),), 2, "4711"),
    ),
    Scenario("unknown_reference", "review", "5400.00", 24, "Оплата по счету № 7777/АБ-1 за материалы, НДС 20%"),
    Scenario(
        *("two_invoices_named", "review", "8000.00", 25, "Оплата по счетам № {n0} и № {n1}, в т.ч. НДС 20%"),
        (Bill(105, "8000.00", 25, 10), Bill(106, "8000.00", 25, 7)),
    ),
    Scenario(
        *("two_invoices_fit", "review", "15750.00", 26, "Оплата за услуги по договору № 14, НДС 20%"),
        (Bill(107, "15750.00", 26, 10), Bill(108, "15750.00", 26, 5)),
    ),
    Scenario("debit", "ignored", "95000.00", 24, "Оплата аренды офиса, в т.ч. НДС 20%", direction="debit"),
    Scenario(
        *("second_payment", "review", "31000.00", 23, _RU),
        *((Bill(111, "31000.00", 23, 40, 20, {"voucher_number": "501"}),), 1, "877"),
    ),
    Scenario("cancelled_invoice", "review", "7200.00", 25, _RU, (Bill(112, "7200.00", 25, 30, None, _CANCELLED),)),
    Scenario(
        *("answer_lost", "paid", "64150.00", 27, _RU, (Bill(113, "64150.00", 27, 6),)),
        faults=_on(113, "lost_after", 1),
    ),
    _plain(2, "12345.67", 29, "Rechnung Nr. {n0} vom {d0}"),
    Scenario(
        *("rate_limit", "paid", "18990.00", 28, _RU, (Bill(114, "18990.00", 28, 6),)),
        faults=_on(114, "refused", 3),
    ),
    Scenario("pending", "ignored", "22000.00", 21, _RU, (Bill(115, "22000.00", 21, 4),), status="pending"),
    _plain(3, "250000.00", 30, "Payment of invoice No. {n0} dated {d0}"),
    Scenario("malformed_amount", "review", 118.5, 26, _RU, (Bill(116, "118.50", 26, 4),)),
    Scenario(
        *("true_but_unpaid", "review", "40200.00", 24, _RU, (Bill(117, "40200.00", 24, 5),)),
        faults=_on(117, "unpaid", 1000),
    ),
    _plain(4, "6600.00", 23, "За поставку по сч. № {n0} от {d0}, НДС 20%"),
    Scenario("first_part", "paid", "20000.00", 22, _PART, (_IN_PARTS,), 2),
    Scenario("second_part", "paid", "9500.00", 22, _PART, (_IN_PARTS,)),
    Scenario(
        *("two_at_once", "paid", "41500.00", 30, "Payment of invoices No. {n0} and No. {n1}"),
        (Bill(126, "30000.00", 30, 9), Bill(127, "11500.00", 30, 8)),
    ),
    _plain(5, "87654.32", 25, "Оплата по счету № {n0} от {d0}, в т.ч. НДС 20% - 14609.05 руб."),
    # Smart invoices: their ids are also those of legacy ones above.
    _smart("smart_plain", "paid", Bill(101, "59000.00", 23, 9, funnel_id=STANDARD)),
    _smart("smart_renamed_stages", "paid", Bill(102, "17700.00", 28, 8, funnel_id=RENAMED)),
    _smart("smart_moved_on_by_a_robot", "paid", Bill(103, "73500.00", 21, 8, None, _CONTRACT, AUTOMATED)),
    _smart("smart_field_missing", "review", Bill(108, "20400.00", 22, 7, funnel_id=AUTOMATED)),
    _smart(
        *("smart_answer_lost", "paid", Bill(105, "33300.00", 30, 7, funnel_id=STANDARD)),
        faults=(Rule("lost_after", "crm.item.update", {"id": "105"}, 1),),
    ),
    _smart("smart_paid_by_hand", "by_hand", Bill(106, "8250.00", 27, 12, 1, funnel_id=STANDARD), days_ago=2),
    _smart("smart_cancelled", "review", Bill(107, "9100.00", 25, 20, funnel_id=STANDARD, stage_id="DT31_5:D")),
)
# Nobody has paid these yet.
UNPAID = (
    Bill(123, "51000.00", 22, 35),
    Bill(124, "14400.00", 30, 3),
    Bill(123, "26000.00", 24, 6, funnel_id=STANDARD),
    Bill(124, "3300.00", 25, 4, funnel_id=RENAMED),
)
