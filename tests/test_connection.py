from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.bitrix.auth import OAuth, Webhook
from airflow_b24.bitrix.errors import AuthError
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.connection import KNOWN, Settings, read_settings
from airflow_b24.provider_info import CONNECTION_FORM

SECRET = "canary%2Bsecret~01"
WEBHOOK = f"https://portal.test/rest/1/{SECRET}/"


def _extra(**extra: Any) -> Settings:
    return read_settings(WEBHOOK, None, extra)


def test_a_webhook_address_in_the_password_is_all_that_is_needed() -> None:
    settings = read_settings(f"  {WEBHOOK}\n", "", {})
    assert isinstance(settings.auth, Webhook)
    assert (str(settings.auth.origin), settings.auth.user_id) == ("https://portal.test", 1)
    assert (settings.timeout_s, settings.requests_per_second, settings.burst) == (60.0, 2.0, 50)
    assert (settings.pay_system_id, settings.bx_rest_handler, settings.trust_env) == (None, None, False)


@pytest.mark.parametrize("host", ["portal.test", "https://portal.test", "https://portal.test/"])
def test_a_token_beside_the_portals_address_is_oauth(host: str) -> None:
    auth = read_settings("token-0001", host, {}).auth
    assert isinstance(auth, OAuth)
    assert str(auth.origin) == "https://portal.test"
    assert auth.tokens.current() == "token-0001"


APPLICATION = {
    "client_id": "local.5f0000.00000001",
    "client_secret": "canary+client/secret",
    "refresh_token": "canary+refresh/token",
}


def test_an_application_is_read_from_the_extra_beside_host_and_an_access_token_or_none() -> None:
    for password in ("canary-access", "", None):
        settings = read_settings(password, "portal.test", APPLICATION)
        assert isinstance(settings.auth, OAuth)
        application = settings.application
        assert application is not None
        assert (str(settings.auth.origin), str(application.server)) == (
            "https://portal.test",
            "https://oauth.bitrix.info",
        )
        assert application.client_id == APPLICATION["client_id"]
        assert application.client_secret.reveal() == APPLICATION["client_secret"]
        assert application.refresh_token.reveal() == APPLICATION["refresh_token"]
        assert application.access_token.reveal() == (password or "")
    assert read_settings("token-0001", "portal.test", {}).application is None


def test_an_applications_secrets_are_named_in_every_spelling_and_shown_in_none() -> None:
    settings = read_settings("canary-access", "portal.test", APPLICATION)
    assert {
        "canary-access",
        "canary+client/secret",
        "canary%2Bclient%2Fsecret",
        "canary+refresh/token",
    } <= settings.secrets
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["https://oauth.bitrix24.tech", " https://oauth.bitrix24.tech/ ", "http://127.0.0.1:8024"]
)
def test_another_authorisation_server_can_be_named(url: str) -> None:
    application = read_settings(None, "portal.test", {**APPLICATION, "oauth_url": url}).application
    assert application is not None
    assert str(application.server) == url.strip().rstrip("/")


@pytest.mark.parametrize(
    ("password", "host", "changed", "named"),
    [
        (None, "portal.test", {"client_secret": ""}, r"extra\.client_secret: missing; client_id, .* go together"),
        (None, "portal.test", {"refresh_token": None}, r"extra\.refresh_token: missing"),
        (None, "portal.test", {"client_id": None}, r"extra\.client_id: missing"),
        (None, "portal.test", {"client_secret": "two canary words"}, r"extra\.client_secret: it is not usable; copy"),
        (None, "portal.test", {"refresh_token": 12345}, r"extra\.refresh_token: it is not usable; copy"),
        (None, "portal.test", {"oauth_url": "http://oauth.test"}, r"extra\.oauth_url: http .*https://"),
        (None, "portal.test", {"oauth_url": "https://oauth.test/oauth/token/"}, r"extra\.oauth_url: .*path.*remove"),
        (None, "portal.test", {"oauth_url": "https://a:canary@oauth.test"}, r"extra\.oauth_url: .*credentials"),
        (None, None, {}, r"extra\.client_id: it is only for OAuth; put the portal's address into Host"),
        (WEBHOOK, None, {}, r"extra\.client_id: it is only for OAuth"),
        (WEBHOOK, "portal.test", {}, r"host: .*OAuth.*empty Host"),
    ],
)
def test_an_application_that_cannot_be_is_refused_with_its_field_and_its_fix_and_without_a_secret(
    password: str | None, host: str | None, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        read_settings(password, host, {**APPLICATION, **changed})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("password", "extra", "said"),
    [
        ("token-0001", {}, "password: .* has expired; put client_id, client_secret"),
        ("token-0001", APPLICATION, "password: .* has expired; tasks renew it by themselves"),
        ("", APPLICATION, "password: there is no .*; tasks renew it by themselves"),
    ],
)
def test_without_a_ledger_a_pasted_token_is_never_renewed_and_says_what_to_do(
    password: str, extra: dict[str, Any], said: str
) -> None:
    auth = read_settings(password, "portal.test", extra).auth
    assert isinstance(auth, OAuth)
    with pytest.raises(AuthError, match=said):
        auth.tokens.refresh(auth.tokens.current())


@pytest.mark.parametrize(
    ("password", "host", "named"),
    [
        (None, None, r"password: .*no secret; paste the inbound webhook's address"),
        ("   ", "", r"password: .*no secret"),
        (None, "portal.test", r"password: .*no secret"),
        (WEBHOOK, WEBHOOK, r"host: .*credentials.*into Password"),
        (None, WEBHOOK, r"password: .*into Password"),
        ("token-0001", f"portal.test/rest/1/{SECRET}", r"host: .*credentials.*into Password"),
        ("token-0001", f"https://me:{SECRET}@portal.test", r"host: .*credentials"),
        (WEBHOOK, "portal.test", r"host: .*OAuth.*empty Host"),
        (WEBHOOK.replace("https", "http"), None, r"webhook: http would show the secret.*https://"),
        ("token-0001", "http://portal.test", r"portal: http would show the secret.*https://"),
        (f"https://me:{SECRET}@portal.test/rest/1/{SECRET}/", None, r"webhook: .*credentials before the host.*@"),
        (SECRET, None, r"webhook: .*https://"),
        (f"https://portal.test/rest/1/{SECRET}/?x=1", None, r"webhook: .*\?"),
        ("https://portal.test/", None, r"webhook: .*not an inbound webhook's address"),
        (f"https://portal.test/rest/one/{SECRET}/", None, r"webhook: .*user id"),
        ("https://portal.test/rest/1/*****/", None, r"webhook: .*placeholder"),
    ],
)
def test_a_bad_address_is_refused_with_its_field_and_its_fix_and_without_the_secret(
    password: str | None, host: str | None, named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        read_settings(password, host, {})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("address", ["http://127.0.0.1:8024", "http://localhost:8024", "http://[::1]:8024"])
def test_http_is_for_loopback(address: str) -> None:
    assert str(read_settings(f"{address}/rest/1/{SECRET}/", None, {}).auth.origin) == address


@pytest.mark.parametrize(
    ("extra", "attribute", "value"),
    [
        ({"pay_system_id": 31}, "pay_system_id", 31),
        ({"pay_system_id": "31"}, "pay_system_id", 31),
        ({"pay_system_id": ""}, "pay_system_id", None),
        ({"pay_system_id": None}, "pay_system_id", None),
        ({"bx_rest_handler": "airflowbank"}, "bx_rest_handler", "airflowbank"),
        ({"timeout": "15"}, "timeout_s", 15.0),
        ({"requests_per_second": 5}, "requests_per_second", 5.0),
        ({"burst": 250}, "burst", 250),
        ({"rate_share": "0.5"}, "burst", 25),
        ({"rate_share": 0.5, "requests_per_second": 5}, "requests_per_second", 2.5),
        ({"ca_bundle": "/etc/ca.pem"}, "ca_bundle", "/etc/ca.pem"),
        ({"trust_env": True}, "trust_env", True),
        ({"trust_env": "TRUE"}, "trust_env", True),
        ({"trust_env": ""}, "trust_env", False),
        ({"trust_env": None}, "trust_env", False),
        ({"allowed_hosts": "New.Bitrix24.com, b.test,"}, "allowed_hosts", ("new.bitrix24.com", "b.test")),
        ({"allowed_hosts": ["a.test"]}, "allowed_hosts", ("a.test",)),
        ({"allowed_hosts": None}, "allowed_hosts", ()),
        ({}, "timeline_comments", False),
        ({"timeline_comments": "true"}, "timeline_comments", True),
        ({}, "invoice_type", "auto"),
        ({"invoice_type": "smart"}, "invoice_type", "smart"),
        ({"invoice_type": ""}, "invoice_type", "auto"),
        ({}, "wishes", Wishes()),
        ({"paid_stage": "DT31_5:P, DT31_8:UC_1"}, "wishes", Wishes(("DT31_5:P", "DT31_8:UC_1"))),
        ({"also_paid_stages": ["DT31_5:UC_2"]}, "wishes", Wishes(also_paid=("DT31_5:UC_2",))),
        ({"progress_fields": {"paid": "ufCrm_1"}}, "wishes", Wishes(fields={"paid": "ufCrm_1"})),
        (
            {"progress_fields": "paid=ufCrm_1, last_paid_on = ufCrm_2"},
            "wishes",
            Wishes(fields={"paid": "ufCrm_1", "last_paid_on": "ufCrm_2"}),
        ),
        ({"smart_mark_with": "payment"}, "wishes", Wishes(mark_with="payment")),
    ],
)
def test_an_extra_becomes_a_setting(extra: dict[str, Any], attribute: str, value: object) -> None:
    assert getattr(_extra(**extra), attribute) == value


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("pay_system_id", 0, "whole number above 0"),
        ("pay_system_id", "31.0", "whole number above 0"),
        ("pay_system_id", True, "whole number above 0"),
        ("bx_rest_handler", 7, "code of a REST handler"),
        ("bx_rest_handler", "  ", "code of a REST handler"),
        ("timeout", -1, "above 0, at most 600"),
        ("timeout", "soon", "above 0, at most 600"),
        ("timeout", True, "above 0"),
        ("timeout", "nan", "above 0"),
        ("timeout", 601, "at most 600"),
        ("requests_per_second", 0, "above 0"),
        ("burst", [], "above 0"),
        ("burst", 2, "at least 3"),
        ("burst", 2.5, "at least 3"),
        ("rate_share", 0, "above 0, at most 1"),
        ("rate_share", 1.1, "above 0, at most 1"),
        ("rate_share", 0.05, "at least 3"),
        ("ca_bundle", True, "path or PEM"),
        ("trust_env", "yes", "neither true nor false"),
        ("trust_env", 1, "neither true nor false"),
        ("allowed_hosts", 7, "host names"),
        ("allowed_hosts", [7], "host names"),
        ("invoice_type", "old", 'give "auto", "legacy" or "smart"'),
        ("invoice_type", 31, 'give "auto", "legacy" or "smart"'),
        ("paid_stage", "P", "write it like DT31_5:P"),
        ("paid_stage", 5, "give stages of smart invoices"),
        ("also_paid_stages", [5], "give stages of smart invoices"),
        ("progress_fields", {"sum": "ufCrm_1"}, "paid, balance, payments, last_paid_on"),
        ("progress_fields", {"paid": "comments"}, "paid, balance, payments, last_paid_on"),
        ("progress_fields", "ufCrm_1", "paid, balance, payments, last_paid_on"),
        ("progress_fields", ["paid"], "paid, balance, payments, last_paid_on"),
        ("progress_fields", 7, "paid, balance, payments, last_paid_on"),
        ("smart_mark_with", "money", 'give "stage" or "payment"'),
    ],
)
def test_a_bad_extra_is_refused_with_its_name_and_the_fix(name: str, value: object, fix: str) -> None:
    with pytest.raises(ValueError, match=rf"extra\.{name}: .*{fix}"):
        _extra(**{name: value})


def test_an_unknown_extra_is_refused_with_what_is_known() -> None:
    with pytest.raises(ValueError, match=r"extra: paysystem is not known; known are .*pay_system_id"):
        _extra(paysystem=31)


def test_there_is_no_switch_that_turns_verification_off() -> None:
    with pytest.raises(ValueError, match="verify is not known"):
        _extra(verify=False)


def test_the_connection_form_offers_exactly_what_is_read() -> None:
    assert set(CONNECTION_FORM["conn-fields"]) == KNOWN


def test_settings_name_every_spelling_of_the_secret_for_masking_and_show_none() -> None:
    settings = read_settings(WEBHOOK, None, {})
    assert {"canary+secret~01", "canary%2Bsecret~01", WEBHOOK} <= settings.secrets
    assert not any(secret in repr(settings) for secret in settings.secrets)
    assert "token-0001" not in repr(read_settings("token-0001", "portal.test", {}))
