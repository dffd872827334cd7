from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_b24.payments import matching
from tests.matching_truth import cases, measure


@pytest.mark.parametrize("seed", [0, 1])
def test_no_proof_is_false_and_nearly_all_that_can_be_proven_is(seed: int) -> None:
    found = measure(1500, seed)
    assert found.false == ()
    assert found.unaided >= 0.95
    assert found.provable > 1000


def test_the_same_seed_gives_the_same_payments_and_every_kind_of_them() -> None:
    made, _ = cases(400, 7)
    assert made == cases(400, 7)[0]
    assert len({case.kind for case in made}) == 8


def test_a_matching_that_believes_the_number_alone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(
        payment: object, invoice: matching.Invoice, references: object, evidence: dict[str, str]
    ) -> matching.Proven:
        return matching.Proven((invoice,), "number_and_date", evidence)

    monkeypatch.setattr(matching, "_identify", believe)
    assert len(measure(1500, 0).false) > 10


def test_a_matching_that_hears_no_word_of_replacement_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "speaks_of_replacement", lambda _: False)
    assert measure(1500, 0).false


def test_a_matching_that_sees_no_hidden_character_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    find = matching.find_references
    monkeypatch.setattr(matching, "find_references", lambda text: replace(find(text), suspicious=False))
    assert measure(1500, 0).false
