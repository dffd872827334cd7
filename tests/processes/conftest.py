"""A ledger on PostgreSQL in a schema of its own, and two sessions on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store
from tests.processes.databases import POSTGRES, empty
from tests.processes.sessions import Ledger, Session


@pytest.fixture(scope="session")
def postgres() -> URL:
    """The PostgreSQL server of the tests; without one they are skipped."""
    given = os.environ.get(POSTGRES)
    if not given:
        pytest.skip(f"{POSTGRES} is not set: no PostgreSQL server to test on")
    url = make_url(given).set(drivername="postgresql+psycopg").update_query_dict({"connect_timeout": "3"})
    engine = create_engine(url)
    try:
        engine.connect().close()
    except OperationalError:
        pytest.skip(f"{POSTGRES}: the server cannot be reached")
    finally:
        engine.dispose()
    return url


@pytest.fixture(scope="session")
def schema(postgres: URL) -> Iterator[URL]:
    """A ledger with its tables, dropped afterwards."""
    name = f"b24_isolation_{os.getpid()}"
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
        url = postgres.update_query_dict({"options": f"-csearch_path={name}"})
        Store.open(url).close()
        yield url
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture
def ledger(schema: URL) -> Iterator[Ledger]:
    """An empty ledger and two sessions on it."""
    store = Store.open(schema)
    with store.transaction() as connection:
        empty(connection)
        portal = portal_id(connection, "portal.example")
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(schema, name, store)) for name in ("first", "second")]
        yield Ledger(schema, store, portal, *sessions)
    store.close()
