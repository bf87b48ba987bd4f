"""Dates in the head of a page: which lines say when it was published or updated, in many languages.

Times without a zone are taken as UTC.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby, repeat
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.boilerplate.body import above_body
from etl.boilerplate.lines import edges, matching
from etl.late import late

Array = npt.NDArray[Any]

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)  # without a better bound; the runner knows when the page was fetched
DATE_LINE_CHARS: Final = 140
PREFIX_BEFORE_CHARS: Final = 40  # less text than this behind the date, and the line is no paragraph
MIDNIGHT: Final = time(0)

# ---- words of many languages -------------------------------------------------------------------------------------
# Folded before use: lower case, accents off (so "Şubat" and "subat", "août" and "aout" are one).

_MONTHS: Final = """
january jan januar janner janvier janv enero ene janeiro gennaio gen januari styczen stycznia sty января январь янв
  ocak ιανουαριου ιανουαριος ιαν يناير جانفي كانون_الثاني leden ledna січня січень
february feb februar fevrier fevr febrero fevereiro fev febbraio februari februarie luty lutego lut февраля февраль фев
  февр subat φεβρουαριου φεβρουαριος φεβ فبراير فيفري شباط unor unora лютого лютий
march mar marz maerz mars marzo marco maart mrt marzec marca марта март mart μαρτιου μαρτιος μαρ maret مارس آذار brezen
  brezna березня березень
april apr avril avr abril abr aprile kwiecien kwietnia kwi апреля апрель апр nisan απριλιου απριλιος απρ أبريل ابريل
  أفريل نيسان duben dubna квітня квітень
may mai mayo maio maggio mag mei maj maja мая май mayis μαιου μαιος μαι مايو ماي أيار kveten kvetna травня травень
june jun juni juin junio junho giugno giu czerwiec czerwca cze июня июнь июн haziran ιουνιου ιουνιος ιουν يونيو جوان
  حزيران cerven cervna червня червень
july jul juli juillet juil julio julho luglio lug lipiec lipca lip июля июль июл temmuz ιουλιου ιουλιος ιουλ يوليو
  جويلية تموز cervenec cervence липня липень
august aug aout agosto ago augustus sierpien sierpnia sie августа август авг agustos αυγουστου αυγουστος αυγ agustus
  agt أغسطس اغسطس أوت آب srpen srpna серпня серпень
september sep sept septembre septiembre setembro set settembre wrzesien wrzesnia wrz сентября сентябрь сен сент eylul
  σεπτεμβριου σεπτεμβριος σεπ σεπτ سبتمبر أيلول zari вересня вересень
october oct oktober okt octobre octubre outubro out ottobre ott pazdziernik pazdziernika paz октября октябрь окт ekim
  οκτωβριου οκτωβριος οκτ أكتوبر اكتوبر تشرين_الأول rijen rijna жовтня жовтень
november nov novembre noviembre novembro listopad listopada lis ноября ноябрь ноя нояб kasim νοεμβριου νοεμβριος νοε
  نوفمبر تشرين_الثاني listopadu листопада
december dec dezember dez decembre diciembre dic dezembro dicembre grudzien grudnia gru декабря декабрь дек aralik
  δεκεμβριου δεκεμβριος δεκ desember des ديسمبر كانون_الأول prosinec prosince грудня грудень
"""

_DATE_LABELS: Final = """
posted published updated update last modified on at date dated created first release released issued pub time the of by
veroffentlicht aktualisiert stand erstellt am vom um uhr datum zuletzt publie le mis a jour modifie date_de publication
cree les l publicado publicada el actualizado actualizada las fecha em atualizado atualizada as data publicacao de del do
pubblicato pubblicata il aggiornato aggiornata alle ore ultimo aggiornamento gepubliceerd op bijgewerkt om geplaatst
laatst gewijzigd data_publikacji publikacji opublikowano opublikowany aktualizacja ostatnia dodano dodane godz godzina dnia r
опубликовано обновлено дата публикации добавлено размещено создано в г года время yayinlanma yayin guncelleme
guncellenme tarihi tarih saat son eklenme δημοσιευση δημοσιευθηκε δημοσιευτηκε ενημερωση ενημερωθηκε τελευταια
αναρτηθηκε ημερομηνια στις ωρα πμ μμ π μ نشر النشر في تحديث آخر تاريخ الساعة تم ص م diterbitkan diperbarui
dipublikasikan tanggal terbit wib wita wit pukul am pm a p m noon gmt utc est edt et pst pdt pt cst cdt ct mst mdt cet
cest bst ist kst jst msk мск hkt sgt aest aedt eet eest wat wet z h hrs hours th st nd rd er
publikovano aktualizovano vydano datum_zverejneni
monday mon tuesday tue tues wednesday wed thursday thu thur thurs friday fri saturday sat sunday sun montag mo dienstag
di mittwoch mi donnerstag do freitag fr samstag sa sonnabend sonntag so lundi lun mardi mar mercredi mer jeudi jeu
vendredi ven samedi sam dimanche dim lunes martes mie miercoles jue jueves vie viernes sab sabado dom domingo segunda
terca quarta quinta sexta feira seg ter qua qui sex lunedi martedi mercoledi giovedi gio venerdi sabato domenica maandag
ma dinsdag woensdag wo donderdag vrijdag vr zaterdag za zondag zo poniedzialek pon wtorek wt sroda sr czwartek czw
piatek pt pia sobota sob niedziela niedz nie понедельник пн вторник вт среда ср четверг чт пятница пт суббота сб
воскресенье вс pazartesi sali carsamba persembe cuma cumartesi pazar δευτερα τριτη τεταρτη πεμπτη παρασκευη σαββατο
κυριακη senin selasa rabu kamis jumat sabtu minggu الاثنين الإثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد pondeli
utery streda ctvrtek patek nedele
发布时间 发表时间 发布 发表 时间 更新时间 更新 日期 发表于 发布于 發布 發表 時間 日期 更新時間 公開日 公開 更新日 更新 投稿日 掲載日 掲載 配信 入力
입력 수정 등록 게재 기사입력 최종수정 승인 송고 오전 오후 上午 下午 午前 午後 星期一 星期二 星期三 星期四 星期五 星期六 星期日 周一 周二 周三
周四 周五 周六 周日 月 火 水 木 金 土 日 월 화 수 목 금 토 일 월요일 화요일 수요일 목요일 금요일 토요일 일요일
"""

_UPDATE_WORDS: Final = late(
    r"updat|modif|aktuali|mis a jour|actualiz|atualiz|aggiorna|bijgewerkt|gewijzigd|обновл|guncel|ενημερ|تحديث|"
    r"diperbarui|更新|수정"
)
_PUBLISH_WORDS: Final = late(
    r"publi|post|release|issued|\bdate\b|veroffentl|erstellt|stand|pubbl|geplaatst|gepubli|opublik|dodano|опублик|"
    r"дата|добавл|yayin|tarih|δημοσ|αναρτ|نشر|تاريخ|terbit|发布|发表|發布|發表|公開|投稿|掲載|配信|입력|등록"
)

_ZONES: Final = {
    "z": 0, "gmt": 0, "utc": 0, "wet": 0, "bst": 60, "cet": 60, "cest": 120, "eet": 120, "eest": 180, "msk": 180,
    "мск": 180, "wib": 420, "wita": 480, "hkt": 480, "sgt": 480, "wit": 540, "kst": 540, "jst": 540, "aest": 600,
    "aedt": 660, "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420,
}  # fmt: skip
"""Minutes east of Greenwich. IST is three zones and "ET" two: a time with those is taken as it stands."""


class _Date(NamedTuple):
    """A date read in a line: when, what else the line says (folded), and whether it is the date of an update."""

    at: datetime
    rest: str
    is_update: bool


def _fold(text: str) -> str:
    """`text` in lower case without accents, for looking words up."""
    folded = text.casefold()
    if not folded.isascii():
        bare = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
        digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in bare)
        folded = unicodedata.normalize("NFC", digits).replace("ı", "i").replace("ς", "σ")
    return folded


def _month_table() -> dict[str, int]:
    table: dict[str, int] = {}
    number = 0
    for line in _MONTHS.strip().split("\n"):
        number += not line.startswith(" ")
        for word in line.split():
            table.setdefault(_fold(word.replace("_", " ")), number)
    return table


_MONTH_OF: Final = _month_table()
_LABEL_WORDS: Final = frozenset(_fold(word) for word in _DATE_LABELS.split())
_CJK_LABELS: Final = late(
    "|".join(
        sorted(
            (w for w in _LABEL_WORDS if ("\u1100" <= w[0] <= "\u11ff" or "\u3040" <= w[0] <= "\u9fff") and len(w) > 1),
            key=len,
            reverse=True,
        )
    )
)
_BY_LETTER: Final = [
    re.escape(first) + "(?:" + "|".join(re.escape(word[1:]) for word in sorted(words, key=len, reverse=True)) + ")"
    for first, words in groupby(sorted(_MONTH_OF), key=lambda word: word[0])
]
_MONTH_WORD: Final = r"(?=[^\W\d_])(" + "|".join(_BY_LETTER) + r")(?![^\W\d_])"
_YEAR: Final = r"((?:19|20)\d\d)(?!\d)"
_ANY_YEAR: Final = late(_YEAR)
_YEAR_ENDS: Final = late(rf"\d(?:st|nd|rd|th)?[,\s]\s*{_YEAR}")  # what "Mdy" ends with
_DATE_FORMS: Final = (
    ("ymd", late(rf"(?<!\d){_YEAR}\s?[-/.]\s?(\d{{1,2}})\s?[-/.]\s?(\d{{1,2}})(?!\d)")),
    ("ymd", late(rf"(?<!\d){_YEAR}\s?(?:年|년)\s?(\d{{1,2}})\s?(?:月|월)\s?(\d{{1,2}})\s?(?:日|일|号|號)?")),
    ("dMy", late(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|º|ª|o)?[.,]?[\s-]*(?:de |of |del )?{_MONTH_WORD}[.,]?[\s-]*(?:de |del )?{_YEAR}")),
    ("Mdy", late(rf"(?<![^\W\d_]){_MONTH_WORD}[.,]?\s*(\d{{1,2}})(?:st|nd|rd|th)?(?:,\s*|\s+){_YEAR}")),
    ("num", late(rf"(?<!\d)(\d{{1,2}})([./-])(\d{{1,2}})\2{_YEAR}")),
)  # fmt: skip
_TIME: Final = late(
    r"(?<!\d)(\d{1,2})[:.h](\d{2})(?::(\d{2})(?:\.\d+)?)?(?!\d)\s*([ap]\.?\s?m\b\.?)?\s*"
    r"(?:\(?([+-]\d{2}):?(\d{2})\b|([^\W\d_]{1,4})\b)?|(?<![\d.])(\d{1,2})\s*([ap])\.?m\b"
)


def _read_date(text: str, *, lang: str, latest: datetime) -> _Date | None:
    """The first date in a short line, or None when there is none that has one reading between EARLIEST and `latest`."""
    folded = _fold(text)
    for form, hit in _dates_in(folded):
        day = _day(form, hit.groups(), lang=lang, folded=folded)
        if day is None:
            return None
        before = folded[: hit.start()]
        rest = before + " \x1f " + folded[hit.end() :].lstrip("t")
        at = day
        clock = _TIME.search(rest)
        if clock:
            timed = _at_time(day, clock)
            if timed is not None:
                at = timed
                rest = rest[: clock.start()] + " " + (clock[7] or "") + " " + rest[clock.end() :]
        if not EARLIEST <= at <= latest:
            return None
        is_update = bool(_UPDATE_WORDS.search(before)) and not _PUBLISH_WORDS.search(before)
        return _Date(at, rest, is_update)
    return None


def _dates_in(folded: str) -> Iterator[tuple[str, re.Match[str]]]:
    """The first date of each form in `folded`, form by form."""
    if not _ANY_YEAR.search(folded):
        return
    for form, pattern in _DATE_FORMS:
        if form == "Mdy" and not _YEAR_ENDS.search(folded):
            continue
        hit = pattern.search(folded)
        if hit:
            yield form, hit


def _day(form: str, groups: tuple[str, ...], *, lang: str, folded: str) -> datetime | None:
    """Midnight of the day that the matched groups name; None when no such day exists or it has two readings."""
    try:
        if form == "ymd":
            year, month, day = (int(g) for g in groups)
        elif form == "dMy":
            day, month, year = int(groups[0]), _MONTH_OF[groups[1]], int(groups[2])
        elif form == "Mdy":
            month, day, year = _MONTH_OF[groups[0]], int(groups[1]), int(groups[2])
        else:
            first, separator, second, year = int(groups[0]), groups[1], int(groups[2]), int(groups[3])
            month, day = (second, first) if first > 12 or separator == "." or first == second else (first, second)
            if first <= 12 and second <= 12 and first != second and separator != ".":
                foreign = (lang and lang != "en") or any(ord(c) > 127 for c in folded) or _DAY_FIRST.search(folded)
                if not foreign:
                    return None
                month, day = second, first
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None


_DAY_FIRST: Final = late(
    r"\b(?:am|um|uhr|stand|le|publie|modifie|publicado|actualizado|atualizado|el|em|pubblicato|aggiornato|alle|ore|op|"
    r"geplaatst|dodano|opublikowano|godz|tarihi|saat|diterbitkan|tanggal)\b"
)


_AFTERNOON: Final = re.compile("下午|午後|오후")


def _at_time(day: datetime, clock: re.Match[str]) -> datetime | None:
    """`day` at the time that was read, in UTC; None for a time that doesn't exist."""
    hour, minute = int(clock[1] or clock[8]), int(clock[2] or 0)
    half = (clock[4] or clock[9] or "")[:1]
    if half and not 1 <= hour <= 12:
        half = ""
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    elif hour < 12 and _AFTERNOON.search(clock.string):
        hour += 12
    if hour > 23 or minute > 59:
        return None
    east = int(clock[5]) * 60 + int(clock[6]) if clock[5] else _ZONES.get(clock[7] or "", 0)
    return day + timedelta(hours=hour, minutes=minute, seconds=min(59, int(clock[3] or 0))) - timedelta(minutes=east)


def _is_dateline(rest: str) -> bool:
    """Whether what a line says besides its date is only labels, weekdays and zones (and at most one stray number)."""
    for form, pattern in _DATE_FORMS:
        if not _ANY_YEAR.search(rest):
            break
        if form != "Mdy" or _YEAR_ENDS.search(rest):
            rest = pattern.sub(" ", rest)
    rest = _TIME.sub(" ", rest.replace("\x1f", " "))
    words = re.findall(r"[^\W\d_]+|\d+", rest if rest.isascii() else _CJK_LABELS.sub(" ", rest))
    return sum(word.isdigit() for word in words) <= 1 and all(w.isdigit() or w in _LABEL_WORDS for w in words)


_DATED: Final = (
    r"\p{Nd}\D{1,14}(?:[12]\d{3}|[٠-٩۰-۹]{4})|(?:[12]\d{3}|[٠-٩۰-۹]{4})\D{1,3}\p{Nd}|"
    r"\p{Nd}\D{1,3}\p{Nd}{1,2}\D{1,3}[12]\d{3}"
)


class _Said(NamedTuple):
    """What a line says of the page's date. at: microseconds since 1970; None where the line has no date that counts."""

    at: int | None
    is_update: bool
    alone: bool
    labelled: bool
    timed: bool


_NOTHING: Final = _Said(None, False, False, False, False)


@lru_cache(maxsize=1 << 14)
def _read_line(text: str, lang: str, latest: datetime) -> _Said:
    date = _read_date(text, lang=lang, latest=latest)
    if date is None:
        return _NOTHING
    labelled = date.is_update or bool(_PUBLISH_WORDS.search(date.rest))
    at = (date.at - EARLIEST) // timedelta(microseconds=1)
    return _Said(at, date.is_update, _is_dateline(date.rest), labelled, date.at.time() != MIDNIGHT)


def date_lines(head: pl.DataFrame, docs: pl.DataFrame, *, latest: datetime) -> pl.DataFrame:
    """Lines of the head with the page's date: row, doc, idx, body, published_at, is_update, alone, labelled, rule, score, cut.

    alone: the line says nothing else, and so can go. A line that says more must have a label or a time of day.
    """
    rows = _dated(head)
    some: pl.DataFrame = head.select("row", "doc", "idx", "body", "prose", "bare")[rows]
    # A line or two a document: those of its head that hold a year.
    said = [_read_line(text, lang, latest) for text, lang in zip(some["bare"], _langs(some["doc"], docs), strict=True)]
    found = np.array([one.at is not None for one in said], np.bool_)
    is_update, alone, labelled, timed = (
        np.array([one[n] for one in said], np.bool_) for n in range(1, len(_Said._fields))
    )
    idx, body = some["idx"].to_numpy(), some["body"].to_numpy()
    above = above_body(some)
    told = np.flatnonzero(found & (alone | (idx < body) & (labelled | timed)))
    at = [one.at for one in said]
    return some.select("row", "doc", "idx", "body")[told].with_columns(
        pl.Series("published_at", [at[n] for n in told], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        pl.Series("is_update", is_update[told]),
        pl.Series("alone", alone[told]),
        pl.Series("labelled", labelled[told]),
        rule=pl.lit("dateline"),
        score=pl.lit(0.9, pl.Float32),
        cut=pl.Series((alone & (above | labelled & (idx <= body + 2)))[told]),
    )


def _dated(head: pl.DataFrame) -> Array:
    """The places in `head` of short lines that may hold a date."""
    chars = head["chars"].to_numpy()
    short = chars <= DATE_LINE_CHARS
    is_ascii = head["ascii"].to_numpy()
    # In ASCII a year begins with one of two pairs of digits, which is found faster than any class of them.
    maybe = np.sort(
        np.concatenate(
            [
                matching(head["bare"], np.flatnonzero(short & is_ascii), "19|20"),
                matching(head["bare"], np.flatnonzero(short & ~is_ascii), r"[0-9٠-٩۰-۹]{2}"),
            ]
        )
    )
    return matching(head["bare"], maybe, _DATED)


def _langs(doc: pl.Series, docs: pl.DataFrame) -> Iterable[str]:
    """The language of each of those documents, "" where it isn't known."""
    if "lang" not in docs.columns:
        return repeat("", len(doc))
    return doc.to_frame().join(
        docs.select("doc", pl.col("lang").fill_null("")), on="doc", how="left", maintain_order="left"
    )["lang"]


_PREFIX: Final = (
    r"^\s*(?i:date|published|posted|updated|publication date|datum|fecha|data|дата|日期)\s*[:：]?\s*"
    r"(?:(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d)"
    r"(?:[T ]\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)?\s*[|:–—-]?\s+"
)


_PREFIX_LETTERS: Final = np.isin(np.arange(256), [*b"dDpPuUfF", *"д".encode()[:1], *"日".encode()[:1]])
"""First bytes of the words that such a prefix begins with."""


def date_prefixes(every: pl.DataFrame, docs: pl.DataFrame, *, latest: datetime) -> pl.DataFrame:
    """Spans in front of a paragraph that a scraper wrote there, such as "date 2018-01-30 "."""
    edge = edges(every["text"])
    maybe = (every["idx"].to_numpy() <= every["body"].to_numpy() + 1) & (
        every["chars"].to_numpy() > PREFIX_BEFORE_CHARS
    )
    rows = np.flatnonzero(maybe & (_PREFIX_LETTERS[edge.first & 0xFF] | edge.open_blank()))
    prefix = every["text"].gather(rows).str.slice(0, 80).str.extract(f"({_PREFIX})")
    found = prefix.is_not_null().to_numpy()
    rows, prefix = rows[found], prefix.filter(pl.Series(found))
    size = prefix.str.len_chars().cast(pl.Int64).to_numpy()
    long = every["chars"].to_numpy()[rows] >= size + PREFIX_BEFORE_CHARS
    some: pl.DataFrame = every.select("row", "doc", "line", "start", "idx", "body")[rows[long]]
    texts = prefix.filter(pl.Series(long))
    read = [_read_line(text, lang, latest) for text, lang in zip(texts, _langs(some["doc"], docs), strict=True)]
    return some.with_columns(
        pl.Series("published_at", [one.at for one in read], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        pl.Series("is_update", [one.is_update for one in read], dtype=pl.Boolean),
        end=pl.col("start") + pl.Series(size[long], dtype=pl.UInt32),
        rule=pl.lit("date-prefix"),
        score=pl.lit(0.95, pl.Float32),
        alone=pl.lit(True),
        labelled=pl.lit(True),
        cut=pl.lit(True),
    ).filter(pl.col("published_at").is_not_null())
