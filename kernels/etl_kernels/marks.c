/* Which of many hashes are among some: what etl/history.py looks state up by. */
#include "common.h"

enum { LANES = 16 };

INLINE int is_set(const u8 *bits, u64 place) { return bits[place >> 3] >> (place & 7) & 1; }

/* Sets in `low` and `high` the bits by which hashes are known: their low bits, and those from `shift` on. mask: of a place, bits - 1. */
EXPORT void winnow_mark(const i64 *hashes, i64 n, u64 mask, int shift, u8 *low, u8 *high) {
    for (i64 i = 0; i < n; i++) {
        u64 one = (u64)hashes[i] & mask, two = (u64)hashes[i] >> shift & mask;
        low[one >> 3] |= (u8)(1 << (one & 7));
        high[two >> 3] |= (u8)(1 << (two & 7));
    }
}

/* Which of some hashes (LANES at most) are among n that are sorted, n > 0: a bit each. All are looked for at once, step by step, so that
   their waits for memory fall together. */
static u32 are_among(const i64 *wanted, i64 n, const i64 *hashes, int lanes) {
    i64 from[LANES] = {0};
    u32 found = 0;
    for (i64 left = n; left > 1;) {
        i64 half = left / 2;
        for (int l = 0; l < lanes; l++) from[l] += wanted[from[l] + half] <= hashes[l] ? half : 0;
        left -= half;
    }
    for (int l = 0; l < lanes; l++) found |= (u32)(wanted[from[l]] == hashes[l]) << l;
    return found;
}

/* Where in n hashes one of `wanted` stands; how many there are. Most others are told by their marks. */
EXPORT i64 winnow_find(const i64 *hashes, i64 n, u64 mask, int shift, const u8 *low, const u8 *high, const i64 *wanted, i64 n_wanted, u32 *found) {
    i64 likely = 0, rest = 0, count = 0;
    if (!n_wanted) return 0;
    for (i64 i = 0; i < n; i++) {
        found[likely] = (u32)i;
        likely += is_set(low, (u64)hashes[i] & mask);
    }
    for (i64 j = 0; j < likely; j++) {
        u32 row = found[j];
        found[rest] = row;
        rest += is_set(high, (u64)hashes[row] >> shift & mask);
    }
    for (i64 j = 0; j < rest; j += LANES) {
        i64 some[LANES];
        int lanes = rest - j < LANES ? (int)(rest - j) : LANES;
        for (int l = 0; l < lanes; l++) some[l] = hashes[found[j + l]];
        u32 are = are_among(wanted, n_wanted, some, lanes);
        for (int l = 0; l < lanes; l++) {
            found[count] = found[j + l];
            count += are >> l & 1;
        }
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
