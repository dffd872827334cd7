"""The pace of a portal knows when it refused, and lets what is urgent go first.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("stood_s", "urgent_until", "held_until"):
        op.add_column("b24_pace", sa.Column(name, sa.Float(53), nullable=False, server_default="0"))
