"""The first tables.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Utc = sa.DateTime(timezone=True)

SQLITE_TRIGGERS = (
    "CREATE TRIGGER b24_event_update BEFORE UPDATE ON b24_event BEGIN SELECT RAISE(ABORT, 'events cannot change'); END",
    "CREATE TRIGGER b24_event_delete BEFORE DELETE ON b24_event BEGIN SELECT RAISE(ABORT, 'events cannot change'); END",
)
POSTGRESQL_TRIGGERS = (
    (
        "CREATE FUNCTION b24_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'events cannot change'; END $$"
    ),
    "CREATE TRIGGER b24_event_fixed BEFORE UPDATE OR DELETE ON b24_event FOR EACH ROW EXECUTE FUNCTION b24_refuse()",
    "CREATE TRIGGER b24_event_kept BEFORE TRUNCATE ON b24_event FOR EACH STATEMENT EXECUTE FUNCTION b24_refuse()",
)


def upgrade() -> None:
    op.create_table(
        "b24_cursor",
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("watermark", sa.Date(), nullable=False),
        sa.Column("start_from", sa.Date(), nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_b24_cursor")),
    )
    op.create_table(
        "b24_payment",
        sa.Column("id", Id, nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("exponent", sa.Integer(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("remittance", sa.Text(), nullable=False),
        sa.Column("payer_name", sa.Text(), nullable=False),
        sa.Column("payer_tax_id", sa.Text(), nullable=False),
        sa.Column("payer_account", sa.Text(), nullable=False),
        sa.Column("document_number", sa.Text(), nullable=False),
        sa.Column("allocated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("received_at", Utc, nullable=False),
        sa.CheckConstraint("allocated >= 0 AND allocated <= amount", name=op.f("ck_b24_payment_allocated")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_b24_payment_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_payment")),
        sa.UniqueConstraint("account", "key", "occurrence", name=op.f("uq_b24_payment_account_key_occurrence")),
    )
    op.create_table(
        "b24_portal",
        sa.Column("id", Id, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_portal")),
    )
    op.create_table(
        "b24_outcome",
        sa.Column("id", Id, nullable=False),
        sa.Column("payment_id", Id, nullable=False),
        sa.Column("portal_id", Id, nullable=False),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("invoices", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("decided_at", Utc, nullable=False),
        sa.CheckConstraint("verdict IN ('proven', 'review')", name=op.f("ck_b24_outcome_verdict")),
        sa.ForeignKeyConstraint(["payment_id"], ["b24_payment.id"], name=op.f("fk_b24_outcome_payment_id_b24_payment")),
        sa.ForeignKeyConstraint(["portal_id"], ["b24_portal.id"], name=op.f("fk_b24_outcome_portal_id_b24_portal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_outcome")),
    )
    op.create_index(op.f("ix_b24_outcome_payment_id"), "b24_outcome", ["payment_id"], unique=False)
    op.create_table(
        "b24_pace",
        sa.Column("portal_id", Id, nullable=False),
        sa.Column("theoretical_arrival", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["b24_portal.id"], name=op.f("fk_b24_pace_portal_id_b24_portal")),
        sa.PrimaryKeyConstraint("portal_id", name=op.f("pk_b24_pace")),
    )
    op.create_table(
        "b24_portal_alias",
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("portal_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["portal_id"], ["b24_portal.id"], name=op.f("fk_b24_portal_alias_portal_id_b24_portal")
        ),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_b24_portal_alias")),
    )
    op.create_table(
        "b24_raw",
        sa.Column("id", Id, nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=320), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payment_id", Id, nullable=True),
        sa.Column("deliveries", sa.Integer(), server_default="1", nullable=False),
        sa.Column("received_at", Utc, nullable=False),
        sa.CheckConstraint("verdict IN ('payment', 'ignored', 'quarantined')", name=op.f("ck_b24_raw_verdict")),
        sa.ForeignKeyConstraint(["payment_id"], ["b24_payment.id"], name=op.f("fk_b24_raw_payment_id_b24_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_raw")),
        sa.UniqueConstraint("source", "digest", "occurrence", name=op.f("uq_b24_raw_source_digest_occurrence")),
    )
    op.create_index("ix_b24_raw_identity", "b24_raw", ["account", "key"], unique=False)
    op.create_table(
        "b24_settlement",
        sa.Column("id", Id, nullable=False),
        sa.Column("portal_id", Id, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("invoice_number", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("exponent", sa.Integer(), nullable=False),
        sa.Column("allocated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("in_flight", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("answered", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("hold", sa.String(length=64), nullable=True),
        sa.Column("how", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("pay_system", sa.String(length=128), server_default="", nullable=False),
        sa.Column("identity", sa.JSON(), nullable=True),
        sa.Column("snapshot", sa.JSON(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=True),
        sa.Column("quiet_until", Utc, nullable=True),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.CheckConstraint("kind IN ('legacy', 'smart', 'payment')", name=op.f("ck_b24_settlement_kind")),
        sa.CheckConstraint(
            "origin = 'manual' OR state IN ('collecting', 'review', 'released') OR allocated = expected",
            name=op.f("ck_b24_settlement_covered"),
        ),
        sa.CheckConstraint("origin IN ('match', 'manual')", name=op.f("ck_b24_settlement_origin")),
        sa.CheckConstraint(
            "state <> 'paid' OR (how IS NOT NULL AND how IN ('sent', 'by_hand'))",
            name=op.f("ck_b24_settlement_how"),
        ),
        sa.CheckConstraint(
            "state IN ('collecting', 'ready', 'sending', 'paid', 'unknown', 'review', 'released')",
            name=op.f("ck_b24_settlement_state"),
        ),
        sa.ForeignKeyConstraint(["portal_id"], ["b24_portal.id"], name=op.f("fk_b24_settlement_portal_id_b24_portal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_settlement")),
    )
    op.create_index("ix_b24_settlement_due", "b24_settlement", ["portal_id", "state", "attempts", "id"], unique=False)
    op.create_index(
        "uq_b24_settlement_live",
        "b24_settlement",
        ["portal_id", "kind", "invoice_id"],
        unique=True,
        sqlite_where=sa.text("state != 'released'"),
        postgresql_where=sa.text("state != 'released'"),
    )
    op.create_table(
        "b24_allocation",
        sa.Column("id", Id, nullable=False),
        sa.Column("settlement_id", Id, nullable=False),
        sa.Column("payment_id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_b24_allocation_positive")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["b24_payment.id"], name=op.f("fk_b24_allocation_payment_id_b24_payment")
        ),
        sa.ForeignKeyConstraint(
            ["settlement_id"], ["b24_settlement.id"], name=op.f("fk_b24_allocation_settlement_id_b24_settlement")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_allocation")),
        sa.UniqueConstraint("settlement_id", "payment_id", name=op.f("uq_b24_allocation_settlement_id_payment_id")),
    )
    op.create_index(op.f("ix_b24_allocation_payment_id"), "b24_allocation", ["payment_id"], unique=False)
    op.create_table(
        "b24_case",
        sa.Column("id", Id, nullable=False),
        sa.Column("settlement_id", Id, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("opened_at", Utc, nullable=False),
        sa.Column("closed_at", Utc, nullable=True),
        sa.ForeignKeyConstraint(
            ["settlement_id"], ["b24_settlement.id"], name=op.f("fk_b24_case_settlement_id_b24_settlement")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_case")),
    )
    op.create_index(
        "uq_b24_case_open",
        "b24_case",
        ["settlement_id", "kind"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "b24_event",
        sa.Column("id", Id, nullable=False),
        sa.Column("settlement_id", Id, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["settlement_id"], ["b24_settlement.id"], name=op.f("fk_b24_event_settlement_id_b24_settlement")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_event")),
        sa.UniqueConstraint("settlement_id", "seq", name=op.f("uq_b24_event_settlement_id_seq")),
    )
    triggers = SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS
    for trigger in triggers:
        op.execute(trigger)
