"""Runs targets for a while; what fails is made as small as it can be, and shown for replay."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded

from tests.fuzz.targets import TARGETS

ROUND = 100


def fuzz(name: str, *, examples: int, seed: int) -> tuple[bytes, Exception] | None:
    """Try so many inputs; returns the smallest that fails and its error. The same seed tries the same inputs."""
    target, last = TARGETS[name], b""

    @seeded(seed)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def tried(data: bytes) -> None:
        nonlocal last
        last = data
        target.run(data)

    try:
        tried()
    except Exception as error:  # noqa: BLE001 - whatever a parser raises is what is looked for
        return last, error
    return None


def rounds(names: list[str], seconds: float, seed: int) -> Iterator[tuple[str, int, tuple[bytes, Exception] | None]]:
    """Fuzz one target after the other until the time is over; yields name, seed and what failed."""
    until = time.monotonic() + seconds
    while True:
        for name in names:
            yield name, seed, fuzz(name, examples=ROUND, seed=seed)
            if time.monotonic() > until:
                return
        seed += 1


def replay(name: str, data: bytes) -> str:
    """The command that runs one input again."""
    return f"python -m tests.fuzz --target {name} --input {b64encode(data).decode()}"
