"""Title, site, authors and date out of a page's text, and the marks on the lines that say nothing else.

Two decisions are kept apart: what the title *is* (a guess is better than nothing) and whether its line *goes* (only on
structural evidence: a repeat, a site suffix, a byline or date below it, the address of the page). A value that the
input gave always wins. Times without a zone are taken as UTC.

Rules: title, title-site-suffix, repeated-title, byline, dateline (whole lines) and date-prefix (a span).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from rapidfuzz import fuzz, process

from etl.boilerplate.lines import MARKS

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FOUND: Final = pl.Schema(
    {
        "doc": pl.UInt32(),
        "title": pl.String(),
        "site": pl.String(),
        "authors": pl.List(pl.String()),
        "published_at": pl.Datetime("us", "UTC"),
    }
)

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2099, 12, 31, tzinfo=UTC)  # without a better bound; the runner knows when the page was fetched

LONG_CHARS: Final = 140  # a line of this length is prose, not a heading
LONG_WIDE_CHARS: Final = 60  # the same in scripts of three bytes a letter, where words are short
SHORT_COST: Final = 70  # a line adds to the body what it has above this length
BODY_LINES: Final = 5  # lines of the body that are compared with a title
HEAD_LINES: Final = 6  # the head of a document that has no prose
MIDNIGHT: Final = time(0)
HEAD_CHARS: Final = 240  # longest line that is looked at
BYLINE_CHARS: Final = 140
NEAR_TITLE: Final = 92.0  # rapidfuzz ratio of two normalised titles that differ by a comma, a quote, a word's ending

REASONS: Final = {
    "title": "the title, which is in the title column",
    "title-site-suffix": "the title with the site's name, both in their columns",
    "repeated-title": "the title once more",
    "byline": "names the authors, who are in the authors column",
    "dateline": "says when the page was published or updated",
    "date-prefix": "a date saved in front of the first sentence",
}

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

_UPDATE_WORDS: Final = re.compile(
    r"updat|modif|aktuali|mis a jour|actualiz|atualiz|aggiorna|bijgewerkt|gewijzigd|обновл|guncel|ενημερ|تحديث|"
    r"diperbarui|更新|수정"
)
_PUBLISH_WORDS: Final = re.compile(
    r"publi|post|release|issued|\bdate\b|veroffentl|erstellt|stand|pubbl|geplaatst|gepubli|opublik|dodano|опублик|"
    r"дата|добавл|yayin|tarih|δημοσ|αναρτ|نشر|تاريخ|terbit|发布|发表|發布|發表|公開|投稿|掲載|配信|입력|등록"
)

_ZONES: Final = {
    "z": 0, "gmt": 0, "utc": 0, "wet": 0, "bst": 60, "cet": 60, "cest": 120, "eet": 120, "eest": 180, "msk": 180,
    "мск": 180, "wib": 420, "wita": 480, "hkt": 480, "sgt": 480, "wit": 540, "kst": 540, "jst": 540, "aest": 600,
    "aedt": 660, "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420,
}  # fmt: skip
"""Minutes east of Greenwich. IST is three zones and "ET" two: a time with those is taken as it stands."""

# Words before the authors. Bare ones need names behind them; a label with a colon tells by itself.
_BARE_BYLINE: Final = (
    r"(?:(?:written|posted|published|reported|story|words|text|article|analysis|report|review|opinion|researched|"
    r"submitted|compiled)\s+by|by|von|ein beitrag von|par|publié par|écrit par|propos recueillis par|por|escrito por|"
    r"publicado por|di|a cura di|scritto da|pubblicato da|door|geschreven door|oleh|ditulis oleh|yazan|haber|"
    r"του|της|των|γράφει ο|γράφει η|γράφουν οι|γράφει|από τον|από την|επιμέλεια|autor|автор|текст|penulis|بقلم|كتب|كتبت)"
)
_LABEL_BYLINE: Final = (
    r"(?:by|author|authors|written by|posted by|reporter|writer|text|words|autor|autorin|autoren|verfasser|redakteur|"
    r"auteur|auteurs|autores|autora|redactor|texto|autore|autori|testo|tekst|redactie|autorka|autorzy|opracowanie|"
    r"opracował|opracowała|oprac\.|dodał|dodała|napisał|napisała|автор|авторы|автор статьи|автор текста|текст|источник и автор|"
    r"подготовил|подготовила|yazan|yazar|haber|muhabir|συντάκτης|συντάκτρια|κείμενο|ρεπορτάζ|επιμέλεια|γράφει|γράφουν|"
    r"penulis|reporter|pewarta|oleh|بقلم|كتب|كتبت|تحرير|إعداد|الكاتب)"
)
_HAN_BYLINE: Final = r"(?:文|图文|圖文|撰文|作者|记者|記者|通讯员|编辑|編輯|责任编辑|責任編輯|实习编辑|取材・文|取材|執筆|著者|ライター|글|글쓴이)"

_PARTICLES: Final = frozenset(
    {
        *("de", "da", "do", "dos", "das", "di", "del", "della", "der", "den", "van", "von", "zu", "zum", "zur", "ter"),
        *("te", "la", "le", "las", "los", "el", "al", "bin", "ibn", "ben", "abu", "y", "e", "i", "af", "av"),
        *("du", "des", "st"),
    }
)
_JOINERS: Final = re.compile(
    r"\s*(?:,|;|、|，|/|／|\s(?:and|und|et|y|e|en|i|oraz|и|και|ve|dan|with|&|\+)\s)\s*", re.IGNORECASE
)
_PLACES: Final = re.compile(
    r"\s(?:in|for|from|at|of|on|aus|für|à|pour|para|em|dla|из|для|στην|στη|στο|uit|voor|w|we|im)\s.*$", re.IGNORECASE
)
_ROLES: Final = re.compile(
    r"\b(?:staff|senior|chief|correspondent|reporter|editor|writer|columnist|contributor|contributing|journalist|bureau|"
    r"special|guest|associate|assistant|deputy|political|medical|business|science|health|sports|photographer|author|"
    r"redakteurin|redakteur|korrespondent|korrespondentin|journaliste|redacteur|redactor|redactora|giornalista|"
    r"dziennikarz|dziennikarka|корреспондент|обозреватель|muhabir|wartawan|phd|md|jr|sr|dr|prof|updated|published|"
    r"agencies|news|service|desk|team|online|digital|press|network|com|magazine)\b",
    re.IGNORECASE,
)


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
_CJK_LABELS: Final = re.compile(
    "|".join(
        sorted(
            (w for w in _LABEL_WORDS if re.match(r"[\u1100-\u11ff\u3040-\u9fff]", w) and len(w) > 1),
            key=len,
            reverse=True,
        )
    )
)
_MONTH_WORD: Final = "(" + "|".join(sorted(map(re.escape, _MONTH_OF), key=len, reverse=True)) + r")(?![^\W\d_])"
_YEAR: Final = r"((?:19|20)\d\d)(?!\d)"
_DATE_FORMS: Final = (
    ("ymd", re.compile(rf"(?<!\d){_YEAR}\s?[-/.]\s?(\d{{1,2}})\s?[-/.]\s?(\d{{1,2}})(?!\d)")),
    ("ymd", re.compile(rf"(?<!\d){_YEAR}\s?(?:年|년)\s?(\d{{1,2}})\s?(?:月|월)\s?(\d{{1,2}})\s?(?:日|일|号|號)?")),
    ("dMy", re.compile(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|º|ª|o)?[.,]?[\s-]*(?:de |of |del )?{_MONTH_WORD}[.,]?[\s-]*(?:de |del )?{_YEAR}")),
    ("Mdy", re.compile(rf"(?<![^\W\d_]){_MONTH_WORD}[.,]?\s*(\d{{1,2}})(?:st|nd|rd|th)?(?:,\s*|\s+){_YEAR}")),
    ("num", re.compile(rf"(?<!\d)(\d{{1,2}})([./-])(\d{{1,2}})\2{_YEAR}")),
)  # fmt: skip
_TIME: Final = re.compile(
    r"(?<!\d)(\d{1,2})[:.h](\d{2})(?::(\d{2})(?:\.\d+)?)?(?!\d)\s*([ap]\.?\s?m\b\.?)?\s*"
    r"(?:\(?([+-]\d{2}):?(\d{2})\b|([^\W\d_]{1,4})\b)?|(?<![\d.])(\d{1,2})\s*([ap])\.?m\b"
)


def _read_date(text: str, *, lang: str, latest: datetime) -> _Date | None:
    """The first date in a short line, or None when there is none that has one reading between EARLIEST and `latest`."""
    folded = _fold(text)
    for form, pattern in _DATE_FORMS:
        hit = pattern.search(folded)
        if not hit:
            continue
        day = _day(form, hit.groups(), lang=lang, folded=folded)
        if day is None:
            return None
        rest = folded[: hit.start()] + " \x1f " + folded[hit.end() :].lstrip("t")
        at = day
        clock = _TIME.search(rest)
        if clock:
            timed = _at_time(day, clock)
            if timed is not None:
                at = timed
                rest = rest[: clock.start()] + " " + (clock[7] or "") + " " + rest[clock.end() :]
        if not EARLIEST <= at <= latest:
            return None
        before = folded[: hit.start()]
        is_update = bool(_UPDATE_WORDS.search(before)) and not _PUBLISH_WORDS.search(before)
        return _Date(at, rest, is_update)
    return None


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


_DAY_FIRST: Final = re.compile(
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
    for _, pattern in _DATE_FORMS:
        rest = pattern.sub(" ", rest)
    words = re.findall(r"[^\W\d_]+|\d+", _CJK_LABELS.sub(" ", _TIME.sub(" ", rest.replace("\x1f", " "))))
    return sum(word.isdigit() for word in words) <= 1 and all(w.isdigit() or w in _LABEL_WORDS for w in words)


# ---- bylines -------------------------------------------------------------------------------------------------------

_CASED_BYLINE: Final = re.compile(
    rf"[\s•·|>–—*_-]*(?:(?P<label>{_LABEL_BYLINE})\s?[:：]\s*|(?P<bare>{_BARE_BYLINE})\s+)(?P<names>\S.*)",
    re.IGNORECASE,
)
_HAN_BYLINE_LINE: Final = re.compile(
    rf"[\s（(【\[]*{_HAN_BYLINE}\s?(?:[/／:：|｜丨=＝]|\s)\s*(?P<names>[^\W\d_a-z][^\d。！？!?，]{{1,40}}?)[\s）)】\]]*$"
)
_KOREAN_BYLINE: Final = re.compile(
    r"[\s\[(]*(?:[가-힣A-Za-z]{2,10}\s*=\s*)?(?P<names>[가-힣]{2,4}(?:\s?[,·]\s?[가-힣]{2,4}){0,3})\s?(?:선임|인턴|객원|전문)?\s?(?:기자|특파원)"
    r"[\s\])]*(?:\S{1,40}@\S{1,60})?\s*$"
)
_HAN_REPORTER: Final = re.compile(
    r"[^\d。！？!?]{0,12}?[/／╱|｜\s]?記者(?P<names>[\u4e00-\u9fff]{2,4}(?:[、\s][\u4e00-\u9fff]{2,4}){0,3})\s?[/／╱]\s?[\u4e00-\u9fff]{2,8}$"
)


@lru_cache(maxsize=1 << 14)  # the same names sign page after page
def _read_byline(text: str) -> tuple[str, ...]:
    """The authors that a byline names; empty when the line is no byline, or says more than a byline does."""
    line = text.strip()
    for pattern in (_KOREAN_BYLINE, _HAN_REPORTER, _HAN_BYLINE_LINE):
        hit = pattern.match(line)
        if hit:
            return tuple(n for n in re.split(r"[、,，·;；\s]+", hit["names"]) if 2 <= len(n) <= 20)[:8]
    hit = _CASED_BYLINE.match(line)
    if not hit:
        return ()
    body = hit["names"].strip(" -–—|•·:")
    body = re.split(r"\s*(?:[|｜•·»]|\s[-–—]\s)\s*", body)[0].rstrip(".,;: ")
    if not body or body[-1] in "!?…。" or len(body) > 100:
        return ()
    authors: list[str] = []
    for part in _JOINERS.split(body):
        name = _PLACES.sub("", " " + part.strip()).strip(" .")
        if _is_name(name, loose=bool(hit["label"])):
            authors.append(name)
        elif not (authors and (_ROLES.search(part) or part.strip()[:1].isupper())):
            return ()
    several = [a for a in authors if " " in a]
    named = [a for a in several or authors[:1] if not (several and _ROLES.search(a))]
    return tuple(named or authors[:1])


def _is_name(text: str, *, loose: bool) -> bool:
    """Whether `text` looks like a person's or an agency's name: one to five words, capitals where the script has them."""
    words = text.split()
    if not 1 <= len(words) <= 5 or len(text) > 48 or any(c.isdigit() for c in text) or text[-1:] in ":?!":
        return False
    if loose or not any(c.isupper() or c.islower() for c in text):
        return len(words) <= 4
    if len(words) == 1 and not (text.isupper() and len(text) <= 8):
        return False
    capital = [w for w in words if w[0].isupper() or (len(w) > 2 and w[1] in "'’" and w[2].isupper())]
    return words[0] in capital and all(w in capital or w in _PARTICLES for w in words)


_BARE_NAME: Final = r"^\p{Lu}[\p{L}'’-]+(?:\s(?:\p{Lu}\.|de|van|von|der|da|al|bin|\p{Lu}[\p{L}'’-]+)){1,3}$"


# ---- the head of each document ---------------------------------------------------------------------------------------


def extract(lines: pl.DataFrame, docs: pl.DataFrame, *, latest: datetime = LATEST) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Marks (schema MARKS, sorted) on title, byline and date lines, and what they say (schema FOUND, a row a document).

    lines: the table of lines; where a line model left `p_boilerplate`, it helps to find the body. docs: doc, title, site,
    authors, published_at as the input gave them, null where it didn't; also url, lang and fetched_at where there are such
    columns. latest: no later date is believed; nor, by more than a day, one after the page was fetched.
    """
    head, every = _head(lines)
    known = docs.filter(pl.col("title").str.contains(r"[\p{L}\p{N}]"))
    dates = _date_lines(head, docs, latest=latest)
    prefixes = _date_prefixes(every, docs, latest=latest)
    bylines = _byline_lines(head)
    repeats = _repeats(head, known)
    told = _title_lines(head, every, docs.join(known, on="doc", how="anti"), dates=dates, bylines=bylines)
    named = pl.concat([known.select("doc", "title"), told.filter("cut").select("doc", "title")]).unique("doc")
    later = _later_repeats(lines, named)
    names = _bare_names(head, titles=pl.concat([repeats, told.filter("cut").drop("cut")]), bylines=bylines)
    decided = [told.filter("cut"), repeats, later, bylines.filter("cut"), names, dates.filter("cut")]
    marks = _marks(lines, pl.concat([rows.select("row", "rule", "score") for rows in decided]), prefixes)
    found = _found(
        docs,
        titles=pl.concat([told.drop("cut"), repeats]),
        bylines=pl.concat([bylines, names]),
        dates=pl.concat([dates, prefixes.select(dates.columns)]),
    )
    return marks, found


def _marks(lines: pl.DataFrame, whole: pl.DataFrame, prefixes: pl.DataFrame) -> pl.DataFrame:
    """The marks on whole lines (`whole`: row, rule, score; the first decision on a row counts) and on prefixes."""
    whole = whole.unique("row", keep="first", maintain_order=True)
    spots = lines.select("doc", "line", "start", "end")[whole["row"]]
    marks = pl.concat(
        [
            pl.concat([spots, whole.select("rule", "score")], how="horizontal").with_columns(unit=pl.lit("line")),
            prefixes.select("doc", "line", "start", "end", "rule", "score").with_columns(unit=pl.lit("span")),
        ],
        how="vertical_relaxed",
    )
    reason = pl.col("rule").replace_strict(REASONS, return_dtype=pl.String)
    return (
        marks.with_columns(reason=reason)
        .select(pl.col(name).cast(kind) for name, kind in MARKS.items())
        .sort("doc", "start", "end", "rule")
    )


def _head(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The short lines down to where each document's body begins, and all lines there whatever their length.

    Added columns: row (in `lines`), bare (stripped text), chars, idx (number of the line among the document's lines),
    body (idx of the first line of prose), prose (whether there is any), above and below (blank lines next to it), spaced
    (whether blank lines stand between most paragraphs, so that they tell nothing).
    """
    if lines.is_empty():
        row = pl.Series("row", [], dtype=pl.UInt32)
        numbers = [pl.lit(0, pl.Int32).alias(name) for name in ("chars", "idx", "body", "above", "below")]
        empty = lines.select("doc", "line", "start", "end", "text", bare="text").with_columns(
            row, *numbers, spaced=pl.lit(False), prose=pl.lit(False), on_site=pl.lit(False)
        )
        return empty, empty
    doc = lines["doc"].to_numpy()
    at = lines["line"].to_numpy().astype(np.int64)
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    n = len(doc)
    is_first = np.r_[True, doc[1:] != doc[:-1]]
    firsts = np.flatnonzero(is_first)
    sizes = np.diff(np.r_[firsts, n])
    idx = np.arange(n) - np.repeat(firsts, sizes)
    size = np.repeat(sizes, sizes)
    wide = lines["text"].str.len_bytes().to_numpy() > 2.3 * chars
    long = chars >= np.where(wide, LONG_WIDE_CHARS, LONG_CHARS)
    of_length = np.flatnonzero(long)
    long[of_length] = lines["text"].gather(of_length).str.tail(4).str.contains(_SENTENCE_END).to_numpy()
    if "p_boilerplate" in lines.columns:
        long &= ~(lines["p_boilerplate"].fill_null(0.0).to_numpy() > 0.5)
    recurs = _on_most_pages(lines)
    long &= ~recurs
    late = idx * 10 > size * 7
    body = _body_starts(np.where(wide, chars * 5 // 2, chars), long, late, firsts=firsts, sizes=sizes)
    gap = np.where(is_first, at, at - np.r_[0, at[:-1]] - 1)
    below = np.where(np.r_[is_first[1:], True], 0, np.r_[gap[1:], 0])
    of_body = idx > np.repeat(body, sizes)
    gaps = np.add.reduceat(((gap > 0) & of_body).astype(np.int64), firsts)
    pairs = np.add.reduceat(of_body.astype(np.int64), firsts)
    spaced = gaps * 3 >= np.maximum(pairs, 1)
    body_of_row = np.repeat(body, sizes)
    reach = np.flatnonzero(idx <= body_of_row + BODY_LINES)
    every = (
        lines[reach]
        .select("doc", "line", "start", "end", "text")
        .with_columns(
            pl.Series("row", reach, dtype=pl.UInt32),
            pl.Series("chars", chars[reach], dtype=pl.Int32),
            pl.Series("idx", idx[reach], dtype=pl.Int32),
            pl.Series("body", body_of_row[reach], dtype=pl.Int32),
            pl.Series("above", gap[reach], dtype=pl.Int32),
            pl.Series("below", below[reach], dtype=pl.Int32),
            pl.Series("spaced", np.repeat(spaced, sizes)[reach], dtype=pl.Boolean),
            pl.Series("prose", (body_of_row < size)[reach], dtype=pl.Boolean),
            pl.Series("on_site", recurs[reach], dtype=pl.Boolean),
        )
    )
    return every.filter(pl.col("chars") <= HEAD_CHARS).with_columns(bare=pl.col("text").str.strip_chars()), every


def _on_most_pages(lines: pl.DataFrame) -> Bools:
    """Which lines most of the other pages of their site have, where that is known: its furniture."""
    if not {"site_seen", "site_pages", "site"} <= set(lines.columns):
        return np.zeros(lines.height, bool)
    seen = pl.col("site_seen").cast(pl.Int64)
    others = pl.col("site_pages").cast(pl.Int64) - 1
    return lines.select((pl.col("site") != "") & (seen >= 1) & (seen * 2 >= others)).to_series().to_numpy()


_SENTENCE_END: Final = r"[.!?。！？…:：;؟।]['\"”’»)\]】」』]*\s*$"


def _body_starts(weight: Ints, long: Bools, late: Bools, *, firsts: Ints, sizes: Ints) -> Ints:
    """Where each document's body begins: the first long line of the stretch with most prose and fewest short lines.

    The stretch of greatest sum, where a line is worth its length less SHORT_COST (both bounded): teasers among
    navigation don't add up, and a few short lines don't end an article. The document's size where nothing is long.
    """
    n = len(weight)
    worth = np.clip(weight, 0, 400) - SHORT_COST
    worth = np.where(long, worth, np.clip(worth, -SHORT_COST // 2, 0))
    worth = np.where(late & long, worth // 2, worth)
    apart = np.repeat(np.arange(len(firsts)) * -(1 << 40), sizes)  # keeps each document's sums below those before it
    total = np.cumsum(worth)
    before = total - worth + apart  # the sum before each line
    lowest = np.minimum.accumulate(before)
    gain = total + apart - lowest
    best = np.maximum.reduceat(gain, firsts)
    at = np.arange(n)
    end = np.minimum.reduceat(np.where(gain == np.repeat(best, sizes), at, n), firsts)
    begin = np.minimum.reduceat(np.where(before == np.repeat(lowest[end], sizes), at, n), firsts)
    in_stretch = long & (at >= np.repeat(begin, sizes))
    first_long = np.minimum.reduceat(np.where(in_stretch, at - np.repeat(firsts, sizes), n), firsts)
    return np.where(first_long >= sizes, sizes, first_long)


def _key(text: pl.Expr) -> pl.Expr:
    """`text` as titles are compared: lower case, one space for whatever is neither letter nor number."""
    return text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}\p{M}]+", " ").str.strip_chars()


_DATED: Final = (
    r"\p{Nd}\D{1,14}(?:[12]\d{3}|[٠-٩۰-۹]{4})|(?:[12]\d{3}|[٠-٩۰-۹]{4})\D{1,3}\p{Nd}|"
    r"\p{Nd}\D{1,3}\p{Nd}{1,2}\D{1,3}[12]\d{3}"
)


def _above_body() -> pl.Expr:
    """Whether a line stands above the body; among the first few lines, where a document has no prose to go by."""
    return (pl.col("idx") < pl.col("body")) & (pl.col("prose") | (pl.col("idx") < HEAD_LINES))


def _date_lines(head: pl.DataFrame, docs: pl.DataFrame, *, latest: datetime) -> pl.DataFrame:
    """Lines of the head with the page's date: row, doc, idx, body, published_at, is_update, alone, labelled, rule, score, cut.

    alone: the line says nothing else, and so can go. A line that says more must have a label or a time of day.
    """
    columns = ["row", "doc", "idx", "body", "prose", "bare"]
    numbered = head.filter((pl.col("chars") <= BYLINE_CHARS) & pl.col("bare").str.contains(r"[0-9٠-٩۰-۹]{2}"))
    rows = numbered.filter(pl.col("bare").str.contains(_DATED))
    langs = docs.select("doc", lang=pl.col("lang").fill_null("") if "lang" in docs.columns else pl.lit(""))
    rows = rows.select(columns).join(langs, on="doc", how="left", maintain_order="left")
    # A line or two a document: those of its head that hold a year.
    read = [_read_date(text, lang=lang, latest=latest) for text, lang in rows.select("bare", "lang").iter_rows()]
    alone = [date is not None and _is_dateline(date.rest) for date in read]
    labelled = [date is not None and bool(_PUBLISH_WORDS.search(date.rest) or date.is_update) for date in read]
    timed = [date is not None and date.at.time() != MIDNIGHT for date in read]
    return (
        rows.drop("lang")
        .with_columns(
            pl.Series("published_at", [d and d.at for d in read], dtype=pl.Datetime("us", "UTC")),
            pl.Series("is_update", [d is not None and d.is_update for d in read], dtype=pl.Boolean),
            pl.Series("alone", alone, dtype=pl.Boolean),
            pl.Series("labelled", labelled, dtype=pl.Boolean),
            rule=pl.lit("dateline"),
            score=pl.lit(0.9, pl.Float32),
        )
        .filter(
            pl.col("published_at").is_not_null()
            & (
                pl.col("alone")
                | (pl.col("idx") < pl.col("body")) & (pl.col("labelled") | pl.Series(timed, dtype=pl.Boolean))
            )
        )
        .with_columns(
            cut=pl.col("alone") & (_above_body() | pl.col("labelled") & (pl.col("idx") <= pl.col("body") + 2))
        )
        .drop("prose")
    )


_MAYBE_BYLINE: Final = (
    rf"(?i)^[\s•·|>–—*_-]*(?:(?:{_LABEL_BYLINE})\s?[:：]|(?:{_BARE_BYLINE})\s)|^[\s（(【\[]*{_HAN_BYLINE}|"
    r"记者|記者|기자|특파원"
)


def _byline_lines(head: pl.DataFrame) -> pl.DataFrame:
    """Lines of the head that name the authors: row, doc, idx, body, authors, rule, score, cut."""
    rows = head.filter(
        (pl.col("chars") <= BYLINE_CHARS)
        & (_above_body() | pl.col("prose") & (pl.col("idx") <= pl.col("body") + 2))
        & pl.col("bare").str.contains(_MAYBE_BYLINE)
    ).select("row", "doc", "idx", "body", "bare")
    # A line or two a document: those of its head that begin as a byline does.
    authors = [_SPLIT.join(_read_byline(text)) for text in rows["bare"]]
    return (
        rows.drop("bare")
        .with_columns(
            pl.Series("authors", authors, dtype=pl.String),
            rule=pl.lit("byline"),
            score=pl.lit(0.95, pl.Float32),
            cut=pl.lit(True),
        )
        .filter(pl.col("authors") != "")
        .with_columns(pl.col("authors").str.split(_SPLIT))
    )


_PREFIX: Final = (
    r"^\s*(?i:date|published|posted|updated|publication date|datum|fecha|data|дата|日期)\s*[:：]?\s*"
    r"(?:(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d)"
    r"(?:[T ]\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)?\s*[|:–—-]?\s+"
)
PREFIX_BEFORE_CHARS: Final = 40  # less text than this behind the date, and the line is no paragraph


def _date_prefixes(every: pl.DataFrame, docs: pl.DataFrame, *, latest: datetime) -> pl.DataFrame:
    """Spans in front of a paragraph that a scraper wrote there, such as "date 2018-01-30 "."""
    hits = (
        every.filter(pl.col("idx") <= pl.col("body") + 1)
        .with_columns(bare=pl.col("text").str.slice(0, 80).str.extract(f"({_PREFIX})"))
        .filter(pl.col("bare").is_not_null())
        .filter(pl.col("chars") >= pl.col("bare").str.len_chars() + PREFIX_BEFORE_CHARS)
    )
    langs = docs.select("doc", lang=pl.col("lang").fill_null("") if "lang" in docs.columns else pl.lit(""))
    hits = hits.join(langs, on="doc", how="left", maintain_order="left")
    read = [_read_date(text, lang=lang, latest=latest) for text, lang in hits.select("bare", "lang").iter_rows()]
    return hits.with_columns(
        pl.Series("published_at", [d and d.at for d in read], dtype=pl.Datetime("us", "UTC")),
        pl.Series("is_update", [d is not None and d.is_update for d in read], dtype=pl.Boolean),
        end=pl.col("start") + pl.col("bare").str.len_chars(),
        rule=pl.lit("date-prefix"),
        score=pl.lit(0.95, pl.Float32),
        alone=pl.lit(True),
        labelled=pl.lit(True),
        cut=pl.lit(True),
    ).filter(pl.col("published_at").is_not_null())


# ---- titles ----------------------------------------------------------------------------------------------------------

TITLE_CHARS_MIN: Final = 8
TITLE_CHARS_MIN_WIDE: Final = 4  # in Chinese and Japanese
TITLE_CHARS_MAX: Final = 180
TITLE_CHARS_SLACK: Final = 3  # a repeat below the head may differ by a space or a quotation mark
CANDIDATES: Final = 80  # lines above the body that can be its title
TITLE_POINTS_MIN: Final = 3.5  # weaker guesses are dropped: 0.4 % of the right ones, near half of those without one
STANDFIRST_MARGIN: Final = 0.75  # points by which a standfirst may beat the title above it
LEAD_REST_CHARS: Final = 15  # what is left of a title without its lead must be a title
STEM_CHARS: Final = 5
BODY_LINE_CHARS: Final = (
    400  # of each of the first BODY_LINES lines of the body, which a title's words are looked for in
)

WEIGHTS: Final[dict[str, float]] = {
    # its words come again in the body, in the address, in a longer line
    "recurs": 2.4, "hits": 2.8, "slug": 4.0, "slug_2": 2.8, "in_crumbs": 2.2, "like_first": 0.7,
    # its own form
    "shaped": 1.7, "sentence": -1.8, "stop": -0.5, "cut_off": -0.8, "quoted": -0.4, "chain": -0.9, "tags": -2.5,
    "credit": -1.5, "numbered": -2.9, "capitals": 0.5, "one_word": -1.4, "few_words": -1.3, "medium": 0.9,
    "big": -1.3, "own_suffix": -0.6, "is_site": -2.5, "on_site": -2.0, "said": -1.5, "dated": -3.0,
    # where it stands
    "first": 1.6, "second": 1.1, "at_0": -1.8, "at_1": 0.6, "at_2": 0.7, "at_4": 0.6, "at_8": 0.3, "at_16": -0.4,
    # what stands around it
    "said_1": 0.7, "said_2": 1.2, "said_more": 1.5, "dated_1": 1.2, "dated_2": 1.0, "dated_more": 0.3,
    "said_before": 0.5, "above_date": 0.8, "good_after": -0.3, "fair_before": -0.7, "fair_before_2": -0.9,
    "fair_before_3": -0.5, "brief_before_2": 0.5, "brief_after": -0.5, "brief_after_2": 0.4, "bulk": -1.0,
}  # fmt: skip
"""What each piece of evidence adds to a line's points as a title (columns of `_candidates`).

Fitted by conditional logit, one page a choice, on 754 labelled pages of 589 sites (full and light text, each with and
without its address), then rounded; dated, is_site, tags and credit are set by hand, too rare there to be fitted.
"""

_SEPARATOR: Final = r"\s*[|｜]\s*|\s+[-–—»›•·:/]+\s+|\s*[»›]\s*"
_TIGHT_SEPARATOR: Final = r"\s*[|｜_–—»›>-]+\s*"  # where words aren't spaced, no mark needs spaces either
_CONTENT_WORD: Final = (
    r"[\p{Han}\p{Katakana}\p{Hangul}\p{Thai}ー]{2}|"
    r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}\p{Devanagari}\p{N}]{4,}"
)
_CLOCK: Final = (
    r"\b(?:[01]?\d|2[0-3])[:.][0-5]\d\b.*[12]\d{3}|\b\d+ (?:hours?|minutes?|days?) ago\b|^\d{1,2} min(?:ute)? read"
)
_HAN: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
_MARKS: Final = " \t|｜_–—»›:·•/-"
_SPLIT: Final = "\x1f"


def _repeats(head: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Lines of the head that say the known title, with or without the site: row, doc, title, site, rule, score."""
    titles = known.select("doc", title=pl.col("title").str.strip_chars()).with_columns(
        title_key=_key(pl.col("title")),
        title_chars=pl.col("title").str.len_chars().cast(pl.Int32),
        begins=pl.col("title").str.head(4).str.to_lowercase(),
    )
    rows = (
        head.filter(pl.col("idx") <= 60)
        .select("row", "doc", "idx", "body", "bare", "chars")
        .join(titles, on="doc", maintain_order="left")
        .filter(
            (pl.col("chars") * 10 >= pl.col("title_chars") * 6)
            & (pl.col("chars") <= pl.col("title_chars") + 60)
            & (pl.col("chars") <= pl.col("title_chars") * 3)
        )
        .filter((pl.col("idx") <= 3) | (pl.col("bare").str.head(4).str.to_lowercase() == pl.col("begins")))
        .with_columns(key=_key(pl.col("bare")))
    )
    key, title = pl.col("key"), pl.col("title_key")
    key_chars, title_key_chars = key.str.len_chars(), title.str.len_chars()
    pairs = rows["key"].to_list(), rows["title_key"].to_list()
    ratios = process.cpdist(*pairs, scorer=fuzz.ratio, score_cutoff=NEAR_TITLE, dtype=np.float32)
    rows = rows.with_columns(
        pl.Series("ratio", ratios, dtype=pl.Float32),
        starts=key.str.starts_with(title) & (key != title),
        contained=title.str.starts_with(key) & (key_chars >= TITLE_CHARS_MIN) & (key_chars * 2 >= title_key_chars),
    ).filter((pl.col("ratio") > 0) | pl.col("starts") | pl.col("contained"))
    suffix = pl.col("bare").str.extract(r"(?:\s*[|｜_–—»›-]+\s*|\s+[:•·/]\s+)([^|｜»›]{2,60})$").str.strip_chars()
    rows = rows.with_columns(site=pl.when("starts").then(suffix))
    with_site = (
        pl.col("starts")
        & pl.col("site").is_not_null()
        & (key_chars <= title_key_chars + 1 + _key(pl.col("site")).str.len_chars())
    ).fill_null(False)
    rest = pl.col("title").str.slice(pl.col("bare").str.len_chars())
    without_site = pl.col("contained") & rest.str.contains(r"^\s*[|｜_–—»›:·-]\s*\S.{0,60}$|^\s*(?:…|\.\.\.)$")
    cut_short = pl.col("contained") & pl.col("bare").str.contains(r"(?:…|\.\.\.)$")
    near = (pl.col("ratio") >= NEAR_TITLE) & ((pl.col("idx") <= 15) | (key == title))
    return rows.filter(near | with_site | without_site | cut_short).select(
        "row",
        "doc",
        "title",
        site=pl.when(with_site).then(pl.col("site")),
        rule=pl.when(with_site).then(pl.lit("title-site-suffix")).otherwise(pl.lit("repeated-title")),
        score=pl.when(near).then(pl.col("ratio") / 100).otherwise(pl.lit(0.95)).cast(pl.Float32),
        idx="idx",
    )


def _later_repeats(lines: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """Whole lines anywhere that are the title, word for word: row, rule, score."""
    titles = named.filter(pl.col("title").str.len_chars() >= TITLE_CHARS_MIN).select(
        "doc", key=_key(pl.col("title")), chars=pl.col("title").str.len_chars().cast(pl.Int64)
    )
    lengths = np.full(1 + max([0, *lines["doc"].tail(1), *titles["doc"]]), -HEAD_CHARS, np.int64)
    lengths[titles["doc"].to_numpy()] = titles["chars"].to_numpy()
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    rows = np.flatnonzero(np.abs(chars - lengths[lines["doc"].to_numpy()]) <= TITLE_CHARS_SLACK)
    return (
        lines[rows]
        .select("doc", "text", row=pl.Series(rows, dtype=pl.UInt32))
        .join(titles, on="doc", maintain_order="left")
        .filter(_key(pl.col("text")) == pl.col("key"))
        .select("row", rule=pl.lit("repeated-title"), score=pl.lit(1.0, pl.Float32))
    )


TOLD: Final = pl.Schema(
    {
        "row": pl.UInt32,
        "doc": pl.UInt32,
        "title": pl.String,
        "site": pl.String,
        "rule": pl.String,
        "score": pl.Float32,
        "idx": pl.Int32,
        "cut": pl.Boolean,
    }
)


def _title_lines(
    head: pl.DataFrame, every: pl.DataFrame, docs: pl.DataFrame, *, dates: pl.DataFrame, bylines: pl.DataFrame
) -> pl.DataFrame:
    """The title line of each document whose title the input didn't give, and its repeats (schema TOLD).

    cut is set where the page's structure says so; elsewhere the title is told and its line stays.
    """
    rows = _candidates(head, every, docs, dates=dates, bylines=bylines)
    if rows.is_empty():
        return TOLD.to_frame()
    points = pl.sum_horizontal(pl.col(name).cast(pl.Float64) * weight for name, weight in WEIGHTS.items())
    return _choose(rows.with_columns(points=points))


def _candidates(
    head: pl.DataFrame, every: pl.DataFrame, docs: pl.DataFrame, *, dates: pl.DataFrame, bylines: pl.DataFrame
) -> pl.DataFrame:
    """The lines that can be a title, with the evidence for each: the columns that WEIGHTS names, and those it needs."""
    idx, body, bare, key = (pl.col(name) for name in ("idx", "body", "bare", "key"))
    rows = head.join(docs.select("doc"), on="doc", how="semi", maintain_order="left").filter(
        (idx <= body + 3)
        & ((idx >= body - CANDIDATES) | (idx < 8))
        & ~((idx >= body) & bare.str.contains(_SENTENCE_END))
    )
    rows = rows.with_columns(
        key=_key(bare),
        wide=bare.str.contains(_HAN),
        said=pl.col("row").is_in(bylines["row"].implode())
        | pl.col("row").is_in(dates.filter("alone")["row"].implode()),
        dated=pl.col("row").is_in(dates["row"].implode()) | bare.str.contains(_CLOCK),
    ).filter(key != "")
    if rows.is_empty():
        return rows
    separator = pl.when("wide").then(bare.str.replace_all(_TIGHT_SEPARATOR, _SPLIT))
    rows = rows.with_columns(
        parts=separator.otherwise(bare.str.replace_all(_SEPARATOR, _SPLIT)).str.split(_SPLIT),
        times=pl.len().over("doc", "key"),
    )
    for extra in (_in_longer(rows), _slug_share(rows, docs), _body_share(rows, every)):
        rows = rows.join(extra, on="row", how="left", maintain_order="left")
    rows = rows.join(docs.select("doc", host=_host(docs)), on="doc", how="left", maintain_order="left")
    flat = key.str.replace_all(" ", "")
    last = _key(pl.col("parts").list.last())
    last_flat = last.str.replace_all(" ", "")
    host = pl.col("host")
    many = pl.col("parts").list.len() > 1
    names_site = (
        (host.str.len_chars() >= 3)
        & (last_flat.str.len_chars() >= 3)
        & (last_flat.str.contains(host, literal=True) | host.str.contains(last_flat, literal=True))
    )
    short_end = bare.str.contains(r"\s[|｜]\s[^|｜]{2,40}$") & (last.str.count_matches(" ") <= 4) & (idx == 0)
    chars = bare.str.len_chars().cast(pl.Int32)
    size = pl.when("wide").then(chars * 5 // 2).otherwise(chars)
    words = pl.when("wide").then(chars // 2).otherwise(key.str.count_matches(" ") + 1)
    rows = rows.with_columns(
        pl.col("slug", "recurs", "hits").fill_null(0.0),
        pl.col("in_longer", "in_crumbs").fill_null(False),
        own_suffix=(many & (names_site | short_end)).fill_null(False),
        size=size,
        words=words,
        distance=body - idx,
        is_site=(host.str.len_chars() >= 3)
        & flat.str.contains(host, literal=True)
        & (flat.str.len_chars() <= host.str.len_chars() + 8),
        tags=bare.str.contains(r"^[^:：]{3,25}[:：]\s[^,;、]*[,;、].*[,;、]|^[^:：]{3,25}[:：][^;]*;"),
        credit=bare.str.contains(
            r"(?i)\b(?:photos?|photograph|foto|фото|φωτο|picture|getty|shutterstock|alamy|image \d)\b"
        ),
        sentence=bare.str.contains(r"[.。]$") & ~bare.str.contains(r"\.\.\.$"),
        stop=bare.str.contains(r"[;:,；：，、]$|[»>]$"),
        cut_off=bare.str.contains(r"…$|\.\.\.$"),
        quoted=bare.str.contains(r"[?？!！\"”»’']$"),
        low=bare.str.contains(r"^\p{Ll}|^[•·>»*+(\[©@#-]|^\d+\.?$"),
        chain=bare.str.contains(r"[|｜>»›/\\].*[|｜>»›/\\]|https?://|@|\.com\b|©"),
        capitals=bare.str.contains(r"\p{Lu}") & ~bare.str.contains(r"\p{Ll}"),
    )
    shaped = (
        (pl.col("size") >= 20)
        & ~pl.col("sentence")
        & ~pl.col("stop")
        & ~pl.col("chain")
        & ~pl.col("dated")
        & ~pl.col("low")
    )
    rows = rows.with_columns(
        good=shaped & (pl.col("hits") >= 2),
        fair=shaped & (pl.col("hits") >= 1) & (pl.col("words") >= 3),
        shaped=shaped,
        brief=(pl.col("words") <= 2) & ~pl.col("said") & ~pl.col("dated"),
        sayer=pl.col("said") | pl.col("dated"),
    )
    doc = pl.col("doc")

    def near(name: str, *steps: int) -> pl.Expr:
        """Whether one of the lines so many steps on (back, where negative) has `name`, in the same document."""
        return pl.any_horizontal(
            *(((pl.col(name).shift(-k).cast(pl.Float64) > 0) & (doc == doc.shift(-k))).fill_null(False) for k in steps)
        )

    distance = pl.col("distance")
    return rows.with_columns(
        like_first=(
            (pl.col("times") > 1) & (idx.min().over("doc", "key") <= 1) & pl.col("shaped") & (pl.col("words") >= 4)
        ),
        first=idx == 0,
        second=idx == 1,
        said_1=near("said", 1),
        said_2=near("said", 2),
        said_more=near("said", 3, 4, 5),
        dated_1=near("dated", 1),
        dated_2=near("dated", 2),
        dated_more=near("dated", 3, 4, 5),
        said_before=near("said", -1) | near("dated", -1),
        good_before_2=near("good", -2),
        good_after=near("good", 1),
        fair_before=near("fair", -1),
        fair_before_2=near("fair", -2),
        fair_before_3=near("fair", -3),
        brief_before_2=near("brief", -2),
        brief_after=near("brief", 1),
        brief_after_2=near("brief", 2),
        numbered=bare.str.contains(r"^\d{1,3}[.)] "),
        bulk=near("shaped", -1) & near("shaped", -2) & near("shaped", 1) & near("shaped", 2),
        above_date=near("sayer", 1, 2, 3) & ~near("fair", 1, 2, 3),
        at_0=distance <= 0,
        at_1=distance == 1,
        at_2=distance.is_between(2, 3),
        at_4=distance.is_between(4, 7),
        at_8=distance.is_between(8, 15),
        at_16=distance >= 16,
        tiny=pl.col("size") < 20,
        small=pl.col("size").is_between(20, 29),
        medium=pl.col("size").is_between(30, 99),
        big=pl.col("size") > 130,
        one_word=pl.col("words") <= 2,
        few_words=pl.col("words").is_between(3, 4),
        hits=pl.col("hits").clip(0, 6) / 6,
        slug_2=pl.col("slug") ** 2,
    ).filter(
        (chars <= TITLE_CHARS_MAX) & (chars >= pl.when("wide").then(TITLE_CHARS_MIN_WIDE).otherwise(TITLE_CHARS_MIN))
    )


def _in_longer(rows: pl.DataFrame) -> pl.DataFrame:
    """Which lines another line repeats with something behind it ("… | Site"), or ends with: row, in_longer, in_crumbs."""
    parts = pl.col("parts")
    longer = rows.filter(parts.list.len() > 1).select(
        "doc",
        first=parts.list.first(),
        most=parts.list.slice(0, parts.list.len() - 1).list.join(" "),
        last=parts.list.last(),
    )
    heads = pl.concat([longer.select("doc", key=_key(pl.col("first"))), longer.select("doc", key=_key(pl.col("most")))])
    ends = longer.select("doc", key=_key(pl.col("last")))
    cut_off = longer.filter(pl.col("last").str.contains(r"(?:…|\.\.\.)$")).select("doc", start=_key(pl.col("last")))
    cut_off = cut_off.filter(pl.col("start").str.len_chars() >= 2 * TITLE_CHARS_MIN)
    whole = rows.select("doc", "key").join(cut_off, on="doc").filter(pl.col("key").str.starts_with(pl.col("start")))
    ends = pl.concat([ends, whole.filter(pl.col("key") != pl.col("start")).select("doc", "key")])
    told = pl.concat(
        [heads.with_columns(in_longer=True, in_crumbs=False), ends.with_columns(in_longer=False, in_crumbs=True)]
    )
    return (
        rows.select("row", "doc", "key")
        .filter(pl.col("key").str.len_chars() >= TITLE_CHARS_MIN_WIDE)
        .join(told, on=["doc", "key"])
        .group_by("row")
        .agg(pl.col("in_longer", "in_crumbs").any())
    )


def _choose(rows: pl.DataFrame) -> pl.DataFrame:
    """One title a document out of the scored candidates, its repeats, and which of those lines go (schema TOLD)."""
    doc, idx, points = pl.col("doc"), pl.col("idx"), pl.col("points")
    top = points.max().over("doc")
    is_top = points == top
    # A line almost as good right above the best is the title, and the best its standfirst, which repeats the body more.
    under = (is_top & (doc == doc.shift(1)) & (idx == idx.shift(1) + 1)).shift(-1).fill_null(False)
    opens = ~(pl.col("shaped").shift(1) & (doc == doc.shift(1)) & (idx == idx.shift(1) + 1)).fill_null(False)
    margin = pl.when(opens & (pl.col("words") >= 4)).then(2 * STANDFIRST_MARGIN).otherwise(STANDFIRST_MARGIN)
    leads = under & pl.col("shaped") & ~pl.col("is_site") & (points >= top - margin)
    below_shaped = (
        pl.col("shaped").shift(1) & (doc == doc.shift(1)) & (idx == idx.shift(1) + 1) & (pl.col("words").shift(1) >= 3)
    )
    rows = rows.with_columns(
        lead=points + pl.when(leads).then(20.0).otherwise(0.0), below_shaped=below_shaped.fill_null(False)
    )
    best = (
        rows.filter(points >= TITLE_POINTS_MIN)
        .sort(["doc", "lead", "idx"], descending=[False, True, False])
        .unique("doc", keep="first", maintain_order=True)
    )
    best = _without_lead(best, rows)
    many = pl.col("parts").list.len() > 1
    most = pl.col("parts").list.slice(0, pl.col("parts").list.len() - 1)
    title = (
        pl.when(pl.col("own_suffix") & many & (most.list.len() == 1)).then(most.list.first()).otherwise(pl.col("bare"))
    )
    blank = (pl.col("below") > 0) & ~pl.col("spaced") & (pl.col("idx") == 0)
    signed = (pl.col("said_1") | pl.col("said_2")) & ~pl.col("below_shaped")
    sure = (
        pl.col("own_suffix")
        | pl.col("in_longer")
        | pl.col("in_crumbs")
        | signed
        | (pl.col("times") > 1)
        | (pl.col("slug") >= 0.6)
        | blank
    )
    best = best.select(
        "row",
        "doc",
        title=title.str.strip_chars(),
        site=pl.when(pl.col("own_suffix") & many).then(pl.col("parts").list.last()),
        rule=pl.when("own_suffix").then(pl.lit("title-site-suffix")).otherwise(pl.lit("title")),
        score=(pl.col("points") / 15).clip(0.0, 1.0).cast(pl.Float32),
        idx="idx",
        cut=sure & (pl.col("idx") < pl.col("body")) & pl.col("prose"),
        key="key",
    )
    chosen = best.filter("cut").select("doc", "title", title_key=_key(pl.col("title")), key="key", chosen="row")
    again = (
        rows.filter(pl.col("idx") <= pl.col("body"))
        .select("row", "doc", "idx", "key")
        .join(chosen, on="doc", suffix="_chosen", maintain_order="left")
        .filter(
            (pl.col("row") != pl.col("chosen"))
            & ((pl.col("key") == pl.col("title_key")) | (pl.col("key") == pl.col("key_chosen")))
        )
        .select(
            "row",
            "doc",
            "title",
            site=pl.lit(None, pl.String),
            rule=pl.lit("repeated-title"),
            score=pl.lit(1.0, pl.Float32),
            idx="idx",
            cut=pl.lit(True),
        )
    )
    return (
        pl.concat([best.drop("key"), again]).select(pl.col(name).cast(kind) for name, kind in TOLD.items()).sort("row")
    )


def _without_lead(best: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`best`, but a line that ends with another candidate's whole text gives way to it, if that stands below it.

    What stands before it is where the page is ("Home / News / …", "Introduction: …"), often glued on without a space.
    """
    shorter = (
        best.filter(~pl.col("own_suffix"))
        .select("doc", longer="key", old="row", above="idx", slug_longer="slug")
        .join(rows.filter(pl.col("key").str.len_chars() >= LEAD_REST_CHARS), on="doc", maintain_order="left")
        .filter(
            pl.col("longer").str.ends_with(pl.col("key"))
            & (pl.col("longer").str.len_chars() > pl.col("key").str.len_chars())
            & (pl.col("idx") > pl.col("above"))
            & (pl.col("slug") >= pl.col("slug_longer"))
        )
        .sort(["doc", "idx"])
        .sort(pl.col("key").str.len_chars(), descending=True, maintain_order=True)
        .unique("doc", keep="first", maintain_order=True)
    )
    rest = best.join(shorter.select(row="old"), on="row", how="anti", maintain_order="left")
    return pl.concat([rest, shorter.select(best.columns)]).sort("doc")


def _host(docs: pl.DataFrame) -> pl.Expr:
    """The telling part of the site's name ("wired" of www.wired.com), or "" when it isn't known."""
    site = pl.col("site").fill_null("") if "site" in docs.columns else pl.lit("")
    url = pl.col("url").fill_null("") if "url" in docs.columns else pl.lit("")
    host = pl.when(site != "").then(site).otherwise(url.str.extract(r"^https?://([^/:?#]+)").fill_null(""))
    labels = (
        host.str.to_lowercase()
        .str.replace(r"^www\.", "")
        .str.replace(r"(?:\.(?:com?|org|net|gov|ac|edu))?\.[a-z]{2,}$", "")
    )
    return labels.str.extract(r"([^.]*)$").str.replace_all(r"[^\p{L}\p{N}]", "")


def _slug_share(rows: pl.DataFrame, docs: pl.DataFrame) -> pl.DataFrame:
    """How alike each line and the words of the page's address are, 0 to 1: row, slug (only lines that share a word)."""
    if "url" not in docs.columns:
        return pl.DataFrame(schema={"row": pl.UInt32, "slug": pl.Float64})
    path = pl.col("url").str.replace(r"^[a-z]+://[^/]*", "").str.replace(r"[?#].*$", "").str.replace(r"/+$", "")
    slugs = (
        docs.select("doc", word=path.str.extract(r"([^/]*)$").str.replace(r"\.\w{2,5}$", "").str.to_lowercase())
        .filter(pl.col("word").str.count_matches(r"[a-z]{3,}") >= 2)
        .with_columns(pl.col("word").str.extract_all(r"[a-z]{2,}|\d+"))
        .with_columns(n_slug=pl.col("word").list.unique().list.len())
        .explode("word")
        .unique()
    )
    words = (
        rows.join(slugs.select("doc").unique(), on="doc", how="semi")
        .select(
            "row",
            "doc",
            word=pl.col("bare").str.replace_all(r"['’]", "").str.to_lowercase().str.extract_all(r"[a-z]{2,}|\d+"),
        )
        .with_columns(n_line=pl.col("word").list.unique().list.len())
        .explode("word")
        .unique()
    )
    return (
        words.join(slugs, on=["doc", "word"])
        .group_by("row")
        .agg(slug=2 * pl.len() / (pl.col("n_line").first() + pl.col("n_slug").first()))
    )


def _body_share(rows: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """How many of each line's words the first lines of the body use again, and which share: row, hits, recurs.

    Words are compared by their first letters (endings change), scripts without spaces by pairs of characters. A line of
    the body doesn't recur in itself.
    """
    prose = every.join(rows.select("doc").unique(), on="doc", how="semi", maintain_order="left").filter(
        (pl.col("idx") >= pl.col("body")) & (pl.col("chars") >= 40)
    )
    body = (
        prose.select("doc", said=pl.col("text").str.head(BODY_LINE_CHARS).str.to_lowercase())
        .with_columns(said=" " + pl.col("said").str.replace_all(r"[^\p{L}\p{N}\p{M}]+", " "))
        .group_by("doc", maintain_order=True)
        .agg(pl.col("said").str.join(""))
    )
    spaced = pl.col("word").str.len_chars() >= 4  # a pair of characters stands anywhere, a word begins after a space
    words = (
        rows.filter(pl.col("chars") <= TITLE_CHARS_MAX)
        .select(
            "doc",
            "row",
            own=(pl.col("idx") >= pl.col("body")) & (pl.col("chars") >= 40),
            word=pl.col("bare").str.to_lowercase().str.extract_all(_CONTENT_WORD),
        )
        .explode("word")
        .drop_nulls("word")
        .with_columns(word=pl.when(spaced).then(" " + pl.col("word").str.head(STEM_CHARS)).otherwise("word"))
        .unique(maintain_order=True)
        .join(body, on="doc", maintain_order="left")
    )
    said = pl.col("said")
    single = words.filter(~pl.col("own")).with_columns(uses=said.str.contains(pl.col("word"), literal=True))
    double = words.filter("own").with_columns(uses=said.str.count_matches(pl.col("word"), literal=True) > 1)
    return (
        pl.concat([single, double])
        .group_by("row")
        .agg(hits=pl.col("uses").sum().cast(pl.Float64), n=pl.len())
        .select("row", "hits", recurs=pl.col("hits") / pl.col("n"))
        .filter(pl.col("hits") > 0)
    )


# ---- names -----------------------------------------------------------------------------------------------------------


def _bare_names(head: pl.DataFrame, *, titles: pl.DataFrame, bylines: pl.DataFrame) -> pl.DataFrame:
    """Lines between title and body that are a person's name and nothing else (columns as of `_byline_lines`)."""
    above = titles.group_by("doc").agg(title_idx=pl.col("idx").min())
    alone = (pl.col("above") > 0) & (pl.col("below") > 0) & ~pl.col("spaced")
    near_body = (pl.col("idx") < pl.col("body")) & (pl.col("body") - pl.col("idx") <= 2)
    return (
        head.filter((pl.col("chars") <= 40) & near_body & alone & pl.col("bare").str.contains(_BARE_NAME))
        .join(above, on="doc", maintain_order="left")
        .join(bylines.select("doc").unique(), on="doc", how="anti", maintain_order="left")
        .filter(pl.col("idx") > pl.col("title_idx"))
        .select(
            "row",
            "doc",
            "idx",
            "body",
            authors=pl.concat_list("bare"),
            rule=pl.lit("byline"),
            score=pl.lit(0.7, pl.Float32),
            cut=pl.lit(True),
        )
    )


# ---- what was found ------------------------------------------------------------------------------------------------------


def _found(docs: pl.DataFrame, *, titles: pl.DataFrame, bylines: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """One row a document (schema FOUND): the input's values, and what its text says where the input said nothing."""
    far = (pl.col("body") - pl.col("idx")).abs()
    title = titles.sort("doc", "rule", "idx").filter(pl.col("rule") != "repeated-title")
    site = titles.drop_nulls("site").sort("doc", "idx")
    authors = bylines.with_columns(far=far).sort("doc", "far", "idx")
    if "fetched_at" in docs.columns:
        dates = dates.join(docs.select("doc", "fetched_at"), on="doc", how="left", maintain_order="left").filter(
            (pl.col("published_at") <= pl.col("fetched_at") + pl.duration(days=1)).fill_null(True)
        )
    best_first = ["doc", "is_update", "labelled", "alone", "far", "idx"]
    date = dates.with_columns(far=far).sort(best_first, descending=[False, False, True, True, False, False])
    rows = docs.select("doc", "title", "site", "authors", "published_at")
    for part, column in ((title, "title"), (site, "site"), (authors, "authors"), (date, "published_at")):
        first = part.select("doc", pl.col(column).alias(f"told_{column}")).unique(
            "doc", keep="first", maintain_order=True
        )
        rows = rows.join(first, on="doc", how="left", maintain_order="left")
    return rows.select(
        "doc",
        title=_given_or_told("title", pl.col("title").str.contains(r"[\p{L}\p{N}]")),
        site=_given_or_told("site", pl.col("site") != ""),
        authors=_given_or_told("authors", pl.col("authors").list.len() > 0),
        published_at=pl.coalesce("published_at", "told_published_at"),
    ).select(pl.col(name).cast(kind) for name, kind in FOUND.items())


def _given_or_told(column: str, is_given: pl.Expr) -> pl.Expr:
    return pl.when(is_given.fill_null(False)).then(column).otherwise(f"told_{column}")
