/* Which of many hashes are among some: what etl/history.py looks state up by. */
#include "common.h"

INLINE int is_set(const u8 *bits, u64 place) { return bits[place >> 3] >> (place & 7) & 1; }

/* Sets in `low` and `high` the bits by which hashes are known: their low bits, and those from `shift` on. mask: of a place, bits - 1. */
EXPORT void winnow_mark(const i64 *hashes, i64 n, u64 mask, int shift, u8 *low, u8 *high) {
    for (i64 i = 0; i < n; i++) {
        u64 one = (u64)hashes[i] & mask, two = (u64)hashes[i] >> shift & mask;
        low[one >> 3] |= (u8)(1 << (one & 7));
        high[two >> 3] |= (u8)(1 << (two & 7));
    }
}

/* The first of `wanted` (sorted) that isn't less, between two places. */
static i64 lower_bound(const i64 *wanted, i64 from, i64 to, i64 value) {
    while (from < to) {
        i64 middle = from + (to - from) / 2;
        if (wanted[middle] < value) from = middle + 1;
        else to = middle;
    }
    return from;
}

/* Where in n hashes one of `wanted` stands; how many there are. Most others are told by their marks. */
EXPORT i64 winnow_find(const i64 *hashes, i64 n, u64 mask, int shift, const u8 *low, const u8 *high, const i64 *wanted, i64 n_wanted, u32 *found) {
    i64 likely = 0, count = 0;
    for (i64 i = 0; i < n; i++) {
        found[likely] = (u32)i;
        likely += is_set(low, (u64)hashes[i] & mask);
    }
    for (i64 j = 0; j < likely; j++) {
        i64 hash = hashes[found[j]];
        if (!is_set(high, (u64)hash >> shift & mask)) continue;
        i64 at = lower_bound(wanted, 0, n_wanted, hash);
        if (at < n_wanted && wanted[at] == hash) found[count++] = found[j];
    }
    return count;
}

/* The first of n sorted hashes from `at` on that isn't less. */
static inline i64 ahead(const i64 *hashes, i64 n, i64 at, i64 value) {
    while (at + 8 <= n && hashes[at + 7] < value) at += 8;
    while (at < n && hashes[at] < value) at++;
    return at;
}

/* The same of hashes that are sorted, as `wanted` is, each once: steps go by the fewer, and leap over the others. */
EXPORT i64 winnow_find_sorted(const i64 *hashes, i64 n, const i64 *wanted, i64 n_wanted, u32 *found) {
    i64 count = 0;
    if (n < n_wanted) {
        for (i64 i = 0, j = 0; i < n; i++) {
            j = ahead(wanted, n_wanted, j, hashes[i]);
            if (j == n_wanted) break;
            found[count] = (u32)i;
            count += wanted[j] == hashes[i];
        }
        return count;
    }
    for (i64 i = 0, j = 0; j < n_wanted; j++)
        for (i = ahead(hashes, n, i, wanted[j]); i < n && hashes[i] == wanted[j]; i++) found[count++] = (u32)i;
    return count;
}
