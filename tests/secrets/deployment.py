"""A real Airflow for one run: API server, scheduler with LocalExecutor and DAG processor, as processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

PARTS: Final = ("api-server", "scheduler", "dag-processor")
ENDED: Final = frozenset({"success", "failed"})
LONGEST_S: Final = 240
# One process for both: what takes long is to load Airflow.
PREPARE: Final = """
import json, sys
from airflow.__main__ import main
sys.argv = ["airflow", "db", "migrate"]
main()
from airflow.models import Connection
from airflow.utils.session import create_session
with create_session() as session:
    session.add_all([Connection(conn_id=name, **fields) for name, fields in json.load(sys.stdin).items()])
"""
# A part of Airflow and whoever looks after it: asked to stop, or left alone, it stops the part and all its children.
# man prctl: the signal that a process gets when its parent ends, however that happens.
GUARD: Final = """
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
part = subprocess.Popen([sys.executable, "-m", "airflow", *sys.argv[1:]])
awaited = {signal.SIGTERM, signal.SIGCHLD}
signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
signal.sigwait(awaited)
part.terminate()
try:
    part.wait(20)
except subprocess.TimeoutExpired:
    part.kill()
os.killpg(0, signal.SIGKILL)
"""
COMMANDS: Final = """
import json, sys
from airflow.__main__ import main
for words in json.load(sys.stdin):
    sys.argv = ["airflow", *words]
    print("$", *words, flush=True)
    try:
        main()
    except SystemExit as stop:
        print("exit code", stop.code, flush=True)
"""


@dataclass
class Deployment:
    """An Airflow in a home of its own; what its processes print goes to files below `console`."""

    home: Path
    environment: dict[str, str]
    url: str
    token: str = ""

    def run(self, name: str, *arguments: str, stdin: str = "") -> None:
        """Run Python to its end, as an Airflow process."""
        with self._console(name) as console:
            command = [sys.executable, *arguments]
            subprocess.run(
                command, env=self.environment, input=stdin.encode(), stdout=console, stderr=console, timeout=LONGEST_S,
                check=True, cwd=self.home,
            )  # fmt: skip

    @contextmanager
    def _console(self, name: str) -> Iterator[Any]:
        (self.home / "console").mkdir(exist_ok=True)
        with (self.home / "console" / name).open("ab") as console:
            yield console

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the parts, the API server first: a task that does not find it has failed. Stop them at the end."""
        parts: list[subprocess.Popen[bytes]] = []
        with ExitStack() as stack:
            stack.callback(_stop, parts)
            for part in PARTS:
                parts.append(self._start(stack.enter_context(self._console(part)), part))
                self._log_in()
            yield

    def _start(self, console: Any, part: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", GUARD, part]
        return subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console, cwd=self.home,
            start_new_session=True,
        )  # fmt: skip

    def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Ask the API as a browser would; returns status and answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        try:
            request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310 - our own address
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def _log_in(self) -> None:
        _wait(self._let_in, "the API server does not answer")

    def _let_in(self) -> bool:
        try:
            self.token = json.loads(self.ask("/auth/token")[1])["access_token"]
        except (OSError, ValueError, KeyError):
            return False
        return True

    def finished(self, dag_id: str) -> dict[str, str]:
        """Wait for the DAG's one run; returns the state of each task instance."""
        path = f"/api/v2/dags/{dag_id}/dagRuns"

        def ended() -> bool:
            runs = json.loads(self.ask(path)[1]).get("dag_runs", [])
            return bool(runs) and runs[0]["state"] in ENDED

        _wait(ended, f"{dag_id} does not end")
        instances = json.loads(self.ask(f"{path}/~/taskInstances?limit=100")[1])["task_instances"]
        return {f"{each['task_id']}.{each['map_index']}": each["state"] for each in instances}


def deploy(
    home: Path, dag_files: Sequence[Path], connections: Mapping[str, Mapping[str, Any]], **more: str
) -> Deployment:
    """Make a home with a migrated database and these connections in it."""
    (home / "dags").mkdir(parents=True)
    for path in dag_files:
        shutil.copy(path, home / "dags")
    made = Deployment(home, *_environment(home, _free_port(), more))
    made.run("prepare", "-c", PREPARE, stdin=json.dumps(connections))
    return made


def _environment(home: Path, port: int, more: Mapping[str, str]) -> tuple[dict[str, str], str]:
    url = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "3",
        # One run's tasks follow each other; each waits for the scheduler's next look.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # A busy machine is no fault of a task.
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__TEST_CONNECTION": "Enabled",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": url,
        "API__EXPOSE_CONFIG": "non-sensitive-only",
        "API_AUTH__JWT_SECRET": "no secret of ours, and long enough for all of its parts" * 2,
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    return kept | {"PATH": path, "HOME": str(home), "AIRFLOW_HOME": str(home)} | own | more, url


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _stop(guards: Sequence[subprocess.Popen[bytes]]) -> None:
    for guard in guards:
        guard.terminate()
    for guard in guards:
        guard.wait(60)


def _wait(done: Any, complaint: str) -> None:
    until = time.monotonic() + LONGEST_S
    while not done():
        if time.monotonic() > until:
            raise AssertionError(complaint)
        time.sleep(0.3)
