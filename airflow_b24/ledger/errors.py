"""What can go wrong with the ledger itself.

LedgerError
└─ InvariantError   a row would contradict the ledger's own rules; nothing was written
"""

from __future__ import annotations


class LedgerError(Exception):
    """The ledger cannot be used: nothing may be sent until it can."""


class InvariantError(LedgerError):
    """A change would break an invariant, so it was not made."""
