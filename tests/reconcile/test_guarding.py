from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from airflow_b24.ledger import identity, settlements
from airflow_b24.ledger.errors import ForeignLedgerError
from airflow_b24.ledger.identity import Identity
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.guarding import refuse_foreign_ledger, remember
from airflow_b24.reconcile.settling import settle_plain
from airflow_b24.reconcile.witnessing import paid_lately
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.state import MOSCOW

OURS = PaySystem(seed.REST_SYSTEM)
HOST = "portal.example"
# A list is read in batches.
BATCH = "batch"


@dataclass
class Board:
    """Pins in a dictionary; `meanwhile` happens while somebody reads."""

    pins: dict[str, Identity] = field(default_factory=dict)
    puts: int = 0
    meanwhile: Callable[[], None] = lambda: None

    def get(self, portal: str) -> Identity | None:
        self.meanwhile()
        return self.pins.get(portal)

    def put(self, portal: str, pinned: Identity, instead_of: Identity | None = None) -> None:
        self.puts += 1
        self.pins[portal] = pinned


@pytest.fixture
def board() -> Board:
    return Board()


def who(store: Store) -> Identity:
    with store.snapshot() as connection:
        return identity.read(connection)


def path(store: Store) -> str:
    name = make_url(str(store.engine.url)).database
    assert name is not None
    return name


def copied(office: Any, tmp_path: Path, name: str = "copy.db") -> Any:
    """The office with a copy of its ledger as it is now: a backup, or what another host was given."""
    store = Store(make_engine(f"sqlite:///{shutil.copy(path(office.store), tmp_path / name)}"))
    return office.with_desk(store=store)


def new(office: Any, tmp_path: Path) -> Any:
    """The office with a new, empty ledger."""
    store = Store.open(f"sqlite:///{tmp_path}/new.db")
    with store.transaction() as connection:
        made = portal_id(connection, HOST)
    return office.with_desk(store=store, portal_id=made)


def pay(office: Any, board: Board, invoice_id: int = 2) -> None:
    """A plain pay as the operator makes it."""
    office.bill(invoice_id)
    refuse_foreign_ledger(office.desk, board, OURS)
    settle_plain(office.desk, invoice_id, OURS)


def refused(office: Any, board: Board) -> str:
    before = dict(board.pins)
    with pytest.raises(ForeignLedgerError) as caught:
        refuse_foreign_ledger(office.desk, board, OURS)
    assert board.pins == before
    text = str(caught.value)
    assert "Nothing was sent." in text
    assert "`airflow b24 ledger adopt`" in text
    return text


def test_a_new_ledger_at_a_portal_without_pays_of_ours_is_pinned_and_goes_on(office: Any, board: Board) -> None:
    refuse_foreign_ledger(office.desk, board, OURS)
    assert board.pins == {HOST: Identity(who(office.store).id, 0)}


def test_a_pin_follows_its_ledger_at_the_start_of_a_run_and_costs_nothing_else(office: Any, board: Board) -> None:
    pay(office, board)
    assert board.puts == 1
    refuse_foreign_ledger(office.desk, board, OURS, is_start=False)
    assert (board.puts, board.pins[HOST].mark) == (1, 0)
    refuse_foreign_ledger(office.desk, board, OURS)
    assert (board.puts, board.pins[HOST]) == (2, who(office.store))
    for _ in range(3):
        refuse_foreign_ledger(office.desk, board, OURS)
    assert board.puts == 2
    # Once for the new ledger; a pinned one needs no witness of its own.
    assert office.asked(BATCH) == 1


def test_a_ledger_with_settlements_that_nothing_vouches_for_is_refused(office: Any, board: Board) -> None:
    office.ready(2)
    assert "nothing is pinned for portal.example, yet this ledger has settlements" in refused(office, board)


def test_another_ledger_is_refused_by_its_id(office: Any, board: Board) -> None:
    board.pins[HOST] = Identity("another", 0)
    assert f"this is ledger {who(office.store).id}, but portal.example is paid from ledger another" in refused(
        office, board
    )


def test_the_empty_ledger_of_another_host_is_refused(office: Any, board: Board, tmp_path: Path) -> None:
    pay(office, board)
    assert "portal.example is paid from ledger" in refused(new(office, tmp_path), board)


def test_a_restored_backup_is_refused_by_its_mark(office: Any, board: Board, tmp_path: Path) -> None:
    pay(office, board, 2)
    backup = copied(office, tmp_path)
    pay(office, board, 3)
    refuse_foreign_ledger(office.desk, board, OURS)
    assert "older than what was paid from it on portal.example" in refused(backup, board)
    assert "as a restored backup is" in refused(backup, board)
    refuse_foreign_ledger(office.desk, board, OURS)


def test_a_restored_backup_is_refused_when_the_pin_has_gone_too(office: Any, board: Board, tmp_path: Path) -> None:
    backup, empty = copied(office, tmp_path), new(office, tmp_path)
    pay(office, board, 2)
    later = copied(office, tmp_path, "later.db")
    board.pins.clear()
    assert "nothing is pinned" in refused(later, board)
    # One from before the first pay, and a new one: the portal itself bears witness.
    for old in (backup, empty):
        assert "the portal shows invoices paid by our user" in refused(old, board)
        assert "2026/2" in refused(old, board)


def test_a_restored_backup_that_is_not_behind_its_pin_is_refused_by_the_witness(
    office: Any, board: Board, tmp_path: Path
) -> None:
    pay(office, board, 2)
    refuse_foreign_ledger(office.desk, board, OURS)
    backup = copied(office, tmp_path)
    # Settled after the last run began: the pin did not follow yet.
    office.bill(3)
    settle_plain(office.desk, 3, OURS)
    refuse_foreign_ledger(backup.desk, board, OURS)
    with pytest.raises(ForeignLedgerError, match="2026/3"):
        refuse_foreign_ledger(backup.desk, board, OURS, paid=paid_lately(backup.desk))


def test_a_pin_that_follows_to_the_end_of_a_run_finds_out_a_copy_taken_during_it(
    office: Any, board: Board, tmp_path: Path
) -> None:
    pay(office, board, 2)
    backup = copied(office, tmp_path)
    office.bill(3)
    settle_plain(office.desk, 3, OURS)
    remember(office.desk, board)
    assert board.pins[HOST] == who(office.store)
    assert "older than what was paid from it" in refused(backup, board)


def test_nothing_is_remembered_of_a_ledger_that_may_not_pay(office: Any, board: Board) -> None:
    remember(office.desk, board)
    assert board.pins == {}
    office.ready(2)
    board.pins[HOST] = Identity("another", 0)
    remember(office.desk, board)
    assert board.pins == {HOST: Identity("another", 0)}


def test_listed_invoices_bear_witness_without_being_listed_again(office: Any, board: Board) -> None:
    pay(office, board)
    listed = list(paid_lately(office.desk))
    before = office.asked(BATCH)
    refuse_foreign_ledger(office.desk, board, OURS, paid=listed)
    assert office.asked(BATCH) == before


def test_many_unknown_pays_are_named_up_to_a_point(office: Any, board: Board) -> None:
    for invoice_id in range(2, 10):
        office.bill(invoice_id, pay_system_id=seed.REST_SYSTEM)
        office.state.invoices[invoice_id].save("P", office.state.sorts(), seed.TECHNICAL, datetime.now(MOSCOW))
    text = refused(office, board)
    assert "2026/2, 2026/3, 2026/4, 2026/5, 2026/6 and 3 more" in text
    assert "give the webhook a technical user of its own" in text


def test_settlements_of_another_portal_do_not_make_a_new_portal_suspicious(office: Any, board: Board) -> None:
    office.ready(2)
    office.state.invoices.clear()
    second = office.with_desk(portal_id=office.meet("second.example"))
    refuse_foreign_ledger(second.desk, board, OURS)
    assert board.pins.keys() == {"second.example"}


def test_a_renamed_portal_is_vouched_for_under_its_old_name_and_pinned_under_both(office: Any, board: Board) -> None:
    pay(office, board)
    with office.store.transaction() as connection:
        portal_id(connection, "renamed.example", [HOST])
    refuse_foreign_ledger(office.desk, board, OURS)
    assert board.pins == {HOST: who(office.store), "renamed.example": who(office.store)}
    board.pins["renamed.example"] = Identity("another", 0)
    assert "renamed.example" in refused(office, board) or "another" in refused(office, board)


def test_a_worker_that_pins_and_settles_while_another_looks_makes_no_false_alarm(office: Any, board: Board) -> None:
    office.bill(2)

    def meanwhile() -> None:
        board.meanwhile = lambda: None
        pay(office, board)
        refuse_foreign_ledger(office.desk, board, OURS)

    for _ in range(2):
        board.meanwhile = meanwhile
        refuse_foreign_ledger(office.desk, board, OURS)
    assert settlements.look(office.store, 1).state == "paid"
