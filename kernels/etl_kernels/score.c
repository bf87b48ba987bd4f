/* Lines to scores in one go, a few pages at a time, so that their numbers and columns stay in the nearest caches: what
   read_pages, fill_first, fill_second and add_leaves do one after the other. */
#include "line_model.h"

enum { TILE = 128 }; /* lines at a time, of whole pages: a longer page is taken alone */

typedef struct {
    const HeadTables *heads;
    const signed char *lexicon;
    const double *sigmoid; /* of steps of 1/512 from -5119 to 5119 */
    Forest first, second;
} Model;

typedef struct {
    const Texts *lines;
    const i64 *pages; /* the first line of each, and one more */
    i64 n_pages;
    const double *site_near, *site_pages;
    const u8 *hit, *asked; /* of each line; asked: 0 never holds a line, 1 if it scores `floor`, 2 always */
    double floor;
} Given;

typedef struct {
    i64 buffers;
    Buffer row, features; /* of the lines that are held: all features of one after those of the other */
} Held;

typedef struct {
    i64 buffers;
    Buffer numbers, columns, pages, said, memory;
} Work;

/* Log odds, in steps of 1/65536, to a probability. */
static inline double probability(const double *sigmoid, double log_odds) {
    double x = log_odds / 128 + 0.5;
    x = x < -5119 ? -5119 : x > 5119.5 ? 5119 : x;
    i32 cut = (i32)x;
    return sigmoid[cut - (cut > x) + 5119];
}

static void score_tile(const Forest *forest, const double *sigmoid, const float *columns, i64 n, i64 stride, double *score) {
    for (i64 i = 0; i < n; i++) score[i] = forest->bias;
    add_leaves(columns, n, stride, forest, score);
    for (i64 i = 0; i < n; i++) score[i] = probability(sigmoid, score[i]);
}

static int hold(Held *r, i64 row, const float *columns, i64 stride) {
    if (!reserve(&r->features, (FIRST + SECOND) * 4)) return 0;
    float *out = (float *)(r->features.data + r->features.size);
    for (int f = 0; f < FIRST + SECOND; f++) out[f] = columns[f * stride];
    r->features.size += (FIRST + SECOND) * 4;
    PUSH(r->row, i64, row);
    return !r->row.failed;
}

/* Scores lines. For each line: size and ends (a sentence) as they are measured, the scores of both passes. */
EXPORT Held *winnow_score_lines(const Model *model, const Given *given, double *size, u8 *ends, double *once, double *twice) {
    i64 longest = TILE;
    for (i64 p = 0; p < given->n_pages; p++) {
        i64 lines = given->pages[p + 1] - given->pages[p];
        if (lines > longest) longest = lines;
    }
    i64 stride = ((longest + 15) & ~(i64)15) + 16; /* no power of two, for the sake of the cache */
    Held *r = NEW_RESULT(Held);
    Words *words = NEW_RESULT(Words);
    Work *work = NEW_RESULT(Work);
    int ok = r && words && work && reserve(&work->numbers, (OWN + 1) * stride * 8) &&
             reserve(&work->columns, (FIRST + SECOND) * stride * 4) && reserve(&work->pages, (longest + 1) * 8);
    double held_first[SUMS] = {0}, held_second[SUMS] = {0};
    for (i64 page = 0; ok && page < given->n_pages;) {
        const i64 low = given->pages[page], from = page;
        do page++;
        while (page < given->n_pages && given->pages[page + 1] - low <= TILE);
        const i64 n = given->pages[page] - low;
        double *own = AT(work->numbers, double), *start = own + OWN * stride;
        float *columns = AT(work->columns, float);
        i64 *pages = AT(work->pages, i64);
        for (i64 p = from; p <= page; p++) pages[p - from] = given->pages[p] - low;
        words->slot.size = words->line.size = words->entry.size = words->entry_line.size = words->slots.size = 0;
        ok = read_pages(model->heads, given->lines, given->pages + from, page - from, own, stride, start, words);
        work->said.size = 0;
        ok = ok && reserve(&work->said, COUNT(words->entry, i32) + 1);
        if (!ok) break;
        look_up(model->lexicon, AT(words->entry, i32), COUNT(words->entry, i32), AT(work->said, signed char));
        const double *rows[OWN];
        for (int k = 0; k < OWN; k++) rows[k] = own + k * stride;
        Measured m = {
            .n = n, .n_pages = page - from, .n_words = COUNT(words->line, i32), .n_entries = COUNT(words->entry, i32),
            .room = model->heads->room, .own = rows, .start = start, .site_near = given->site_near + low,
            .site_pages = given->site_pages + low, .pages = pages, .slot = AT(words->slot, i64), .line = AT(words->line, i32),
            .entry = AT(words->entry, i32), .entry_line = AT(words->entry_line, i32), .hit = given->hit + low,
        };
        ok = fill_first(&m, AT(work->said, signed char), columns, stride, &work->memory, held_first) == FIRST;
        if (!ok) break;
        score_tile(&model->first, model->sigmoid, columns, n, stride, once + low);
        ok = fill_second(&m, once + low, columns + FIRST * stride, stride, &work->memory, held_second) == SECOND;
        if (!ok) break;
        score_tile(&model->second, model->sigmoid, columns, n, stride, twice + low);
        for (i64 i = 0; i < n; i++) {
            size[low + i] = own[i];
            ends[low + i] = own[21 * stride + i] >= 2;
        }
        for (i64 i = 0; ok && i < n; i++) {
            u8 asked = given->asked[low + i];
            if (asked == 2 || (asked && twice[low + i] >= given->floor)) ok = hold(r, low + i, columns + i, stride);
        }
    }
    if (words) release(words);
    if (work) release(work);
    return r ? complete(r, ok) : NULL;
}
