/* The order of whole numbers, and rows that stand together moved as one: what etl/dedup/state.py is made with. */
#include "common.h"

enum { FEW = 48 }; /* of a bucket: up to so many are sorted by insertion */

typedef struct {
    u64 value;
    i64 row;
} Numbered;

static inline int comes_after(const Numbered *a, const Numbered *b) { return a->value != b->value ? a->value > b->value : a->row > b->row; }

static int by_value(const void *one, const void *other) { return comes_after(one, other) - comes_after(other, one); }

/* The rows of n numbers by these, the same ones as they stand. Numbers are spread over as many buckets as there are, by how large
   they are; hashes are few in each. 0 when memory ran out. */
EXPORT int winnow_order(const i64 *values, i64 n, i64 *order) {
    if (!n) return 1;
    i64 least = values[0], most = values[0];
    for (i64 i = 1; i < n; i++) {
        if (values[i] < least) least = values[i];
        if (values[i] > most) most = values[i];
    }
    u64 range = (u64)most - (u64)least;
    int bits = 0, shift = 0;
    while (bits < 22 && n >> (bits + 1)) bits++;
    while (shift < 63 && range >> shift >> bits) shift++;
    i64 buckets = (i64)(range >> shift) + 1;
    i64 *places = calloc((size_t)buckets + 1, sizeof *places);
    Numbered *held = malloc((size_t)n * sizeof *held);
    int ok = places && held;
    for (i64 i = 0; ok && i < n; i++) places[(((u64)values[i] - (u64)least) >> shift) + 1]++;
    for (i64 b = 0; ok && b < buckets; b++) places[b + 1] += places[b];
    for (i64 i = 0; ok && i < n; i++) {
        u64 value = (u64)values[i] - (u64)least;
        held[places[value >> shift]++] = (Numbered){value, i};
    }
    for (i64 b = 0, first = 0; ok && b < buckets; first = places[b++]) { /* each has moved to the next one's beginning */
        i64 past = places[b];
        if (past - first > FEW) {
            qsort(held + first, (size_t)(past - first), sizeof *held, by_value);
        } else {
            for (i64 i = first + 1; i < past; i++) {
                Numbered one = held[i];
                i64 to = i;
                for (; to > first && comes_after(&held[to - 1], &one); to--) held[to] = held[to - 1];
                held[to] = one;
            }
        }
        for (i64 i = first; i < past; i++) order[i] = held[i].row;
    }
    free(places);
    free(held);
    return ok;
}

/* Blocks of values of `width` bytes, one behind the other. parts, edges: where the values lie, in arrays that follow one another, and
 * how many are before each array. heads, sizes: where each of n blocks begins, and how many it has, which are all there. */
EXPORT void winnow_blocks(const u8 *const *parts, const i64 *edges, i64 width, const i64 *heads, const i64 *sizes, i64 n, u8 *to) {
    i64 part = 0;
    for (i64 i = 0; i < n; i++) {
        for (i64 at = heads[i], past = at + sizes[i]; at < past;) {
            while (edges[part] > at) part--;
            while (edges[part + 1] <= at) part++;
            i64 some = (past < edges[part + 1] ? past : edges[part + 1]) - at;
            memcpy(to, parts[part] + (at - edges[part]) * width, (size_t)(some * width));
            to += some * width;
            at += some;
        }
    }
}
