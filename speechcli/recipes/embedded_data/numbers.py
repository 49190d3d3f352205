"""Number words, dates and times in five languages, as far as the closed classes of `phrases` need them."""

from speechcli.recipes.embedded_data.manifest import DIGITS, LANGUAGES

_SMALL = {
    "en": "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "es": "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
    "fr": "dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf",
    "it": "dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove",
    "ru": "десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать шестнадцать семнадцать "
    "восемнадцать девятнадцать",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "fr": "vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt",
    "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "ru": "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
}
_HUNDREDS = {
    "es": "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos",
    "ru": "сто двести триста четыреста пятьсот шестьсот семьсот восемьсот девятьсот",
}
_TWENTIES_ES = "veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "es": "lunes martes miércoles jueves viernes sábado domingo".split(),
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche".split(),
    "it": "lunedì martedì mercoledì giovedì venerdì sabato domenica".split(),
    "ru": "понедельник вторник среда четверг пятница суббота воскресенье".split(),
}
MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre".split(),
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря".split(),
}
_ORDINALS = {
    "en": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
    "ru": "первое второе третье четвёртое пятое шестое седьмое восьмое девятое десятое одиннадцатое двенадцатое "
    "тринадцатое четырнадцатое пятнадцатое шестнадцатое семнадцатое восемнадцатое девятнадцатое двадцатое",
}


def words(number: int, language: str) -> str:
    """A number from 0 to 999 in words.

    Args:
        number: the number.
        language: one of the five languages.

    Returns:
        Its words as they are written, without a gender of their own (Spanish and Russian count in the masculine).
    """
    if number < 10:
        return DIGITS[language][number]
    if number < 20:
        return _SMALL[language].split()[number - 10]
    if number < 100:
        return _below_hundred(number, language)
    return _below_thousand(*divmod(number, 100), language)


def _below_hundred(number: int, language: str) -> str:
    tens, unit = divmod(number, 10)
    ten = _TENS[language].split()[tens - 2]
    if language == "fr":
        return _french(tens, unit, ten)
    if unit == 0:
        return ten
    if language == "es":
        return _TWENTIES_ES.split()[unit - 1] if tens == 2 else f"{ten} y {words(unit, 'es')}"
    if language == "it":
        stem = ten[:-1] if unit in (1, 8) else ten
        return f"{stem}{'tré' if unit == 3 else words(unit, 'it')}"
    return f"{ten} {words(unit, language)}"


def _french(tens: int, unit: int, ten: str) -> str:
    if tens in (7, 9):
        unit += 10
    if unit == 0:
        return "quatre-vingts" if tens == 8 else ten
    if unit in (1, 11) and tens < 8:
        return f"{ten} et {words(unit, 'fr')}"
    return f"{ten}-{words(unit, 'fr')}"


def _below_thousand(hundreds: int, rest: int, language: str) -> str:
    tail = words(rest, language) if rest else ""
    if language == "it":
        return f"{'' if hundreds == 1 else words(hundreds, 'it')}cento{tail}"
    if language in _HUNDREDS:
        head = "cien" if (language, hundreds, rest) == ("es", 1, 0) else _HUNDREDS[language].split()[hundreds - 1]
    elif language == "fr":
        plural = "s" if hundreds > 1 and not rest else ""
        head = f"cent{plural}" if hundreds == 1 else f"{words(hundreds, 'fr')} cent{plural}"
    else:
        head = f"{words(hundreds, 'en')} hundred"
    return f"{head} {tail}".strip()


def ordinal(number: int, language: str) -> str:
    """An English or Russian (neuter) ordinal from 1 to 31, as dates have it."""
    names = _ORDINALS[language].split()
    if number <= 20:
        return names[number - 1]
    if number == 30:
        return {"en": "thirtieth", "ru": "тридцатое"}[language]
    return f"{words(number - number % 10, language)} {names[number % 10 - 1]}"


def date(weekday: int, day: int, month: int) -> dict[str, str]:
    """A day of the year in five languages; `day` from 2 to 31, the others count from 0."""
    texts = {"en": f"{WEEKDAYS['en'][weekday]}, {MONTHS['en'][month]} {ordinal(day, 'en')}"}
    texts["es"] = f"{WEEKDAYS['es'][weekday]}, {words(day, 'es')} de {MONTHS['es'][month]}"
    for language in ("fr", "it"):
        texts[language] = f"{WEEKDAYS[language][weekday]} {words(day, language)} {MONTHS[language][month]}"
    texts["ru"] = f"{WEEKDAYS['ru'][weekday]}, {ordinal(day, 'ru')} {MONTHS['ru'][month]}"
    return texts


def time(hour: int, minute: int) -> dict[str, str]:
    """A time of day in five languages; `hour` from 2 to 12, `minute` a ten or a five."""
    hours, minutes = ({language: words(number, language) for language in LANGUAGES} for number in (hour, minute))
    return {
        "en": f"It is {hours['en']} {minutes['en']}.",
        "es": f"Son las {hours['es']} y {minutes['es']}.",
        "fr": f"Il est {hours['fr']} heures {minutes['fr']}.",
        "it": f"Sono le {hours['it']} e {minutes['it']}.",
        "ru": f"Сейчас {hours['ru']} {'часа' if hour < 5 else 'часов'} {minutes['ru']} минут.",
    }
