"""How OAuth tokens lie in the ledger: encrypted under a key that is not in it, so that its database alone opens no portal."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airflow_b24.ledger.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token, empty when there was none yet, and the refresh token that replaces both."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


class Seal:
    """Encrypts tokens under keys derived from the application's secret, which the ledger never holds."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        info = f"airflow_b24 tokens of {client_id}".encode()
        keys = HKDF(SHA256(), length=64, salt=None, info=info).derive(client_secret.encode())
        self._fernet = Fernet(urlsafe_b64encode(keys[:32]))
        self._naming = keys[32:]

    def name(self, refresh_token: str) -> str:
        """What a pasted refresh token is known by; nobody without the secret can tell whether it is theirs."""
        keyed = HMAC(self._naming, SHA256())
        keyed.update(refresh_token.encode())
        return keyed.finalize().hex()

    def close(self, pair: Pair) -> str:
        return self._fernet.encrypt(json.dumps([pair.access, pair.refresh]).encode()).decode()

    def open(self, sealed: str) -> Pair:
        """Raises LedgerError when somebody has changed the row by hand."""
        try:
            return Pair(*json.loads(self._fernet.decrypt(sealed)))
        except (InvalidToken, ValueError, TypeError):
            raise LedgerError("b24_token.pair cannot be read: delete that row, and authorise again") from None
