/* Looking for many literals in a text in one go, by their rarest three characters; native.py makes the tables. */
#ifndef WINNOW_LITERALS_H
#define WINNOW_LITERALS_H

#include "common.h"

/* Each literal is found by three characters of it, a shorter one by all of it. Characters fall into 128 classes, those that
   differ in case alone into the same; a text begins with START and ends with END. Three classes one after the other are a
   number of 21 bits. */
typedef struct {
    u64 bytes[2], spare[2], mask[2]; /* it as bytes, the bits in which a text's may differ, and those that count */
    u64 bits;                        /* the patterns that ask for it */
    u64 brief;                       /* see there */
} Literal;

/* What tells whether a literal can be at a place. */
typedef struct {
    i32 next; /* another one that the same three find, -1 for none */
    u8 back;  /* how many bytes or code points before the last one of the three it begins, */
    u8 size;  /* and how many it has */
    u8 edges; /* 1 if a text must begin with it, 2 if it must end so, 3 for both */
    u8 prior; /* the class that stands before the three in it, ANY where they begin it */
} Brief;

typedef struct {
    const u8 *klass;   /* of each code point; START and END are code points for inner use */
    const u64 *seen;   /* a bit for each three classes that find a literal, 64 in a word; */
    const u32 *before; /* how many of them the words before hold; */
    const u64 *prior;  /* of each of them a bit for each class that can stand before them, two words; */
    const i32 *first;  /* and the first of their literals */
    const Brief *brief;      /* of each literal */
    const Literal *literals;
    const u16 *codes;  /* of each literal its code points, folded and cut to 16 bits, 16 at most */
    const u32 *fold;   /* of each code point */
    u64 always;        /* the patterns that ask for nothing */
} Literals;

enum { START = 0xFDD0, END = 0xFDD1, PARTS = 16, ANY = 128, PLACES = 256 };

/* The classes of the last four characters: three, and what stands before them. */
#define AFTER(four, klass) (((four) << 7 | (klass)) & 0xFFFFFFF)
#define THREE(four) ((four) & 0x1FFFFF)
#define SEEN(t, four) ((t)->seen[THREE(four) >> 6] >> ((four) & 63) & 1)

INLINE u32 count_bits(u64 word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    return (u32)(((word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56);
}

/* The first literal that the last three of these find, -1 for none that can be there. */
INLINE i32 first_of(const Literals *t, u32 four) {
    u32 three = THREE(four), prior = four >> 21;
    u32 n = t->before[three >> 6] + count_bits(t->seen[three >> 6] & (((u64)1 << (three & 63)) - 1));
    return t->prior[2 * n + (prior >> 6)] >> (prior & 63) & 1 ? t->first[n] : -1;
}

/* Where a literal would begin in a text, -1 if it doesn't fit there. at: of the last one of the three, `size` for END. */
INLINE i64 start_of(const Brief *l, u32 four, i64 at, i64 size) {
    i64 start = at - l->back, end = start + l->size;
    return (l->prior != ANY && l->prior != four >> 21) || end > size || (l->edges & 1 && start) || (l->edges & 2 && end < size) ? -1 : start;
}

INLINE u64 held_in_ascii(const Literals *t, i32 n, u32 four, const u8 *text, i64 size, i64 at) {
    u64 found = 0;
    for (; n >= 0; n = t->brief[n].next) {
        i64 start = start_of(t->brief + n, four, at, size);
        if (start < 0) continue;
        const Literal *l = t->literals + n;
        u64 bytes[2] = {0, 0};
        if (size - start >= PARTS) memcpy(bytes, text + start, PARTS);
        else memcpy(bytes, text + start, (size_t)(size - start));
        if (((bytes[0] | l->spare[0]) & l->mask[0]) == l->bytes[0] && ((bytes[1] | l->spare[1]) & l->mask[1]) == l->bytes[1]) found |= l->bits;
    }
    return found;
}

INLINE u64 held_in_codes(const Literals *t, i32 n, u32 four, const u16 *text, i64 size, i64 at) {
    u64 found = 0;
    for (; n >= 0; n = t->brief[n].next) {
        i64 start = start_of(t->brief + n, four, at, size);
        if (start >= 0 && !memcmp(text + start, t->codes + PARTS * n, t->brief[n].size * sizeof(u16))) found |= t->literals[n].bits;
    }
    return found;
}

/* Places of a text where a literal may be: where the last one of the three is, they and the class before them, the first literal. */
typedef struct {
    i64 at[PLACES];
    u32 four[PLACES];
    i32 first[PLACES];
} Places;

/* Keeps those of n places where a literal can be: they come by chance, so without a branch for each. */
INLINE i64 sift(const Literals *t, Places *places, i64 n) {
    i64 kept = 0;
    for (i64 i = 0; i < n; i++) {
        u32 four = places->four[i];
        i32 first = first_of(t, four);
        places->at[kept] = places->at[i];
        places->four[kept] = four;
        places->first[kept] = first;
        kept += first >= 0;
    }
    return kept;
}

/* What a text holds, PLACES characters at a time. class_at: of the character at `at`; held: what is held at a place. */
#define HELD(class_at, held)                                                                                     \
    do {                                                                                                         \
        Places places;                                                                                           \
        u32 four = t->klass[START];                                                                              \
        u64 found = t->always;                                                                                   \
        for (i64 low = 0; low <= size; low += PLACES) {                                                          \
            int last = size - low < PLACES;                                                                      \
            i64 high = last ? size : low + PLACES, n = 0;                                                        \
            for (i64 at = low; at < high + last; at++) {                                                         \
                four = AFTER(four, at < size ? class_at : t->klass[END]);                                        \
                places.at[n] = at;                                                                               \
                places.four[n] = four;                                                                           \
                n += SEEN(t, four);                                                                              \
            }                                                                                                    \
            n = sift(t, &places, n);                                                                             \
            for (i64 i = 0; i < n; i++) found |= held(t, places.first[i], places.four[i], text, size, places.at[i]); \
        }                                                                                                        \
        return found;                                                                                            \
    } while (0)

INLINE u64 of_ascii(const Literals *t, const u8 *text, i64 size) { HELD(t->klass[text[at]], held_in_ascii); }

/* klass: of each character of the text, folded. */
INLINE u64 of_codes(const Literals *t, const u16 *text, const u8 *klass, i64 size) { HELD(klass[at], held_in_codes); }

/* codes: room for a code point for each byte. */
INLINE u64 of_any(const Literals *t, const u8 *p, const u8 *end, u16 *codes) {
    i64 size = 0;
    u8 *const klass = (u8 *)(codes + (end - p)); /* and of the same characters their classes */
    while (p < end) {
        for (; end - p >= 8 && !(load64(p) & 0x8080808080808080); p += 8, size += 8)
            for (int i = 0; i < 8; i++) {
                u32 c = t->fold[p[i]];
                klass[size + i] = t->klass[c];
                codes[size + i] = (u16)c;
            }
        if (p == end) break;
        u32 c = t->fold[read_char(&p)];
        klass[size] = t->klass[c];
        codes[size++] = (u16)c;
    }
    return of_codes(t, codes, klass, size);
}

INLINE int is_ascii(const u8 *p, const u8 *end) {
    u64 high = 0;
    for (; end - p >= 8; p += 8) high |= load64(p);
    for (; p < end; p++) high |= *p;
    return !(high & 0x8080808080808080);
}

#endif
