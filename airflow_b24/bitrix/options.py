"""The settings which both clients take."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from airflow_b24.bitrix.limits import Pace


class Options(TypedDict, total=False):
    """Settings of `Client` and `AsyncClient`, all of them keyword arguments.

    - pace: the portal's budget of requests; none: no waiting
    - timeout_s: seconds for one request in all, from connecting to the last byte; 60
    - ca_bundle: a private authority to trust beside the public ones, as a path or PEM text
    - trust_env: use the environment's proxy and certificates; off
    - allowed_hosts: where the portal may move, as `host` or `host:port`; nowhere
    - max_answer: bytes of one answer, decompressed; 16 MiB
    """

    pace: Pace | None
    timeout_s: float
    ca_bundle: str | None
    trust_env: bool
    allowed_hosts: Collection[str]
    max_answer: int
