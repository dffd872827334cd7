"""The sums of the model, and how a curve is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.capacity_model import Inputs, Load, fitted, run_seconds, shares, uses
from tests.benchmarks.curve import inputs_of
from tests.benchmarks.dag_run import Span, busy_s

# Whose sums can be done in one's head.
PLAIN = Inputs(
    run_s=9.0,
    run_requests=18.0,
    invoice_s=0.0,
    invoice_requests=0.02,
    single_requests=3.0,
    ledger_s=0.01,
    again_s=0.0,
    listed_s=0.0,
    listed_requests=0.0,
    kept_s=0.0,
    pay_s=0.04,
    batch_s=0.04,
    task_s=2.0,
)
MONTH_S = 30 * 24 * 3600
ONE = Load(1, 1_000_000)


@pytest.mark.parametrize(
    ("limit", "share"),
    [
        # A run every 900 s is 2,880 of them; 2 requests a second.
        ("requests to a portal, in bulk", (2880 * 18 + 20_000) / (2 * MONTH_S)),
        ("requests to a portal, one by one", (2880 * 18 + 3_000_000) / (2 * MONTH_S)),
        # 40,000 s of 480 s in every 600.
        ("operating time of a portal's pay", 40_000 / (0.8 * MONTH_S)),
        ("operating time of batch, where it is billed", 40_000 / (0.8 * MONTH_S)),
        # 9 s of every 900, and of four lanes a million times 40 ms.
        ("time of a portal's runs, one after the other", 0.01 + 10_000 / MONTH_S),
        ("the writer of an SQLite ledger", 10_000 / MONTH_S),
        ("8 writers of a PostgreSQL ledger", 10_000 / MONTH_S / 8),
        # Four tasks of 2 s in 900 s, on two processors.
        ("2 processors, starting Airflow's tasks", 8 / 900 / 2),
        ("2 processors, reading again what was read before", 0.0),
    ],
)
def test_the_use_of_a_limit_is_what_it_takes_of_what_there_is(limit: str, share: float) -> None:
    assert shares(PLAIN, ONE)[limit] == pytest.approx(share)


def test_what_is_squeezed_into_working_hours_takes_so_much_more_of_a_portals_requests() -> None:
    hours = replace(ONE, hours=8, days=21)
    limit = "requests to a portal, one by one"
    assert shares(PLAIN, hours)[limit] > 4 * shares(PLAIN, ONE)[limit]


def test_every_run_meets_again_a_week_and_45_days_of_its_portal_and_all_that_the_ledger_keeps_of_every_one() -> None:
    inputs = replace(PLAIN, again_s=0.001, listed_s=0.0002, kept_s=0.0001, months_kept=10)
    limit = "2 processors, reading again what was read before"
    alone, ten = shares(inputs, Load(1, 30_000))[limit], shares(inputs, Load(10, 30_000))[limit]
    assert alone == pytest.approx((7 + 9 + 30) / 900 / 2)
    assert ten == pytest.approx(10 * (7 + 9 + 300) / 900 / 2)
    runs = shares(inputs, Load(10, 30_000))["time of a portal's runs, one after the other"]
    assert runs == pytest.approx((9 + 7 + 9 + 300) / 900 + 300 / MONTH_S)


def test_what_was_paid_lately_is_listed_with_requests_of_every_run() -> None:
    inputs = replace(PLAIN, listed_requests=0.001)
    limit = "requests to a portal, in bulk"
    assert shares(inputs, ONE)[limit] == pytest.approx((2880 * (18 + 1500) + 20_000) / (2 * MONTH_S))


@pytest.mark.parametrize("load", [ONE, Load(1000, 1000), Load(1, 1_000_000, hours=8, days=21)], ids=str)
def test_the_most_is_where_a_limit_is_just_not_exceeded_and_the_first_to_saturate_comes_first(load: Load) -> None:
    inputs = Inputs()
    found = uses(inputs, load)
    assert [use.share for use in found] == sorted((use.share for use in found), reverse=True)
    for use in found:
        for name, most in (("invoices", use.most_invoices), ("portals", use.most_portals)):
            if 0 < most < float("inf"):
                assert shares(inputs, replace(load, **{name: most}))[use.limit] <= 1
                assert shares(inputs, replace(load, **{name: most + 1}))[use.limit] > 1


def test_a_run_waits_for_what_takes_longer_the_portals_work_or_its_bucket_once_the_burst_is_spent() -> None:
    # 18 + 20 requests of 45; then 18 + 2,000, of which 1,973 leak out at 2 a second.
    at_once = replace(PLAIN, batch_s=0.0)
    assert [run_seconds(at_once, size) for size in (1_000, 100_000)] == [9, 9 + 1_973 / 2]
    # 1,000 pays of 40 ms by four lanes.
    assert [run_seconds(PLAIN, size) for size in (1_000, 100_000)] == [9 + 10, 9 + 1_000]


def test_a_model_is_fitted_to_both_ends_of_a_curve() -> None:
    requests, seconds = {100: 20.0, 1_000: 38.0, 10_000: 218.0}, {100: 10.0, 1_000: 99.0, 10_000: 136.0}
    found = fitted(Inputs(), requests, seconds)
    assert (found.run_requests, found.invoice_requests) == pytest.approx((18, 0.02))
    assert [run_seconds(found, size) for size in (100, 10_000)] == pytest.approx([10, 136])
    assert run_seconds(found, 1_000) == pytest.approx(10 + 900 * (found.invoice_s + 0.042 / 4))


def test_costs_are_read_from_the_rows_of_whole_dags() -> None:
    few, many = ({"collect": 2.0, "match": 1.0, "report": 0.5}, {"collect": 11.0, "match": 2.8, "report": 2.3})
    told = ({"requests again": 3, "report_s": 0.1}, {"requests again": 12, "report_s": 0.19})
    bulk = [
        {"DAG": "b24_pay_in_bulk", "invoices": size, "requests": requests, "seconds": seconds, "ledger, ms each": 5.0,
         "ledger, KB each": 4.0, "runs": [{"again": {"tasks": again}, **more}]}
        for size, requests, seconds, again, more in ((1_000, 38.0, 20.0, few, told[0]), (10_000, 218.0, 136.0, many, told[1]))
    ]  # fmt: skip
    mapped = {"DAG": "b24_pay_from_http", "invoices": 100, "requests": 318.0}
    inputs, origin = inputs_of({"airflow": [mapped, *bulk]})
    assert (inputs.single_requests, inputs.ledger_s, inputs.ledger_bytes) == pytest.approx((3.0, 0.005, 4096))
    assert (inputs.again_s, inputs.listed_s, inputs.kept_s) == pytest.approx((0.001, 0.0002, 0.00001))
    assert inputs.listed_requests == pytest.approx(0.001)
    assert origin == "this run"


@pytest.mark.parametrize(
    ("spells", "seconds"),
    [
        ([], 0),
        ([("ledger", 10.0, 2.0)], 2),
        # Two lanes at once are one time, and another file's is none.
        ([("ledger", 10.0, 2.0), ("ledger", 11.0, 2.0), ("pace", 15.0, 3.0)], 3),
        ([("ledger", 9.0, 0.5), ("ledger", 9.0, 2.0), ("ledger", 19.0, 5.0)], 2),
        ([("ledger", 10.0, 8.0), ("ledger", 11.0, 1.0)], 8),
    ],
)
def test_the_time_in_the_ledger_is_counted_once_and_within_the_task(
    spells: list[tuple[str, float, float]], seconds: float
) -> None:
    assert busy_s(spells, [Span(10.0, 20.0)]) == pytest.approx(seconds)
