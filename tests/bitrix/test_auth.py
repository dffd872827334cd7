from __future__ import annotations

import pickle

import pytest

from airflow_b24.bitrix.auth import AddressError, OAuth, Origin, Secret, Webhook, is_loopback

SECRET = "k1x7v9q2m4z8t6w3"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (f"https://portal.example/rest/1/{SECRET}/", "https://portal.example"),
        (f"https://portal.example/rest/1/{SECRET}", "https://portal.example"),
        (f"https://portal.example/rest/1/{SECRET}/profile.json", "https://portal.example"),
        (f"  https://portal.example/rest/1/{SECRET}/\n", "https://portal.example"),
        (f"https://PORTAL.example:443/rest/1/{SECRET}/", "https://portal.example"),
        (f"https://portal.example:8443/rest/1/{SECRET}/", "https://portal.example:8443"),
        (f"https://портал.рф/rest/1/{SECRET}/", "https://xn--80awhdgm.xn--p1ai"),
        (f"http://127.0.0.1:8080/rest/1/{SECRET}/", "http://127.0.0.1:8080"),
        (f"http://localhost/rest/1/{SECRET}/", "http://localhost"),
        (f"https://portal.example./rest/1/{SECRET}/", "https://portal.example"),
        (f"https://portal.example.:443/rest/1/{SECRET}/", "https://portal.example"),
        (f"http://[::1]:80/rest/1/{SECRET}/", "http://[::1]"),
    ],
)
def test_a_webhook_is_read_as_bitrix24_shows_it(url: str, origin: str) -> None:
    webhook = Webhook.parse(url)
    assert str(webhook.origin) == origin
    assert (webhook.user_id, webhook.secret.reveal()) == (1, SECRET)
    assert webhook.path("profile") == f"/rest/1/{SECRET}/profile"


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        (f"http://portal.example/rest/1/{SECRET}/", "https://"),
        (f"http://10.0.0.1/rest/1/{SECRET}/", "https://"),
        (f"http://127.0.0.1.evil.example/rest/1/{SECRET}/", "https://"),
        (f"ftp://portal.example/rest/1/{SECRET}/", "https://"),
        (f"portal.example/rest/1/{SECRET}/", "https://"),
        (f"https://user:pw@portal.example/rest/1/{SECRET}/", "remove everything up to the @"),
        (f"https://{SECRET}@portal.example/rest/1/{SECRET}/", "remove everything up to the @"),
        (f"https://portal.example/rest/1/{SECRET}/?a=1", "remove it and what follows"),
        (f"https://portal.example/rest/1/{SECRET}/#a", "remove it and what follows"),
        (f"https://portal.example/rest/1/{SECRET}/crm.invoice.get", "it looks like"),
        (f"https://portal.example/x/rest/1/{SECRET}/", "it looks like"),
        (f"https://portal.example/rest/{SECRET}/", "it looks like"),
        (f"https://portal.example/rest/one/{SECRET}/", "user id"),
        (f"https://portal.example/rest/0/{SECRET}/", "user id"),
        (f"https://portal.example/rest//{SECRET}/", "user id"),
        ("https://portal.example/rest/1/short/", "copy the whole address"),
        ("https://portal.example/rest/1/**put_your_webhook_here**/", "copy the whole address"),
        (f"https://portal.example:99999/rest/1/{SECRET}/", "port"),
        (f"https://portal.example:x{SECRET}/rest/1/{SECRET}/", "port"),
        (f"https://[{SECRET}/rest/1/{SECRET}/", "webhook"),
        (f"https:///rest/1/{SECRET}/", "host"),
        (f"https://bad host/rest/1/{SECRET}/", "host"),
    ],
)
def test_a_wrong_address_names_the_fix_and_never_the_secret(url: str, fix: str) -> None:
    with pytest.raises(AddressError) as caught:
        Webhook.parse(url)
    assert fix in str(caught.value)
    assert str(caught.value).startswith("webhook: ")
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_secret_shows_itself_to_nobody() -> None:
    webhook = Webhook.parse(f"https://portal.example/rest/1/{SECRET}/")
    for text in (str(webhook.secret), repr(webhook.secret), f"{webhook.secret}", repr(webhook), str(webhook)):
        assert SECRET not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(webhook)


def test_secrets_are_named_in_every_spelling() -> None:
    webhook = Webhook.parse("https://portal.example/rest/1/abc%2Fdef~ghi/")
    assert {"abc/def~ghi", "abc%2Fdef~ghi", "abc%2fdef~ghi"} <= webhook.secrets
    assert webhook.path("profile") == "/rest/1/abc%2Fdef~ghi/profile"


class FixedTokens:
    def current(self) -> str:
        return SECRET

    def refresh(self, expired: str) -> str:
        return expired


def test_an_application_needs_the_portals_address_alone() -> None:
    assert OAuth.at("https://portal.example/", FixedTokens()).path("profile") == "/rest/profile"
    with pytest.raises(AddressError, match="portal: there is a path"):
        OAuth.at("https://portal.example/rest/", FixedTokens())
    assert SECRET not in repr(OAuth.at("https://portal.example", FixedTokens()))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_loopback_is_known_by_name_or_number(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["example.com", "localhost.example", "10.0.0.1", "0x7f000001", "::2", ""])
def test_nothing_else_is_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_origins_compare_by_what_they_reach() -> None:
    assert Origin.parse("https://A.example:443") == Origin.parse("https://a.example./")
    assert Secret("a") == Secret("a") != Secret("b")
