/* What the parts of the line model share: lines as they are read, as numbers, and as columns. */
#ifndef WINNOW_LINE_MODEL_H
#define WINNOW_LINE_MODEL_H

#include "common.h"

enum { OWN = 24, FIRST = 130, SECOND = 44, SUMS = 16 }; /* features of a line by itself, of each pass; running sums of a pass */

typedef u64 Pair __attribute__((vector_size(16), aligned(8))); /* twice eight packed counters */

typedef struct {
    const u8 *space;                                 /* of each code point */
    const u8 *closing, *terminal, *colon, *ellipsis; /* of each code point */
    const uint16_t *row, *column; /* of each byte, what it is as the first and as the second one of a pair: */
    const Pair *pairs;            /* at row + column is what the pair counts */
    i64 entry_bits, room;         /* of a lexicon; slots for each word of a page */
} HeadTables;

typedef struct {
    i64 buffers;
    Buffer slot, line, entry, entry_line; /* the words: those worth comparing, then all */
    Buffer slots;                         /* one number: slots of all pages */
    Buffer keys, table;                   /* work */
} Words;

/* Adds n_pages pages of `texts`, a line each, which begin at the lines `pages` (and one more, behind the last). Lines count from pages[0].
   own: rows of `stride` numbers, the features of lines by themselves in their order. 0 when memory ran out. */
int read_pages(const HeadTables *t, const Texts *texts, const i64 *pages, i64 n_pages, double *own, i64 stride, double *start, Words *r);

typedef struct {
    i64 n, n_pages, n_words, n_entries, room;
    const double *const *own;      /* what lines are by themselves: a row of n for each of the first features */
    const double *start, *site_near, *site_pages;
    const i64 *pages;              /* the first line of each, and n */
    const i64 *slot;               /* of each word worth comparing, in the vocabulary of its page, */
    const i32 *line;               /* and the line it stands in */
    const i32 *entry, *entry_line; /* of each word, its place in the lexicon and its line */
    const u8 *hit;
} Measured;

/* What the lexicon says of each of n words. */
void look_up(const signed char *lexicon, const i32 *entry, i64 n, signed char *said);

/* The columns of a pass, rows of `stride` numbers. memory: to work in. held: SUMS numbers, zeros before the first page of all.
   said: what the
   lexicon says of each word. How many columns there are; 0 when memory ran out. */
i64 fill_first(const Measured *m, const signed char *said, float *columns, i64 stride, Buffer *memory, double *held);
i64 fill_second(const Measured *m, const double *scores, float *columns, i64 stride, Buffer *memory, double *held);

/* Symmetric trees: of each level of each tree the feature asked for and the border; 2^levels leaves of each tree. */
typedef struct {
    const i32 *feature;
    const float *border;
    const double *leaf;
    i64 trees, levels;
    double bias;
} Forest;

/* Adds to `total` the leaf of each tree that each of n rows falls in. columns: rows of `stride` numbers. */
void add_leaves(const float *columns, i64 n, i64 stride, const Forest *forest, double *total);

#endif
