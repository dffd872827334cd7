"""Some hundred scenarios: each failure, each way in, each way of asking and each encoding at least once, at both levels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, make_url, text

from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store
from airflow_b24.sandbox import control, site
from airflow_b24.sandbox.wire import Request
from tests.secrets import databases, scenarios, sinks
from tests.secrets.canaries import ALL, DATABASE, ENCODINGS
from tests.secrets.scenarios import CONNECTIONS, KINDS, LEVELS, WAYS, Stage, play
from tests.secrets.search import hits

SLICE = 2 * len(KINDS) * len(CONNECTIONS)
POSTGRES = os.environ.get("B24_TEST_POSTGRES_URL")
SCHEMA = "b24_secrets_rows"
# A network that answers slowly, a thread that was stopped: none of it is ours to warn of.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with scenarios.stage(tmp_path_factory.mktemp("stage")) as built:
        yield built


def test_the_slice_holds_every_kind_of_everything() -> None:
    chosen = list(islice(scenarios.scenarios(), SLICE))
    assert {(each.kind, each.opened_by) for each in chosen} == {(kind, by) for kind in KINDS for by in CONNECTIONS}
    assert {each.way for each in chosen} == set(WAYS)
    assert {each.encoding for each in chosen} == set(ENCODINGS)
    assert {each.level for each in chosen} == set(LEVELS)


@pytest.mark.parametrize("part", range(8))
def test_no_scenario_shows_a_secret(stage: Stage, part: int) -> None:
    for scenario in islice(scenarios.scenarios(), part, SLICE, 8):
        assert hits(play(stage, scenario)) == [], str(scenario)


def test_no_secret_is_in_the_ledger_afterwards(stage: Stage) -> None:
    # A few of its own, so that this test holds alone: tokens renewed, invoices settled, answers spoilt.
    for scenario in islice((each for each in scenarios.scenarios(1) if each.way.startswith("settle")), 20):
        play(stage, scenario)
    path = Path(stage.store.engine.url.database or "")
    assert b"b24_token" in path.read_bytes()
    assert hits({**sinks.files(path.parent), **sinks.sqlite_rows(path)}) == []


@pytest.mark.parametrize("level", LEVELS)
def test_no_secret_is_in_a_portal_page_or_its_journal(stage: Stage, level: str) -> None:
    every = (each for each in scenarios.scenarios(2) if each.level == level and each.kind == "none")
    for scenario in islice(every, 6):
        play(stage, scenario)
    state = stage.portal.state
    paths = ("/", f"{control.PREFIX}books", f"{control.PREFIX}requests")
    asked = [Request("GET", path, headers={"host": "127.0.0.1"}) for path in paths]
    shown = {each.path: site.answer(state, each, scenarios.now()).body for each in asked}
    assert all(shown.values())
    assert hits({**shown, "state": sinks.shapes(state.journal)}) == []


BROKEN_LEDGERS = {
    "refused": "postgresql://u:{password}@127.0.0.1:{port}/b24",
    "refused, as an option": "postgresql://u@127.0.0.1:{port}/b24?password={password}",
    "nobody there": "postgresql://u:{password}@127.0.0.1:9/b24?connect_timeout=1",
    "no such host": "postgresql://u:{password}@portal.invalid/b24",
    "no such driver": "mysql://u:{password}@127.0.0.1/b24",
    "not an address": "postgresql://u:{raw}@127.0.0.1:{port}x{raw}/b24",
}


@pytest.mark.parametrize("quoting", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("address", BROKEN_LEDGERS.values(), ids=BROKEN_LEDGERS.keys())
def test_a_ledger_that_cannot_be_opened_shows_no_password(address: str, level: str, quoting: bool) -> None:
    with databases.refusing(quoting=quoting) as port, sinks.cast(LEVELS[level]) as net:
        error = _opened(address.format(password=quote(DATABASE.text, safe=""), raw=DATABASE.text, port=port))
    assert isinstance(error, LedgerError)
    # What a server says, psycopg logs at DEBUG; a real one quotes no password, and in Airflow it is masked.
    logs = {} if quoting else net.caught()
    assert hits({**logs, "error": f"{error} {error!r} {vars(error)}".encode()}) == []


def _opened(url: str) -> Exception | None:
    try:
        Store.open(url)
    except LedgerError as error:
        return error
    return None


@pytest.mark.skipif(POSTGRES is None, reason="B24_TEST_POSTGRES_URL is not set")
def test_no_secret_is_in_a_postgresql_ledger(stage: Stage) -> None:
    url = make_url(POSTGRES or "").set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    own = url.set(password=DATABASE.text).update_query_dict({"options": f"-csearch_path={SCHEMA}"})
    drop = text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    try:
        with engine.begin() as connection:
            connection.execute(drop)
            connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        with closing(Store.open(own)) as store:
            rows = _played(Stage(stage.portal, store, 0), engine)
        assert {"b24_token", "b24_settlement"} <= rows.keys()
        assert hits(rows) == []
    finally:
        with engine.begin() as connection:
            connection.execute(drop)
        engine.dispose()


def _played(stage: Stage, engine: object) -> dict[str, bytes]:
    with stage.store.transaction() as connection:
        stage.portal_id = portal_id(connection, "portal.example")
    for scenario in islice((each for each in scenarios.scenarios(3) if each.way.startswith("settle")), 30):
        play(stage, scenario)
    rows = {**sinks.tables(engine, SCHEMA), "activity": sinks.activity(engine)}  # type: ignore[arg-type]
    return {**rows, "store": f"{stage.store} {vars(stage.store)}".encode()}


def test_the_canaries_are_opened_with_what_they_are_named_for() -> None:
    assert {canary.name for canary in ALL} >= {"webhook secret", "access token", "refresh token", "client secret"}
