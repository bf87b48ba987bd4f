"""What the splitter knows of words and marks: abbreviations, words that begin a sentence, months, quotes and brackets."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from etl.dedup.normalize import tables

FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
LOOK_AHEAD: Final = 14  # letters of the word after a full stop that are read
LOOK_BACK: Final = 8  # of the word before it: a longer one is no abbreviation

CONSONANTS: Final = "bcdfghjklmnpqrstvwxzśźżćńłčšžřďťňбвгджзйклмнпрстфхцчшщ"
ROMAN: Final = "IVX"
DOUBLE_QUOTES: Final = '"“”„«»「」『』″＂'
OPENING: Final = "([{（［｛【〔《〈"
CLOSING: Final = ")]}）］｝】〕》〉"

_TITLES: Final = (
    "dr mr mrs ms prof gen sen rep gov lt col sgt cpl maj capt cmdr adm st mt ft rev hon pres supt insp messrs mme mlle sr sra srta "
    "dra drs ing dipl hr fr frl bzw vgl ca evtl ggf inkl zzgl sog bspw geb gest dott avv vs viz cf approx tel min max ed eds "
    "г ул им д р см гр т е св проф акад тыс млн млрд np tzw tj m.in prof.dr dr.med ph al mgr inż ks jhr mevr dhr"
)
_NUMBERED: Final = (
    "no nos nr nrs num núm n nº p pp pg pag pág vol vols art arts fig figs sec sect ch chap para abs kap tab bd nr s str op ex eq "
    "jan feb mar apr jun jul aug sep sept oct nov dec okt dez ene abr ago dic janv févr avr juil déc gen mag giu lug set ott"
)
_WEAK: Final = (
    "inc corp co ltd bros llc plc jr sr esq etc usw u.s u.k u.n e.u a.m p.m d.c ph.d m.d b.a m.a u.s.a n.y l.a v i.e e.g z.b d.h u.a o.ä "
    "s.a s.p.a s.r.l b.v n.v a.g e.v ee.uu a.c d.c a.d b.c av blvd ave rd sq dept univ assn bldg est mio mrd mil mln tys int intl natl "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun calif fla ill mass mich minn pa tex va wash"
)
_STARTERS: Final = (
    "the he she it its in but and we they this that these those there his her their our your my you as at on for if when while after before "
    "however although though since so then now not what why how who where which with by from to an or no yes some many most all one two "
    "der die das ein eine es er sie wir ihr ich im am auf und aber doch auch dies diese dieser dieses für mit nach bei wenn als so dann nun "
    "le la les il elle ils elles un une ce cette ces en dans mais et pour nous vous on au aux je si "
    "el lo los las una pero y es se por para su sus no con al del esta este estos "
    "o os as um uma mas e em na nas nos eu ele ela eles isso "
    "gli i uno ma di nel nella è si per con che non "
    "de het een hij zij wij ze we maar van voor niet dit dat deze er "
    "в и но на он она они это мы я не как что по а с у для так w i na to nie ale jest z do że po się"
)
_MONTHS: Final = (
    "januar februar märz april mai juni juli august september oktober november dezember jänner ledna února března dubna května června července "
    "srpna září října listopadu prosince tammikuuta marraskuuta joulukuuta mars maj desember december februari januari jahrhundert jahrhunderts "
    "klasse platz rang liga runde etage stock jh geburtstag bezirk"
)

WORD_SETS: Final = ("titles", "numbered", "weak", "starters", "months")


@cache
def word_sets() -> dict[str, npt.NDArray[np.uint64]]:
    """The hashes of the words of each of WORD_SETS, sorted. Words before a full stop are read backwards."""

    def hashes(words: str, *, backwards: bool) -> npt.NDArray[np.uint64]:
        values = []
        for word in words.split():
            value = 0
            for char in reversed(word) if backwards else word[:LOOK_AHEAD]:
                value = (value * int(FACTOR) + int(tables().fold[ord(char)])) & 0xFFFFFFFFFFFFFFFF
            values.append(value)
        return np.unique(np.array(values, dtype=np.uint64))

    return {
        "titles": hashes(_TITLES, backwards=True),
        "numbered": hashes(_NUMBERED, backwards=True),
        "weak": hashes(_WEAK, backwards=True),
        "starters": hashes(_STARTERS, backwards=False),
        "months": hashes(_MONTHS, backwards=False),
    }


@cache
def character_marks() -> npt.NDArray[np.uint8]:
    """Of each code point what the compiled splitter asks: consonant 1, Roman 2, double quote 4, opens 8, closes 16, " 32."""
    marks = np.zeros(len(tables().kind), dtype=np.uint8)
    for bit, chars in enumerate((CONSONANTS, ROMAN, DOUBLE_QUOTES, OPENING, CLOSING, '"')):
        marks[codes_of(chars)] |= np.uint8(1 << bit)
    return marks


def codes_of(chars: str) -> npt.NDArray[np.uint32]:
    """The code points of `chars`."""
    return np.array([ord(char) for char in chars], dtype=np.uint32)
