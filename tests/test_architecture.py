"""Who may import whom: an allow-list, read from the source and tried in fresh interpreters without Airflow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_b24

PACKAGE = Path(airflow_b24.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "dag_files" not in path.parts)
SEALED = {
    "bitrix": {"bitrix"},
    "payments": {"payments"},
    "ledger": {"ledger"},
    "sandbox": {"sandbox"},
    "reconcile": {"reconcile", "bitrix", "payments", "ledger"},
    "preparing": {"preparing", "reconcile", "bitrix", "payments", "ledger"},
}
AIRFLOW_LAYER = {
    *(
        "commands",
        "hooks",
        "keys",
        "links",
        "notifications",
        "operators",
        "pins",
        "plugin",
        "retries",
        "sensors",
        "sources",
        "transport",
        "triggers",
    ),
}
SANDBOX_USERS = {"cli", "demo"}
FORBIDDEN_NAMES = {"base", "common", "helpers", "manager", "utils"}
LOADS_ALONE = """
import importlib, pkgutil, sys
sys.modules["airflow"] = None
package = importlib.import_module("airflow_b24." + sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def _imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it; `from x import y` counts as x and x.y."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own(path: Path) -> set[str]:
    """The packages and modules of ours, by their first name, that a file imports."""
    return {name.split(".")[1] for name in _imports(path) if name.startswith("airflow_b24.")}


def _importers(package: str) -> set[str]:
    return {_name(path) for path in FILES if package in {name.split(".")[0] for name in _imports(path)}}


@pytest.mark.parametrize("layer", SEALED)
def test_a_layer_imports_only_what_its_place_allows(layer: str) -> None:
    strangers = {
        _name(path): extra
        for path in FILES
        if path.is_relative_to(PACKAGE / layer) and (extra := _layers(path) - SEALED[layer])
    }
    assert strangers == {}


def _layers(path: Path) -> set[str]:
    # __version__ is no layer.
    return _own(path) - {"__version__"}


def test_airflow_is_imported_by_the_airflow_layer_alone() -> None:
    assert {name.split("/")[0] for name in _importers("airflow")} <= AIRFLOW_LAYER


def test_only_the_client_imports_httpx() -> None:
    assert _importers("httpx") == {"bitrix/client"}


def test_httpcore_is_imported_inside_bitrix_alone() -> None:
    assert all(name.startswith("bitrix/") for name in _importers("httpcore"))


def test_only_the_command_line_and_the_demo_import_the_sandbox() -> None:
    outside = (path for path in FILES if not path.is_relative_to(PACKAGE / "sandbox"))
    assert {_name(path) for path in outside if "sandbox" in _own(path)} == SANDBOX_USERS


def test_the_example_dags_import_neither_the_sandbox_nor_what_lies_below_the_layers() -> None:
    allowed = {"hooks", "operators", "paginators", "payments", "sources"}
    assert {
        path.name: _own(path) - allowed for path in (PACKAGE / "dag_files").glob("*.py") if _own(path) - allowed
    } == {}


@pytest.mark.parametrize("layer", SEALED)
def test_a_layer_loads_where_airflow_is_not_installed(layer: str) -> None:
    assert _python(LOADS_ALONE, layer) == ""


def test_asking_for_the_provider_info_loads_no_library() -> None:
    code = (
        "import sys; from airflow_b24 import get_provider_info; get_provider_info();"
        "print(sorted({'httpx', 'sqlalchemy', 'alembic', 'airflow', 'jmespath', 'starlette'} & set(sys.modules)))"
    )
    assert _python(code) == "[]\n"


def test_the_package_itself_imports_nothing_at_its_top() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    imported = [node.module for node in body if isinstance(node, ast.ImportFrom)]
    assert [name for name in imported if name not in {"__future__", "typing"}] == []
    assert not any(isinstance(node, ast.Import) for node in body)


def _python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {part for path in FILES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert named & FORBIDDEN_NAMES == set()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
