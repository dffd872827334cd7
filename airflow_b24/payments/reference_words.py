"""The words that introduce an invoice number, by language, and those that look like them and do not.

Every pattern is matched against upper-case NFKC text, in which the number sign is `#`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Cyrillic words are often typed with the Latin twin of a letter.
_SCHET = "[СC]Ч(?:[ЕЁE][ТT](?:АМИ|АМ|АХ|ОВ|ОМ|[АA]|[УY]|[ЕE]|Ы)?|-[ТT][АAУY]?|-[УY])?"
_RAKHUNOK = r"РАХ(?:УН(?:КАМИ|КАМ|КАХ|КОМ|ОК|КУ|КА|КИ|КІВ))?(?:[-\s]?ФАКТУР(?:АМИ|АМ|ОЮ|А|И|І|У)?)?"

INVOICE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ru": (
            rf"{_SCHET}(?:-(?:ОФЕРТ|ДОГОВОР)\w{{0,2}})?(?:\s+НА\s+(?:ПРЕД)?ОПЛАТУ)?(?:\s+ПОКУПАТЕЛЮ)?",
            "ИНВОЙС(?:АМИ|АМ|ОВ|ОМ|А|У|Ы)?",
        ),
        # In Ukraine a "рахунок-фактура" is the bill itself, unlike the Russian "счет-фактура".
        "uk": (_RAKHUNOK, "ІНВОЙС(?:АМ|ОМ|ІВ|У|И)?"),
        "en": ("INVOICES?", "INV", "BILLS?"),
        "de": (r"RECHNUNG(?:EN|S)?(?:-?(?:NUMMERN?|NRN?))?", r"R(?:E|G|ECHN)?[.-]{0,2}NRN?", "R[EG]", "FAKTURA"),
        "fr": ("FACTURES?", "FACT"),
        "es": ("FACTURAS?", "FRAS?"),
        "pt": ("FATURAS?", "FAT"),
        "pl": ("FAKTUR(?:AMI|OM|ACH|ZE|A|Y|Ę|E|Ą)?", "FAKT", "F-R[AY]", "FV(?:AT)?"),
    }
)

# A tax document or a bank account: the number after it is not an invoice's.
OTHER_WORDS: tuple[str, ...] = (
    r"[СC]Ч(?:[ЕЁE][ТT]\w{0,3})?[-.\s/]{0,2}Ф(?:АКТ\w{0,8})?(?!\w)",
    r"(?:[РЛК][/.]\s?|[РЛ]\s)[СC]Ч\w{0,6}",
    r"(?:ЛИЦЕВ|РАСЧ[ЕЁ]ТН|БАНКОВСК|КОРРЕСП|ДЕПОЗИТ|ССУДН|ТРАНЗИТН|ТЕКУЩ|СПЕЦИАЛЬН)\w{0,12}\s{1,3}[СC]Ч\w{0,6}",
    r"(?:ЛИЦ|РАСЧ|БАНК|КОРР?|ТЕК)\.\s?[СC]Ч\w{0,6}",
    r"(?:РОЗРАХУНК|ПОТОЧН|ОСОБОВ|БАНКІВСЬК)\w{0,8}\s{1,3}РАХ\w{0,6}",
    r"НА\s{1,3}(?:[СC]Ч(?:[ЕЁE][ТT])?|РАХ(?:УНОК)?)(?!\w|\s{1,3}НА\s)",
)

# What may stand between a number and the date of its document.
DATE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ru": ("ОТ", "[ОO][ТT]", "ДАТА"),
        "uk": ("ВІД", "ВIД"),
        "en": ("DATED?", "DTD", "OF", "FROM"),
        "de": ("VOM", "V", "DATUM"),
        "fr": ("(?:EN )?DATE DU", "DU"),
        "es": ("(?:DE |CON )?FECHA(?: DE)?", "DEL?"),
        "pt": ("(?:COM )?DATA(?: DE)?", "DO DIA", "D[EO]", "EM"),
        "pl": ("Z DNIA", "Z", "OD"),
    }
)

# What may join the numbers of a list.
LIST_WORDS: tuple[str, ...] = ("И", "ТА", "AND", "UND", "ET", "Y", "E", "I", "ORAZ")

# A number before one of these is a quantity or a sum.
UNIT_WORDS: tuple[str, ...] = (
    "%",
    "РУБ",
    "Р[.]",
    "КОП",
    "ГРН",
    "ШТ",
    "ДН",
    "RUB",
    "UAH",
    "EUR",
    "USD",
    "PLN",
    "BRL",
    "€",
    r"\$",
    "PCS",
)

# What a number does not begin with: these name another kind of number.
FOREIGN_PREFIXES: tuple[str, ...] = (
    "ИНН",
    "КПП",
    "БИК",
    "ДОГ",
    "ЗАКАЗ",
    "НДС",
    "СУММ",
    "VAT",
    "ORDER",
    "CONTRACT",
    "IBAN",
    "UST",
    "NIP",
)
