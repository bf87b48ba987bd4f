/* Rows that have the same hash, and what documents have in common of their sampled hashes: twins of the SQL files in etl/dedup. */
#include "common.h"

#define SPREAD 0x9E3779B97F4A7C15ULL
#define PARTED 0xC2B2AE3D27D4EB4FULL
#define FILL 512     /* rows of a bucket, about */
#define SEEN_BITS 12 /* of a bucket's table of what was met once or more */
#define CELL_BITS 9  /* of the cells that a bucket's rows are sorted in */
#define FEW 24       /* rows of a cell that are put in order one by one */

typedef struct {
    u64 key;
    u32 rank, row;
} Meeting;

typedef struct {
    i64 buffers;
    Buffer rows;
    Buffer places, found; /* work: u32 for each bucket; Meeting */
} Meetings;

typedef struct {
    i64 buffers;
    Buffer pairs, short_pairs;
} Pairs;

static inline u32 part_of(u64 hash, u32 parts) { return (u32)((hash * PARTED >> 32) * parts >> 32); }

static inline int before(const Meeting *a, const Meeting *b) {
    if (a->key != b->key) return a->key < b->key;
    return a->rank != b->rank ? a->rank < b->rank : a->row < b->row;
}

static int by_key_and_rank(const void *one, const void *two) { return before(two, one) - before(one, two); }

/* Puts rows in order by key, rank and row. */
static void sort_meetings(Meeting *some, i64 n) {
    if (n > FEW) {
        qsort(some, (size_t)n, sizeof(Meeting), by_key_and_rank);
        return;
    }
    for (i64 i = 1; i < n; i++) {
        Meeting one = some[i];
        i64 to = i;
        for (; to > 0 && before(&one, &some[to - 1]); to--) some[to] = some[to - 1];
        some[to] = one;
    }
}

/* Of `n` keys the rows of those that stand there more than once: key by key, those of a key by rank, then by row.
   ranks: may be NULL. n < 2^32. Keys are spread over buckets that a cache holds; in each, what can't have been met twice
   leaves by a table of bytes, and the few others are sorted: laid out in cells by their hash first, most of which hold one key. */
EXPORT void *winnow_meetings(const u64 *keys, const u32 *ranks, i64 n) {
    Meetings *r = NEW_RESULT(Meetings);
    if (!r) return NULL;
    int bits = 1;
    while (bits < 22 && (n >> bits) > FILL) bits++;
    i64 buckets = (i64)1 << bits;
    if (!reserve(&r->places, (buckets + 1) * 4)) return complete(r, 0);
    u32 *places = AT(r->places, u32);
    memset(places, 0, (size_t)(buckets + 1) * 4);
    for (i64 i = 0; i < n; i++) places[(keys[i] * SPREAD) >> (64 - bits)]++;
    i64 at = 0, most = 0;
    for (i64 b = 0; b < buckets; b++) {
        i64 size = places[b];
        if (size > most) most = size;
        places[b] = (u32)at;
        at += size;
    }
    u32 *order = malloc((size_t)(n ? n : 1) * 4);
    u64 *held = malloc((size_t)(n ? n : 1) * 8);
    if (!order || !held || !reserve(&r->found, 2 * (most ? most : 1) * (i64)sizeof(Meeting))) {
        free(order);
        free(held);
        return complete(r, 0);
    }
    for (i64 i = 0; i < n; i++) {
        u32 to = places[(keys[i] * SPREAD) >> (64 - bits)]++;
        order[to] = (u32)i;
        held[to] = keys[i];
    }
    Meeting *found = AT(r->found, Meeting), *sorted = found + most;
    u8 seen[1 << SEEN_BITS];
    u32 cells[(1 << CELL_BITS) + 1];
    i64 first = 0;
    for (i64 b = 0; b < buckets; b++) {
        i64 past = places[b], many = 0; /* each has moved to the next one's beginning */
        if (past - first > 1) {
            memset(seen, 0, sizeof seen);
            for (i64 i = first; i < past; i++) {
                u8 *s = &seen[(held[i] * SPREAD) << bits >> (64 - SEEN_BITS)];
                *s = (u8)(*s + (*s < 2));
            }
            memset(cells, 0, sizeof cells);
            for (i64 i = first; i < past; i++) {
                u64 spread = (held[i] * SPREAD) << bits;
                if (seen[spread >> (64 - SEEN_BITS)] < 2) continue;
                cells[(spread >> (64 - CELL_BITS)) + 1]++;
                found[many++] = (Meeting){held[i], ranks ? ranks[order[i]] : 0, order[i]};
            }
            for (int c = 0; c < 1 << CELL_BITS; c++) cells[c + 1] += cells[c];
            for (i64 i = 0; i < many; i++) sorted[cells[(found[i].key * SPREAD) << bits >> (64 - CELL_BITS)]++] = found[i];
            i64 begin = 0;
            for (int c = 0; c < 1 << CELL_BITS; c++) { /* each has moved to the next one's beginning */
                i64 end = cells[c];
                sort_meetings(sorted + begin, end - begin);
                for (i64 i = begin; i < end; i++)
                    if ((i > begin && sorted[i].key == sorted[i - 1].key) || (i + 1 < end && sorted[i].key == sorted[i + 1].key))
                        PUSH(r->rows, u32, sorted[i].row);
                begin = end;
            }
        }
        first = past;
    }
    free(order);
    free(held);
    r->places.size = r->found.size = 0;
    return complete(r, 1);
}

/* The rows of each part, one part behind the other, each in order: of those that are chosen (all, when `chosen` is NULL). Which part
   a hash is in is told by bits that neither few nor deep hashes leave out. rows: room for n. bounds: where each of `parts` parts
   begins, and one more. */
EXPORT void winnow_split(const u64 *hashes, const u8 *chosen, i64 n, u32 parts, u32 *rows, i64 *bounds) {
    memset(bounds, 0, ((size_t)parts + 1) * sizeof(i64));
    for (i64 i = 0; i < n; i++)
        if (!chosen || chosen[i]) bounds[part_of(hashes[i], parts)]++;
    i64 at = 0;
    for (u32 part = 0; part <= parts; part++) {
        i64 size = bounds[part];
        bounds[part] = at;
        at += size;
    }
    for (i64 i = 0; i < n; i++)
        if (!chosen || chosen[i]) rows[bounds[part_of(hashes[i], parts)]++] = (u32)i;
    for (u32 part = parts; part > 0; part--) bounds[part] = bounds[part - 1]; /* each has moved to the next one's beginning */
    bounds[0] = 0;
}

/* Pairs of holders of a band, the later one's rank in the high half: each with the first `firsts` that have it, and with the two
   just before. keys: of groups, one behind the other; ranks: in order within each. Of later ones whose rank is above `least`. Apart:
   pairs with a rank that is odd or even as `short_rank` is. */
EXPORT void *winnow_band_pairs(const u64 *keys, const u32 *ranks, i64 n, u32 least, i64 firsts, u32 short_rank) {
    Pairs *r = NEW_RESULT(Pairs);
    if (!r) return NULL;
    i64 first = 0;
    for (i64 i = 0; i < n; i++) {
        if (keys[i] != keys[first]) first = i;
        if (ranks[i] <= least) continue;
        i64 past = first + firsts < i ? first + firsts : i;
        u64 later = (u64)ranks[i] << 32;
        int is_short = !((ranks[i] ^ short_rank) & 1);
        for (i64 other = first; other < i; other++) {
            if (other == past && other < i - 2) other = i - 2;
            if (ranks[other] >= ranks[i]) continue;
            if (is_short || !((ranks[other] ^ short_rank) & 1)) PUSH(r->short_pairs, u64, later | ranks[other]);
            else PUSH(r->pairs, u64, later | ranks[other]);
        }
    }
    return complete(r, 1);
}

#define KINDS 3

typedef struct {
    i64 buffers;
    Buffer places, rows, table; /* work */
} Overlaps;

typedef struct {
    u64 hash;
    u32 of; /* the document and kind that has it, plus 1 */
    u32 times;
} Slot;

static i64 deep(const u64 *hashes, i64 first, i64 past, u64 mask) {
    i64 n = 0;
    for (i64 i = first; i < past; i++) n += !(hashes[i] & mask);
    return n;
}

/* For each pair of documents how many hashes of each kind both have, and each of the two, of those that a step (a power of
   two) divides: added to counts, KINDS times (shared, mine, theirs) a pair. Rows: docs[i] < n_docs has hashes[i] of
   kinds[i] < KINDS, in any order. mine, theirs: of pairs, best in order of mine; steps: KINDS for each pair. 0 when memory ran out. */
EXPORT int winnow_overlaps(
    const u32 *docs, const u8 *kinds, const u64 *hashes, i64 n, i64 n_docs, const u32 *mine, const u32 *theirs, const i64 *steps,
    i64 n_pairs, u32 *counts) {
    Overlaps *r = NEW_RESULT(Overlaps);
    if (!r) return 0;
    i64 groups = n_docs * KINDS;
    if (!reserve(&r->places, (groups + 1) * 8) || !reserve(&r->rows, (n ? n : 1) * 8)) goto failed;
    i64 *places = AT(r->places, i64);
    u64 *rows = AT(r->rows, u64);
    memset(places, 0, (size_t)(groups + 1) * 8);
    for (i64 i = 0; i < n; i++) places[(i64)docs[i] * KINDS + kinds[i]]++;
    i64 at = 0, most = 0;
    for (i64 g = 0; g <= groups; g++) {
        i64 size = places[g];
        if (size > most) most = size;
        places[g] = at;
        at += size;
    }
    for (i64 i = 0; i < n; i++) rows[places[(i64)docs[i] * KINDS + kinds[i]]++] = hashes[i];
    for (i64 g = groups; g > 0; g--) places[g] = places[g - 1];
    places[0] = 0;
    int bits = 6;
    while (((i64)1 << bits) < 2 * most) bits++;
    i64 room = (i64)1 << bits;
    if (!reserve(&r->table, KINDS * room * (i64)sizeof(Slot))) goto failed;
    memset(r->table.data, 0, (size_t)(KINDS * room) * sizeof(Slot));
    u32 tag = 0;
    i64 held = -1;
    for (i64 p = 0; p < n_pairs; p++) {
        if (mine[p] != held) {
            if (++tag == 0) {
                memset(r->table.data, 0, (size_t)(KINDS * room) * sizeof(Slot));
                tag = 1;
            }
            held = mine[p];
            for (int kind = 0; kind < KINDS; kind++) {
                Slot *table = AT(r->table, Slot) + kind * room;
                for (i64 i = places[held * KINDS + kind]; i < places[held * KINDS + kind + 1]; i++) {
                    u64 s = (rows[i] * SPREAD) >> (64 - bits);
                    while (table[s].of == tag && table[s].hash != rows[i]) s = (s + 1) & (u64)(room - 1);
                    if (table[s].of == tag) table[s].times++;
                    else table[s] = (Slot){rows[i], tag, 1};
                }
            }
        }
        for (int kind = 0; kind < KINDS; kind++) {
            const Slot *table = AT(r->table, Slot) + kind * room;
            u64 mask = (u64)steps[p * KINDS + kind] - 1;
            i64 other = (i64)theirs[p] * KINDS + kind, own = held * KINDS + kind, shared = 0, size = 0;
            for (i64 i = places[other]; i < places[other + 1]; i++) {
                if (rows[i] & mask) continue;
                size++;
                u64 s = (rows[i] * SPREAD) >> (64 - bits);
                while (table[s].of == tag && table[s].hash != rows[i]) s = (s + 1) & (u64)(room - 1);
                if (table[s].of == tag) shared += table[s].times;
            }
            u32 *counted = counts + (p * KINDS + kind) * 3;
            counted[0] += (u32)shared;
            counted[1] += (u32)deep(rows, places[own], places[own + 1], mask);
            counted[2] += (u32)size;
        }
    }
    release(r);
    return 1;
failed:
    release(r);
    return 0;
}
