/* The line model: symmetric trees over columns of numbers. Twins of etl/boilerplate/model.py. */
#include "common.h"

enum { ROWS = 512 };

/* Adds to `total` (n numbers) the leaf of each tree that each row falls in. columns: n_columns rows of n floats.
   feature, border: of each level of each tree; leaf: 2^levels of each tree. The answer of level d is bit d of the leaf's number. */
WIDE EXPORT void winnow_log_odds(const float *columns, i64 n, const i32 *feature, const float *border, const double *leaf, i64 trees, i64 levels, double *total) {
    u32 index[ROWS];
    for (i64 low = 0; low < n; low += ROWS) {
        i64 size = n - low < ROWS ? n - low : ROWS;
        double *restrict out = total + low;
        for (i64 tree = 0; tree < trees; tree++) {
            const i32 *f = feature + tree * levels;
            const float *b = border + tree * levels;
            memset(index, 0, (size_t)size * 4);
            i64 level = 0;
            for (; level + 3 <= levels; level += 3) { /* three questions in one go over the rows */
                const float *one = columns + (i64)f[level] * n + low, *two = columns + (i64)f[level + 1] * n + low,
                            *three = columns + (i64)f[level + 2] * n + low;
                float limit = b[level], second = b[level + 1], third = b[level + 2];
                for (i64 i = 0; i < size; i++) {
                    u32 bits = (u32)(one[i] > limit) | (u32)(two[i] > second) << 1 | (u32)(three[i] > third) << 2;
                    index[i] |= bits << level;
                }
            }
            for (; level < levels; level++) {
                const float *column = columns + (i64)f[level] * n + low;
                float limit = b[level];
                for (i64 i = 0; i < size; i++) index[i] |= (u32)(column[i] > limit) << level;
            }
            const double *leaves = leaf + (tree << levels);
            for (i64 i = 0; i < size; i++) out[i] += leaves[index[i]];
        }
    }
}

/* Adds to moved[group of the feature][row] what each answer does to the mean of the leaves still reachable. means: of
   all trees level by level from the root, 2^level a tree. */
EXPORT void winnow_contributions(const float *columns, i64 n, const i32 *feature, const float *border, const double *const *means, const i64 *groups, i64 trees, i64 levels, double *moved) {
    u32 index[ROWS];
    double above[ROWS];
    for (i64 low = 0; low < n; low += ROWS) {
        i64 size = n - low < ROWS ? n - low : ROWS;
        for (i64 tree = 0; tree < trees; tree++) {
            memset(index, 0, (size_t)size * 4);
            for (i64 i = 0; i < size; i++) above[i] = means[0][tree];
            for (i64 level = 0; level < levels; level++) {
                i64 f = feature[tree * levels + level];
                const float *column = columns + f * n + low;
                float limit = border[tree * levels + level];
                const double *mean = means[level + 1] + (tree << (level + 1));
                double *out = moved + groups[f] * n + low;
                for (i64 i = 0; i < size; i++) {
                    index[i] |= (u32)(column[i] > limit) << level;
                    double here = mean[index[i]];
                    out[i] += here - above[i];
                    above[i] = here;
                }
            }
        }
    }
}
