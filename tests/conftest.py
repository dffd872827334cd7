"""For every test: with B24_NO_SKIPS=1 a skipped test fails the session, so that nothing is left out unseen."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

SKIPPED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []
    config.pluginmanager.register(_NoSkips(config.stash[SKIPPED]), "b24-no-skips")


class _NoSkips:
    """Remembers what was skipped, whether a test or all that a folder or file would have held."""

    def __init__(self, skipped: list[str]) -> None:
        self._skipped = skipped

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skipped.append(report.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        if (
            self._skipped
            and _forbidden()
            and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skipped and _forbidden():
            terminalreporter.section("skipped, though B24_NO_SKIPS=1", red=True)
            for nodeid in self._skipped:
                terminalreporter.line(nodeid)


def _forbidden() -> bool:
    return os.environ.get("B24_NO_SKIPS") == "1"
