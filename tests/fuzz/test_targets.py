from __future__ import annotations

import pytest

from tests.fuzz.running import fuzz, replay
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_brings_anything_but_a_value_or_an_error_of_its_own(name: str) -> None:
    found = fuzz(name, examples=150, seed=20_261_122)
    assert found is None, f"{found[1]!r}\n{replay(name, found[0])}"


def test_a_parser_that_fails_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError(data)

    monkeypatch.setitem(TARGETS, "gzip", type(TARGETS["gzip"])(TARGETS["gzip"].inputs, crash))  # type: ignore[arg-type]
    found = fuzz("gzip", examples=1000, seed=1)
    assert found is not None
    assert isinstance(found[1], KeyError)
    assert b"\xff" in found[0]
