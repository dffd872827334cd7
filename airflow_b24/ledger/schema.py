"""The ledger's tables; amounts are whole minor units of the row's currency, times are UTC.

A raw record is everything a source ever delivered, kept whole. It became a payment, was ignored by a named rule, or was
quarantined. A payment is allocated to a settlement; a settlement is the one attempt-proof procedure for one invoice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, UTC on both sides of the database border."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # SQLite keeps no zone: what went in as UTC comes out naive.
        aware: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware


NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

# SQLite numbers rows by itself only for a column typed exactly INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *columns: Any) -> Table:
    # The prefix lets the ledger share a PostgreSQL database with other tables.
    return Table(f"b24_{name}", metadata, *columns)


# One row: this very ledger. A new, an empty or another one must not be taken for it.
ledger = _table("ledger", Column("id", String(36), primary_key=True), Column("created_at", UtcDateTime, nullable=False))

portal = _table("portal", Column("id", Id, primary_key=True), Column("created_at", UtcDateTime, nullable=False))

# A renamed portal keeps its id and gains an alias, so that one invoice never becomes two keys.
portal_alias = _table(
    "portal_alias",
    Column("alias", String(255), primary_key=True),
    Column("portal_id", Id, ForeignKey("b24_portal.id"), nullable=False),
)

payment = _table(
    "payment",
    Column("id", Id, primary_key=True),
    Column("account", String(255), nullable=False),
    Column("key", String(320), nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("exponent", Integer, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("remittance", Text, nullable=False),
    Column("payer_name", Text, nullable=False),
    Column("payer_tax_id", Text, nullable=False),
    Column("payer_account", Text, nullable=False),
    Column("document_number", Text, nullable=False),
    Column("allocated", BigInteger, nullable=False, server_default="0"),
    Column("held", Boolean, nullable=False, server_default=text("false")),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("account", "key", "occurrence"),
    CheckConstraint("amount > 0", name="positive"),
    CheckConstraint("allocated >= 0 AND allocated <= amount", name="allocated"),
)

raw = _table(
    "raw",
    Column("id", Id, primary_key=True),
    Column("source", String(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("occurrence", Integer, nullable=False),
    # Whose record it is, where that can be read: also of a record that is no payment (any more).
    Column("account", String(255), nullable=False),
    Column("key", String(320), nullable=False),
    Column("body", Text, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("payment_id", Id, ForeignKey("b24_payment.id")),
    # As it was read, in minor units; kept apart from the payment, so that the sum that came in can be counted twice.
    Column("amount", BigInteger),
    Column("currency", String(3)),
    Column("deliveries", Integer, nullable=False, server_default="1"),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("source", "digest", "occurrence"),
    CheckConstraint("verdict IN ('payment', 'ignored', 'quarantined')", name="verdict"),
)

Index("ix_b24_raw_identity", raw.c.account, raw.c.key)

settlement = _table(
    "settlement",
    Column("id", Id, primary_key=True),
    Column("portal_id", Id, ForeignKey("b24_portal.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("invoice_id", BigInteger, nullable=False),
    Column("invoice_number", Text, nullable=False),
    Column("origin", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("expected", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("exponent", Integer, nullable=False),
    Column("allocated", BigInteger, nullable=False, server_default="0"),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("sends", Integer, nullable=False, server_default="0"),
    # A send of ours may still land: nothing has proved that it did not run.
    Column("in_flight", Boolean, nullable=False, server_default=text("false")),
    # The portal answered `true` to a send that no read-back has confirmed: never sent again.
    Column("answered", Boolean, nullable=False, server_default=text("false")),
    Column("hold", String(64)),
    Column("how", String(16)),
    Column("reason", String(64)),
    # What it was last sent through, `31` or `handler:code`.
    Column("pay_system", String(128), nullable=False, server_default=""),
    # What the proof rested on: an invoice that is about somebody else by now is not the one that was matched.
    Column("identity", JSON),
    Column("snapshot", JSON),
    Column("evidence", JSON),
    Column("quiet_until", UtcDateTime),
    # The same by the machine's count of seconds since its start: "<boot id> <second>"; SQLite only.
    Column("quiet_clock", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("kind IN ('legacy', 'smart', 'payment')", name="kind"),
    CheckConstraint("origin IN ('match', 'manual')", name="origin"),
    CheckConstraint(
        "state IN ('collecting', 'ready', 'sending', 'paid', 'unknown', 'review', 'released')", name="state"
    ),
    CheckConstraint(
        "origin = 'manual' OR state IN ('collecting', 'review', 'released') OR allocated = expected", name="covered"
    ),
    # A CHECK is content with NULL, so that a `paid` without `how` must be refused by name.
    CheckConstraint("state <> 'paid' OR (how IS NOT NULL AND how IN ('sent', 'by_hand'))", name="how"),
)
# Only `released` frees an invoice: `paid` counts as live, so a second payment can never settle it again.
Index(
    "uq_b24_settlement_live",
    settlement.c.portal_id,
    settlement.c.kind,
    settlement.c.invoice_id,
    unique=True,
    sqlite_where=settlement.c.state != "released",
    postgresql_where=settlement.c.state != "released",
)
Index("ix_b24_settlement_due", settlement.c.portal_id, settlement.c.state, settlement.c.fence, settlement.c.id)
# Asked before each send, however long the ledger has been kept.
Index("ix_b24_settlement_sent", settlement.c.portal_id, settlement.c.pay_system, settlement.c.quiet_until)

allocation = _table(
    "allocation",
    Column("id", Id, primary_key=True),
    Column("settlement_id", Id, ForeignKey("b24_settlement.id"), nullable=False),
    Column("payment_id", Id, ForeignKey("b24_payment.id"), nullable=False, index=True),
    Column("amount", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("settlement_id", "payment_id"),
    CheckConstraint("amount > 0", name="positive"),
)

# What matching said of a payment against one portal; a new row only when its word changed. The newest is the valid one.
outcome = _table(
    "outcome",
    Column("id", Id, primary_key=True),
    Column("payment_id", Id, ForeignKey("b24_payment.id"), nullable=False, index=True),
    Column("portal_id", Id, ForeignKey("b24_portal.id"), nullable=False),
    Column("mode", String(8), nullable=False),
    Column("verdict", String(8), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("invoices", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    CheckConstraint("verdict IN ('proven', 'part', 'review')", name="verdict"),
)

# A person has dealt with a payment elsewhere, or takes that word back; rows are only added, the newest counts.
dismissal = _table(
    "dismissal",
    Column("id", Id, primary_key=True),
    Column("payment_id", Id, ForeignKey("b24_payment.id"), nullable=False, index=True),
    Column("what", String(16), nullable=False),
    Column("said_by", String(255), nullable=False),
    Column("said_at", UtcDateTime, nullable=False),
    # The person's word on its record, of before it could be read, where that is what it rests on.
    Column("word_id", Id, ForeignKey("b24_record_word.id")),
    CheckConstraint("what IN ('dismissed', 'reopened')", name="what"),
)

# A person has dealt with a record that cannot be read, or takes that word back; likewise.
record_word = _table(
    "record_word",
    Column("id", Id, primary_key=True),
    Column("raw_id", Id, ForeignKey("b24_raw.id"), nullable=False, index=True),
    Column("what", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("said_by", String(255), nullable=False),
    Column("said_at", UtcDateTime, nullable=False),
    CheckConstraint("what IN ('ignored', 'reopened')", name="what"),
)

event = _table(
    "event",
    Column("id", Id, primary_key=True),
    Column("settlement_id", Id, ForeignKey("b24_settlement.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("what", String(32), nullable=False),
    Column("state", String(12), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("evidence", JSON, nullable=False),
    UniqueConstraint("settlement_id", "seq"),
)
# Asked of all stories at once, and most of a story are no notes.
Index(
    "ix_b24_event_notes",
    event.c.what,
    event.c.settlement_id,
    event.c.id,
    sqlite_where=event.c.what.in_(["noted", "not noted"]),
    postgresql_where=event.c.what.in_(["noted", "not noted"]),
)

case = _table(
    "case",
    Column("id", Id, primary_key=True),
    Column("settlement_id", Id, ForeignKey("b24_settlement.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    # A person has closed it, and the trouble goes on: it is not to be opened again.
    Column("dismissed", Boolean, nullable=False, server_default=text("false")),
)
Index(
    "uq_b24_case_open",
    case.c.settlement_id,
    case.c.kind,
    unique=True,
    sqlite_where=case.c.closed_at.is_(None),
    postgresql_where=case.c.closed_at.is_(None),
)

cursor = _table(
    "cursor",
    Column("source", String(255), primary_key=True),
    Column("watermark", Date, nullable=False),
    # The first day the last reading counted from: an earlier one goes back to it.
    Column("start_from", Date, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# See `budget`. On SQLite it lies in a file of its own beside the ledger's, and the ledger's stays empty.
pace = _table(
    "pace",
    Column("portal_id", Id, ForeignKey("b24_portal.id"), primary_key=True),
    Column("theoretical_arrival", Float(53), nullable=False),
    Column("stood_s", Float(53), nullable=False, server_default="0"),
    Column("urgent_until", Float(53), nullable=False, server_default="0"),
    Column("held_until", Float(53), nullable=False, server_default="0"),
)

# One line of OAuth tokens, each of which replaced the one before; it began with a refresh token that a person pasted.
token = _table(
    "token",
    Column("id", Id, primary_key=True),
    Column("portal_id", Id, ForeignKey("b24_portal.id"), nullable=False),
    Column("client_id", String(255), nullable=False),
    # A keyed hash of that first refresh token: pasting another one begins another line.
    Column("seed", String(64), nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),
    # Encrypted with a key that is not in the ledger.
    Column("pair", Text, nullable=False),
    Column("renew_at", UtcDateTime),
    # Whoever renews raises the fence and has the lease until then; nobody asks the server before `quiet_until`.
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("leased_until", UtcDateTime),
    Column("quiet_until", UtcDateTime),
    # The authorisation server that called the refresh token invalid: a person must authorise again.
    Column("refused_by", String(255)),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("portal_id", "client_id", "seed"),
)
