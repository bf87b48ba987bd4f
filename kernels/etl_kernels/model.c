/* The line model: symmetric trees over columns of numbers. Twins of etl/boilerplate/model.py. */
#include "line_model.h"

enum { ROWS = 512 };

/* The leaf that each of `size` rows of columns falls in. columns: from the first of the rows on; their rows are n apart. */
static inline void find_leaves(const float *columns, i64 n, i64 size, const i32 *f, const float *b, i64 levels, u32 *restrict index) {
    i64 level = 0;
    if (levels >= 6) { /* all questions of a tree as they are trained, in one go over the rows */
        const float *c0 = columns + f[0] * n, *c1 = columns + f[1] * n, *c2 = columns + f[2] * n, *c3 = columns + f[3] * n,
                    *c4 = columns + f[4] * n, *c5 = columns + f[5] * n;
        float b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3], b4 = b[4], b5 = b[5];
        for (i64 i = 0; i < size; i++)
            index[i] = (u32)(c0[i] > b0) | (u32)(c1[i] > b1) << 1 | (u32)(c2[i] > b2) << 2 | (u32)(c3[i] > b3) << 3 | (u32)(c4[i] > b4) << 4 | (u32)(c5[i] > b5) << 5;
        level = 6;
    } else {
        memset(index, 0, (size_t)size * 4);
    }
    for (; level < levels; level++) {
        const float *column = columns + f[level] * n;
        float limit = b[level];
        for (i64 i = 0; i < size; i++) index[i] |= (u32)(column[i] > limit) << level;
    }
}

enum { TOGETHER = 4 };

WIDE void add_leaves(const float *columns, i64 n, i64 stride, const Forest *forest, double *total) {
    const i32 *feature = forest->feature;
    const float *border = forest->border;
    const double *leaf = forest->leaf;
    i64 levels = forest->levels, trees = forest->trees;
    u32 index[TOGETHER][ROWS];
    for (i64 low = 0; low < n; low += ROWS) {
        i64 size = n - low < ROWS ? n - low : ROWS;
        double *restrict out = total + low;
        i64 tree = 0;
        for (; tree + TOGETHER <= trees; tree += TOGETHER) {
            for (i64 k = 0; k < TOGETHER; k++)
                find_leaves(columns + low, stride, size, feature + (tree + k) * levels, border + (tree + k) * levels, levels, index[k]);
            const double *l0 = leaf + (tree << levels), *l1 = l0 + (1LL << levels), *l2 = l1 + (1LL << levels), *l3 = l2 + (1LL << levels);
            for (i64 i = 0; i < size; i++)
                out[i] += (l0[index[0][i]] + l1[index[1][i]]) + (l2[index[2][i]] + l3[index[3][i]]);
        }
        for (; tree < trees; tree++) {
            find_leaves(columns + low, stride, size, feature + tree * levels, border + tree * levels, levels, index[0]);
            for (i64 i = 0; i < size; i++) out[i] += leaf[(tree << levels) + index[0][i]];
        }
    }
}

/* Adds to `total` (n numbers) the leaf of each tree that each row falls in. columns: n_columns rows of n floats.
   feature, border: of each level of each tree; leaf: 2^levels of each tree, whole numbers, so that any order gives the
   same sum. The answer of level d is bit d of the leaf's number. */
EXPORT void winnow_log_odds(const float *columns, i64 n, const i32 *feature, const float *border, const double *leaf, i64 trees, i64 levels, double *total) {
    Forest forest = {feature, border, leaf, trees, levels, 0};
    add_leaves(columns, n, n, &forest, total);
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

/* What each line hears from the lines above and below, of its page: each hands on what it heard and its own log odds, at
   most `most` either way. odds: n whole numbers; opens: 1 for the first line of a page. */
EXPORT void winnow_heard(const double *odds, const u8 *opens, i64 n, double most, double *restrict heard) {
    double said = 0;
    for (i64 i = 0; i < n; i++) {
        said = opens[i] ? 0 : said;
        heard[i] = said;
        said += odds[i];
        said = said > most ? most : said < -most ? -most : said;
    }
    said = 0;
    for (i64 i = n - 1; i >= 0; i--) {
        heard[i] += said;
        said += odds[i];
        said = opens[i] ? 0 : said > most ? most : said < -most ? -most : said;
    }
}
