"""What a pay system has done lately is found without reading all that was ever sent.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = ["portal_id", "pay_system", "quiet_until"]
    op.create_index("ix_b24_settlement_sent", "b24_settlement", columns, unique=False)
