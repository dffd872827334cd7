"""OAuth tokens that replace one another are kept, encrypted, for all workers.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Utc = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "b24_token",
        sa.Column("id", Id, nullable=False),
        sa.Column("portal_id", Id, nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("seed", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("renew_at", Utc, nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", Utc, nullable=True),
        sa.Column("quiet_until", Utc, nullable=True),
        sa.Column("refused_by", sa.String(length=255), nullable=True),
        sa.Column("updated_at", Utc, nullable=False),
        sa.ForeignKeyConstraint(["portal_id"], ["b24_portal.id"], name=op.f("fk_b24_token_portal_id_b24_portal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_token")),
        sa.UniqueConstraint("portal_id", "client_id", "seed", name=op.f("uq_b24_token_portal_id_client_id_seed")),
    )
