from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from airflow_b24 import __version__, cli
from airflow_b24.examples import EXAMPLES


def _exit(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit("--version") == 0
    assert capsys.readouterr().out == f"airflow-b24 {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("unheard-of",), ("init",), ("sandbox", "--http-port", "many")])
def test_a_command_that_is_not_understood_shows_the_usage(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit(*arguments) == 2
    assert "usage: airflow-b24" in capsys.readouterr().err


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    _exit("--help")
    shown = capsys.readouterr().out
    assert {name for name in ("demo", "sandbox", "init", *cli.HANDED_ON) if name not in shown} == set()


@pytest.mark.parametrize("name", sorted(cli.HANDED_ON))
def test_what_needs_a_connection_is_handed_to_airflow_word_for_word(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done > "$0.said"\nexit 7\n', encoding="utf-8")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    assert cli.main([name, "--help", "two words", ""]) == 7
    said = (tmp_path / "python.said").read_text(encoding="utf-8")
    assert said == f"-m\nairflow\nb24\n{name}\n--help\ntwo words\n\n"


def test_init_writes_the_examples_and_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "dags"
    assert cli.main(["init", str(folder)]) == 0
    names = sorted(path.name for path in EXAMPLES.glob("b24_*.py"))
    assert names == sorted(path.name for path in folder.iterdir())
    shown = capsys.readouterr().out
    assert all(f"wrote {folder / name}" in shown for name in names)
    assert "airflow-b24 doctor" in shown
    # What a newcomer must edit.
    assert [
        word
        for word in ("HttpSource", "b24_pay_from_http.py", "b24_pay_in_bulk", "start_from", "mode")
        if word not in shown
    ] == []


@pytest.mark.parametrize("place", ["a file", "below a file", "another encoding"])
def test_init_where_it_cannot_write_is_one_line_naming_the_folder(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "b24_pay_one_invoice.py").write_bytes(b"\xff\xfe")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "dags"}.get(place, tmp_path)
    assert cli.main(["init", str(folder)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"DAGS_FOLDER: {folder}: ")
    assert shown.count("\n") == 1


def test_the_package_has_no_folder_that_airflow_would_load_as_examples_of_its_own() -> None:
    # Airflow 3.3 makes a bundle of a provider's example_dags: its DAG ids would compete with those that init wrote.
    package = Path(cli.__file__).parent
    assert [path for path in package.rglob("*") if path.name == "example_dags"] == []
    assert EXAMPLES.is_relative_to(package)
    assert len(list(EXAMPLES.glob("b24_*.py"))) == 4


def test_what_is_interrupted_while_it_is_handed_on_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_hand_on", interrupt)
    assert cli.main(["setup"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_init_never_overwrites_what_a_person_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["init", str(tmp_path)])
    mine = tmp_path / "b24_pay_one_invoice.py"
    mine.write_text("# mine\n", encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["init", str(tmp_path)]) == 0
    assert mine.read_text(encoding="utf-8") == "# mine\n"
    shown = capsys.readouterr().out
    assert f"kept  {mine}" in shown
    assert f"wrote {mine}" not in shown


@pytest.mark.parametrize("option", ["--http-port", "--https-port"])
def test_a_port_in_use_is_an_error_that_names_the_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    ports = {"--http-port": "0", "--https-port": "0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports[option] = str(taken.getsockname()[1])
        assert cli.main(["sandbox", *(word for pair in ports.items() for word in pair)]) == 2
    assert "--http-port, --https-port: " in capsys.readouterr().err


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_that_cannot_be_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit("sandbox", f"--http-port={port}") == 2
    assert "--http-port" in capsys.readouterr().err


def test_the_sandbox_serves_what_it_shows_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_b24.cli", "sandbox", "--http-port", "0", "--https-port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env={"TMPDIR": str(tmp_path)}) as running:
        assert running.stdout is not None
        shown = ""
        while "Ctrl-C" not in shown:
            line = running.stdout.readline()
            assert line, f"it ended early: {shown}"
            shown += line
        assert _profile(shown)["result"]["ID"] == "9"
        rehearsal = re.search(r"echo (http://\S+) \| airflow-b24 setup", shown)
        assert rehearsal
        assert _asked(f"{rehearsal.group(1)}profile.json")["result"]["ID"] == "1"
        faults = re.search(r"Faults +(http://\S+)", shown)
        assert faults
        assert {"lost_after", "unpaid"} <= {each["kind"] for each in _asked(faults.group(1))}
        assert _exported(shown, "BITRIX24_DEFAULT")["conn_type"] == "bitrix24"
        assert _exported(shown, "BANK")["extra"].keys() == {"X-Api-Key"}
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 130
        assert running.stderr is not None
        assert running.stderr.read() == f"{cli.STOPPED}\n"
    assert list(tmp_path.iterdir()) == []


def _profile(shown: str) -> dict[str, dict[str, str]]:
    found = re.search(r"HTTPS +(https://\S+) +\(certificate authority: (.+)\)", shown)
    assert found
    trust = ssl.create_default_context(cafile=found.group(2))
    return _asked(f"{found.group(1)}profile.json", trust)


def _asked(address: str, trust: ssl.SSLContext | None = None) -> Any:
    with urllib.request.urlopen(address, context=trust, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def _exported(shown: str, name: str) -> dict[str, dict[str, str]]:
    found = re.search(rf"export AIRFLOW_CONN_{name}='(.+)'", shown)
    assert found
    connection: dict[str, dict[str, str]] = json.loads(found.group(1))
    return connection
