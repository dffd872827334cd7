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
    r"(?:ЛИЦЕВ|РАСЧ[ЕЁ]ТН|БАНКОВСК|КОРРЕСП|ДЕПОЗИТ|ССУДН|ТРАНЗИТН|ТЕКУЩ|СПЕЦИАЛЬН|КАЗНАЧЕЙСК)\w{0,12}\s{1,3}[СC]Ч\w{0,6}",
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

# What a number right behind one of these is: money, a contract, an identifier. It is never another invoice.
MONEY_WORDS: tuple[str, ...] = (
    r"[СC]УММ(?:ОЙ|[АЫУЕAE])?(?:\s(?:НДС|ПЛАТЕЖА|ОПЛАТЫ|К\sОПЛАТЕ))?",
    r"В\s?Т[.]?\s?Ч[.]?",
    r"В\sТОМ\sЧИСЛЕ",
    r"(?<!БЕЗ\s)НДС",
    r"[СC]УМ[АИУІ]",
    "ПДВ",
    "(?:TOTAL|SUM|AMOUNT|VAT|BETRAG|SUMME|MWST|UST|MONTANT|TVA|IMPORTE|IVA|VALOR|KWOTA)[.]?",
    # In "118 EUR 46" it is the 118 that is money; behind a date it is the number to come.
    r"(?:(?<!\d)(?<!\d\s)|(?<=[./-]20\d\d\s))(?:RUB|UAH|EUR|USD|PLN|BRL|€|\$)",
)
CONTRACT_WORDS: tuple[str, ...] = (
    r"ДОГ(?:[.]|ОВОР\w{0,3})?(?:\s(?:НА|(?:ПОСТАВК|АРЕНД|СУБ|ПОДРЯД|ОКАЗАН|УСЛУГ|КУПЛИ|ЗАЙМ|ВОЗМЕЗД|ОБСЛУЖ|ЛИЦЕНЗ)[\w-]{0,14}+)){0,3}",
    "К(?:ОНТРАКТ|-Т)(?:ОМ|[АУЕ])?",
    "CONTRACT|AGREEMENT|VERTRAG|CONTRATO?|UMOW[AYĘ]",
)
IDENTIFIER_WORDS: tuple[str, ...] = (
    r"(?:ИНН|КПП|БИК|ОГРН(?:ИП)?|ОКПО|ЄДРПОУ|КБК|УИН|ОКТМО|IBAN|BIC|SWIFT|NIP|REGON|CNPJ|CPF|EORI)",
    r"(?:[РКЛ][/.]?[СC]Ч?)[.]?",
    r"(?:ТЕЛ(?:ЕФОН)?|МОБ|PHONE|TEL)[.]?",
)

# What the number before one of these counts.
COUNTED_WORDS: tuple[str, ...] = (
    "%",
    r"(?:RUB|UAH|EUR|USD|PLN|BRL|€|\$)(?!\w|\s{0,3}\d)",
    *(
        rf"(?:{word})(?![\w/-])"
        for word in (
            r"Р(?:УБ\w{0,4})?",
            r"КОП\w{0,4}",
            r"ГРН|ТЫС|МЛН",
            r"ШТ(?:УК\w?)?",
            r"ДН(?:Я|ЕЙ|ІВ|І)?|ДЕНЬ",
            r"МЕС(?:ЯЦ\w{0,3})?",
            r"КВ(?:АРТАЛ\w?)?",
            # "Часть" is a part, and counts nothing.
            r"Ч(?:АС(?!Т)\w{0,2})?|ЧИСЛ[АО]",
            r"КГ|М2|КВТ|УСЛ|ЭКЗ|ЧЕЛ|ЛИЦ",
            r"PCS|DAYS?|MONTHS?|HOURS?|STK|SZT",
        )
    ),
)
MONTHS: tuple[str, ...] = (
    "(?:ЯНВАР|ФЕВРАЛ|АПРЕЛ|ИЮН|ИЮЛ|СЕНТЯБР|ОКТЯБР|НОЯБР|ДЕКАБР)[ЬЯЕ]",
    "(?:МАРТ|АВГУСТ)[АЕ]?|МА[ЙЯЕ]|КВАРТАЛ[АЕ]?|КВ[.]?",
    "(?:ЯНВ|ФЕВР?|МАР|АПР|ИЮН|ИЮЛ|АВГ|СЕНТ?|ОКТ|НОЯБ?|ДЕК)[.]?",
    "(?:СІЧ|КВІТ|ТРАВ|ЧЕРВ|ЛИП|СЕРП|ВЕРЕС|ГРУД)(?:ЕНЬ|НЯ|НІ)|БЕРЕЗ(?:ЕНЬ|НЯ)|(?:ЛЮТ|ЖОВТ)(?:ИЙ|ОГО|НЯ|ЕНЬ)|ЛИСТОПАДА?",
    "JAN(?:UARY?)?|FEB(?:RUARY?)?|MAR(?:CH)?|APR(?:IL)?|MA[YI]|JUN[EI]?|JUL[YI]?|AUG(?:UST)?|SEP(?:TEMBER)?|O[CK]T(?:OBER)?|NOV(?:EMBER)?|DE[CZ](?:EMBER)?|MÄRZ",
    "JANVIER|FÉVRIER|MARS|AVRIL|JUIN|JUILLET|AOÛT|(?:SEPT|NOV|DÉC)EMBRE|OCTOBRE",
    "ENERO|FEBRERO|MARZO|ABRIL|MAYO|JUNIO|JULIO|AGOSTO|(?:SEPT|NOV|DIC)IEMBRE|OCTUBRE",
    "JANEIRO|FEVEREIRO|MARÇO|MAIO|JUNHO|JULHO|(?:SET|NOV|DEZ)EMBRO|OUTUBRO",
    "STYCZNIA|LUTEGO|MARCA|KWIETNIA|MAJA|CZERWCA|LIPCA|SIERPNIA|WRZEŚNIA|PAŹDZIERNIKA|LISTOPADA|GRUDNIA",
)

YEAR_WORDS: tuple[str, ...] = (r"Г(?:ОД[АУ]?|Г)?", "РОКУ", "РІК")

# Stems that begin a word and say that a named invoice is not, or no longer, the one that is paid, or is given back.
REPLACEMENT_WORDS: tuple[str, ...] = (
    *("ВЗАМЕН", "ВМЕСТО", "ЗАМЕСТО", "АННУЛИР", "АНУЛИР", "ОТМЕН", "СТОРН", "ОШИБОЧ", "НЕДЕЙСТВ", "УТРАТИ"),
    *("ВОЗВРАТ", "ПЕРЕПЛА", "КРЕДИТ[- ]?НОТ", "КОРРЕКТИР", r"НЕ\s{1,3}(?:ПО\s{1,3}СЧ|ОПЛА[ТЧ]|ПЛАТИТЬ)"),
    *("ЗАМІСТЬ", "СКАСОВ", "СКАСУВ", "АНУЛЬ", "АНУЛЮ", "ПОМИЛК", "ПОВЕРНЕН", "КОРИГУ"),
    *("REFUND", "CHARGE[- ]?BACK", r"CREDIT\s?NOTE", "OVERPA", "GUTSCHRIFT", "ERSTATT", "RÜCK(?:ERST|ÜBERW|ZAHL)"),
    *("REMBOURS", "REEMBOLS", "DEVOLU", "ZWROT", "NADPŁAT", "KOREKT"),
    *(r"\w{0,24}STORN", "REPLAC", "INSTEAD", "CANCEL", "SUPERSED", "ANN?UL", "VOID", "REVOK", "MISTAK", "ERRONE"),
    *("ERSETZ", "ANSTATT", "ANSTELLE", r"STATT\b", "UNGÜLTIG", "REMPLAC", "AU LIEU", "ERREUR"),
    *("REEMPLAZ", "SUSTITU", "EN LUGAR", "SUBSTITU", "EM VEZ", "ZAMIAST", "ZASTĘP", "OMYŁK"),
)
