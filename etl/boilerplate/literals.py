"""What a pattern's matches must hold: a cheap test that most lines fail before any pattern sees them.

`literals_of` reads a pattern in the syntax of Rust's engine and returns a set of literals, case folded, one of which is
somewhere in every text that the pattern matches; of several such sets that with the rarest literals. What it does not
understand may hold anything, and so may patterns whose literals are too many or in every other line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from typing import Final, NamedTuple

from etl.boilerplate.heads import folded
from etl.boilerplate.patterns import Chars, Choice, Node, Place, Repeat, Sequence, Unknown, read_pattern

LITERAL_CHARS: Final = 16  # of a longer literal the rarest so many characters are looked for
_MOST_LITERALS: Final = 2000  # that one place in a pattern may have
_LONGEST: Final = 100  # characters of a literal, before it is cut
_MOST_MEMBERS: Final = 8  # letters of a class that are spelled out
_MOST_ROUNDS: Final = 3  # of a repetition that are spelled out
_TOO_OFTEN: Final = 4e-3  # literals a character of prose; a line has about a hundred characters
_RATE_OF_WORDS: Final = 2e-4
_TOO_MANY_LINES: Final = 0.1  # that end so
START: Final = "\ufdd0"  # stands before a text's first character, and END after its last: code points for inner use
END: Final = "\ufdd1"

_SENTENCE_END: Final = "." + END
_SENTENCES: Final = 70  # so much likelier than by chance

# How often a character of prose in Latin script is this one; rounded, for what matters is which of two is rarer.
_SHARES: Final = {
    " ": 0.17,
    **dict(zip("etaoinshrdlcumwfgypbv", (0.1, 0.075, 0.065, 0.06, 0.057, 0.057, 0.053, 0.05, 0.05, 0.035, 0.033, 0.023, 0.023, 0.02, 0.019, 0.018, 0.016, 0.016, 0.015, 0.012, 0.008), strict=True)),
    **dict.fromkeys((".", ",", START, END), 0.01),
    **dict.fromkeys("kjxqz0123456789", 0.004),
}  # fmt: skip
# The commonest three characters in a row, commonest first, in articles in many languages, most of them English.
_COMMON: Final = (
    " ththehe ingng  annd and to into ed  of co a of ioner es re entor on  res ain fortioe tat  pr yoyou fois e a"
    " bes t wial atian hat st ca mae sst s, thad t whourle n tas  ont tth ly ate moter hant  ists ersprove hers. "
    " severen  it dee oaree c, aalls oe ise ithcomwitessll reach res hece ur e put staons ar we socon aln aerethi"
    "mennceestt ars it tine wives ie,  lieve po noe fd a buou  wa asearectne r tg tme ine paperte  die bomee mf t"
    " che.  doted ho meoutcan ne fr ort ins  sa trhis wos w fiint. t sut o exoneoreideighe dilltras sblery  leove"
    "usee r sh tectity age loaveity ped iplay td s, tcesr araticaeaty a siantnteartss worsteures fortlin atain us"
    "g astrs ct s midero t batorundld dinounghtcal eneraow om e eitinalpleiceanc plrin acromt wturhavmaniesactost"
    "ealustay sinpre - ke be isthinntsenc larede het , whan fan i un i d o taease lt cr sabl spnoterinti goompd b"
    "renfronesot y,  cl oukinwhea sendmorey tenserialge lan daheaalsstitime n naontn olesasthou evt, t. indh an s"
    "by ienic tiv febutminlead c adranlly hiso . iins, ipartics b byporr c grds o sothinc, seseimelatcha boake's "
    "whininaseite br titesorkt famels s par y srouhenackardappnieormanies,liteadffert onampln, d wvende howcouy o"
    "tanmatachnerrec gewasferanyheyndeexps md fad chee gr o abr pssitho imir d pshoimph ty. riect  crd memesed ea"
    "o amonoult p apew t milespeny tataliuld raritediwe sto scy ierydest hsesreeciacre 20heihasgetusiprieedes.mer"
    "d. y cdenricn. , bwerid n censsitgrar, trilowtteht lartals hofft be ua cellus catr iikeck ie s leireenwila p"
    "ichugh rontaabochillel aown fuelefinsioo calts dsur. adathesd, ficeneansinin faidook drliky wduc upitsr fif "
    "acer miliowemarnowee  oposesoml tracd hualirengedisassousn bcars rg insiougndiinas nmakn ehicacc cuharn ws e"
    "r b if muup tre viisee yecot dervtarnato bernvelbouem warmedigndayn mommangpen puultnewginn pchoy pgenr wlic"
    "y feciwhaordf ao moodpecneeope ye biseaoriicivinanao psongeswinr erepposbilntrthrhilbersaid eralailsenongg s"
    "ia helmpatemd dunirti, cms sigr. untd rr dcenattsseg olson hvicl stecdeductriseli. w junstoll ri quwhooteel "
    "t rwayxpeltharimosvesrd vidrovt yesilisgh ndsf yer,m tmil gal cpanuchshey bod yeaorsamiy da tmy ption,t erod"
    ", oned veclu ovo itruks rstaleertquiledtiemeso htaihemraielya mbesaderchfullliitaulag, greps ditrget ltaka f"
    "on.ng,a b pi nirelatu cestuntomalo dtror htoo. sodengsg pnicrevpacrmaeth agniteniettn dayscory hataoducur my"
    "r rrviremondg fy m, p af keselarkecheti oturievifteoolarcsidovido delrowonlwanlonizea loinjus, mcusfirna ger"
    "ifig cimao wl poloelpho uti ambusbeco rcie aulooildmetfacronlogwn  emdy aryeaccledias yd lcolgrotabinfick sm"
    "quel bncl vaseel ostssecivihostomudegs arsspoaddliggo w tausianrcea rludtlyh sn r aiolilecue lloa wursnneu c"
    "tudetea dequ flrk basathh ileneopoplramurafrey rimil ieanhroorapeonsuletts,eeplas. bo feng tyuesl, lacf ch c"
    "teag. ecehor bltopbetextpinng.oldd n w higinkt'ss gys  syossdowierndaa, ychg wdonm aishriacer, eystshifeeasi"
    "dicargctoniaweemeaowita telno two00  eleamelomai zaesperfo erkeoftsupuppurn gictss u"
)
RATE_OF_OTHERS: Final = 2e-4
_RARE: Final = 0.001  # signs
_RARER: Final = 0.0003  # characters of other scripts


class _Held(NamedTuple):
    """What is known of the texts that a part of a pattern matches.

    exact: all of them, if they are few. starts, ends: each begins and ends with one of these; with nothing known, with "".
    needed: each holds one of these, if that is known. optional: besides, it matches nothing at all.
    """

    exact: _Texts | None
    starts: _Texts
    ends: _Texts
    needed: _Texts | None
    optional: bool = False


_Texts = frozenset[str]
_EMPTY: Final[_Texts] = frozenset([""])
_NOTHING_KNOWN: Final = _Held(None, _EMPTY, _EMPTY, None)


def literals_of(pattern: str) -> frozenset[str] | None:
    """One of these, case folded, is in every text that `pattern` matches; None when that can't be told to any use."""
    try:
        held = _held(read_pattern(pattern))
    except (Unknown, RecursionError):
        return None
    found = _rarest([held.exact, held.needed])
    if found is None:
        return None
    cut = frozenset(map(rarest_part, found))
    return _shortest(cut) if sum(map(rate, cut)) < _TOO_OFTEN else None


def tails_of(pattern: str) -> frozenset[str] | None:
    """Every text that `pattern` matches ends, case folded, with one of these and END; None when that can't be told to any use."""
    try:
        ends = _in_a_row([_held(read_pattern(pattern)), _exactly(frozenset([END]))]).ends
    except (Unknown, RecursionError):
        return None
    tails = frozenset(text[-LITERAL_CHARS:] for text in ends)
    often = sum(rate(text.strip(END)) for text in tails)
    return _shortest(tails) if END not in tails and often < _TOO_MANY_LINES else None


def _exactly(texts: _Texts) -> _Held:
    return _Held(texts, texts, texts, None)


def _held(node: Node) -> _Held:
    match node:
        case Chars(members, negated, letters, others, _):
            chars = frozenset(map(folded, members))
            spelled = not (negated or letters or others or chars & {START, END}) and 0 < len(chars) <= _MOST_MEMBERS
            return _exactly(chars) if spelled else _NOTHING_KNOWN
        case Place(start, end):
            return _exactly(frozenset([START if start else END if end else ""]))
        case Sequence(parts):
            return _in_a_row(map(_held, parts))
        case Choice(parts):
            return _one_of(list(map(_held, parts)))
        case Repeat(part, low, high):
            return _repeated(_held(part), low, high)


def _in_a_row(parts: Iterable[_Held]) -> _Held:
    """Parts that are known exactly make longer literals; of those, and of what single parts need, the rarest count."""
    run, starts = _EMPTY, None
    candidates: list[_Texts | None] = []
    for part in parts:
        if part.optional:
            candidates.append(run)
            starts = run if starts is None else starts
            run = _together([run, part.ends]) or _EMPTY
            continue
        longer = _joined(run, part.starts)
        if part.exact is not None and longer is not None:
            run = longer
            continue
        candidates += [part.needed, *([run, part.starts] if longer is None else [longer])]
        starts = (longer or run) if starts is None else starts
        run = part.ends
    if starts is None:
        return _exactly(run)
    return _Held(None, starts, run, _rarest([*candidates, run]))


def _one_of(parts: list[_Held]) -> _Held:
    exact = _together([part.exact for part in parts])
    if exact is not None:
        return _exactly(exact)
    return _Held(
        None,
        _together([part.starts for part in parts]) or _EMPTY,
        _together([part.ends for part in parts]) or _EMPTY,
        _together([_rarest([part.exact, part.needed]) for part in parts]),
        any(part.optional for part in parts),
    )


def _together(sets: Iterable[_Texts | None]) -> _Texts | None:
    found: set[str] = set()
    for one in sets:
        if one is None:
            return None
        found |= one
    return frozenset(found) if len(found) <= _MOST_LITERALS else None


def _repeated(part: _Held, low: int, high: int | None) -> _Held:
    if not low and part.exact is not None and high == 1:
        return _exactly(part.exact | _EMPTY)
    if not low or part.optional:
        return _Held(None, part.starts, part.ends, None, optional=True)
    rounds = _in_a_row([part] * min(low, _MOST_ROUNDS))
    if low == high and low <= _MOST_ROUNDS:
        return rounds
    first = part.starts
    if low > 1 and part.exact is not None and all(text.strip(END) for text in part.exact):  # another round follows
        first = frozenset(text for text in part.exact if not text.endswith(END))
    return _Held(None, rounds.starts, rounds.ends, _rarest([first, part.needed, rounds.exact, rounds.needed]))


def _joined(texts: _Texts, more: _Texts) -> _Texts | None:
    """Each of `texts` with each of `more` after it; None when those are too many."""
    if len(texts) * len(more) > _MOST_LITERALS or max(map(len, texts), default=0) > _LONGEST:
        return None
    return frozenset(_join(text, rest) for text in texts for rest in more if _can_follow(text, rest))


def _can_follow(text: str, rest: str) -> bool:
    return not (text.endswith(END) and rest.strip(END)) and not (rest.startswith(START) and text.strip(START))


def _join(text: str, rest: str) -> str:
    if rest.startswith(START):
        return rest
    return text if text.endswith(END) else text + rest


def _rarest(sets: Iterable[_Texts | None]) -> _Texts | None:
    """The set whose literals are the rarest all together; None when each may be in any text."""
    known = [(sum(map(_rate_of_rarest, one)), len(one), one) for one in sets if one is not None and _usable(one)]
    return min(known, key=lambda entry: entry[:2])[2] if known else None


def _usable(texts: _Texts) -> bool:
    return "" not in texts


@lru_cache(maxsize=1 << 16)
def _rate_of_rarest(text: str) -> float:
    return rate(rarest_part(text))


def rate(text: str) -> float:
    """About how often a character of prose begins this: as its characters say, but single words may be common ones."""
    often = prod(_share(char) for char in text)
    if text.isascii() and text.strip(" ").isalpha():
        return max(often, _RATE_OF_WORDS * 0.63 ** len(text))
    return often * _SENTENCES if text.endswith(_SENTENCE_END) else often


def rates_of_common() -> dict[str, float]:
    """The same for the commonest three characters in a row, a better guess; all others are rarer than RATE_OF_OTHERS."""
    commonest = (_COMMON[at : at + 3] for at in range(0, len(_COMMON), 3))
    return {three: 0.035 / (place + 9) ** 0.72 for place, three in enumerate(commonest)}


def _share(char: str) -> float:
    return _SHARES.get(char, _RARE if char.isascii() else _RARER)


def rarest_part(text: str) -> str:
    """Of a literal the LITERAL_CHARS in a row that are rarest in prose."""
    parts = [text[n : n + LITERAL_CHARS] for n in range(max(1, len(text) - LITERAL_CHARS + 1))]
    return min(parts, key=rate)


def _shortest(texts: _Texts) -> _Texts:
    """`texts` without those that hold another one of them."""
    return frozenset(
        text
        for text in texts
        if not any(
            text[low:high] in texts
            for low in range(len(text))
            for high in range(low + 1, len(text) + 1)
            if high - low < len(text)
        )
    )
