from __future__ import annotations

import copy
import logging
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator

import pytest

from airflow_b24.bitrix.auth import Secret
from airflow_b24.bitrix.commands import decode
from airflow_b24.bitrix.errors import AuthError, BitrixError
from airflow_b24.bitrix.protocol import Request, Response
from airflow_b24.bitrix.redaction import REDACTOR, Frameless, Redactor, shown
from tests.secrets.canaries import ENCODINGS, MARK, WEBHOOK
from tests.secrets.search import find

HARMLESS = (
    "crm.invoice.get at portal.example: ERROR_CORE: Оплата по счёту № 2026/5, 40702810000000000021, 100%25 \\u041e =D0",
    "a+b/c==, x-y_z, \x1b[1mbold\x1b[0m, C:\\new\\table, id=41&n=5A%2F5",
    "",
)


Scrub = Callable[..., str]


@pytest.fixture
def redactor() -> Iterator[Redactor]:
    """One of its own, which stops listening when the test ends."""
    made = Redactor()
    yield made
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).removeFilter(made)


@pytest.fixture
def scrub(redactor: Redactor) -> Scrub:
    def masked(text: str, *secrets: str) -> str:
        redactor.learn(secrets)
        return redactor.scrub(text)

    return masked


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_masked_in_every_encoding_and_what_stands_around_it_stays(scrub: Scrub, encoding: str) -> None:
    said = f"Счёт 40702810: no such token: {ENCODINGS[encoding](WEBHOOK.text)} said the portal of 2026"
    masked = scrub(said, WEBHOOK.text)
    assert list(find(masked.encode())) == []
    assert masked.startswith("Счёт 40702810: no such token: ")
    assert masked.endswith(" said the portal of 2026")
    assert "***" in masked


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_pass_as_they_are(scrub: Scrub, text: str) -> None:
    assert scrub(text) == text
    assert scrub(text, WEBHOOK.text, "0000000000000001") == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("0123456789abcdef", "***"),
        ("x 01234567 y", "x *** y"),
        ("x 0123456 y", "x 0123456 y"),
        ("x 89ABCDEF y", "x *** y"),
        ("0123456789abcdef0123456789abcdef", "***"),
        ("0123456789abcdef, 0123456789abcdef", "***, ***"),
    ],
    ids=["whole", "eight", "seven", "capitals", "twice in a row", "twice"],
)
def test_eight_letters_in_a_row_give_a_secret_away(scrub: Scrub, text: str, left: str) -> None:
    assert scrub(text, "0123456789abcdef") == left


def test_a_secret_shorter_than_eight_is_masked_whole(scrub: Scrub) -> None:
    assert scrub("the pin is a1b2c3, not a1b2c", "a1b2c3") == "the pin is ***, not a1b2c"


def test_a_log_record_loses_the_secret_and_the_error_that_names_it(
    redactor: Redactor, caplog: pytest.LogCaptureFixture
) -> None:
    redactor.learn([WEBHOOK.text])
    for error in (ValueError(WEBHOOK.text), ValueError("harmless")):
        logging.getLogger("urllib3.connection").warning(
            "asked %s", {"url": f"https://p.test/rest/1/{WEBHOOK.text}/"}, exc_info=error
        )
    told, harmless = caplog.records
    assert (told.getMessage(), told.exc_info) == ("asked {'url': 'https://p.test/rest/1/***/'}", None)
    assert harmless.exc_info is not None
    assert MARK not in caplog.text


def test_an_error_holds_no_secret_whoever_makes_it() -> None:
    REDACTOR.learn([WEBHOOK.text])
    request = Request("crm.invoice.get", {"id": 1})
    inner = {"error": WEBHOOK.text, "error_description": f"no such token: {WEBHOOK.text}"}
    (of_a_batch,) = decode(Response({"result": [], "result_error": {"a": inner}}), {"a": request}).values()
    assert isinstance(of_a_batch, BitrixError)
    for error in (of_a_batch, AuthError(WEBHOOK.text, WEBHOOK.text), pickle.loads(pickle.dumps(of_a_batch))):  # noqa: S301
        assert list(find(f"{error} {error!r} {vars(error)}".encode())) == []


def test_frameless_lets_the_error_out_without_frames_and_chain() -> None:
    def inner(secret: str) -> None:
        try:
            int(f"x{len(secret)}")
        except ValueError as error:
            raise ValueError("the text stays") from error

    with pytest.raises(ValueError, match="the text stays") as caught, Frameless():
        inner(WEBHOOK.text)
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert frames == [sys._getframe().f_code.co_name, "__exit__"]


def test_frameless_leaves_success_alone() -> None:
    with Frameless():
        done = 1
    assert done == 1


@pytest.mark.parametrize(
    ("value", "named"),
    [("x" * 12, repr("x" * 12)), ("x" * 13, "what stands there"), ("9" * 50, repr("9" * 40)), (None, "'None'")],
)
def test_a_long_value_is_not_named_in_an_error_about_it(value: object, named: str) -> None:
    assert shown(value) == named


def test_a_secret_is_neither_copied_deeply_nor_pickled() -> None:
    for act in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not pickled") as caught:
            act(Secret(WEBHOOK.text))
        assert MARK not in str(caught.value)
