/* Which patterns a text can match by what it holds: rules.py looks up the literals of literals.py. */
#include "common.h"

/* Each literal is found by three characters of it, a shorter one by all of it. Characters fall into 128 classes, those that
   differ in case alone into the same; a text begins with START and ends with END. Three classes one after the other are a
   number of 21 bits. */
typedef struct {
    const u8 *klass;   /* of each code point; START and END are code points for inner use */
    const u64 *seen;   /* a bit for each three classes that find a literal, 64 in a word; */
    const u32 *before; /* how many of them the words before hold; */
    const i32 *first;  /* and of each of them the first of its literals */
    const i32 *next;   /* of each literal another one that the same three find, -1 for none; */
    const i32 *back;   /* how far before the last one of the three it begins; */
    const u64 *ascii;  /* its bytes, with the bits in which a text's may differ and those that count, three numbers; */
    const u16 *codes;  /* it as code points, folded and cut to 16 bits, eight at most and how many, nine numbers; */
    const u64 *bits;   /* the patterns that ask for it */
    const u32 *fold;   /* of each code point */
    u64 always;        /* the patterns that ask for nothing */
} Literals;

enum { START = 0xFDD0, END = 0xFDD1, PARTS = 8 };

#define AFTER(three, klass) (((three) << 7 | (klass)) & 0x1FFFFF)
#define SEEN(t, three) ((t)->seen[(three) >> 6] >> ((three) & 63) & 1)

static i32 first_of(const Literals *t, u32 three) {
    u64 word = t->seen[three >> 6] & (((u64)1 << (three & 63)) - 1);
    u32 n = t->before[three >> 6];
    for (; word; word &= word - 1) n++;
    return t->first[n];
}

/* The patterns whose literals are at this place of a text of ASCII. at: the last one of the three characters, `size` for END. */
static u64 held_in_ascii(const Literals *t, u32 three, const u8 *text, i64 size, i64 at) {
    u64 found = 0;
    for (i32 n = first_of(t, three); n >= 0; n = t->next[n]) {
        i64 start = at - t->back[n];
        u64 bytes = 0;
        if (start < 0) continue;
        if (start + 8 <= size) bytes = load64(text + start);
        else memcpy(&bytes, text + start, (size_t)(size - start));
        const u64 *ascii = t->ascii + 3 * n;
        if (((bytes | ascii[1]) & ascii[2]) == ascii[0]) found |= t->bits[n];
    }
    return found;
}

static u64 held_in_codes(const Literals *t, u32 three, const u16 *text, i64 size, i64 at) {
    u64 found = 0;
    for (i32 n = first_of(t, three); n >= 0; n = t->next[n]) {
        i64 start = at - t->back[n];
        const u16 *codes = t->codes + (PARTS + 1) * n;
        i64 length = codes[PARTS];
        if (start < 0 || start + length > size) continue;
        if (!memcmp(text + start, codes, (size_t)length * sizeof(u16))) found |= t->bits[n];
    }
    return found;
}

static u64 of_ascii(const Literals *t, const u8 *text, i64 size) {
    u32 three = t->klass[START];
    u64 found = t->always;
    for (i64 at = 0; at < size; at++) {
        three = AFTER(three, t->klass[text[at]]);
        if (SEEN(t, three)) found |= held_in_ascii(t, three, text, size, at);
    }
    three = AFTER(three, t->klass[END]);
    return SEEN(t, three) ? found | held_in_ascii(t, three, text, size, size) : found;
}

/* codes: room for a code point for each byte. */
static u64 of_any(const Literals *t, const u8 *p, const u8 *end, u16 *codes) {
    u32 three = t->klass[START];
    u64 found = t->always;
    i64 size = 0;
    u8 *const klass = (u8 *)(codes + (end - p)); /* and of the same characters their classes */
    while (p < end) {
        u32 c = t->fold[read_char(&p)];
        klass[size] = t->klass[c];
        codes[size++] = (u16)c;
    }
    for (i64 at = 0; at < size; at++) {
        three = AFTER(three, klass[at]);
        if (SEEN(t, three)) found |= held_in_codes(t, three, codes, size, at);
    }
    three = AFTER(three, t->klass[END]);
    return SEEN(t, three) ? found | held_in_codes(t, three, codes, size, size) : found;
}

INLINE int is_ascii(const u8 *p, const u8 *end) {
    u64 high = 0;
    for (; end - p >= 8; p += 8) high |= load64(p);
    for (; p < end; p++) high |= *p;
    return !(high & 0x8080808080808080);
}

/* For each text the bits of all patterns of which it holds a literal. chars: of its first so many characters, or of its last
   ones where it is negative; 0 for all. 0 when memory ran out. */
EXPORT int winnow_literals(const Literals *t, const Texts *texts, i64 n, i64 chars, u64 *found) {
    Buffer codes = {0};
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *p = text_of(texts, i, &end), *q;
        if (chars && end - p > llabs(chars)) {
            i64 left = llabs(chars);
            if (chars > 0) {
                for (q = p; q < end; q++)
                    if ((*q & 0xC0) != 0x80 && !left--) break;
                end = q;
            } else {
                for (q = end; q > p && left; left -= (*q & 0xC0) != 0x80) q--;
                p = q;
            }
        }
        if (is_ascii(p, end)) {
            found[i] = of_ascii(t, p, end - p);
        } else {
            if (!reserve(&codes, 3 * (end - p))) break;
            found[i] = of_any(t, p, end, AT(codes, u16));
        }
    }
    free(codes.data);
    return !codes.failed;
}
