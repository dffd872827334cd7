"""What can go wrong with the ledger itself.

LedgerError
├─ InvariantError       a row would contradict the ledger's own rules; nothing was written
│  └─ UnknownIdError    what was named by its id is not in this ledger
└─ ForeignLedgerError   this ledger is missing, new, or older than the world; nothing is sent until a person has decided
"""

from __future__ import annotations


class LedgerError(Exception):
    """The ledger cannot be used: nothing may be sent until it can."""


class InvariantError(LedgerError):
    """A change would break an invariant, so it was not made."""


class UnknownIdError(InvariantError):
    """What was named by its id is not in this ledger; trying again does not help."""


class ForeignLedgerError(LedgerError):
    """This ledger is not, or not any more, the one that knows what was paid; trying again does not help."""
