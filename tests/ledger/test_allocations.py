from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.event import listen, remove
from sqlalchemy.exc import IntegrityError

from airflow_b24.ledger import adoptions, allocations, cases, payments, releases, rows, settlements
from airflow_b24.ledger.adoptions import Found
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.promise import Promise
from airflow_b24.ledger.schema import allocation, event, payment, settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Receive = Callable[..., int]
Make = Callable[..., Any]


def counts(store: Store) -> tuple[int, ...]:
    with store.snapshot() as connection:
        tables = (settlement, allocation, event)
        return tuple(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


def allocated(store: Store, payment_id: int) -> int:
    with store.snapshot() as connection:
        query = select(payment.c.allocated).where(payment.c.id == payment_id)
        found: int = connection.execute(query).scalar_one()
        return found


def test_a_promise_takes_the_money_and_makes_a_ready_settlement(store: Store, receive: Receive, promise: Make) -> None:
    payment_id = receive(store)
    (settlement_id,) = allocations.allocate(store, promise(store, payment_id))
    row = settlements.look(store, settlement_id)
    assert (row.state, row.origin, row.expected, row.invoice_number) == (State.READY, "match", 11800, "2026/2")
    assert (allocated(store, payment_id), counts(store)) == (11800, (1, 1, 1))


def test_a_promise_repeated_changes_nothing(store: Store, receive: Receive, promise: Make) -> None:
    payment_id = receive(store)
    assert allocations.allocate(store, promise(store, payment_id)) != ()
    assert allocations.allocate(store, promise(store, payment_id)) == ()
    assert (allocated(store, payment_id), counts(store)) == (11800, (1, 1, 1))


def test_a_payment_is_not_promised_to_a_second_invoice(store: Store, receive: Receive, promise: Make) -> None:
    payment_id = receive(store)
    assert allocations.allocate(store, promise(store, payment_id, 2)) != ()
    assert allocations.allocate(store, promise(store, payment_id, 3)) == ()
    assert counts(store) == (1, 1, 1)


def test_an_invoice_is_not_promised_to_a_second_payment(store: Store, receive: Receive, promise: Make) -> None:
    first, second = receive(store, "id:B1"), receive(store, "id:B2")
    assert allocations.allocate(store, promise(store, first)) != ()
    assert allocations.allocate(store, promise(store, second)) == ()
    assert allocated(store, second) == 0


@pytest.mark.parametrize(
    "changed", [{"amount": 11801, "expected": 11801}, {"currency": "EUR"}, {"payment_id": 404}], ids=str
)
def test_money_that_is_not_there_leaves_nothing_behind(
    store: Store, receive: Receive, promise: Make, changed: dict[str, Any]
) -> None:
    payment_id = receive(store)
    assert allocations.allocate(store, promise(store, **{"payment_id": payment_id, **changed})) == ()
    assert (allocated(store, payment_id), counts(store)) == (0, (0, 0, 0))


def test_held_money_is_not_promised(store: Store, receive: Receive, promise: Make, payment: Make) -> None:
    payment_id = receive(store)
    with store.transaction() as connection:
        payments.record(connection, payment(amount=1))
    assert allocations.allocate(store, promise(store, payment_id)) == ()
    assert counts(store) == (0, 0, 0)


def test_threads_with_one_payment_and_many_invoices_promise_it_once(
    store: Store, receive: Receive, promise: Make
) -> None:
    payment_id = receive(store)
    promises = [promise(store, payment_id, invoice_id) for invoice_id in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda each: allocations.allocate(store, each), promises))
    assert sum(found != () for found in made) == 1
    assert (allocated(store, payment_id), counts(store)) == (11800, (1, 1, 1))


def test_threads_with_many_payments_and_one_invoice_settle_it_once(
    store: Store, receive: Receive, promise: Make
) -> None:
    ids = [receive(store, f"id:B{number}") for number in range(8)]
    promises = [promise(store, payment_id) for payment_id in ids]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda each: allocations.allocate(store, each), promises))
    assert sum(found != () for found in made) == 1
    assert sum(allocated(store, payment_id) for payment_id in ids) == 11800


@pytest.mark.parametrize("taken", [11801, -1])
def test_the_database_itself_refuses_to_promise_more_than_a_payment_holds(
    store: Store, receive: Receive, taken: int
) -> None:
    payment_id = receive(store)
    with pytest.raises(IntegrityError), store.transaction() as connection:
        connection.execute(update(payment).where(payment.c.id == payment_id).values(allocated=taken))


def test_an_amendment_beside_an_unfinished_promise_still_holds_its_settlement(
    postgres_store: Store, receive: Receive, promise: Make
) -> None:
    store = postgres_store
    payment_id = receive(store)
    made = promise(store, payment_id)

    def amend() -> None:
        # The last step alone: the one before it would wait for the promise by luck of how a conflict is looked up.
        with store.transaction() as connection:
            payments.hold(connection, payment_id)

    with store.transaction() as connection:
        ((settlement_id,),) = allocations._allocate(connection, [made])
        amendment = threading.Thread(target=amend)
        amendment.start()
        wait_until_blocked(store)
    amendment.join()
    assert settlements.look(store, settlement_id).hold == "amended"


def test_a_promise_beside_an_unfinished_amendment_is_refused(
    postgres_store: Store, receive: Receive, promise: Make, payment: Make
) -> None:
    store = postgres_store
    made = promise(store, receive(store))
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            payments.record(connection, payment(amount=1))
            waiting = pool.submit(allocations.allocate, store, made)
            wait_until_blocked(store)
        assert waiting.result() == ()
    assert counts(store) == (0, 0, 0)


def test_an_amendment_beside_an_unfinished_payment_of_the_invoice_is_a_case(
    postgres_store: Store, ready: Callable[..., int]
) -> None:
    store = postgres_store
    settlement_id = ready(store)
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            rows.write(connection, settlement_id, {"state": State.PAID, "how": "sent"})
            waiting = pool.submit(hold, store, 1)
            wait_until_blocked(store)
        waiting.result()
    with store.snapshot() as connection:
        assert [case["kind"] for case in cases.open_cases(connection)] == ["amended"]
    assert settlements.look(store, settlement_id).hold is None


def test_an_accepted_payment_lifts_no_veto_of_another_that_is_being_held(
    postgres_store: Store, receive: Receive, promise: Make
) -> None:
    store = postgres_store
    one, other = (receive(store, key, amount=amount) for key, amount in (("id:P1", 5000), ("id:P2", 6800)))
    (settlement_id,) = allocations.allocate(store, promise(store, one, amount=5000))
    allocations.allocate(store, promise(store, other, amount=6800))
    hold(store, one)
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            payments.hold(connection, other)
            waiting = pool.submit(releases.accept, store, one)
            wait_until_blocked(store)
        assert waiting.result()
    assert settlements.look(store, settlement_id).hold == "amended"
    assert releases.accept(store, other)
    assert settlements.look(store, settlement_id).hold is None


def hold(store: Store, payment_id: int) -> None:
    with store.transaction() as connection:
        payments.hold(connection, payment_id)


def wait_until_blocked(store: Store) -> None:
    """Until some other session of this very ledger waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_locks waiting JOIN pg_locks held ON held.pid = waiting.pid "
        "WHERE NOT waiting.granted AND held.relation = CAST('b24_payment' AS regclass)"
    )
    while True:
        with store.snapshot() as connection:
            if connection.execute(query).scalar_one():
                return


@pytest.mark.parametrize(
    "fact", [{"remittance": "another text"}, {"payer_tax_id": "7799999999"}, {"amount": 1}], ids=str
)
def test_a_proof_holds_for_the_facts_it_was_found_with_and_no_others(
    store: Store, receive: Receive, promise: Make, fact: dict[str, Any]
) -> None:
    payment_id = receive(store)
    assert allocations.allocate(store, promise(store, payment_id, facts=fact)) == ()
    assert counts(store) == (0, 0, 0)
    with store.snapshot() as connection:
        (row,) = payments.unallocated(connection)
    facts = {name: row[name] for name in payments.PROVING}
    assert allocations.allocate(store, promise(store, payment_id, facts=facts)) != ()


def states(store: Store, *ids: int) -> list[tuple[State, int]]:
    with store.snapshot() as connection:
        query = select(settlement.c.state, settlement.c.allocated).where(settlement.c.id.in_(ids))
        return [(State(state), sum_) for state, sum_ in connection.execute(query.order_by(settlement.c.id))]


def test_parts_are_collected_until_their_sum_is_exact(store: Store, receive: Receive, promise: Make) -> None:
    paid = [receive(store, f"id:B{sum_}", amount=sum_) for sum_ in (5000, 6000, 800)]
    (one,) = allocations.allocate(store, promise(store, paid[0], amount=5000))
    assert states(store, one) == [(State.COLLECTING, 5000)]
    assert allocations.allocate(store, promise(store, paid[1], amount=6000)) == (one,)
    assert states(store, one) == [(State.COLLECTING, 11000)]
    assert allocations.allocate(store, promise(store, paid[2], amount=800)) == (one,)
    assert states(store, one) == [(State.READY, 11800)]
    assert settlements.look(store, one).document_number == ""


@pytest.mark.parametrize(
    "changed",
    [{"amount": 6801}, {"amount": 6800, "expected": 11801}, {"amount": 6800, "currency": "EUR"}],
    ids=["too much", "another price", "another currency"],
)
def test_a_part_that_does_not_fit_changes_nothing(
    store: Store, receive: Receive, promise: Make, changed: dict[str, Any]
) -> None:
    (one,) = allocations.allocate(store, promise(store, receive(store, amount=5000), amount=5000))
    second = receive(store, "id:B2", amount=changed["amount"])
    assert allocations.allocate(store, promise(store, second, **changed)) == ()
    assert (states(store, one), allocated(store, second)) == ([(State.COLLECTING, 5000)], 0)


def test_a_part_for_an_invoice_that_is_somebody_elses_by_now_is_refused(
    store: Store, receive: Receive, promise: Make
) -> None:
    (one,) = allocations.allocate(store, promise(store, receive(store, amount=5000), amount=5000))
    second = receive(store, "id:B2", amount=6800)
    (part,) = promise(store, second, amount=6800).parts
    changed = replace(part, identity={"ACCOUNT_NUMBER": "9"})
    assert allocations.allocate(store, replace(promise(store, second), parts=(changed,))) == ()
    assert states(store, one) == [(State.COLLECTING, 5000)]


def test_nothing_is_added_to_what_is_held(store: Store, receive: Receive, promise: Make, payment: Make) -> None:
    (one,) = allocations.allocate(store, promise(store, receive(store, amount=5000), amount=5000))
    with store.transaction() as connection:
        payments.record(connection, payment(amount=1))
    assert allocations.allocate(store, promise(store, receive(store, "id:B2", amount=6800), amount=6800)) == ()
    assert states(store, one) == [(State.COLLECTING, 5000)]


def adopted(store: Store) -> int:
    """The settlement of invoice 2, which a person has told to be paid already."""
    with store.transaction() as connection:
        known = portal_id(connection, "portal.example")
    money = {"expected": 11800, "currency": "RUB", "exponent": 2}
    adoptions.adopt(store, known, [Found("legacy", 2, "2026/2", **money, evidence={"paid": True})])
    with store.snapshot() as connection:
        made = settlements.live(connection, known, "legacy", 2)
    assert made is not None
    return made


def test_an_adopted_invoice_takes_its_payment_once_and_stays_paid(
    store: Store, receive: Receive, promise: Make
) -> None:
    told = adopted(store)
    assert allocations.allocate(store, promise(store, receive(store, "id:B0", amount=1000), amount=1000)) == ()
    first, second = receive(store), receive(store, "id:B2")
    assert allocations.allocate(store, promise(store, first)) == (told,)
    assert (states(store, told), allocated(store, first)) == ([(State.PAID, 11800)], 11800)
    assert allocations.allocate(store, promise(store, second)) == ()
    assert allocated(store, second) == 0


def both(store: Store, promise: Make, payment_id: int) -> Promise:
    parts = [
        promise(store, payment_id, invoice_id, amount=sum_, expected=sum_).parts[0]
        for invoice_id, sum_ in ((3, 2200), (2, 9600))
    ]
    return replace(promise(store, payment_id), parts=tuple(parts))


def test_one_payment_settles_several_invoices_that_know_of_each_other(
    store: Store, receive: Receive, promise: Make
) -> None:
    payment_id = receive(store)
    one, two = allocations.allocate(store, both(store, promise, payment_id))
    assert states(store, one, two) == [(State.READY, 9600), (State.READY, 2200)]
    assert allocated(store, payment_id) == 11800
    rows = settlements.look(store, one), settlements.look(store, two)
    assert [[sibling.invoice_id for sibling in row.siblings] for row in rows] == [[3], [2]]


def test_several_invoices_are_promised_all_or_none(store: Store, receive: Receive, promise: Make) -> None:
    allocations.allocate(store, promise(store, receive(store, "id:B9", amount=2200), 3, amount=2200, expected=2200))
    payment_id = receive(store)
    assert allocations.allocate(store, both(store, promise, payment_id)) == ()
    assert (allocated(store, payment_id), counts(store)) == (0, (1, 1, 1))


def test_threads_that_promise_crossing_invoices_do_not_wait_in_a_circle(
    store: Store, receive: Receive, promise: Make
) -> None:
    made = [both(store, promise, receive(store, f"id:B{number}")) for number in range(8)]
    made = [replace(each, parts=each.parts[:: (-1) ** place]) for place, each in enumerate(made)]
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda each: allocations.allocate(store, each), made))
    assert sorted(map(len, kept)) == [0] * 7 + [2]


def test_a_pair_that_a_person_has_parted_is_never_promised_again(store: Store, receive: Receive, promise: Make) -> None:
    payment_id = receive(store)
    (one,) = allocations.allocate(store, promise(store, payment_id))
    releases.release(store, settlements.look(store, one))
    assert allocations.allocate(store, promise(store, payment_id)) == ()
    with store.snapshot() as connection:
        portal = promise(store, payment_id).portal_id
        assert releases.parted(connection, portal) == {payment_id: frozenset({("legacy", 2)})}
    assert allocations.allocate(store, promise(store, payment_id, 3)) != ()
    assert allocations.allocate(store, promise(store, receive(store, "id:B2"))) != ()


def test_many_promises_are_each_kept_or_not_as_if_they_were_made_one_by_one(
    store: Store, receive: Receive, promise: Make
) -> None:
    one, part, rest, late, held = (receive(store, f"id:B{each}", amount=each) for each in (11800, 5000, 6800, 900, 700))
    with store.transaction() as connection:
        connection.execute(update(payment).where(payment.c.id == held).values(held=True))
    asked = [
        promise(store, one, 2),
        promise(store, one, 7),
        promise(store, part, 3, amount=5000),
        promise(store, rest, 3, amount=6800),
        promise(store, late, 3, amount=900),
        promise(store, held, 4, amount=700, expected=700),
        promise(store, late, 5, amount=900, expected=900),
    ]
    whole, twice, begun, ended, more, vetoed, other = allocations.allocate_all(store, asked)
    assert (twice, more, vetoed) == ((), (), ())
    assert begun == ended
    assert states(store, *whole, *begun, *other) == [
        (State.READY, 11800),
        (State.READY, 11800),
        (State.READY, 900),
    ]
    assert [allocated(store, each) for each in (one, part, rest, late, held)] == [11800, 5000, 6800, 900, 0]
    assert counts(store) == (3, 4, 4)


def test_two_runs_that_open_one_invoices_settlement_at_once_both_put_their_part(
    postgres_store: Store, receive: Receive, promise: Make
) -> None:
    store = postgres_store
    parts = [promise(store, receive(store, f"id:B{sum_}", amount=sum_), amount=sum_) for sum_ in (5000, 6800)]
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            ((one,),) = allocations._allocate(connection, parts[:1])
            waiting = pool.submit(allocations.allocate, store, parts[1])
            wait_until_blocked(store)
        assert waiting.result() == (one,)
    assert states(store, one) == [(State.READY, 11800)]


def statements(store: Store, work: Callable[[], object]) -> list[tuple[str, Any]]:
    """What is asked of the database meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        seen.append((statement, parameters))

    listen(store.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        remove(store.engine, "before_cursor_execute", note)
    return seen


def test_many_promises_take_as_many_statements_as_a_few(store: Store, receive: Receive, promise: Make) -> None:
    asked = [promise(store, receive(store, f"id:B{each}"), each) for each in range(1, 33)]
    few = statements(store, lambda: allocations.allocate_all(store, asked[:2]))
    many = statements(store, lambda: allocations.allocate_all(store, asked[2:]))
    assert len(many) == len(few)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_promise_looks_at_its_own_invoices_settlement_alone(store: Store, receive: Receive, promise: Make) -> None:
    asked = promise(store, receive(store))
    seen = statements(store, lambda: allocations.allocate(store, asked))
    plans = []
    with store.snapshot() as connection:
        for statement, parameters in seen:
            if "b24_settlement" in statement and not statement.startswith("INSERT") and isinstance(parameters, tuple):
                plans += connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    told = [str(plan[-1]) for plan in plans if "b24_settlement" in str(plan[-1])]
    assert told
    # By portal alone it would read all that were ever settled there, for each payment.
    assert [each for each in told if each.startswith("SCAN") or each.endswith("(portal_id=?)")] == []
