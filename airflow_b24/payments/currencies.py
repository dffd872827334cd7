"""ISO 4217: the currencies in use and how many digits their minor units have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_b24.payments.errors import CurrencyError

# ISO 4217 list one, as of 2026: BGN left it in January 2026, ANG and ZWL earlier. Codes without minor units (XAU, XDR...) are not money here.
_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
        COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
        INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
        MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP
        STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

EXPONENTS: Mapping[str, int] = MappingProxyType(
    {code: exponent for exponent, codes in _CODES_BY_EXPONENT.items() for code in codes.split()}
)

_SUCCESSORS = {"ANG": "XCG", "BGN": "EUR", "BYR": "BYN", "HRK": "EUR", "SLL": "SLE", "ZWL": "ZWG"}


def read_currency(currency: object, field: str = "currency") -> str:
    """Return the upper-case ISO 4217 code, or raise CurrencyError naming the field."""
    code = currency.upper() if isinstance(currency, str) and currency.isascii() else currency
    if isinstance(code, str) and code in EXPONENTS:
        return code
    raise CurrencyError(field, "not a currency in use", _fix(code), currency)


def _fix(code: object) -> str:
    if code == "RUR":
        return 'write "RUB": the code RUR was withdrawn'
    if isinstance(code, str) and code in _SUCCESSORS:
        return f"{code} was withdrawn: ask the source for the amount in {_SUCCESSORS[code]}"
    return 'write the three-letter ISO 4217 code, for example "RUB" or "EUR"'
