/* The columns that the trees of the line model read, page by page: the twin of `first_features` and `second_features` of
   etl/boilerplate/features.py, which say what each column means. The same operations in the same order, so the same bits:
   a sum runs on from page to page, as a cumulative sum over the whole batch does. Columns are written in their order. */
#include "line_model.h"

enum { LONG = 100, FAR = 250, BLOCK_SIZE = 40, MOST_WORDING = 400 };
enum { NO_HIT, RULED, TITLE, BYLINE, COMMENTS, RELATED, SHARING };
enum { SIZE = 0, WORDS = 1, DIGITS = 3, CAPITALS = 6, STOPS = 10, SEPARATORS = 11, SYMBOLS = 18, SHORT_WORDS = 19, LETTER = 20, SIGN = 21 };

/* What is worked out for one page: arrays for the lines of the longest. A running sum has one number more than lines, and
   room for MARGIN copies of its ends on both sides: where a window goes beyond the page. */
enum { VALUES = 6, FLAGS = 4, MARGIN = 32 };
typedef struct {
    u32 first, last; /* of the flagged lines with a word; NOWHERE */
} Seen;

static const u32 NOWHERE = 0xFFFFFFFF;

typedef struct {
    double *sum[SUMS], *value[VALUES];
    u8 *flag[FLAGS];
    Seen *seen;   /* of each slot of a page's vocabulary */
    double *held; /* where each running sum stands */
} Desk;

static inline double least(double a, double b) { return a < b ? a : b; }
static inline double most(double a, double b) { return a > b ? a : b; }
static inline double whole(double x) { return (double)(i32)x; } /* of what isn't negative and below 2^31 */
static inline double floor_of(double x) { /* of what is less than 2^31 away from 0 */
    double cut = (double)(i32)x;
    return cut > x ? cut - 1 : cut;
}
static inline double limited(double x, double low, double high) { return most(low, least(x, high)); }

/* The first of the words from `low` on that doesn't stand above line `end`: words are in order of lines. */
static i64 words_above(const Measured *m, i64 low, i64 end) {
    i64 high = m->n_words;
    while (low < high) {
        i64 middle = low + (high - low) / 2;
        if (m->line[middle] < end) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Room for the largest of the pages, in `memory`. */
static int set_up(Desk *d, const Measured *m, Buffer *memory, double *held) {
    i64 longest = 0, slots = 1;
    for (i64 p = 0, w = 0; p < m->n_pages; p++) {
        i64 lines = m->pages[p + 1] - m->pages[p], first = w;
        w = words_above(m, w, m->pages[p + 1]);
        i64 room = (i64)1 << slot_bits(w - first, m->room);
        if (lines > longest) longest = lines;
        if (room > slots) slots = room;
    }
    i64 run = longest + 1 + 2 * MARGIN, doubles = SUMS * run + VALUES * longest;
    memory->size = 0;
    if (!reserve(memory, doubles * 8 + slots * (i64)sizeof(Seen) + FLAGS * longest)) return 0;
    double *at = AT(*memory, double);
    for (int i = 0; i < SUMS; i++, at += run) d->sum[i] = at + MARGIN;
    for (int i = 0; i < VALUES; i++, at += longest) d->value[i] = at;
    d->seen = (Seen *)at;
    u8 *flag = (u8 *)(d->seen + slots);
    for (int i = 0; i < FLAGS; i++, flag += longest) d->flag[i] = flag;
    d->held = held;
    return 1;
}

/* Where columns go: each call gives the place of the page's lines in the next one. */
typedef struct {
    float *at;
    i64 stride, made;
} Columns;

static inline float *next(Columns *c) {
    float *here = c->at;
    c->at += c->stride;
    c->made++;
    return here;
}

#define EACH for (i32 i = 0; i < n; i++)
#define COLUMN(value)                        \
    do {                                     \
        float *restrict out = next(c);       \
        EACH out[i] = (float)(value);        \
    } while (0)

/* Makes the running sum number `which` of the page, of a value of each line, and gives it. */
#define RUN(which, value)                               \
    do {                                                \
        double *restrict run = d->sum[which];           \
        double now = d->held[which];                    \
        EACH {                                          \
            run[i] = now;                               \
            now += (value);                             \
        }                                               \
        run[n] = d->held[which] = now;                  \
    } while (0)

#define TOTAL(which) (d->sum[which][n] - d->sum[which][0])
#define THROUGH(which) (d->sum[which][i + 1] - d->sum[which][0])

/* Makes windows of up to `reach` lines around each line possible. */
#define WIDEN(which, reach)                                    \
    do {                                                       \
        double *run = d->sum[which];                           \
        for (i32 k = 1; k <= (reach); k++) {                   \
            run[-k] = run[0];                                  \
            run[n + k] = run[n];                               \
        }                                                      \
    } while (0)

/* The mean over the lines at most `reach` away. */
#define WITHIN(which, reach) ((d->sum[which][i + (reach) + 1] - d->sum[which][i - (reach)]) / lines_within(i, n, reach))

static inline double lines_within(i32 i, i32 n, i32 reach) {
    i32 low = i > reach ? i - reach : 0, high = i + reach + 1 < n ? i + reach + 1 : n;
    return (double)(high - low);
}

/* The value `step` lines below, times `unit`, or -1 times it where there is none. */
static inline void beside(Columns *c, const double *values, i32 n, i32 step, double unit) {
    float *restrict out = next(c);
    i32 low = step < 0 ? -step : 0, high = step > 0 ? n - step : n;
    for (i32 i = 0; i < n && i < low; i++) out[i] = (float)-unit;
    for (i32 i = low; i < high; i++) out[i] = (float)(values[i + step] * unit);
    for (i32 i = high < 0 ? 0 : high; i < n; i++) out[i] = (float)-unit;
}

/* Lines back to the nearest other line that is flagged, and ahead to it. */
static inline void back_to(float *restrict out, const u8 *flag, i32 n) {
    i32 since = FAR;
    EACH {
        out[i] = (float)since;
        since = flag[i] ? 1 : since < FAR ? since + 1 : FAR;
    }
}

static inline void ahead_to(float *restrict out, const u8 *flag, i32 n) {
    i32 to = FAR;
    for (i32 i = n - 1; i >= 0; i--) {
        out[i] = (float)to;
        to = flag[i] ? 1 : to < FAR ? to + 1 : FAR;
    }
}

/* Where lines stand to the stretch with the largest sum of `worth` (whole numbers). before: room. */
static inline void stretch(Columns *c, const double *worth, double *restrict before, i32 n) {
    double now = 0, lowest = 0, best = 0, opening = 0;
    i32 end = 0;
    EACH {
        before[i] = now;
        lowest = least(lowest, now);
        now += worth[i];
        if (!i || now - lowest > best) best = now - lowest, end = i, opening = lowest;
    }
    i32 begin = end;
    while (before[begin] != opening) begin--;
    COLUMN(limited((double)(begin - i), -FAR, FAR));
    COLUMN(limited((double)(i - end), -FAR, FAR));
    COLUMN(end - begin + 1);
}

/* The words of one page in the arrays of all: their number, and the slots of its vocabulary. */
typedef struct {
    const i64 *slot;
    const i32 *line;
    i64 n, base, slots;
} Vocabulary;

static Vocabulary vocabulary_after(const Measured *m, const Vocabulary *last, i64 end) {
    Vocabulary v = {last->slot + last->n, last->line + last->n, 0, last->base + last->slots, 0};
    v.n = words_above(m, v.line - m->line, end) - (v.line - m->line);
    v.slots = (i64)1 << slot_bits(v.n, m->room);
    return v;
}

/* Of each line's words, how many also stand in another flagged line (shared), and how many there are (compared). */
static inline void share_words(const Vocabulary *v, Desk *d, const u8 *flag, i64 low, i32 n, double *restrict shared, double *restrict compared) {
    Seen *restrict seen = d->seen;
    memset(seen, 0xFF, (size_t)v->slots * sizeof(Seen));
    const i64 *slots = v->slot;
    i64 w = 0;
    EACH {
        i32 line = (i32)(low + i);
        if (!flag[i])
            while (w < v->n && v->line[w] == line) w++;
        for (; w < v->n && v->line[w] == line; w++) {
            Seen *at = seen + (slots[w] - v->base);
            at->first = (u32)line < at->first ? (u32)line : at->first;
            at->last = (u32)line;
        }
    }
    w = 0;
    EACH {
        u32 line = (u32)(low + i);
        i64 from = w, both = 0;
        for (; w < v->n && (u32)v->line[w] == line; w++) {
            Seen at = seen[slots[w] - v->base];
            both += (at.last != NOWHERE) & ((at.first != line) | (at.last != line));
        }
        compared[i] = (double)(w - from);
        shared[i] = (double)both / most(compared[i], 1);
    }
}

static inline void blocks(Columns *c, const double *size, double *restrict text, i32 n) {
    double largest = -1;
    i32 begin = 0;
    for (i32 i = 0; i < n;) {
        i32 from = i;
        int in = size[i] >= BLOCK_SIZE;
        double sum = 0;
        for (; i < n && (size[i] >= BLOCK_SIZE) == in; i++) sum += in ? size[i] : 0;
        for (i32 k = from; k < i; k++) text[k] = sum;
        if (sum > largest) largest = sum, begin = from;
    }
    COLUMN(text[i]);
    COLUMN(text[i] / most(largest, 1));
    COLUMN(limited((double)(i - begin), -FAR, FAR));
}

#define FLAG(which, value)             \
    do {                               \
        u8 *restrict f = d->flag[which]; \
        EACH f[i] = (value);           \
    } while (0)

/* By itself, so that many wait for the memory together. */
void look_up(const signed char *lexicon, const i32 *entry, i64 n, signed char *said) {
    for (i64 i = 0; i < n; i++) said[i] = lexicon[entry[i]];
}

WIDE i64 fill_first(const Measured *m, const signed char *says_of, float *columns, i64 stride, Buffer *memory, double *held) {
    Desk desk, *d = &desk;
    if (!set_up(d, m, memory, held)) return 0;
    Vocabulary v = {m->slot, m->line, 0, 0, 0};
    i64 made = 0, entries = 0;
    for (int k = 0; k < OWN; k++) {
        const double *restrict own = m->own[k];
        float *restrict out = columns + k * stride;
        for (i64 i = 0; i < m->n; i++) out[i] = (float)own[i];
    }
    for (i64 p = 0; p < m->n_pages; p++) {
        const i64 low = m->pages[p];
        const i32 n = (i32)(m->pages[p + 1] - low);
        Columns columns_here = {columns + OWN * stride + low, stride, OWN}, *c = &columns_here;
        const double *own[OWN];
        for (int k = 0; k < OWN; k++) own[k] = m->own[k] + low;
        const double *size = own[SIZE], *sign = own[SIGN], *start = m->start + low;
        const u8 *hit = m->hit + low;
        enum { long_, ends, middling, spare };
        FLAG(ends, sign[i] >= 2);
        FLAG(long_, size[i] >= LONG && (d->flag[ends][i] || size[i] >= 2 * LONG));
        FLAG(middling, size[i] >= LONG / 2);
        const u8 *is_long = d->flag[long_], *is_end = d->flag[ends];

        enum { text, long_text, squares, longs, stops, words, mild, mild_squares, capitals, digits, signs, shared64, seen, marks, rounded, wording };
        RUN(text, size[i]);
        RUN(long_text, is_long[i] ? size[i] : 0.0);
        RUN(squares, size[i] * size[i]);
        RUN(longs, (double)is_long[i]);
        double total = TOTAL(text), some = most(total, 1), long_total = TOTAL(long_text), some_long = most(long_total, 1);
        double long_lines = TOTAL(longs), biggest = TOTAL(squares) / some, lines = (double)n;
        COLUMN(lines);
        COLUMN(total);
        COLUMN(biggest);
        COLUMN(size[i] / most(biggest, 1));
        COLUMN(long_lines);
        COLUMN(long_total / some);
        COLUMN(long_lines / lines);
        COLUMN((double)i / most(lines - 1, 1));
        COLUMN(i);
        COLUMN(n - 1 - i);
        COLUMN((THROUGH(text) - size[i]) / some);
        COLUMN((total - THROUGH(text)) / some);
        COLUMN((THROUGH(long_text) - (is_long[i] ? size[i] : 0.0)) / some_long);
        COLUMN((long_total - THROUGH(long_text)) / some_long);
        COLUMN(THROUGH(longs) - is_long[i]);
        COLUMN(long_lines - THROUGH(longs));

        float *back, *ahead;
        back_to(next(c), is_long, n);
        ahead_to(next(c), is_long, n);
        back_to(back = next(c), is_end, n);
        ahead_to(ahead = next(c), is_end, n);
        const float *end_back = back, *end_ahead = ahead;
        back_to(back = next(c), d->flag[middling], n);
        ahead_to(ahead = next(c), d->flag[middling], n);
        COLUMN(back[i] + ahead[i] < FAR ? back[i] + ahead[i] : FAR);
        COLUMN(is_end[i] ? 0 : end_back[i] + end_ahead[i] - 1 < FAR ? end_back[i] + end_ahead[i] - 1 : FAR);
        double *value = d->value[0], *room = d->value[1];
        EACH value[i] = is_long[i] ? least(size[i], 600) : -60;
        stretch(c, value, room, n);

        for (i32 step = -3; step <= 3; step++) {
            if (!step) continue;
            beside(c, size, n, step, 1);
            if (step != 1 && step != -1) continue;
            beside(c, sign, n, step, 1);
            beside(c, own[LETTER], n, step, 1);
            COLUMN(i + step >= 0 && i + step < n && start[i + step] == start[i]);
            beside(c, own[DIGITS], n, step, 1);
            beside(c, own[CAPITALS], n, step, 1);
        }
        RUN(stops, (double)is_end[i]);
        RUN(words, own[WORDS][i]);
        RUN(mild, least(size[i], 1000));
        RUN(mild_squares, least(size[i], 1000) * least(size[i], 1000));
        RUN(capitals, whole(own[CAPITALS][i] * 64));
        RUN(digits, whole(own[DIGITS][i] * 64));
        RUN(signs, own[SEPARATORS][i] + own[SYMBOLS][i]);
        static const i32 reaches[] = {2, 5, 12, 30};
        static const u8 widest[] = {text, stops, long_text}, wide[] = {words, mild, mild_squares, capitals, digits, signs};
        for (int k = 0; k < 3; k++) WIDEN(widest[k], 30);
        for (int k = 0; k < 6; k++) WIDEN(wide[k], 12);
        for (int r = 0; r < 4; r++) {
            i32 reach = reaches[r];
            COLUMN(WITHIN(text, reach));
            COLUMN(WITHIN(stops, reach));
            COLUMN(WITHIN(long_text, reach));
            if (r != 1 && r != 2) continue;
            COLUMN(WITHIN(words, reach));
            COLUMN(WITHIN(mild_squares, reach) / most(WITHIN(mild, reach) * WITHIN(mild, reach), 1));
            COLUMN(WITHIN(capitals, reach));
            COLUMN(WITHIN(digits, reach));
            COLUMN(WITHIN(signs, reach));
        }
        v = vocabulary_after(m, &v, low + n);
        double *shared = d->value[0], *compared = d->value[1];
        share_words(&v, d, is_long, low, n, shared, compared);
        COLUMN(shared[i]);
        COLUMN(compared[i]);
        RUN(shared64, whole(shared[i] * 64));
        WIDEN(shared64, 4);
        COLUMN(WITHIN(shared64, 4));

        const double *near = m->site_near + low, *pages = m->site_pages + low;
        COLUMN(near[i]);
        COLUMN(near[i] / most(pages[i], 1));
        COLUMN(limited(pages[i] - 1, 0, 3));
        RUN(seen, pages[i] > 0 ? least(near[i], 2) : 0.0);
        WIDEN(seen, 4);
        COLUMN(WITHIN(seen, 4));

        COLUMN(hit[i] != NO_HIT);
        COLUMN(hit[i] == TITLE ? 1 : hit[i] == BYLINE ? 2 : 0);
        RUN(marks, hit[i] != NO_HIT ? 1.0 : 0.0);
        WIDEN(marks, 10);
        COLUMN(WITHIN(marks, 3));
        COLUMN(WITHIN(marks, 10));
        COLUMN(TOTAL(marks));
        COLUMN(THROUGH(marks) - (hit[i] != NO_HIT));
        FLAG(spare, hit[i] == RULED || hit[i] >= COMMENTS);
        back_to(next(c), d->flag[spare], n);
        ahead_to(next(c), d->flag[spare], n);
        static const u8 kinds[] = {TITLE, BYLINE, COMMENTS, RELATED, SHARING};
        for (int k = 0; k < 5; k++) {
            FLAG(spare, hit[i] == kinds[k]);
            back_to(next(c), d->flag[spare], n);
            if (kinds[k] != COMMENTS && kinds[k] != RELATED) ahead_to(next(c), d->flag[spare], n);
        }
        blocks(c, size, d->value[0], n);
        EACH value[i] = size[i] >= 60 && is_end[i] ? least(size[i], 400) : -25;
        stretch(c, value, room, n);

        double *says = d->value[0], *highest = d->value[1], *lowest = d->value[2], *known = d->value[3], *count = d->value[4], *mean = d->value[5];
        EACH {
            i64 from = entries, sum = 0, some_known = 0;
            int top = 0, bottom = 0;
            for (; entries < m->n_entries && m->entry_line[entries] == low + i; entries++) {
                int said = says_of[entries];
                sum += said;
                top = said > top ? said : top;
                bottom = said < bottom ? said : bottom;
                some_known += said != 0;
            }
            says[i] = (double)sum;
            highest[i] = top;
            lowest[i] = bottom;
            known[i] = (double)some_known;
            count[i] = (double)(entries - from);
        }
        COLUMN(says[i]);
        EACH mean[i] = says[i] / most(count[i], 1);
        COLUMN(mean[i]);
        COLUMN(highest[i]);
        COLUMN(lowest[i]);
        COLUMN(known[i] / most(count[i], 1));
        EACH mean[i] = floor_of(mean[i] * 16);
        for (i32 step = -2; step <= 2; step++)
            if (step) beside(c, mean, n, step, 1);
        RUN(rounded, mean[i]);
        RUN(wording, limited(says[i], -MOST_WORDING, MOST_WORDING));
        WIDEN(wording, 10);
        COLUMN(WITHIN(wording, 3));
        COLUMN(WITHIN(wording, 10));
        COLUMN(TOTAL(rounded) / lines);
        made = c->made;
    }
    return made;
}

WIDE i64 fill_second(const Measured *m, const double *scores, float *columns, i64 stride, Buffer *memory, double *held) {
    Desk desk, *d = &desk;
    if (!set_up(d, m, memory, held)) return 0;
    Vocabulary v = {m->slot, m->line, 0, 0, 0};
    i64 made = 0;
    for (i64 p = 0; p < m->n_pages; p++) {
        const i64 low = m->pages[p];
        const i32 n = (i32)(m->pages[p + 1] - low);
        Columns columns_here = {columns + low, stride, 0}, *c = &columns_here;
        const double *size = m->own[SIZE] + low;
        double *score = d->value[0], *keep = d->value[1], *capped = d->value[2], *kept = d->value[3], *value = d->value[4], *room = d->value[5];
        EACH score[i] = whole(scores[low + i] * 4096 + 0.5);
        EACH keep[i] = 4096 - score[i];
        EACH capped[i] = least(size[i], 2000);
        EACH kept[i] = keep[i] * capped[i];
        enum { of_score, surely, of_kept, of_capped, of_keep, of_main, shared64, against };
        RUN(of_score, score[i]);
        RUN(surely, score[i] >= 3600 ? 1.0 : 0.0);
        double lines = (double)n, mean = TOTAL(of_score) / lines, sure_lines = TOTAL(surely);
        COLUMN(score[i] / 4096);
        COLUMN(mean / 4096);
        COLUMN((score[i] - mean) / 4096);
        COLUMN(sure_lines);
        COLUMN(sure_lines / lines);
        for (i32 step = -4; step <= 4; step++)
            if (step) beside(c, score, n, step, 1.0 / 4096);
        static const i32 reaches[] = {1, 2, 5, 10, 25}, wider[] = {2, 6, 15};
        WIDEN(of_score, 25);
        for (int r = 0; r < 5; r++) COLUMN(WITHIN(of_score, reaches[r]) / 4096);
        RUN(of_kept, kept[i]);
        RUN(of_capped, capped[i]);
        RUN(of_keep, keep[i]);
        WIDEN(of_kept, 15);
        WIDEN(of_capped, 15);
        for (int r = 0; r < 3; r++) COLUMN(WITHIN(of_kept, wider[r]) / most(WITHIN(of_capped, wider[r]), 1) / 4096);
        double kept_total = TOTAL(of_kept), some = most(kept_total, 1);
        COLUMN((THROUGH(of_kept) - kept[i]) / some);
        COLUMN((kept_total - THROUGH(of_kept)) / some);
        COLUMN(kept_total / 4096);
        COLUMN(kept_total / most(TOTAL(of_capped), 1) / 4096);
        COLUMN(TOTAL(of_keep) / 4096);
        enum { main_, sure, dropped };
        FLAG(main_, keep[i] >= 2048);
        FLAG(sure, keep[i] >= 3400 && size[i] >= LONG / 2);
        FLAG(dropped, !(keep[i] >= 2048));
        const u8 *is_main = d->flag[main_];
        for (int k = 0; k < 2; k++) {
            back_to(next(c), d->flag[k ? sure : main_], n);
            ahead_to(next(c), d->flag[k ? sure : main_], n);
        }
        float *run = next(c), *back = next(c), *ahead = next(c);
        back_to(back, d->flag[dropped], n);
        ahead_to(ahead, d->flag[dropped], n);
        EACH run[i] = back[i] + ahead[i] < FAR ? back[i] + ahead[i] : FAR;
        RUN(of_main, (double)is_main[i]);
        COLUMN(THROUGH(of_main) - is_main[i]);
        COLUMN(TOTAL(of_main) - THROUGH(of_main));
        v = vocabulary_after(m, &v, low + n);
        share_words(&v, d, is_main, low, n, value, room);
        COLUMN(value[i]);
        RUN(shared64, whole(value[i] * 64));
        WIDEN(shared64, 3);
        COLUMN(WITHIN(shared64, 3));
        EACH value[i] = floor_of((keep[i] - 2048) * (least(size[i], 300) + 20) / 64);
        stretch(c, value, room, n);
        double weight = most(TOTAL(of_keep), 1);
        static const int compared[] = {SIZE, CAPITALS, STOPS, SHORT_WORDS};
        for (int k = 0; k < 4; k++) {
            const double *own = m->own[compared[k]] + low;
            EACH value[i] = whole(least(own[i], 1000) * 64);
            RUN(against + k, value[i] * keep[i]);
            double usual = TOTAL(against + k) / weight;
            COLUMN((value[i] - usual) / 64);
        }
        made = c->made;
    }
    return made;
}

/* The columns of the first pass. columns: room for a row of n for each. How many there are; 0 when memory ran out. */
EXPORT i64 winnow_first_columns(const Measured *m, const signed char *lexicon, float *columns) {
    Buffer memory = {0};
    double held[SUMS] = {0};
    signed char *said = malloc((size_t)m->n_entries + 1);
    if (!said) return 0;
    look_up(lexicon, m->entry, m->n_entries, said);
    i64 made = fill_first(m, said, columns, m->n, &memory, held);
    free(said);
    free(memory.data);
    return made;
}

/* The columns of the second pass. scores: what the first pass says of each line, from 0 to 1. As above. */
EXPORT i64 winnow_second_columns(const Measured *m, const double *scores, float *columns) {
    Buffer memory = {0};
    double held[SUMS] = {0};
    i64 made = fill_second(m, scores, columns, m->n, &memory, held);
    free(memory.data);
    return made;
}
