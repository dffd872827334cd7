from __future__ import annotations

import pytest

from airflow_b24.bitrix.auth import AddressError, Origin
from airflow_b24.bitrix.invoice import Kind
from airflow_b24.bitrix.pages import invoice_url


@pytest.mark.parametrize("portal", ["https://portal.example/", Origin.parse("https://portal.example")])
@pytest.mark.parametrize(("kind", "page"), [("legacy", "invoice/show/5/"), ("smart", "type/31/details/5/")])
def test_an_invoice_has_a_page(portal: str | Origin, kind: Kind, page: str) -> None:
    assert invoice_url(portal, kind, 5) == f"https://portal.example/crm/{page}"


def test_a_webhook_is_no_page() -> None:
    with pytest.raises(AddressError) as caught:
        invoice_url("https://portal.example/rest/1/k1x7v9q2m4z8t6w3/", "legacy", 5)
    assert "k1x7" not in str(caught.value)
