"""What paid means for smart invoices, read from a connection's extra: stages, payment documents, progress."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_b24.bitrix.redaction import shown
from airflow_b24.bitrix.stages import PROGRESS, MarkWith, Wishes, check_stage_id

_FIELD = re.compile(r"ufCrm\w{1,60}", re.ASCII)


def read_wishes(extra: Mapping[str, Any]) -> Wishes:
    """Read what a connection's extra says of smart invoices. Raises ValueError naming the field and the fix."""
    paid, also_paid, partial = (_stages(extra, name) for name in ("paid_stage", "also_paid_stages", "partial_stage"))
    return Wishes(paid, also_paid, _mark_with(extra), partial, _progress_fields(extra.get("progress_fields") or {}))


def _progress_fields(value: Any) -> dict[str, str]:
    """An object, or in the connection form one text: paid=ufCrm..., balance=ufCrm..."""
    if isinstance(value, str):
        value = dict(each.partition("=")[::2] for each in value.split(","))
    named = {str(key).strip(): str(name).strip() for key, name in value.items()} if isinstance(value, Mapping) else None
    if named is None or not all(key in PROGRESS and _FIELD.fullmatch(name) for key, name in named.items()):
        example = '{"paid": "ufCrm_SMART_INVOICE_1700000001"}'
        raise ValueError(f"extra.progress_fields: give fields by {', '.join(PROGRESS)}, for example {example}")
    return named


def _mark_with(extra: Mapping[str, Any]) -> MarkWith:
    value = extra.get("smart_mark_with") or "stage"
    if value == "stage":
        return "stage"
    if value == "payment":
        return "payment"
    raise ValueError(f'extra.smart_mark_with: {shown(value)} is not known; give "stage" or "payment"')


def _stages(extra: Mapping[str, Any], name: str) -> tuple[str, ...]:
    stages = listed(extra.get(name))
    if stages is None:
        raise ValueError(f'extra.{name}: give stages of smart invoices, for example ["DT31_5:P"]')
    return tuple(check_stage_id(stage_id, f"extra.{name}") for stage_id in stages)


def listed(value: Any) -> list[str] | None:
    """A list of texts, also one text with commas; None when it is neither."""
    texts = value.split(",") if isinstance(value, str) else value or ()
    if not isinstance(texts, (list, tuple)) or not all(isinstance(each, str) for each in texts):
        return None
    return [each.strip() for each in texts if each.strip()]
