"""Keeping secrets out of logs: httpx and httpcore write addresses and Location headers into theirs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"

_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Replace every secret in a text."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


class Redactor(logging.Filter):
    """Rewrites log records which hold a secret it knows; all others pass untouched."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: frozenset[str] = frozenset()

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these from now on, until the process ends: late records name them too."""
        if not self._secrets.issuperset(secrets := frozenset(secrets)):
            self._secrets |= secrets
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in the message; never drop a record."""
        message = record.getMessage()
        masked = scrub(message, self._secrets)
        if masked != message:
            record.msg, record.args = masked, ()
        return True


REDACTOR: Final = Redactor()
