from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_b24.bitrix.auth import OAuth, Origin, Secret, spellings
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import AuthError, RefusedError
from airflow_b24.bitrix.renewal import Application
from airflow_b24.bitrix.session import Send
from airflow_b24.reconcile.renewing import SharedTokens
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.state import Application as Installed
from airflow_b24.sandbox.state import State

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PAY, REFRESH = "sale.paysystem.pay.invoice", "oauth.token"
SEED = "canary+seed/0001"


@pytest.fixture
def state(served: Any) -> Iterator[State]:
    """The portal with an application which nobody has renewed yet; its access token `canary-access` is good."""
    state, _ = served
    before = dict(state.tokens)
    template = state.tokens[seed.ACCESS_TOKEN]
    state.application = Installed("local.1.2", "canary+client/1", SEED, seed.TECHNICAL, template.scopes)
    state.tokens = {**before, "canary-access": replace(template, value="canary-access")}
    yield state
    state.tokens = before


@pytest.fixture
def masked() -> set[str]:
    """What Airflow was told to mask."""
    return set()


Sign = Callable[..., Client]


@pytest.fixture
def sign_in(served: Any, state: State, office: Any, masked: set[str]) -> Iterator[Sign]:
    """Makes workers' clients of one application, closed afterwards; whatever matters is given by name."""
    portal = Origin.parse(served[1].partition("/rest/")[0])
    made: list[Client] = []

    def make(kind: type[Client] = Client, **changed: Any) -> Client:
        usual = {"server": portal, "client_id": "local.1.2", "client_secret": Secret("canary+client/1")}
        usual |= {"refresh_token": Secret(SEED), "access_token": Secret("canary-access")}
        tokens = SharedTokens(office.store, office.desk.portal_id, Application(**(usual | changed)), mask=masked.add)
        made.append(kind(OAuth(portal, tokens), sleep=lambda _: None))
        return made[-1]

    yield make
    for each in made:
        each.close()


def expire(state: State) -> None:
    state.tokens = {name: replace(each, expires_at=LONG_AGO) for name, each in state.tokens.items()}


def renewals(state: State) -> int:
    assert state.application is not None
    return state.application.refreshes


def test_an_expired_token_is_renewed_once_for_all_workers(sign_in: Sign, state: State) -> None:
    first, second = sign_in(), sign_in()
    assert first.call("profile").result["ID"] == second.call("profile").result["ID"] == str(seed.TECHNICAL)
    assert renewals(state) == 0
    expire(state)
    for worker in (first, second, sign_in()):
        assert worker.call("profile").result["ID"] == str(seed.TECHNICAL)
    assert renewals(state) == 1


class ExpiringInTransit(Client):
    """A client whose token expires between the pre-read and the pay."""

    state: State
    expiries = 1

    def send(self, step: Send) -> Any:
        if PAY in step.url.reveal() and self.expiries:
            self.expiries -= 1
            expire(self.state)
        return super().send(step)


@pytest.mark.parametrize("matched", [True, False])
def test_a_token_that_expires_amid_a_pay_is_renewed_once_and_the_pay_runs_once(
    sign_in: Sign, state: State, office: Any, matched: bool
) -> None:
    settlement_id = office.ready() if matched else office.bill().id
    client = sign_in(ExpiringInTransit)
    client.state = state  # type: ignore[attr-defined]
    desk = replace(office.desk, client=client)
    if matched:
        settled = settle_matched(desk, settlement_id, 2, office.pay_system)
    else:
        settled = settle_plain(desk, 2, office.pay_system)
    assert (settled.row.state, settled.row.how, settled.trouble) == ("paid", "sent", None)
    assert (office.executed(), renewals(state)) == (1, 1)
    assert [entry.error for entry in state.journal if entry.method == PAY] == ["expired_token", ""]


def test_a_pay_that_the_portal_refuses_for_its_token_brings_a_new_token_before_the_next_one(
    sign_in: Sign, state: State, office: Any
) -> None:
    office.bill()
    office.fault("expired_token")
    settled = settle_plain(replace(office.desk, client=sign_in()), 2, office.pay_system)
    assert (settled.row.how, office.executed(), renewals(state)) == ("sent", 1, 1)


def test_a_pay_whose_token_cannot_be_renewed_runs_never_and_asks_a_person(
    sign_in: Sign, state: State, office: Any
) -> None:
    office.bill()
    assert state.application is not None
    state.application.refresh_token = "somebody else has used it up"
    client = sign_in(ExpiringInTransit)
    client.state = state  # type: ignore[attr-defined]
    settled = settle_plain(replace(office.desk, client=client), 2, office.pay_system)
    assert (settled.row.state, office.executed()) == ("ready", 0)
    assert isinstance(settled.trouble.cause, AuthError)
    assert settled.trouble.cause.code == "AUTHORISE_AGAIN"


@pytest.mark.parametrize("kind", ["lost_before", "refused", "html_502_after", "lost_after", "truncated_after"])
def test_a_renewal_whose_answer_is_lost_is_tried_once_more_and_then_knows(
    sign_in: Sign, state: State, office: Any, kind: str
) -> None:
    expire(state)
    office.fault(kind, method=REFRESH)
    if kind in {"lost_before", "refused"}:
        assert sign_in().call("profile").result["ID"] == str(seed.TECHNICAL)
    else:
        for _ in range(2):
            with pytest.raises(AuthError, match=r"AUTHORISE_AGAIN.*authorise the application again.*refresh_token"):
                sign_in().call("profile")
    assert renewals(state) == 1


def test_a_newly_pasted_refresh_token_opens_the_portal_again(sign_in: Sign, state: State, office: Any) -> None:
    expire(state)
    office.fault("lost_after", method=REFRESH)
    with pytest.raises(AuthError, match="AUTHORISE_AGAIN"):
        sign_in().call("profile")
    assert state.application is not None
    state.application.refresh_token = "canary-pasted"
    pasted = {"refresh_token": Secret("canary-pasted"), "access_token": Secret("")}
    assert sign_in(**pasted).call("profile").result["ID"] == str(seed.TECHNICAL)


def test_a_server_that_is_down_is_a_refusal_with_a_time_and_ends_nothing(
    sign_in: Sign, state: State, office: Any
) -> None:
    expire(state)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    down = sign_in(server=Origin.parse(f"http://127.0.0.1:{port}"))
    with pytest.raises(RefusedError, match="NOT_RENEWED") as caught:
        down.call("profile")
    assert caught.value.retry_at is not None
    assert timedelta(0) < caught.value.retry_at - datetime.now(UTC) <= timedelta(seconds=15)
    assert renewals(state) == 0


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"client_id": "local.other"}, "wrong_client"), ({"client_secret": Secret("canary-other")}, "invalid_client")],
)
def test_a_wrong_application_is_the_servers_own_error_and_ends_nothing(
    sign_in: Sign, state: State, changed: dict[str, Any], code: str
) -> None:
    expire(state)
    with pytest.raises(AuthError, match=code):
        sign_in(**changed).call("profile")
    assert sign_in().call("profile").result["ID"] == str(seed.TECHNICAL)


def test_every_token_is_masked_and_no_sink_holds_one(
    sign_in: Sign, state: State, office: Any, masked: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = sign_in()
    used = {"canary-access", SEED}
    for _ in range(2):
        expire(state)
        client.call("profile")
        assert state.application is not None
        used |= {state.application.refresh_token, *state.tokens} - {seed.ACCESS_TOKEN, seed.EXPIRED_TOKEN}
    office.fault("error", method=REFRESH, code="PAYMENT_REQUIRED", description=f"no {' '.join(used)} canary+client/1")
    expire(state)
    with pytest.raises(AuthError, match="PAYMENT_REQUIRED") as caught:
        client.call("profile")
    assert masked >= {form for token in used for form in spellings(token)}
    ledger = Path(office.store.engine.url.database).read_bytes().decode("latin-1")
    shown = f"{caplog.text} {caught.value} {caught.value!r} {vars(caught.value)} {ledger}"
    assert [form for token in used | {"canary+client/1"} for form in spellings(token) if form in shown] == []
