"""The sandbox's settings, changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from airflow_b24.sandbox.settings import BilledTo, Settings
from airflow_b24.sandbox.state import State

_RATES = ("rate_burst", "rate_per_s", "operating_limit_s", "bank_page_size")
_WHOLE = frozenset({"workers", "bank_page_size"})
_WORDS: Mapping[str, tuple[str, ...]] = {"language": ("en", "ru"), "operating_billed_to": get_args(BilledTo)}


def change_settings(state: State, document: Mapping[str, Any]) -> dict[str, object]:
    """Change knobs, all or none; the answer shows all of them."""
    shown = _shown(state)
    for name, value in document.items():
        if name not in shown:
            raise ValueError(f"{name}: no such setting; use {', '.join(shown)}")
        if not _fits(name, value, shown[name]):
            like = " or ".join(map(repr, _WORDS.get(name, (shown[name],))))
            raise ValueError(f"{name}: {value!r} does not fit; send a value like {like}")
    for name, value in document.items():
        _set(state, name, value)
    return _shown(state)


def _fits(name: str, value: Any, shown: object) -> bool:
    if name in _WORDS:
        return value in _WORDS[name]
    if isinstance(shown, bool):
        return isinstance(value, bool)
    return isinstance(value, int if name in _WHOLE else (int, float)) and not isinstance(value, bool) and value >= 0


def _shown(state: State) -> dict[str, object]:
    knobs = {field.name: getattr(state.settings, field.name) for field in fields(Settings)}
    rates = (state.bucket.burst, state.bucket.per_s, state.operating.limit_s, state.bank.page_size)
    return knobs | dict(zip(_RATES, rates, strict=True))


def _set(state: State, name: str, value: Any) -> None:
    places: dict[str, tuple[Any, str]] = {
        "rate_burst": (state.bucket, "burst"),
        "rate_per_s": (state.bucket, "per_s"),
        "operating_limit_s": (state.operating, "limit_s"),
        "bank_page_size": (state.bank, "page_size"),
    }
    target, attribute = places.get(name, (state.settings, name))
    setattr(target, attribute, max(1, value) if name == "bank_page_size" else value)
