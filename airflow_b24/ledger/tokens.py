"""OAuth tokens that replace one another, kept encrypted and renewed by one worker for all that share the ledger.

A refresh token is good once, and its answer brings the next one: two who renew at once, or one who loses the answer,
end the line for good. So whoever renews holds a lease; the server is asked outside any transaction; what it gave is
saved before anybody uses it; and a line that has ended says so until a person pastes a new refresh token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.ledger import schema
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.seal import Pair, Seal
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent

# A token is replaced this long before its end, by the ledger's clock: a settlement that begins with it ends with it.
MARGIN_S: Final = 90.0
# Longer than two calls of the server; whoever held it that long is dead.
LEASE_S: Final = 45.0
WAIT_S: Final = 75.0
# After no clear answer nobody asks again before that.
QUIET_S: Final = 15.0
# The first pause of those who wait, and the longest: each doubles the one before.
POLL_S: Final = (0.05, 1.0)
# New tokens exist nowhere else: saving them is tried again when the database fails.
SAVE_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Renewed:
    """The server gave a new pair, whose access token lives so many seconds."""

    pair: Pair
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server calls this refresh token invalid: it was used up, is too old, or never was one."""


@dataclass(frozen=True, slots=True)
class Lost:
    """No clear answer: the pair may have been replaced."""

    text: str


Renew: TypeAlias = Callable[[Pair], Renewed | Rejected | Lost]
"""Asks the server once with the refresh token of a pair; what it raises means that nothing was replaced."""


class AuthoriseAgainError(LedgerError):
    """The line of tokens has ended: a person must authorise the application and paste a new refresh token."""


class NotRenewedError(LedgerError):
    """No new access token could be had just now; `wait_s` seconds later another try may help."""

    def __init__(self, text: str, wait_s: float) -> None:
        super().__init__(text)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class _Line:
    """The row as it was at `now`, the ledger's time."""

    id: int
    generation: int
    fence: int
    pair: Pair
    renew_at: datetime | None
    leased_until: datetime | None
    quiet_until: datetime | None
    refused_by: str | None
    now: datetime

    @property
    def leased(self) -> bool:
        return self._ahead(self.leased_until, LEASE_S) > 0

    @property
    def quiet_s(self) -> float:
        return self._ahead(self.quiet_until, QUIET_S)

    @property
    def due(self) -> bool:
        return not self.pair.access or (self.renew_at is not None and self.now >= self.renew_at)

    def _ahead(self, end: datetime | None, longest_s: float) -> float:
        seconds = 0.0 if end is None else (end - self.now).total_seconds()
        # A clock that ran ahead for once must not stop everybody until then; one that is set back a little may.
        return seconds if 0 < seconds <= 2 * longest_s else 0.0


class LedgerTokens:
    """One application's tokens on one portal, begun with the `seed` that stands in its connection.

    `server` names the authorisation server that `renew` asks. Threads and processes may each have one for the same
    line: of all that find a token expired, exactly one renews it, the others wait for it, at most WAIT_S.
    """

    def __init__(
        self,
        store: Store,
        portal_id: int,
        client_id: str,
        client_secret: str,
        seed: Pair,
        *,
        server: str,
        renew: Renew,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._seal = Seal(client_id, client_secret)
        self._key = {"portal_id": portal_id, "client_id": client_id, "seed": self._seal.name(seed.refresh)}
        self._seed = seed
        self._server = server
        self._renew = renew
        self._sleep = sleep
        self._clock = clock

    def current(self) -> str:
        """The access token in use, renewed first when it is about to expire. Raises what `refresh` does."""
        line = self._look()
        # While another worker renews it, it is good for a moment yet.
        if not line.due or (line.leased and line.pair.access):
            return line.pair.access
        try:
            return self.refresh(line.pair.access)
        except NotRenewedError:
            if not line.pair.access:
                raise
            # It may still be good; if it is not, the portal says so.
            return line.pair.access

    def refresh(self, expired: str) -> str:
        """A token that replaces the expired one. Safe to repeat: if somebody else has replaced it, theirs is returned.

        Raises AuthoriseAgainError, NotRenewedError, LedgerError, and what `renew` raises.
        """
        line = self._look()
        began, give_up, pause = line.generation, self._clock() + WAIT_S, POLL_S[0]
        while line.pair.access == expired and line.generation == began:
            self._refuse(line)
            if self._clock() > give_up:
                raise NotRenewedError("another worker renews the access token and does not come to an end", LEASE_S)
            leased = None if line.leased else self._lease(line)
            if leased is None:
                self._sleep(pause)
                pause = min(2 * pause, POLL_S[1])
            else:
                # In a thread of its own: a task that is told to stop amid this waits for it, and loses no tokens.
                with ThreadPoolExecutor(1) as apart:
                    apart.submit(self._replace, leased).result()
            line = self._look()
        return line.pair.access

    def _refuse(self, line: _Line) -> None:
        if line.refused_by == self._server:
            raise AuthoriseAgainError(f"{self._server} calls the refresh token invalid")
        if line.quiet_s > 0:
            raise NotRenewedError(f"{self._server} gave no clear answer a moment ago", line.quiet_s)

    def _replace(self, line: _Line) -> None:
        """Ask the server with the lease in hand and write down what came of it; the row then tells it to everybody."""
        try:
            outcome = self._renew(line.pair)
            if isinstance(outcome, Lost):
                # Once more, while nobody else can: the token is good still, or the answer says that it is not.
                outcome = self._renew(line.pair)
        except Exception:
            self._let_go(line)
            raise
        if isinstance(outcome, Renewed):
            self._save(line, outcome)
        elif isinstance(outcome, Rejected):
            self._let_go(line, refused_by=self._server)
        elif self._let_go(line, quiet_s=QUIET_S):
            raise NotRenewedError(f"{self._server} gave no clear answer: {outcome.text}", QUIET_S)

    def _save(self, line: _Line, renewed: Renewed) -> None:
        life_s = max(renewed.expires_in_s - MARGIN_S, renewed.expires_in_s / 2)
        changes = {
            "generation": line.generation + 1,
            "pair": self._seal.close(renewed.pair),
            # Counted from before the server was asked: rather too early than too late.
            "renew_at": line.now + timedelta(seconds=life_s),
            "leased_until": None,
            "quiet_until": None,
            "refused_by": None,
        }
        for pause in (*SAVE_PAUSES_S, None):
            try:
                # Whoever has the lease by now: these are the tokens that are good.
                self._change(line, changes)
            except (LedgerError, SQLAlchemyError):
                if pause is None:
                    raise
                self._sleep(pause)
            else:
                return

    def _lease(self, line: _Line) -> _Line | None:
        """The line with the lease, None when somebody else was quicker."""
        mine = replace(line, fence=line.fence + 1)
        won = self._change(line, {"fence": mine.fence}, schema.token.c.fence == line.fence, leased_until=LEASE_S)
        return mine if won else None

    def _let_go(self, line: _Line, *, refused_by: str | None = None, quiet_s: float = 0.0) -> bool:
        """End the lease; False when it had ended before, so that what we know is not the last word."""
        changes = {"leased_until": None, "refused_by": refused_by}
        return self._change(line, changes, schema.token.c.fence == line.fence, quiet_until=quiet_s)

    def _change(self, line: _Line, changes: Mapping[str, Any], *conditions: ColumnElement[bool], **ends: float) -> bool:
        """Change the row unless its tokens were replaced since; `ends` are seconds from now, by the ledger's clock."""
        row = schema.token.c
        with self._store.transaction() as connection:
            now = utc_now(connection)
            until = {name: now + timedelta(seconds=seconds) for name, seconds in ends.items()}
            statement = update(schema.token).where(row.id == line.id, row.generation == line.generation, *conditions)
            changed = statement.values({**changes, **until, "updated_at": now}).returning(row.id)
            return connection.execute(changed).first() is not None

    def _look(self) -> _Line:
        line = self._find()
        if line is None:
            with self._store.transaction() as connection:
                begun = {**self._key, "pair": self._seal.close(self._seed), "updated_at": utc_now(connection)}
                insert_if_absent(connection, schema.token, begun)
            line = self._find()
        assert line is not None  # noqa: S101 - it was there, or was made
        return line

    def _find(self) -> _Line | None:
        names = [each.name for each in fields(_Line) if each.name != "now"]
        query = select(*(schema.token.c[name] for name in names)).filter_by(**self._key)
        with self._store.snapshot() as connection:
            row = connection.execute(query).mappings().first()
            now = utc_now(connection)
        if row is None:
            return None
        return _Line(**{**row, "pair": self._seal.open(row["pair"]), "now": now})
