"""The tokens of an application: kept in the ledger, renewed by the portal's authorisation server, which do not know each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Unpack

from airflow_b24.bitrix.auth import Secret, spellings
from airflow_b24.bitrix.client import Options, renew
from airflow_b24.bitrix.errors import (
    AUTHORISE_AGAIN,
    NOT_RENEWED,
    AuthError,
    BitrixError,
    RefusedError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.renewal import INVALID_GRANT, Application
from airflow_b24.ledger.seal import Pair
from airflow_b24.ledger.store import Store
from airflow_b24.ledger.tokens import AuthoriseAgainError, LedgerTokens, Lost, NotRenewedError, Rejected, Renewed

# Two calls fit into the ledger's lease, with time to spare.
DEADLINE_S: Final = 15.0
AGAIN: Final = (
    "authorise the application again on the portal, then paste the new refresh_token into the connection's extra and the "
    "new access token into Password; if it was never authorised, check client_id, client_secret and oauth_url"
)


class SharedTokens:
    """An application's tokens as every worker that shares the ledger has them; fits `bitrix.auth.Tokens`.

    `mask` is told each spelling of each token before its first use. Raises AuthError when a person must act,
    RefusedError when trying later may help, LedgerError. Safe to repeat; see `ledger.tokens`.
    """

    def __init__(
        self,
        store: Store,
        portal_id: int,
        application: Application,
        *,
        mask: Callable[[str], object],
        **options: Unpack[Options],
    ) -> None:
        self._application = application
        self._options = options
        self._options["timeout_s"] = min(options.get("timeout_s", DEADLINE_S), DEADLINE_S)
        self._mask = mask
        self._masked: set[Secret] = set()
        self._tokens = LedgerTokens(
            store,
            portal_id,
            application.client_id,
            application.client_secret.reveal(),
            Pair(application.access_token.reveal(), application.refresh_token.reveal()),
            server=str(application.server),
            renew=self._renew,
        )

    def current(self) -> str:
        """Return the access token in use, renewed first when it is about to expire."""
        return self._told(self._tokens.current)

    def refresh(self, expired: str) -> str:
        """Replace the token which the portal calls expired; one that somebody else replaced already is returned."""
        return self._told(lambda: self._tokens.refresh(expired))

    def _told(self, ask: Callable[[], str]) -> str:
        try:
            return self._seen(Secret(ask())).reveal()
        except AuthoriseAgainError as error:
            failed: BitrixError = AuthError(AUTHORISE_AGAIN, f"{error}; {AGAIN}")
        except NotRenewedError as error:
            # By the worker's own clock, which is also the one that will wait.
            retry_at = datetime.now(UTC) + timedelta(seconds=error.wait_s)
            failed = RefusedError(NOT_RENEWED, str(error), retry_at=retry_at)
        # Outside of `except`: the frames below hold the token.
        raise self._error(failed)

    def _error(self, error: BitrixError) -> BitrixError:
        error.host = self._application.server.netloc
        return error

    def _renew(self, pair: Pair) -> Renewed | Rejected | Lost:
        try:
            given = renew(self._application, self._seen(Secret(pair.refresh)), **self._options)
        except (UnknownOutcomeError, RefusedError) as error:
            return Lost(str(error))
        except AuthError as error:
            if error.code == INVALID_GRANT:
                return Rejected()
            raise
        new = Pair(self._seen(given.access_token).reveal(), self._seen(given.refresh_token).reveal())
        return Renewed(new, given.expires_in_s)

    def _seen(self, token: Secret) -> Secret:
        if token not in self._masked:
            self._masked.add(token)
            for form in spellings(token.reveal()):
                self._mask(form)
        return token
