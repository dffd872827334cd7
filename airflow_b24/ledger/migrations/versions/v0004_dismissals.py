"""A person's word on a payment that was dealt with elsewhere is kept, and so is taking it back; neither can change.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SQLITE_TRIGGERS = tuple(
    f"CREATE TRIGGER b24_dismissal_{what.lower()} BEFORE {what} ON b24_dismissal "
    "BEGIN SELECT RAISE(ABORT, 'dismissals cannot change'); END"
    for what in ("UPDATE", "DELETE")
)
POSTGRESQL_TRIGGERS = (
    (
        "CREATE FUNCTION b24_refuse_dismissal() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'dismissals cannot change'; END $$"
    ),
    (
        "CREATE TRIGGER b24_dismissal_fixed BEFORE UPDATE OR DELETE ON b24_dismissal "
        "FOR EACH ROW EXECUTE FUNCTION b24_refuse_dismissal()"
    ),
    (
        "CREATE TRIGGER b24_dismissal_kept BEFORE TRUNCATE ON b24_dismissal "
        "FOR EACH STATEMENT EXECUTE FUNCTION b24_refuse_dismissal()"
    ),
)


def upgrade() -> None:
    op.create_table(
        "b24_dismissal",
        sa.Column("id", Id, nullable=False),
        sa.Column("payment_id", Id, nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("said_by", sa.String(length=255), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("what IN ('dismissed', 'reopened')", name=op.f("ck_b24_dismissal_what")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["b24_payment.id"], name=op.f("fk_b24_dismissal_payment_id_b24_payment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_dismissal")),
    )
    op.create_index(op.f("ix_b24_dismissal_payment_id"), "b24_dismissal", ["payment_id"], unique=False)
    triggers = SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS
    for trigger in triggers:
        op.execute(trigger)
