from __future__ import annotations

import pytest

from airflow_b24.payments.candidates import known_tax_id


@pytest.mark.parametrize(
    ("tax_id", "compared"),
    [
        ("7701234567", "7701234567"),
        ("77 0123-4567", "7701234567"),
        ("770123456789", "770123456789"),
        ("12.345.678/0001-95", "12345678000195"),
        ("12.ABC.345/01DE-35", "12ABC34501DE35"),
        ("123.456.789-09", "12345678909"),
        ("de123456789", "DE123456789"),
        ("IE1234567FA", "IE1234567FA"),
        ("CHE-123.456.788 MWST", "CHE123456788MWST"),
        ("ATU12345675", "ATU12345675"),
        ("NL123456789B01", "NL123456789B01"),
        ("732829320", "732829320"),
        ("14360570", "14360570"),
        ("900101300123", "900101300123"),
    ],
)
def test_a_tax_id_of_any_country_is_compared_by_letters_and_digits(tax_id: str, compared: str) -> None:
    assert known_tax_id(tax_id) == compared


@pytest.mark.parametrize(
    "tax_id",
    [
        *(
            "",
            " ",
            "-",
            "0",
            "7",
            "нет",
            "N/A",
            "б/н",
            "none",
            "не указан",
            "NOTAVAILABLE00",
            "1234567",
            "000000000000",
        ),
        *("0000000000", "1111111111", "99999999", "DE111111111", "1234567890", "12345678", "0987654321", "9" * 17),
        *("12345678901234567890", "ИНН", "٧٧٠١٢٣٤٥٦٧"),
    ],
)
def test_a_placeholder_says_nothing(tax_id: str) -> None:
    assert known_tax_id(tax_id) == ""
