"""A ledger has a name of its own, raw records keep the amount they were read as, matching may find a part, quiet
time is counted by a clock that nobody sets, and a case that a person has closed stays closed.

Revision ID: 0002
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Utc = sa.DateTime(timezone=True)


def upgrade() -> None:
    ledger = op.create_table(
        "b24_ledger",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_ledger")),
    )
    op.bulk_insert(ledger, [{"id": str(uuid.uuid4()), "created_at": datetime.now(UTC)}])
    op.add_column("b24_raw", sa.Column("amount", sa.BigInteger(), nullable=True))
    op.add_column("b24_raw", sa.Column("currency", sa.String(length=3), nullable=True))
    op.add_column("b24_settlement", sa.Column("quiet_clock", sa.String(length=64), nullable=True))
    op.add_column("b24_case", sa.Column("dismissed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    # What was read before this version is known from the payment it became.
    op.execute(
        "UPDATE b24_raw SET amount = (SELECT amount FROM b24_payment WHERE b24_payment.id = b24_raw.payment_id), "
        "currency = (SELECT currency FROM b24_payment WHERE b24_payment.id = b24_raw.payment_id) "
        "WHERE verdict = 'payment'"
    )
    with op.batch_alter_table("b24_outcome") as outcome:
        outcome.drop_constraint("ck_b24_outcome_verdict", type_="check")
        outcome.create_check_constraint(op.f("ck_b24_outcome_verdict"), "verdict IN ('proven', 'part', 'review')")
