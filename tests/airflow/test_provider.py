from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.cli import cli_parser
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager

from airflow_b24 import __version__, get_provider_info
from airflow_b24.connection import CONN_TYPE, KNOWN


def _airflow(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    options = cli_parser.get_parser().parse_args([*arguments, "--output", "json"])
    options.func(options)
    return json.loads(capsys.readouterr().out)


def test_the_provider_info_is_what_this_airflow_accepts() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(get_provider_info(), schema)


def test_the_version_is_the_packages() -> None:
    assert get_provider_info()["versions"] == [__version__]


def _named(found: Any, key: str = "") -> Iterator[str]:
    if isinstance(found, dict):
        for name, value in found.items():
            yield from _named(value, name)
    elif isinstance(found, list):
        for value in found:
            yield from _named(value, key)
    elif isinstance(found, str) and found.startswith("airflow_b24."):
        yield found


@pytest.mark.parametrize("path", sorted(set(_named(get_provider_info()))))
def test_everything_the_provider_info_names_exists(path: str) -> None:
    try:
        import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))


def test_it_is_registered_as_a_provider() -> None:
    registered = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.dist and point.dist.name == "airflow-b24"
    ]
    assert [point.load() for point in registered] == [get_provider_info]


def test_airflow_shows_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _airflow(capsys, "providers", "get", "airflow-b24", "--full")
    assert shown[0]["package-name"] == "airflow-b24"
    assert {"package_name": "airflow-b24", "version": __version__} in [
        {name: row[name] for name in ("package_name", "version")} for row in _airflow(capsys, "providers", "list")
    ]


def test_airflow_knows_the_connection_type_and_its_hook(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in _airflow(capsys, "providers", "hooks") if row["connection_type"] == CONN_TYPE]
    assert [row["class"] for row in rows] == ["airflow_b24.hooks.Bitrix24Hook"]


@pytest.mark.filterwarnings("ignore::airflow.utils.deprecation_tools.DeprecatedImportWarning")
def test_the_connection_form_has_the_webhook_under_password_and_every_extra() -> None:
    form = {meta.connection_type: meta for meta in HookMetaService.hook_meta_data()}[CONN_TYPE]
    assert form.hook_name == "Bitrix24"
    assert set(form.extra_fields or {}) == KNOWN
    fields = form.standard_fields
    assert fields is not None
    assert fields.password is not None
    assert "Webhook" in str(fields.password.title)
    assert [name for name in ("url_schema", "login", "port") if not getattr(fields, name).hidden] == []


def test_the_ledgers_address_is_a_sensitive_setting() -> None:
    assert conf.get("bitrix24", "ledger_url") == ""
    assert ("bitrix24", "ledger_url") in conf.sensitive_config_values


def test_the_invoice_link_is_registered() -> None:
    assert "airflow_b24.links.InvoiceLink" in ProvidersManager().extra_links_class_names
