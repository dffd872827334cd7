from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_b24.bitrix.errors import AuthError, RequestError, ResponseError
from airflow_b24.bitrix.protocol import Response
from airflow_b24.bitrix.stages import Stage, Stages, Wishes, check_stage_id, read_stages

Talk = Callable[..., tuple[list[Any], Any]]

# docs: the page of crm.category.list, without the columns that nobody reads here.
CATEGORIES = {"categories": [{"id": 5, "name": "General", "isDefault": "Y"}, {"id": 8, "name": "Retail"}]}


def status(stage_id: str, semantics: str | None = None, entity_id: str = "SMART_INVOICE_STAGE_5") -> dict[str, Any]:
    return {"ENTITY_ID": entity_id, "STATUS_ID": stage_id, "NAME": stage_id[-1], "SEMANTICS": semantics}


def statuses(*results: object) -> Response:
    return Response({"result": {f"c{n}": result for n, result in enumerate(results)}, "result_error": []})


GENERAL = [status("DT31_5:N"), status("DT31_5:P", "S"), status("DT31_5:D", "F")]
RETAIL = [
    status("DT31_8:NEW", entity_id="SMART_INVOICE_STAGE_8"),
    status("DT31_8:UC_PAID", "S", entity_id="SMART_INVOICE_STAGE_8"),
]


def test_the_stages_of_every_funnel_are_read_in_two_requests(talk: Talk) -> None:
    effects, stages = talk(read_stages(), Response(CATEGORIES), statuses(GENERAL, RETAIL))
    assert [effect.method for effect in effects] == ["crm.category.list", "batch"]
    assert effects[0].arguments == {"entityTypeId": 31}
    assert list(effects[1].arguments["cmd"].values()) == [
        f"crm.status.list?filter[ENTITY_ID]=SMART_INVOICE_STAGE_{category}" for category in (5, 8)
    ]
    assert stages.by_id["DT31_8:UC_PAID"] == Stage("DT31_8:UC_PAID", 8, "D", "success")
    assert (stages.paid_stage(5), stages.paid_stage(8)) == ("DT31_5:P", "DT31_8:UC_PAID")
    assert (stages.open_ids, stages.ended_ids) == (
        ["DT31_5:N", "DT31_8:NEW"],
        ["DT31_5:P", "DT31_5:D", "DT31_8:UC_PAID"],
    )


def test_rows_that_a_dropped_condition_lets_through_belong_to_no_funnel(talk: Talk) -> None:
    strangers = [*GENERAL, status("N", entity_id="INVOICE_STATUS")]
    _, stages = talk(read_stages(), Response({"categories": [{"id": 5}]}), statuses(strangers))
    assert set(stages.by_id) == {"DT31_5:N", "DT31_5:P", "DT31_5:D"}


@pytest.mark.parametrize("code", ["NOT_FOUND", "ENTITY_TYPE_NOT_SUPPORTED"])
def test_a_portal_without_smart_invoices_has_no_stages(talk: Talk, code: str) -> None:
    _, stages = talk(read_stages(), RequestError(code))
    assert stages == Stages({})


@pytest.mark.parametrize("error", [RequestError("INVALID_ARG_VALUE"), AuthError("ACCESS_DENIED")])
def test_any_other_refusal_is_no_word_about_stages(talk: Talk, error: Exception) -> None:
    with pytest.raises(type(error)):
        talk(read_stages(), error)
    denied = {"result": [], "result_error": {"c0": {"error": "ACCESS_DENIED", "error_description": "no"}}}
    with pytest.raises(AuthError):
        talk(read_stages(), Response({"categories": [{"id": 5}]}), Response(denied))


@pytest.mark.parametrize("result", [None, [], {"categories": None}, {"categories": [5]}, {"categories": [{"id": "x"}]}])
def test_an_answer_that_is_no_list_of_funnels_names_what_is_wrong(talk: Talk, result: object) -> None:
    with pytest.raises(ResponseError, match=r"categories|id"):
        talk(read_stages(), Response(result))


N, S, P, D = (Stage(f"DT31_5:{n}", 5, n, "process") for n in "NSPD")
PLAIN = {each.id: each for each in (N, S, Stage("DT31_5:P", 5, "P", "success"), Stage("DT31_5:D", 5, "D", "failure"))}

MEANINGS: dict[str, tuple[Wishes, set[str], set[str], str]] = {
    "as the portal says": (Wishes(), {"P"}, {"D"}, "P"),
    "paid is a stage of the way": (Wishes(paid_stage=("DT31_5:S",)), {"S", "P"}, {"D"}, "S"),
    "moved on by a robot, it is still paid": (Wishes(also_paid=("DT31_5:S",)), {"S", "P"}, {"D"}, "P"),
    "what people call lost may mean paid": (Wishes(also_paid=("DT31_5:D",)), {"P", "D"}, set(), "P"),
}


@pytest.mark.parametrize(("wishes", "paid", "lost", "target"), MEANINGS.values(), ids=MEANINGS)
def test_what_a_stage_means(wishes: Wishes, paid: set[str], lost: set[str], target: str) -> None:
    stages = Stages(PLAIN, wishes)
    assert {each[-1] for each in PLAIN if stages.is_paid(each)} == paid
    assert {each[-1] for each in PLAIN if stages.is_lost(each)} == lost
    assert {each[-1] for each in stages.open_ids} == set("NSPD") - paid - lost
    assert stages.paid_stage(5) == f"DT31_5:{target}"


def test_a_stage_that_nobody_knows_is_neither_paid_nor_lost() -> None:
    stages = Stages(PLAIN)
    assert not (stages.is_paid("DT31_5:X"))
    assert not (stages.is_lost("DT31_5:X"))


@pytest.mark.parametrize("by_id", [{"DT31_5:N": N}, {**PLAIN, "DT31_5:S": Stage("DT31_5:S", 5, "S", "success")}])
def test_a_funnel_without_exactly_one_stage_of_success_needs_a_word(by_id: dict[str, Stage]) -> None:
    with pytest.raises(ValueError, match=r"paid_stage: funnel 5 has (none|2 stages of success).*DT31_5:P"):
        Stages(by_id).paid_stage(5)
    assert Stages(by_id, Wishes(paid_stage=("DT31_5:N",))).paid_stage(5) == "DT31_5:N"


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        (Wishes(paid_stage=("DT31_9:P",)), "paid_stage"),
        (Wishes(also_paid=("X",)), "also_paid_stages"),
    ],
)
def test_a_wished_stage_that_is_not_there_is_told_with_those_that_are(wishes: Wishes, named: str) -> None:
    with pytest.raises(ValueError, match=rf"{named}: there is no stage .*there are DT31_5:N, DT31_5:S"):
        Stages(PLAIN, wishes)


@pytest.mark.parametrize("value", ["P", "DT31_:P", "DT31_5:", "DT32_5:P", "DT31_5:P N", 5, None])
def test_what_is_no_stage_of_smart_invoices_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match=r"extra\.paid_stage: .*write it like DT31_5:P"):
        check_stage_id(value, "extra.paid_stage")
    assert check_stage_id(" DT31_0:UC_1 ", "x") == "DT31_0:UC_1"
