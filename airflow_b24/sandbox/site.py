"""The whole sandbox as one pure function of (state, request, now)."""

from __future__ import annotations

from datetime import datetime

from airflow_b24.sandbox import access, bank, console, control, portal
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.wire import Answer, Request, html_answer, json_answer


def answer(state: State, request: Request, now: datetime) -> Answer:
    """Hand the request to the portal, the bank, the control surface or the console."""
    path = request.path
    if path.startswith(portal.PREFIX):
        return portal.answer(state, request, now)
    if path.rstrip("/") == access.OAUTH_PATH:
        return access.refresh(state, request, now)
    if path.rstrip("/") == bank.PATH:
        return bank.answer(state.bank, request)
    if path.startswith(control.PREFIX):
        return control.answer(state, request, now)
    if path == "/" and control.trusted(request):
        return html_answer(console.page(state, now))
    return json_answer({"error": "not found: see / for the console"}, 404)
