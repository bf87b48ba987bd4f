/* Which texts and lines are looked at by the repair: twins of the patterns in etl/repair/mojibake.py. */
#include "common.h"

/* kind: for each code point its row in the tables after it. low, high: for each kind the places of the pattern of badness that
 * it can stand at, 128 places in all: an alternative is a run of them, and `first` and `last` are the ends of the runs, `anchored`
 * the first places of those that begin where the line does. No place after a character beyond ASCII is more than two characters
 * of ASCII away from the next or from the run's end, nor are there more than two before the first.
 * misread: for each kind, five bits each (a charset a bit): it is the lead of two bytes of UTF-8, of three, a later byte.
 * alone: whether the kind can stand at a place with ASCII, or nothing, on both sides. */
typedef struct {
    const uint16_t *kind;
    const u64 *low, *high;
    const u32 *misread;
    const u8 *alone;
    u64 first[2], anchored[2], last[2];
} Suspects;

typedef struct {
    i64 buffers;
    Buffer text, start, end; /* number of the text; where the line begins and ends in it, in bytes */
} Lines;

enum { CHARSETS = 31, MOST_ASCII = 3 };

#define EACH 0x0101010101010101ULL

/* The next byte that is not ASCII. */
static inline const u8 *beyond_ascii(const u8 *s, const u8 *end) {
#ifdef __GNUC__
    for (; s + 8 <= end; s += 8) {
        u64 m = load64(s) & 0x80 * EACH;
        if (m) return s + (__builtin_ctzll(m) >> 3);
    }
#endif
    while (s < end && *s < 0x80) s++;
    return s;
}

/* The next byte that is not ASCII, or an ampersand. */
WIDE static const u8 *noteworthy(const u8 *s, const u8 *end) {
    for (; s + 32 <= end; s += 32) {
        u8 met = 0;
        for (int i = 0; i < 32; i++) met |= (u8)(s[i] >= 0x80) | (u8)(s[i] == '&');
        if (met) break;
    }
    while (s < end && *s < 0x80 && *s != '&') s++;
    return s;
}

/* The next character that can be part of what is bad: beyond ASCII, and the next one too unless it can stand alone. */
static const u8 *next_mark(const Suspects *t, const u8 *s, const u8 *end) {
    while ((s = beyond_ascii(s, end)) < end) {
        const u8 *next = s;
        u32 c = read_char(&next);
        if ((next < end && *next >= 0x80) || t->alone[t->kind[c]]) return s;
        s = next;
    }
    return end;
}

/* The next character that with the one after it may be UTF-8 read in another charset. */
static const u8 *next_lead(const Suspects *t, const u8 *s, const u8 *end) {
    while ((s = beyond_ascii(s, end)) < end) {
        const u8 *next = s;
        u32 kinds = t->misread[t->kind[read_char(&next)]];
        while (next < end && *next >= 0x80) {
            const u8 *second = next;
            u32 after = t->misread[t->kind[read_char(&next)]];
            if ((kinds | kinds >> 5) & after >> 10 & CHARSETS) return s;
            s = second;
            kinds = after;
        }
        s = next;
    }
    return end;
}

static int has_entity(const u8 *s, const u8 *end) {
    while (s < end && (s = memchr(s, '&', (size_t)(end - s)))) {
        s++;
        const u8 *p = s + (s < end && *s == '#');
        const u8 *name = p;
        while (p < end && p - name < 25 && ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z'))) p++;
        if (p > name && p - name < 25 && p < end && *p == ';') return 1;
    }
    return 0;
}

/* Whether the pattern of badness matches in the line. mark: the first place from `next_mark`. */
static int is_bad(const Suspects *t, const u8 *line, const u8 *end, const u8 *mark) {
    u64 low = 0, high = 0;
    while (mark < end) {
        const u8 *s = mark;
        for (int i = 0; i < MOST_ASCII && s > line && s[-1] < 0x80; i++) s--;
        u64 begin_low = t->first[0], begin_high = t->first[1];
        if (s == line) {
            begin_low |= t->anchored[0];
            begin_high |= t->anchored[1];
        }
        low = high = 0;
        int ascii = -MOST_ASCII; /* characters of ASCII since the last one beyond it; after so many, what had begun is over */
        while (s < end && ascii < MOST_ASCII) {
            ascii = *s < 0x80 ? ascii + 1 : 0;
            uint16_t kind = t->kind[read_char(&s)];
            u64 carry = low >> 63;
            low = (low << 1 | begin_low) & t->low[kind];
            high = (high << 1 | carry | begin_high) & t->high[kind];
            if ((low & t->last[0]) | (high & t->last[1])) return 1;
            begin_low = t->first[0];
            begin_high = t->first[1];
        }
        mark = next_mark(t, s, end);
    }
    return 0;
}

static int has_misread_word(const Suspects *t, const u8 *line, const u8 *end) {
    const u8 *done = line, *s = line;
    while ((s = next_lead(t, s, end)) < end) {
        while (s > done && s[-1] != ' ' && s[-1] != '\t') s--;
        u32 alive = CHARSETS, one_more = 0, two_more = 0, seen = 0;
        while (s < end && *s != ' ' && *s != '\t') {
            u32 c = read_char(&s), kinds = t->misread[t->kind[c]];
            u32 waiting = one_more | two_more, idle = alive & ~waiting;
            u32 lead_two = kinds & CHARSETS, lead_three = kinds >> 5 & CHARSETS, later = kinds >> 10 & CHARSETS;
            u32 plain = c > ' ' && c < 0x7F ? CHARSETS : 0;
            seen |= one_more & later;
            alive = (idle & (plain | lead_two | lead_three)) | (alive & waiting & later);
            one_more = ((idle & lead_two) | (two_more & later)) & alive;
            two_more = idle & lead_three & alive;
            if (!alive)
                while (s < end && *s != ' ' && *s != '\t') s++;
        }
        if (alive & seen & ~(one_more | two_more)) return 1;
        done = s;
    }
    return 0;
}

/* The suspicious lines of n texts. */
EXPORT Lines *winnow_suspicious(const Suspects *t, const Texts *texts, i64 n) {
    Lines *r = NEW_RESULT(Lines);
    if (!r) return NULL;
    for (i64 i = 0; i < n; i++) {
        const u8 *past, *text = text_of(texts, i, &past), *from = text, *met;
        while (from < past && (met = noteworthy(from, past)) < past) {
            const u8 *line = met, *end = memchr(met, '\n', (size_t)(past - met));
            if (!end) end = past;
            while (line > from && line[-1] != '\n') line--;
            int found = has_entity(met, end);
            if (!found) {
                const u8 *mark = next_mark(t, met, end);
                found = mark < end && (is_bad(t, line, end, mark) || has_misread_word(t, line, end));
            }
            if (found) {
                PUSH(r->text, i64, i);
                PUSH(r->start, i64, line - text);
                PUSH(r->end, i64, end - text);
            }
            from = end < past ? end + 1 : past;
        }
    }
    return complete(r, 1);
}

/* Whether the pattern of badness matches in a text that is one line, of so many bytes. */
EXPORT int winnow_is_bad(const Suspects *t, const u8 *text, i64 size) {
    const u8 *end = text + size, *mark = next_mark(t, text, end);
    return mark < end && is_bad(t, text, end, mark);
}

enum { BLOCK = 32 };

/* Whether a byte may begin what is to be taken away: a control character, or some beyond ASCII. */
static inline int is_odd(u8 c) { return (c < 0x20 && c != '\t') || c == 0x7F || c == 0xE2 || c >= 0xEF; }

/* Where the first block begins that may hold something untidy, or fewer bytes than that are left. There is a byte before s. */
WIDE static const u8 *past_tidy(const u8 *s, const u8 *end) {
    for (; end - s >= BLOCK + 2; s += BLOCK) {
        const u8 *before = s - 1, *after = s + 1, *second = s + 2;
        u8 met = 0;
        for (int i = 0; i < BLOCK; i++) {
            u8 c = s[i], line_end = (u8)(c == '\n');
            met |= ((u8)(c < 0x20) & (u8)(c != '\t') & (u8)!line_end) | (u8)(c == 0x7F) | (u8)(c >= 0xEF);
            met |= (u8)(c == 0xE2) & (u8)(after[i] == 0x80) & (u8)((second[i] & 0xFE) == 0xA8); /* U+2028, U+2029 */
            met |= line_end & ((u8)(before[i] == ' ') | (u8)(before[i] == '\t') | ((u8)(after[i] == '\n') & (u8)(second[i] == '\n')));
        }
        if (met) break;
    }
    return s;
}

static int is_untidy(const u8 *text, const u8 *end) {
    if (text == end) return 0;
    if (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n') return 1;
    const u8 *s = text, *looked_at = text; /* up to there byte by byte */
    while (*s == ' ' || *s == '\t') s++;  /* the last character is no blank */
    if (*s == '\n') return 1;
    while (s < end) {
        if (s > text && s >= looked_at) {
            s = past_tidy(s, end);
            looked_at = end - s < BLOCK ? end : s + BLOCK;
        }
        if (*s == '\n') { /* neither first nor last */
            if (s[-1] == ' ' || s[-1] == '\t' || (s[1] == '\n' && s[2] == '\n')) return 1;
        } else if (is_odd(*s)) {
            if (*s < 0x80) return 1; /* a control character */
            const u8 *at = s;
            u32 c = read_char(&at);
            if (c == 0x2028 || c == 0x2029 || c == 0xFEFF || (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE) return 1;
        }
        s++;
    }
    return 0;
}

/* For each of n texts whether it has line ends, control characters or blanks that the repair does away with. */
EXPORT void winnow_untidy(const Texts *texts, i64 n, u8 *untidy) {
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *text = text_of(texts, i, &end);
        untidy[i] = (u8)is_untidy(text, end);
    }
}

enum { CODECS = 10, MOST_LAYERS = 4 };
enum { LIKELY = 1, CAPITAL = 2, SMALL_OR_SHARP = 4, ODD = 8, HIGH_SMALL = 16, LATIN = 32, FOREIGN = 64 };

/* kind: for each code point its row in the tables after it, 0 for what no charset has. bytes: CODECS for each row. has, lead, tail:
 * a bit for each charset that has it, has it for a lead byte of UTF-8, for a later byte. signs: for each code point LIKELY, and what
 * the patterns of odd capitals, odd small letters and mixed scripts ask for. evidence: the least that a reading needs. */
typedef struct {
    const uint16_t *kind;
    const u8 *bytes;
    const uint16_t *has, *lead, *tail;
    const u8 *signs;
    i64 evidence;
} Charsets;

typedef struct {
    i64 first, past;
    u32 readable; /* a bit for each charset in which the word is UTF-8 */
} Word;

typedef struct {
    i64 buffers;
    Buffer evidence, text, offsets;
    Buffer chars, other, words; /* work: u32, u32, Word */
} Readings;

typedef struct {
    int odd, mixed; /* capitals after small letters and the reverse; whether two scripts meet */
} Oddities;

enum { IS_BAD = 1, IS_MISREAD = 2, IS_ODD = 4 };

/* Whether there is a capital after a small letter, or the reverse, or two scripts meet. */
static int is_strange(const u8 *signs, const u8 *s, const u8 *end) {
    u8 two = 0, one = 0, sign;
    for (; s < end; two = one, one = sign) {
        sign = signs[read_char(&s)];
        if ((one & SMALL_OR_SHARP) && (sign & ODD)) return 1;
        if (((one & LATIN) && (sign & FOREIGN)) || ((one & FOREIGN) && (sign & LATIN))) return 1;
        if ((two & CAPITAL) && (one & HIGH_SMALL) && (sign & CAPITAL)) return 1;
    }
    return 0;
}

/* For each of n lines whether the pattern of badness matches, whether that or a misread word is in it, what else is strange. */
EXPORT void winnow_strange(const Suspects *t, const u8 *signs, const u8 *text, const i64 *offsets, i64 n, u8 *found) {
    for (i64 i = 0; i < n; i++) {
        const u8 *line = text + offsets[i], *end = text + offsets[i + 1], *mark = next_mark(t, line, end);
        int bad = mark < end && is_bad(t, line, end, mark);
        found[i] = (u8)((bad ? IS_BAD | IS_MISREAD : has_misread_word(t, line, end) ? IS_MISREAD : 0) |
                        (is_strange(signs, line, end) ? IS_ODD : 0));
    }
}

static Oddities oddities(const u8 *signs, const u32 *c, i64 n) {
    Oddities found = {0, 0};
    for (i64 i = 0; i + 1 < n; i++) {
        u8 one = signs[c[i]], two = signs[c[i + 1]];
        found.odd += (one & SMALL_OR_SHARP) && (two & ODD);
        found.mixed |= ((one & LATIN) && (two & FOREIGN)) || ((one & FOREIGN) && (two & LATIN));
    }
    for (i64 i = 0; i + 2 < n; i++)
        if ((signs[c[i]] & CAPITAL) && (signs[c[i + 1]] & HIGH_SMALL) && (signs[c[i + 2]] & CAPITAL)) found.odd++, i += 2;
    return found;
}

/* The word as UTF-8 in one charset, which has all of its characters; how many characters that are, -1 if it isn't, or no likely word. */
static i64 read_word(const Charsets *t, const u32 *c, i64 n, int codec, u32 *right) {
    i64 size = 0;
    for (i64 i = 0; i < n;) {
        u8 sequence_of[4];
        i64 bytes = 0;
        for (; bytes < 4 && i + bytes < n; bytes++) sequence_of[bytes] = t->bytes[t->kind[c[i + bytes]] * CODECS + codec];
        const u8 *s = sequence_of, *end = s + bytes;
        u8 first = *s;
        if (first >= 0x80) {
            int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
            u8 low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80, high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
            if (first < 0xC2 || first > 0xF4 || end - s <= more || s[1] < low || s[1] > high) return -1;
            for (int k = 2; k <= more; k++)
                if (s[k] < 0x80 || s[k] > 0xBF) return -1;
        }
        right[size] = read_char(&s);
        i += s - sequence_of;
        u8 sign = t->signs[right[size]];
        if (!(sign & LIKELY)) return -1;
        if (size >= 2 && (sign & CAPITAL) && (t->signs[right[size - 1]] & HIGH_SMALL) && (t->signs[right[size - 2]] & CAPITAL)) return -1;
        size++;
    }
    return size;
}

/* Reads the words of a line in the charset that most speaks for, and tells how much that is; 0 when nothing does. */
static i64 best_charset(Buffer *found, const Charsets *t, const u32 *c, i64 n, u32 *right, i64 *size) {
    i64 totals[CODECS][3] = {{0}}; /* evidence, oddities gone, words read */
    found->size = 0;
    for (i64 first = 0, past; first < n; first = past + 1) {
        u32 has = (1u << CODECS) - 1;
        int pair = 0;
        for (past = first; past < n && c[past] != ' ' && c[past] != '\t'; past++) {
            uint16_t kind = t->kind[c[past]];
            has &= t->has[kind];
            pair = pair || (past > first && (t->lead[t->kind[c[past - 1]]] & t->tail[kind]));
        }
        if (!pair || !has) continue;
        Word word = {first, past, 0};
        Oddities before = oddities(t->signs, c + first, past - first);
        for (int codec = 0; codec < CODECS; codec++) {
            if (!(has >> codec & 1)) continue;
            i64 chars = read_word(t, c + first, past - first, codec, right);
            if (chars < 0) continue;
            Oddities after = oddities(t->signs, right, chars);
            i64 weight = before.mixed && !after.mixed ? 3 : 0;
            for (i64 i = 0; i < chars; i++) weight += right[i] > 0x7FF ? 2 : right[i] > 0x7F;
            totals[codec][0] += weight;
            totals[codec][1] += before.odd - after.odd;
            totals[codec][2]++;
            word.readable |= 1u << codec;
        }
        if (word.readable) PUSH(*found, Word, word);
    }
    i64 best = 0;
    int winner = -1;
    for (int codec = 0; codec < CODECS; codec++) {
        i64 evidence = totals[codec][0], tidied = totals[codec][1], words = totals[codec][2];
        evidence += tidied <= 0 ? 3 * tidied : tidied < words ? tidied : words;
        if (words && evidence > best) best = evidence, winner = codec;
    }
    i64 done = 0;
    *size = 0;
    for (i64 w = 0; winner >= 0 && w < COUNT(*found, Word); w++) {
        const Word *word = AT(*found, Word) + w;
        if (!(word->readable >> winner & 1)) continue;
        memcpy(right + *size, c + done, (size_t)(word->first - done) * 4);
        *size += word->first - done;
        *size += read_word(t, c + word->first, word->past - word->first, winner, right + *size);
        done = word->past;
    }
    memcpy(right + *size, c + done, (size_t)(n - done) * 4);
    *size += n - done;
    return best;
}

/* Each of n lines with its words read in one charset, in at most `layers` layers, and the evidence that is left. */
EXPORT Readings *winnow_by_words(const Charsets *t, const u8 *text, const i64 *offsets, i64 n, i64 layers) {
    Readings *r = NEW_RESULT(Readings);
    if (!r) return NULL;
    PUSH(r->offsets, i64, 0);
    for (i64 i = 0; i < n; i++) {
        const u8 *p = text + offsets[i], *end = text + offsets[i + 1];
        i64 room = (end - p) * 4 + 4;
        r->chars.size = r->other.size = 0;
        if (!reserve(&r->chars, room) || !reserve(&r->other, room) || !reserve(&r->text, end - p)) return complete(r, 0);
        u32 *c = AT(r->chars, u32), *right = AT(r->other, u32);
        i64 size = 0, evidence = 0;
        while (p < end) c[size++] = read_char(&p);
        for (i64 layer = 0; layer < layers; layer++) {
            i64 chars;
            evidence = best_charset(&r->words, t, c, size, right, &chars);
            if (evidence < t->evidence) break;
            u32 *last = c;
            c = right;
            right = last;
            size = chars;
        }
        u8 *first = (u8 *)r->text.data + r->text.size, *out = first;
        for (i64 k = 0; k < size; k++) out = write_char(out, c[k]);
        r->text.size += out - first;
        PUSH(r->evidence, i64, evidence);
        PUSH(r->offsets, i64, r->text.size);
    }
    return complete(r, 1);
}

/* The entities that have names, sorted by their bytes, without the ampersand and with the semicolon, and what they stand for. */
typedef struct {
    const u8 *names;
    const i64 *names_end; /* where each ends; so for the values */
    const u8 *values;
    const i64 *values_end;
    i64 n;
} Entities;

/* What was made of each line: whether Python is to be asked, whether it was mojibake, entities, control characters taken away. */
typedef struct {
    i64 buffers;
    Buffer ask, mojibake, entities, control, text, past; /* u8, u8, i64, i64, UTF-8, where each line's text ends */
    Buffer plain, chars, read, other, words;             /* work: u8, u32, u32, u32, Word */
} Mended;

enum { LONGEST_LINE = 10000 }; /* bytes; longer ones may have to be repaired in pieces */
enum { NO, YES, PERHAPS };

static inline int is_letter(u8 c) { return (u8)((c | 0x20) - 'a') < 26; }
static inline int is_blank(u8 c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F); }
static inline int is_space(u32 c) { /* beyond ASCII */
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}
static inline int is_quote(u8 c) { return c == '"' || c == '\''; }

/* Behind the name or number of an entity and its semicolon; s is behind the ampersand. NULL when it is none. */
static const u8 *entity(const u8 *s, const u8 *end) {
    const u8 *name = s += s < end && *s == '#';
    while (s < end && s - name < 25 && (is_letter(*s) || (*s >= '0' && *s <= '9'))) s++;
    return s > name && s - name < 25 && s < end && *s == ';' ? s + 1 : NULL;
}

static i64 count_entities(const u8 *s, const u8 *end) {
    i64 n = 0;
    while (s < end && (s = memchr(s, '&', (size_t)(end - s)))) {
        const u8 *past = entity(s + 1, end);
        n += past != NULL;
        s = past ? past : s + 1;
    }
    return n;
}

/* Whether a line looks like source code, or has an entity in quotes; PERHAPS where blanks beyond ASCII would matter. */
static int is_code(const u8 *line, const u8 *end) {
    for (const u8 *s = line; s < end; s++) {
        u8 next = s + 1 < end ? s[1] : 0, third = s + 2 < end ? s[2] : 0;
        if (*s == '<' && (is_letter(next) || next == '!' || (next == '/' && (is_letter(third) || third == '!')))) return YES;
        if (*s == '&' && next == '&') return YES;
        if (*s == '=') {
            if (next == '>' || is_quote(next) || (is_blank(next) && is_quote(third))) return YES;
            if (next >= 0x80) return PERHAPS;
        }
        if ((is_quote(*s) || *s == '`') && next == '&') {
            const u8 *past = entity(s + 2, end);
            if (past && past < end && (is_quote(*past) || *past == '`')) return YES;
            if (past && past - s == 6 && !memcmp(s + 2, "amp;", 4)) {
                past = entity(past, end);
                if (past && past < end && (is_quote(*past) || *past == '`')) return YES;
            }
        }
    }
    while (end > line && is_blank(end[-1])) end--;
    if (end > line && end[-1] >= 0x80) {
        const u8 *last = end - 1;
        while (last > line && (*last & 0xC0) == 0x80) last--;
        return is_space(read_char(&last)) ? PERHAPS : NO;
    }
    return end > line && (end[-1] == '{' || (end[-1] == ';' && end - line > 1 && end[-2] == ')')) ? YES : NO;
}

/* The name's value goes to `out`; 0 when it has none. */
static int named(const Entities *t, const u8 *name, i64 size, Buffer *out) {
    i64 low = 0, high = t->n;
    while (low < high) {
        i64 middle = (low + high) / 2, from = middle ? t->names_end[middle - 1] : 0, n = t->names_end[middle] - from;
        int order = memcmp(t->names + from, name, (size_t)(n < size ? n : size));
        if (!order && n == size) {
            i64 first = middle ? t->values_end[middle - 1] : 0, bytes = t->values_end[middle] - first;
            if (reserve(out, bytes)) {
                memcpy(out->data + out->size, t->values + first, (size_t)bytes);
                out->size += bytes;
            }
            return 1;
        }
        if (order < 0 || (!order && n < size)) low = middle + 1;
        else high = middle;
    }
    return 0;
}

/* The number of an entity; 0 where it isn't plainly one character. s is behind the #. */
static u32 numbered(const u8 *s, const u8 *semicolon) {
    u32 base = 10, n = 0;
    if (*s == 'x' || *s == 'X') base = 16, s++;
    if (s == semicolon || semicolon - s > 7) return 0;
    for (; s < semicolon; s++) {
        u32 digit = *s <= '9' ? (u32)(*s - '0') : (u32)((*s | 0x20) - 'a' + 10);
        if (digit >= base) return 0;
        n = n * base + digit;
    }
    return n == ';' || n < 0x20 || (n > 0x7E && n < 0xA0) || n > 0xD7FF ? 0 : n;
}

/* The line without its entities, in `out`. 0 when that isn't certain. */
static int unescape(const Entities *t, const u8 *s, const u8 *end, Buffer *out) {
    out->size = 0;
    if (!reserve(out, end - s + 1)) return 0;
    int keep = has_entity(s, end) ? is_code(s, end) : YES;
    if (keep == PERHAPS) return 0;
    while (s < end) {
        const u8 *mark = keep == YES ? NULL : memchr(s, '&', (size_t)(end - s));
        const u8 *stop = mark ? mark : end;
        if (!reserve(out, stop - s)) return 0;
        memcpy(out->data + out->size, s, (size_t)(stop - s));
        out->size += stop - s;
        s = stop;
        if (!mark) break;
        const u8 *past = entity(s + 1, end);
        if (past && s[1] == '#') {
            u32 c = numbered(s + 2, past - 1);
            if (!c || !reserve(out, 4)) return 0;
            out->size = (char *)write_char((u8 *)out->data + out->size, c) - out->data;
            s = past;
        } else if (past && named(t, s + 1, past - s - 1, out)) {
            s = past;
        } else {
            PUSH(*out, u8, '&');
            s++;
        }
    }
    return !out->failed && !memchr(out->data, '\n', (size_t)out->size);
}

/* A text as UTF-8, or back. */
static i64 to_chars(const u8 *s, const u8 *end, u32 *c) {
    i64 n = 0;
    while (s < end) c[n++] = read_char(&s);
    return n;
}

static int to_bytes(const u32 *c, i64 n, Buffer *out) {
    out->size = 0;
    if (!reserve(out, 4 * n)) return 0;
    u8 *to = (u8 *)out->data;
    for (i64 i = 0; i < n; i++) to = write_char(to, c[i]);
    out->size = (char *)to - out->data;
    return 1;
}

/* The whole text read as UTF-8 in the first charset that has all of its characters; -1 when it isn't that, or ftfy would look closer. */
static i64 read_whole(const Charsets *t, const u32 *c, i64 n, u32 *right) {
    u32 has = (1u << CODECS) - 1;
    for (i64 i = 0; i < n; i++) {
        if (c[i] == 0x1A || c[i] == 0xFFFD) return -1;
        has &= t->has[t->kind[c[i]]];
    }
    if (!has) return -1;
    int codec = 0;
    while (!(has >> codec & 1)) codec++;
    i64 size = 0;
    for (i64 i = 0; i < n;) {
        u8 sequence_of[4] = {0};
        for (i64 k = 0; k < 4 && i + k < n; k++) sequence_of[k] = t->bytes[t->kind[c[i + k]] * CODECS + codec];
        u8 first = sequence_of[0];
        int more = first < 0x80 ? 0 : first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (more) {
            u8 low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
            if (first < 0xC2 || first > 0xF4 || first == 0xED || i + more >= n || sequence_of[1] < low || sequence_of[1] > high) return -1;
            for (int k = 2; k <= more; k++)
                if (sequence_of[k] < 0x80 || sequence_of[k] > 0xBF) return -1;
        }
        const u8 *s = sequence_of;
        right[size++] = read_char(&s);
        i += more + 1;
    }
    return size;
}

static int is_bad_text(const Suspects *t, const Buffer *text) {
    const u8 *s = (const u8 *)text->data, *end = s + text->size, *mark = next_mark(t, s, end);
    return mark < end && is_bad(t, s, end, mark);
}

/* Repairs a line, into `plain`. 0 when it isn't certain what Python would make of it. */
static int mend(Mended *r, const Suspects *t, const Charsets *charsets, const Entities *names, const u8 *line, const u8 *end, int *mojibake) {
    Buffer *plain = &r->plain;
    *mojibake = 0;
    if (end - line > LONGEST_LINE || !unescape(names, line, end, plain)) return 0;
    const u8 *text = (const u8 *)plain->data, *past = text + plain->size;
    int bad = is_bad_text(t, plain);
    if (bad || has_misread_word(t, text, past)) {
        i64 room = plain->size * 4 + 4;
        r->chars.size = r->read.size = r->other.size = 0;
        if (!reserve(&r->chars, room) || !reserve(&r->read, room) || !reserve(&r->other, room)) return 0;
        const u32 *given = AT(r->chars, u32), *c = given;
        u32 *right = AT(r->read, u32), *spare = AT(r->other, u32);
        i64 whole = to_chars(text, past, AT(r->chars, u32)), size = whole, chars, evidence = 0;
        for (int layer = 0; layer < MOST_LAYERS; layer++) {
            evidence = best_charset(&r->words, charsets, c, size, right, &chars);
            if (evidence < charsets->evidence) break;
            c = right;
            right = spare;
            spare = (u32 *)c;
            size = chars;
        }
        int differs = size != whole || memcmp(c, given, (size_t)size * 4);
        if (!to_bytes(c, size, plain)) return 0;
        int doubt = 0;
        if (differs) {
            text = (const u8 *)plain->data;
            past = text + plain->size;
            doubt = is_bad_text(t, plain) || is_strange(charsets->signs, text, past);
        }
        if (differs ? evidence || doubt : bad) { /* ftfy knows more cases */
            if (!to_bytes(given, whole, plain)) return 0;
            c = given;
            size = whole;
            right = AT(r->read, u32);
            spare = AT(r->other, u32);
            while (is_bad_text(t, plain)) {
                chars = read_whole(charsets, c, size, right);
                if (chars < 0 || !to_bytes(right, chars, plain)) return 0;
                c = right;
                right = spare;
                spare = (u32 *)c;
                size = chars;
            }
            text = (const u8 *)plain->data;
            past = text + plain->size;
            evidence = best_charset(&r->words, charsets, c, size, right, &chars);
            doubt = is_strange(charsets->signs, text, past); /* it isn't bad any more */
            differs = size != whole || memcmp(c, given, (size_t)size * 4);
        }
        if (differs ? evidence || doubt : bad || evidence >= charsets->evidence) return 0;
        *mojibake = differs;
    }
    return !has_entity((const u8 *)plain->data, (const u8 *)plain->data + plain->size);
}

/* The repair of each of n lines of `data`, where it is certain, without the control characters of Latin-1 that it leaves. */
EXPORT Mended *winnow_mend(const Suspects *t, const Charsets *charsets, const Entities *names, const u8 *data, const i64 *starts, const i64 *ends, i64 n) {
    Mended *r = NEW_RESULT(Mended);
    if (!r) return NULL;
    for (i64 i = 0; i < n; i++) {
        const u8 *line = data + starts[i], *end = data + ends[i];
        int mojibake, ask = !mend(r, t, charsets, names, line, end, &mojibake);
        i64 entities = 0, control = 0;
        if (!ask) {
            const u8 *s = (const u8 *)r->plain.data, *past = s + r->plain.size;
            if (!reserve(&r->text, past - s)) return complete(r, 0);
            u8 *out = (u8 *)r->text.data + r->text.size;
            entities = count_entities(line, end); /* none is left */
            while (s < past) {
                int skip = *s == 0xC2 && s[1] < 0xA0;
                control += skip;
                if (skip) s += 2;
                else *out++ = *s++;
            }
            r->text.size = (char *)out - r->text.data;
        }
        PUSH(r->ask, u8, (u8)ask);
        PUSH(r->mojibake, u8, (u8)mojibake);
        PUSH(r->entities, i64, entities);
        PUSH(r->control, i64, control);
        PUSH(r->past, i64, r->text.size);
        if (r->plain.failed || r->chars.failed || r->read.failed || r->other.failed || r->words.failed) return complete(r, 0);
    }
    return complete(r, 1);
}

typedef struct {
    i64 buffers;
    Buffer text, past; /* UTF-8, where each text ends */
} Spliced;

/* Texts with some of their lines replaced. first, past: of each line's text; starts, ends: of the line; lines of one text follow each
 * other. new_starts, new_ends: what replaces it, in `others`. */
EXPORT Spliced *winnow_splice(const u8 *data, const i64 *first, const i64 *past, const i64 *starts, const i64 *ends, i64 n, const u8 *others,
                              const i64 *new_starts, const i64 *new_ends) {
    Spliced *r = NEW_RESULT(Spliced);
    if (!r) return NULL;
    i64 done = 0;
    for (i64 i = 0; i < n; i++) {
        int begins = !i || first[i] != first[i - 1], stops = i + 1 == n || first[i + 1] != first[i];
        if (begins) done = first[i];
        i64 before = starts[i] - done, size = new_ends[i] - new_starts[i], after = stops ? past[i] - ends[i] : 0;
        if (!reserve(&r->text, before + size + after)) return complete(r, 0);
        u8 *out = (u8 *)r->text.data + r->text.size;
        memcpy(out, data + done, (size_t)before);
        memcpy(out + before, others + new_starts[i], (size_t)size);
        memcpy(out + before + size, data + ends[i], (size_t)after);
        r->text.size += before + size + after;
        done = ends[i];
        if (stops) PUSH(r->past, i64, r->text.size);
    }
    return complete(r, 1);
}
