"""Days as people write them in six languages, beside what ISO 8601 writes: pairs for translation.

>>> written(date(1987, 3, 1), FRENCH, 1), written(date(1987, 3, 8), ITALIAN, 2)
('le 1er mars 1987', "l'8 marzo 1987")
"""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

__all__ = ["LANGUAGES", "Language", "date_pairs", "written"]

FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)


@dataclass(frozen=True)
class Language:
    """How a language writes days.

    The forms name what stands in them: {d} the day of the month, {dd} with two digits, {o} as an
    ordinal number; {month}, {mon} its short form, {m} its number, {mm} with two digits; {weekday}, {wd}
    its short form; {article} that of the day, with the space behind it; {year}; {of} before it in
    Spanish, "del" where it is usual, from 2000 on, else "de". A number of a month stands in forms of
    year, month and day, or with points or hyphens before the year: these say that the day comes
    first, as it does in the languages that write so.

    Args:
        months: From January on.
        short_months: The same, shorter.
        weekdays: From Monday on.
        short_weekdays: The same, shorter.
        forms: What it writes; every form says which day it is.
        first: The ordinal number of the first day; English has others, too.
        article: The article of days, and what stands for it before a vowel, of the 8th and the 11th.
    """

    months: tuple[str, ...]
    short_months: tuple[str, ...]
    weekdays: tuple[str, ...]
    short_weekdays: tuple[str, ...]
    forms: tuple[str, ...]
    first: str = "1"
    article: tuple[str, str] = ("", "")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ENGLISH = Language(
    _words(
        "January February March April May June July August September October November December"
    ),
    _words("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"),
    _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    _words("Mon Tue Wed Thu Fri Sat Sun"),
    (
        "{d} {month} {year}",
        "{month} {d}, {year}",
        "{o} {month} {year}",
        "{month} {o}, {year}",
        "the {o} of {month} {year}",
        "the {o} of {month}, {year}",
        "{d} {mon} {year}",
        "{mon} {d}, {year}",
        "{weekday}, {month} {d}, {year}",
        "{weekday} {d} {month} {year}",
        "{weekday}, the {o} of {month} {year}",
        "{wd}, {d} {mon} {year}",
    ),
)

GERMAN = Language(
    _words("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
    _words("Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez."),
    _words("Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"),
    _words("Mo. Di. Mi. Do. Fr. Sa. So."),
    (
        "{d}. {month} {year}",
        "{dd}. {month} {year}",
        "den {d}. {month} {year}",
        "am {d}. {month} {year}",
        "{d}. {mon} {year}",
        "{d}.{m}.{year}",
        "{dd}.{mm}.{year}",
        "{weekday}, {d}. {month} {year}",
        "{weekday}, den {d}. {month} {year}",
        "{wd}, {d}. {mon} {year}",
        "{wd}, {dd}.{mm}.{year}",
    ),
)

FRENCH = Language(
    _words("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
    _words("janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc."),
    _words("lundi mardi mercredi jeudi vendredi samedi dimanche"),
    _words("lun. mar. mer. jeu. ven. sam. dim."),
    (
        "{o} {month} {year}",
        "le {o} {month} {year}",
        "{o} {mon} {year}",
        "{weekday} {o} {month} {year}",
        "le {weekday} {o} {month} {year}",
        "{wd} {o} {mon} {year}",
    ),
    first="1er",
)

SPANISH = Language(
    _words(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
    ),
    _words("ene. feb. mar. abr. may. jun. jul. ago. sept. oct. nov. dic."),
    _words("lunes martes miércoles jueves viernes sábado domingo"),
    _words("lun. mar. mié. jue. vie. sáb. dom."),
    (
        "{d} de {month} de {year}",
        "{o} de {month} de {year}",
        "el {d} de {month} de {year}",
        "{d} de {month} {of} {year}",
        "{d} {mon} {year}",
        "{weekday}, {d} de {month} de {year}",
        "el {weekday} {d} de {month} de {year}",
        "{wd}, {d} {mon} {year}",
    ),
    first="1.º",
)

ITALIAN = Language(
    _words(
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre"
    ),
    _words("gen. feb. mar. apr. mag. giu. lug. ago. set. ott. nov. dic."),
    _words("lunedì martedì mercoledì giovedì venerdì sabato domenica"),
    _words("lun. mar. mer. gio. ven. sab. dom."),
    (
        "{d} {month} {year}",
        "{o} {month} {year}",
        "{article}{o} {month} {year}",
        "{d} {mon} {year}",
        "{weekday} {o} {month} {year}",
        "{weekday}, {d} {month} {year}",
        "{wd} {d} {mon} {year}",
    ),
    first="1º",
    article=("il ", "l'"),
)

DUTCH = Language(
    _words(
        "januari februari maart april mei juni juli augustus september oktober november december"
    ),
    _words("jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec."),
    _words("maandag dinsdag woensdag donderdag vrijdag zaterdag zondag"),
    _words("ma di wo do vr za zo"),
    (
        "{d} {month} {year}",
        "op {d} {month} {year}",
        "{d} {mon} {year}",
        "{d}-{m}-{year}",
        "{dd}-{mm}-{year}",
        "{weekday} {d} {month} {year}",
        "op {weekday} {d} {month} {year}",
        "{wd} {d} {mon} {year}",
    ),
)

LANGUAGES = (ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, DUTCH)


def written(day: date, language: Language, form: int) -> str:
    """Return how a language writes a day, in the form of that number."""
    d, m = day.day, day.month
    return language.forms[form].format(
        d=d,
        dd=f"{d:02}",
        o=_english_ordinal(d) if language is ENGLISH else language.first if d == 1 else d,
        m=m,
        mm=f"{m:02}",
        month=language.months[m - 1],
        mon=language.short_months[m - 1],
        weekday=language.weekdays[day.weekday()],
        wd=language.short_weekdays[day.weekday()],
        article=language.article[d in (8, 11)],
        of="del" if day.year >= 2000 else "de",
        year=day.year,
    )


def date_pairs() -> list[tuple[str, str]]:
    """Return each day of 1900 to 2099 as somebody writes it, and as 1987-03-03.

    The language, its form and the case, of which one in ten is all lower and one in ten all upper, are
    drawn for each day, the same on all machines.
    """
    # of a generator of Python's, only this method has the same values in all versions
    draw = Random(0).random
    pairs = []
    for k in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(k)
        language = LANGUAGES[int(len(LANGUAGES) * draw())]
        text = written(day, language, int(len(language.forms) * draw()))
        case = draw()
        text = text.lower() if case < 0.1 else text.upper() if case > 0.9 else text
        pairs.append((text, day.isoformat()))
    return pairs


def _english_ordinal(d: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
    return f"{d}{'th' if 11 <= d <= 13 else ending}"
