"""On SQLite, what may not be changed is not replaced either: REPLACE deletes a row, and triggers on deleting hear nothing.

A person's word on a record dismisses the payment that comes of it. Notes are found without reading all stories, and what is due in the order in which it is asked for.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# By table: what is said, and what a new row must not have in common with one that is there.
KEPT = {
    "b24_event": ("events cannot change", "id = NEW.id OR (settlement_id = NEW.settlement_id AND seq = NEW.seq)"),
    "b24_dismissal": ("dismissals cannot change", "id = NEW.id"),
    "b24_record_word": ("words on records cannot change", "id = NEW.id"),
}


def upgrade() -> None:
    # In plain words: Alembic adds the reference by itself, which SQLite cannot.
    op.execute(
        "ALTER TABLE b24_dismissal ADD COLUMN word_id "
        f"{'INTEGER' if op.get_bind().dialect.name == 'sqlite' else 'BIGINT'} "
        "CONSTRAINT fk_b24_dismissal_word_id_b24_record_word REFERENCES b24_record_word (id)"
    )
    _index()
    # PostgreSQL has no REPLACE; what it does instead is an update, which is refused.
    if op.get_bind().dialect.name == "sqlite":
        for table, (said, same) in KEPT.items():
            op.execute(
                f"CREATE TRIGGER {table}_insert BEFORE INSERT ON {table} "  # noqa: S608 - ours
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN SELECT RAISE(ABORT, '{said}'); END"
            )


def _index() -> None:
    op.drop_index("ix_b24_settlement_due", "b24_settlement")
    op.create_index("ix_b24_settlement_due", "b24_settlement", ["portal_id", "state", "fence", "id"], unique=False)
    notes = sa.text("what IN ('noted', 'not noted')")
    columns = ["what", "settlement_id", "id"]
    op.create_index(
        "ix_b24_event_notes", "b24_event", columns, unique=False, sqlite_where=notes, postgresql_where=notes
    )
