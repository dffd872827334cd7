"""Which methods only read. Everything not known to read counts as a write."""

from __future__ import annotations

from typing import Final

from airflow_b24.bitrix.protocol import ANSWERS_TRUE

_READS: Final = frozenset({"scope", "profile", "methods", "server.time", "user.current", "user.admin", "app.info"})
_READING_ENDS: Final = frozenset({"get", "list", "fields", "types"})
# docs: event.offline.get empties the queue which it reads.
_WRITES: Final = frozenset({"event.offline.get"})


def is_read(method: str) -> bool:
    """Say whether a method is known to change nothing, so that it may be repeated blindly."""
    name = method.lower()
    return name not in _WRITES and (name in _READS or name.rpartition(".")[2] in _READING_ENDS)


def is_write(method: str, claimed: bool | None = None) -> bool:
    """Say whether a call may change something, as the caller claims; a pay is a write whatever is claimed."""
    if claimed is None:
        return not is_read(method)
    return claimed or method.lower() in ANSWERS_TRUE
