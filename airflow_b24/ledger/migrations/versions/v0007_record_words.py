"""A person's word on a record that cannot be read is kept, with the reason, and so is taking it back; neither can change.

Revision ID: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SQLITE_TRIGGERS = tuple(
    f"CREATE TRIGGER b24_record_word_{what.lower()} BEFORE {what} ON b24_record_word "
    "BEGIN SELECT RAISE(ABORT, 'words on records cannot change'); END"
    for what in ("UPDATE", "DELETE")
)
POSTGRESQL_TRIGGERS = (
    (
        "CREATE FUNCTION b24_refuse_record_word() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'words on records cannot change'; END $$"
    ),
    (
        "CREATE TRIGGER b24_record_word_fixed BEFORE UPDATE OR DELETE ON b24_record_word "
        "FOR EACH ROW EXECUTE FUNCTION b24_refuse_record_word()"
    ),
    (
        "CREATE TRIGGER b24_record_word_kept BEFORE TRUNCATE ON b24_record_word "
        "FOR EACH STATEMENT EXECUTE FUNCTION b24_refuse_record_word()"
    ),
)


def upgrade() -> None:
    op.create_table(
        "b24_record_word",
        sa.Column("id", Id, nullable=False),
        sa.Column("raw_id", Id, nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("said_by", sa.String(length=255), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("what IN ('ignored', 'reopened')", name=op.f("ck_b24_record_word_what")),
        sa.ForeignKeyConstraint(["raw_id"], ["b24_raw.id"], name=op.f("fk_b24_record_word_raw_id_b24_raw")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_b24_record_word")),
    )
    op.create_index(op.f("ix_b24_record_word_raw_id"), "b24_record_word", ["raw_id"], unique=False)
    triggers = SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS
    for trigger in triggers:
        op.execute(trigger)
