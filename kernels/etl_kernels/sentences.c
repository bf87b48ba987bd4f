/* Sentences, their keys, and the samples of documents: what etl/dedup/sentences.py and fingerprint.py do with arrays,
   in one pass over each line. Those modules say what each step means; results are the same, number for number. */
#include "common.h"

enum { NEWLINE, SPACE, INVISIBLE, OTHER, OPEN, CLOSE, QUOTE, DASH, COMMA, DOT, STOP, WIDE_STOP, SYMBOL, DIGIT, LOWER, UPPER, CASELESS, DENSE, ACCENT };
enum { CONSONANT = 1, ROMAN = 2, DOUBLE_QUOTE = 4, OPENING = 8, CLOSING = 16, STRAIGHT = 32 };
enum { BLANK = 32, MANY = 0x110000, LOOK = 14, LOOK_BACK = 8, SHINGLE_WORDS = 4, NUMBER_CHARS = 12, ORDERS = 4, PAD = 24 };
enum { HAS_DIGIT = 1, CAPITAL = 2 };
enum { UNSEEN = 1, ACCENTS = 2, UNUSUAL = 4 }; /* what a line holds: characters that can't be seen; accents; DENSE or MANY ones */
enum { WHOLE = 1, ENDS_PROPERLY = 2, QUOTED = 4 };

static const u64 FACTOR = 0x9E3779B97F4A7C15ULL;
static const u32 WORD_FACTOR = 0x01000193; /* of a word's hash, a polynomial */
static const u64 MIX[4] = {0x9E3779B97F4A7C15ULL, 0xC2B2AE3D27D4EB4FULL, 0x165667B19E3779F9ULL, 0xD6E8FEB86659FD93ULL};
/* The products of the first one, two, three and four factors of ORDERS. */
static const u32 ORDER[ORDERS] = {0x85EBCA77U, 0x85EBCA77U * 0xC2B2AE3DU, 0x85EBCA77U * 0xC2B2AE3DU * 0x27D4EB2FU, 0x85EBCA77U * 0xC2B2AE3DU * 0x27D4EB2FU * 0x165667B1U};
static const u64 CHECK_SEED = 0x9E3779B97F4A7C15ULL;

typedef struct {
    const u64 *values;
    i64 size;
} Set;

typedef struct {
    const u32 *chars; /* of each code point: folded code point, or MANY; above it, from bit 24 on, its kind */
    const u8 *marks;  /* CONSONANT … STRAIGHT of each code point */
    const u32 *many_code, *many_first, *many_part; /* sorted code points; where each one's parts begin, and one more; parts */
    i64 n_many;
    const u64 *pair; /* base << 32 | mark, sorted */
    const u32 *composed;
    i64 n_pairs;
    Set titles, numbered, weak, starters, months;
} Tables;

typedef struct {
    i64 buffers;
    /* one entry a sentence */
    Buffer doc, line, start, end, n_words, flags, key, segment, least, word_bits;
    /* one entry a document */
    Buffer f_doc, f_chars, f_tokens, f_key, f_check, f_shingle_level, f_number_level, f_name_level, f_band_level;
    /* one entry a sampled hash; the bands among them */
    Buffer s_doc, s_kind, s_hash, b_doc, b_hash;
    /* one entry a pair of sentences that may say the same: their numbers, the sizes of their folded texts; those texts */
    Buffer n_one, n_two, n_one_size, n_two_size, n_text;
    /* one document: its folded text, the words in that, where each of its sentences begins and ends in it */
    Buffer folded, word_start, word_hash, word_flags, first, past;
    /* one line: its characters; where its sentences begin and end, in it and in the folded text */
    Buffer codes, kinds, folds, bounds, from;
    Buffer vcodes, vkinds, vfolds, joined, picked, marked, table;
} Sentences;

/* The place of the first of n sorted values that is not below x. */
static i64 first_from(const u64 *values, i64 n, u64 x) {
    i64 low = 0, high = n;
    while (low < high) {
        i64 mid = (low + high) / 2;
        if (values[mid] < x) low = mid + 1;
        else high = mid;
    }
    return low;
}

static int in_set(Set s, u64 x) {
    i64 at = first_from(s.values, s.size, x);
    return at < s.size && s.values[at] == x;
}

static inline u32 fold_of(const Tables *t, u32 code) { return t->chars[code] & 0xFFFFFF; }
static inline u8 kind_of(const Tables *t, u32 code) { return (u8)(t->chars[code] >> 24); }

static inline int is_stop(u8 k) { return k >= DOT && k <= WIDE_STOP; }

static int abbreviated(const Tables *t, const u32 *c, const u8 *k, i64 n, i64 stop, i64 follows) {
    u64 before = 0;
    int length = 0, dots = 0, digits = 0, plain = 0, roman = 0, alive = 1;
    for (int back = 1; back <= LOOK_BACK; back++) {
        i64 at = stop - back;
        if (at < 0 || !(k[at] > SYMBOL || k[at] == DOT)) {
            alive = 0;
            break;
        }
        before = before * FACTOR + fold_of(t, c[at]);
        length++;
        dots += k[at] == DOT;
        digits += k[at] == DIGIT;
        plain += k[at] == LOWER && (t->marks[c[at]] & CONSONANT);
        roman += (t->marks[c[at]] & ROMAN) != 0;
    }
    if (alive) before = 0, dots = 0; /* too long for an abbreviation */
    u8 last = stop > 0 ? k[stop - 1] : NEWLINE;
    int initial = length == 1 && (last == UPPER || last == LOWER);
    int clipped = plain == length && length >= 2 && length <= 4;
    int ordinal = length > 0 && ((digits == length && length <= 2) || (roman == length && length <= 5));
    if (in_set(t->titles, before) || (k[follows] == DIGIT && in_set(t->numbered, before))) return 1;
    if (!(dots || initial || clipped || ordinal || in_set(t->weak, before))) return 0;
    u64 after = 0;
    for (int ahead = 0; ahead < LOOK; ahead++) {
        i64 at = follows + ahead;
        if (at > n || k[at] <= SYMBOL) break; /* a newline stands at n */
        after = after * FACTOR + fold_of(t, c[at]);
    }
    return !in_set(t->starters, after) || (ordinal && in_set(t->months, after));
}

typedef struct {
    int brackets, quotes, straight;
} Balance;

static void sentence(Sentences *r, const u8 *k, i64 start, i64 end, Balance b) {
    i64 last = end - 1;
    for (int i = 0; i < 4; i++)
        if ((k[last] == CLOSE || k[last] == QUOTE) && last > start) last--;
    int whole = b.brackets == 0 && b.quotes % 2 == 0 && b.straight % 2 == 0;
    PUSH(r->flags, u8, (u8)((whole ? WHOLE : 0) | (is_stop(k[last]) ? ENDS_PROPERLY : 0) | (b.quotes ? QUOTED : 0)));
    PUSH(r->bounds, i64, start);
    PUSH(r->bounds, i64, end);
}

static inline void weigh(const Tables *t, Balance *b, u32 code) {
    u8 m = t->marks[code];
    b->quotes += (m & DOUBLE_QUOTE) != 0;
    b->straight += (m & STRAIGHT) != 0;
    b->brackets += ((m & OPENING) != 0) - ((m & CLOSING) != 0);
}

/* How many of eight kinds, as load64 reads them, come before the first that `marks` has the highest bit of its byte of. */
static inline int before_mark(u64 marks) {
    marks &= 0x8080808080808080ULL;
    return marks ? __builtin_ctzll(marks) >> 3 : 8;
}

/* Marks, for before_mark, the kinds from `low` on. */
static inline u64 from_kind(u64 kinds, int low) { return kinds + 0x0101010101010101ULL * (u64)(0x80 - low); }

/* The sentences of a line: where each begins and ends, in code points of the line, and its flags. */
static void boundaries(const Tables *t, Sentences *r, const u32 *c, const u8 *k, i64 n) {
    i64 left = 0, right = n;
    while (left < n && k[left] < OTHER) left++;
    while (right > left && k[right - 1] < OTHER) right--;
    if (left == right) return;
    i64 start = left, weighed = left;
    Balance b = {0, 0, 0};
    for (i64 i = left; i < right; i++) {
        if (k[i] < OPEN || k[i] > WIDE_STOP) {
            u64 kinds = load64(k + i + 1); /* on to the next from OPEN to WIDE_STOP; behind the line stand newlines */
            i += before_mark(from_kind(kinds, OPEN) & ~from_kind(kinds, SYMBOL));
            continue;
        }
        if (k[i] <= QUOTE) {
            if (i >= weighed) weigh(t, &b, c[i]);
            continue;
        }
        if (!is_stop(k[i]) || is_stop(k[i + 1])) continue;
        i64 past = i + 1;
        for (int step = 0; step < 4; step++) past += k[past] == CLOSE || k[past] == QUOTE;
        u8 kind = k[past];
        int wide = k[i] == WIDE_STOP && past == i + 1 && kind != NEWLINE;
        if (!(kind == SPACE || kind == INVISIBLE || wide)) continue;
        i64 begin = past;
        while (begin < n && k[begin] < OTHER) begin++;
        if (begin >= n) continue;
        i64 look = begin;
        for (int step = 0; step < 4; step++) look += (k[look] >= OTHER && k[look] <= DASH && k[look] != CLOSE) || k[look] == SPACE;
        kind = k[look];
        if (!(kind == UPPER || kind == DIGIT || kind >= CASELESS || kind == SYMBOL || wide)) continue;
        int single = k[i] == DOT && (i == 0 || k[i - 1] != DOT) && past == i + 1;
        if (single && abbreviated(t, c, k, n, i, look)) continue;
        for (i64 a = i + 1; a < past; a++) weigh(t, &b, c[a]);
        sentence(r, k, start, past, b);
        b = (Balance){0, 0, 0};
        start = weighed = begin;
    }
    sentence(r, k, start, right, b);
}

static i64 find_many(const Tables *t, u32 code) {
    i64 low = 0, high = t->n_many;
    while (low < high) {
        i64 mid = (low + high) / 2;
        if (t->many_code[mid] < code) low = mid + 1;
        else high = mid;
    }
    return low;
}

static u32 compose(const Tables *t, u64 pair) {
    i64 at = first_from(t->pair, t->n_pairs, pair);
    return at < t->n_pairs && t->pair[at] == pair ? t->composed[at] : 0;
}

/* Whether the mark at i belongs to a number: a decimal point, a comma between digits, a minus. */
static inline int is_number_sign(const u8 *k, const u32 *f, i64 i, i64 m) {
    u8 before = i ? k[i - 1] : NEWLINE, after = i + 1 < m ? k[i + 1] : SPACE, beyond = i + 2 < m ? k[i + 2] : SPACE;
    int minus = f[i] == '-', point = k[i] == DOT;
    int between = before == DIGIT && after == DIGIT && (minus || point || k[i] == COMMA || f[i] == '\'');
    int open = (before < DASH || before > DOT) && (before < DIGIT || before == DENSE);
    int follows = after == DIGIT || ((after == SYMBOL || after == DOT) && beyond == DIGIT);
    return between || (minus && open && follows) || (point && (open || before == DASH) && after == DIGIT);
}

/* Powers of WORD_FACTOR; in FIRST_POWERS[n] the first n, the rest 0. */
#define F1 0x01000193U
#define F2 (F1 * F1)
#define F3 (F2 * F1)
#define F4 (F2 * F2)
#define F5 (F4 * F1)
#define F6 (F4 * F2)
#define F7 (F4 * F3)
#define F8 (F4 * F4)
static const u32 POWER[9] = {1, F1, F2, F3, F4, F5, F6, F7, F8};
static const u32 FIRST_POWERS[9][8] = {
    {0}, {1}, {1, F1}, {1, F1, F2}, {1, F1, F2, F3}, {1, F1, F2, F3, F4}, {1, F1, F2, F3, F4, F5}, {1, F1, F2, F3, F4, F5, F6}, {1, F1, F2, F3, F4, F5, F6, F7},
};

typedef u32 Eight __attribute__((vector_size(32)));
typedef u32 Four __attribute__((vector_size(16)));

typedef struct {
    u32 *folded, *hash;
    i64 *start;
    u8 *flags;
    i64 out, words; /* how many there are of each */
} Words;

/* What fold_line does, for a line of m characters, its newline among them, that holds nothing special: most lines. */
WIDE static Words fold_plain(Words w, const u8 *k, const u32 *f, i64 m, const i64 *bounds, i64 n_bounds, i64 *from) {
    u32 *folded = w.folded + w.out;
    i64 bound = 0, next = n_bounds ? bounds[0] : INT64_MAX, i = 0;
    while (i < m) {
        while (next <= i) {
            from[bound++] = folded - w.folded;
            next = bound < n_bounds ? bounds[bound] : INT64_MAX;
        }
        if (k[i] < SYMBOL && !(k[i] >= QUOTE && k[i] <= DOT && is_number_sign(k, f, i, m))) {
            i++;
            continue;
        }
        w.start[w.words] = folded - w.folded;
        u8 flags = k[i] == UPPER ? CAPITAL : 0;
        u32 hash = 0, power = 1;
        for (;;) {
            int letters;
            do { /* eight at a time; newlines stand behind the line; no boundary is inside */
                letters = before_mark(~from_kind(load64(k + i), LOWER));
                Eight codes, powers;
                memcpy(&codes, f + i, sizeof codes);
                memcpy(folded, &codes, sizeof codes);
                memcpy(&powers, FIRST_POWERS[letters], sizeof powers);
                codes *= powers;
                Four half = __builtin_shufflevector(codes, codes, 0, 1, 2, 3) + __builtin_shufflevector(codes, codes, 4, 5, 6, 7);
                half += __builtin_shufflevector(half, half, 2, 3, 0, 1);
                hash += (half[0] + half[1]) * power;
                power *= POWER[letters];
                folded += letters;
                i += letters;
            } while (letters == 8);
            u8 kind = k[i];
            if (kind < SYMBOL && !(i < m && kind >= QUOTE && kind <= DOT && is_number_sign(k, f, i, m))) break;
            while (next <= i) {
                from[bound++] = folded - w.folded;
                next = bound < n_bounds ? bounds[bound] : INT64_MAX;
            }
            if (kind == DIGIT) flags |= HAS_DIGIT;
            u32 code = f[i++];
            hash += code * power;
            power *= WORD_FACTOR;
            *folded++ = code;
        }
        w.hash[w.words] = hash;
        w.flags[w.words++] = flags;
        while (next <= i) {
            from[bound++] = folded - w.folded;
            next = bound < n_bounds ? bounds[bound] : INT64_MAX;
        }
        if (i < m) *folded++ = BLANK, i++;
    }
    w.out = folded - w.folded;
    while (bound < n_bounds) from[bound++] = w.out;
    return w;
}

/* Appends the folded form of a line of n characters and its newline to r->folded, and its words. Into r->from goes, for
   each sentence boundary in r->bounds, in order, where in r->folded the text from there on begins. special: as read_line
   tells. */
static int fold_line(const Tables *t, Sentences *r, i64 n, int special) {
    i64 n_bounds = COUNT(r->bounds, i64);
    r->from.size = 0;
    if (!reserve(&r->from, n_bounds * 8)) return 0;
    const i64 *bounds = AT(r->bounds, i64);
    i64 *from = AT(r->from, i64);
    const u32 *c = AT(r->codes, u32);
    const u8 *k = AT(r->kinds, u8);
    u32 *f = AT(r->folds, u32);
    i64 m = n + 1;
    const i64 *place = NULL;
    const u8 *joined = NULL;
    if (special & UNSEEN) { /* leave out what can't be seen; remember where the rest came from */
        r->vcodes.size = r->vkinds.size = r->vfolds.size = r->picked.size = 0;
        if (!reserve(&r->vcodes, m * 4) || !reserve(&r->vkinds, m) || !reserve(&r->vfolds, m * 4) || !reserve(&r->picked, m * 8)) return 0;
        i64 j = 0;
        for (i64 i = 0; i < m; i++)
            if (k[i] != INVISIBLE) {
                AT(r->vcodes, u32)[j] = c[i];
                AT(r->vkinds, u8)[j] = k[i];
                AT(r->vfolds, u32)[j] = f[i];
                AT(r->picked, i64)[j++] = i;
            }
        place = AT(r->picked, i64);
        c = AT(r->vcodes, u32);
        k = AT(r->vkinds, u8);
        f = AT(r->vfolds, u32);
        m = j;
    }
    if (special & ACCENTS) { /* accents join the letter before them */
        r->joined.size = 0;
        if (!reserve(&r->joined, m)) return 0;
        u8 *gone = AT(r->joined, u8);
        memset(gone, 0, (size_t)m);
        for (int back = 1; back <= 2; back++)
            for (i64 i = back; i < m; i++) {
                if (k[i] != ACCENT || k[i - back] == ACCENT || (back == 2 && k[i - 1] != ACCENT)) continue;
                u32 one = compose(t, (u64)f[i - back] << 32 | f[i]);
                if (one) {
                    f[i - back] = one;
                    gone[i] = 1;
                }
            }
        joined = gone;
    }
    /* Each character gives one folded one at most, but for MANY, which ask for more room when they come. */
    if (!reserve(&r->folded, (m + 8) * 4) || !reserve(&r->word_start, m * 8) || !reserve(&r->word_hash, m * 4) || !reserve(&r->word_flags, m)) return 0;
    u32 *folded = AT(r->folded, u32), *word_hash = AT(r->word_hash, u32);
    i64 *word_start = AT(r->word_start, i64);
    u8 *word_flags = AT(r->word_flags, u8);
    if (!special) {
        Words w = fold_plain((Words){folded, word_hash, word_start, word_flags, COUNT(r->folded, u32), COUNT(r->word_start, i64)}, k, f, m, bounds, n_bounds, from);
        r->folded.size = w.out * 4;
        r->word_start.size = w.words * 8;
        r->word_hash.size = w.words * 4;
        r->word_flags.size = w.words;
        return 1;
    }
    i64 out = COUNT(r->folded, u32), words = COUNT(r->word_start, i64) - 1, bound = 0, next = n_bounds ? bounds[0] : INT64_MAX;
    u32 power = 1;
    int after_word = 0, forced = 0; /* forced: the next character begins a word: this one is a word by itself */
    for (i64 i = 0; i < m; i++) {
        i64 at = place ? place[i] : i;
        while (next <= at) {
            from[bound++] = out;
            next = bound < n_bounds ? bounds[bound] : INT64_MAX;
        }
        u8 kind = k[i];
        if (kind < SYMBOL && !(kind >= QUOTE && kind <= DOT && is_number_sign(k, f, i, m))) {
            if (after_word) folded[out++] = BLANK;
            after_word = forced = 0;
            continue;
        }
        if (joined && joined[i]) {
            after_word = 1;
            continue;
        }
        int dense = kind == DENSE;
        if (!after_word || dense || forced) {
            word_start[++words] = out;
            word_hash[words] = 0;
            word_flags[words] = kind == UPPER ? CAPITAL : 0;
            power = 1;
        }
        forced = dense;
        after_word = 1;
        word_flags[words] |= kind == DIGIT ? HAS_DIGIT : 0;
        if (f[i] != MANY) {
            word_hash[words] += f[i] * power;
            power *= WORD_FACTOR;
            folded[out++] = f[i];
            continue;
        }
        i64 entry = find_many(t, c[i]), parts = t->many_first[entry + 1] - t->many_first[entry];
        r->folded.size = out * 4;
        r->word_start.size = (words + 1) * 8;
        r->word_hash.size = (words + 1) * 4;
        r->word_flags.size = words + 1;
        if (!reserve(&r->folded, (m + parts) * 4) || !reserve(&r->word_start, (m + parts) * 8) || !reserve(&r->word_hash, (m + parts) * 4) || !reserve(&r->word_flags, m + parts)) return 0;
        folded = AT(r->folded, u32);
        word_start = AT(r->word_start, i64);
        word_hash = AT(r->word_hash, u32);
        word_flags = AT(r->word_flags, u8);
        for (i64 p = 0; p < parts; p++) {
            u32 part = t->many_part[t->many_first[entry] + p];
            if (p == 1 && dense) {
                word_start[++words] = out;
                word_hash[words] = 0;
                word_flags[words] = 0;
                power = 1;
            }
            word_hash[words] += part * power;
            power *= WORD_FACTOR;
            folded[out++] = part;
        }
        forced = dense && parts == 1;
    }
    while (bound < n_bounds) from[bound++] = out;
    r->folded.size = out * 4;
    r->word_start.size = (words + 1) * 8;
    r->word_hash.size = (words + 1) * 4;
    r->word_flags.size = words + 1;
    return 1;
}

/* Fills codes, kinds and folds with a line, and a newline behind it; how many characters it has, -1 without memory. */
static i64 read_line(const Tables *t, Sentences *r, const u8 *p, const u8 *end, int *special) {
    i64 bytes = end - p, n = 0;
    r->codes.size = r->kinds.size = r->folds.size = 0;
    if (!reserve(&r->codes, (bytes + PAD) * 4) || !reserve(&r->kinds, bytes + PAD) || !reserve(&r->folds, (bytes + PAD) * 4)) return -1;
    u32 *c = AT(r->codes, u32), *f = AT(r->folds, u32);
    u8 *k = AT(r->kinds, u8);
    while (p < end) {
        while (end - p >= 8 && !(load64(p) & 0x8080808080808080ULL)) { /* ASCII holds nothing special */
            u64 eight = load64(p), kinds = 0;
            for (int i = 0; i < 8; i++) kinds |= (u64)kind_of(t, eight >> 8 * i & 0x7F) << 8 * i;
            memcpy(k + n, &kinds, 8);
            for (int i = 0; i < 8; i++) c[n + i] = p[i];
            for (int i = 0; i < 8; i++) f[n + i] = c[n + i] | (u32)(c[n + i] - 'A' < 26) << 5; /* small letters */
            p += 8;
            n += 8;
        }
        if (p == end) break;
        u32 code = read_char(&p), entry = t->chars[code];
        u8 kind = (u8)(entry >> 24);
        *special |= (kind == INVISIBLE ? UNSEEN : 0) | (kind == ACCENT ? ACCENTS : 0) | (kind == DENSE || (entry & 0xFFFFFF) == MANY ? UNUSUAL : 0);
        c[n] = code;
        f[n] = entry & 0xFFFFFF;
        k[n++] = kind;
    }
    for (i64 i = n; i < n + 8; i++) c[i] = f[i] = '\n', k[i] = NEWLINE;
    return n;
}

static int level(i64 count, int size) {
    i64 q = count / size;
    int l = 0;
    while (q > 1) q >>= 1, l++;
    return l;
}

/* Keeps the first of equal hashes in r->picked (u64). */
static int distinct(Sentences *r) {
    i64 n = COUNT(r->picked, u64), room = 16;
    u64 *h = AT(r->picked, u64);
    while (room < 2 * n) room *= 2;
    r->table.size = 0;
    if (!reserve(&r->table, room * 8)) return 0;
    i64 *slot = AT(r->table, i64);
    for (i64 i = 0; i < room; i++) slot[i] = -1;
    i64 kept = 0;
    for (i64 i = 0; i < n; i++) {
        i64 s = (i64)(h[i] >> 32 & (u64)(room - 1)); /* the low bits are zero in many */
        while (slot[s] >= 0 && h[slot[s]] != h[i]) s = (s + 1) & (room - 1);
        if (slot[s] >= 0) continue;
        slot[s] = kept;
        h[kept++] = h[i];
    }
    r->picked.size = kept * 8;
    return 1;
}

static void sample(Sentences *r, u32 doc, u8 kind, int at_level) {
    u64 mask = (1ULL << at_level) - 1;
    i64 n = COUNT(r->picked, u64);
    if (!reserve(&r->s_doc, n * 4) || !reserve(&r->s_kind, n) || !reserve(&r->s_hash, n * 8)) return;
    for (i64 i = 0; i < n; i++) {
        u64 h = AT(r->picked, u64)[i];
        if (h & mask) continue;
        PUSH(r->s_doc, u32, doc);
        PUSH(r->s_kind, u8, kind);
        PUSH(r->s_hash, u64, h);
    }
}

/* The fingerprint of the sentences from `low` on, which are one document. */
static int fingerprint(const Tables *t, Sentences *r, i64 low, const int *sizes, int bands) {
    const u32 *folded = AT(r->folded, u32);
    const i64 *starts = AT(r->word_start, i64), *firsts = AT(r->first, i64), *pasts = AT(r->past, i64);
    const u32 *hashes = AT(r->word_hash, u32);
    const u8 *word_flags = AT(r->word_flags, u8);
    i64 words = COUNT(r->word_start, i64), sentences = COUNT(r->first, i64), text_end = COUNT(r->folded, u32);
    i64 first = firsts[0], past = pasts[sentences - 1];
    u32 doc = AT(r->doc, u32)[low];
    i64 chars = 0;
    for (i64 i = low; i < low + sentences; i++) chars += (i64)AT(r->end, u32)[i] - AT(r->start, u32)[i];
    i64 tokens = words;
    while (tokens > 0 && starts[tokens - 1] >= past) tokens--;
    PUSH(r->f_doc, u32, doc);
    PUSH(r->f_chars, i64, chars);
    PUSH(r->f_tokens, i64, tokens);
    u64 key = 0, check = CHECK_SEED;
    xxh64_twice((const u8 *)(folded + first), (past - first) * 4, &key, &check);
    PUSH(r->f_key, u64, key);
    PUSH(r->f_check, u64, check);
    int shingle_level = level(tokens, sizes[0]), band_level = level(tokens, bands);
    PUSH(r->f_shingle_level, i32, shingle_level);
    PUSH(r->f_band_level, i32, band_level);
    u64 mask = (1ULL << shingle_level) - 1;
    r->picked.size = r->marked.size = 0;
    if (!reserve(&r->picked, words * 8) || !reserve(&r->marked, words * 16)) return 0;
    u64 *picked = AT(r->picked, u64);
    i64 count = 0;
    for (i64 w = 0; w + SHINGLE_WORDS <= words; w++) { /* by chance: without a branch */
        u64 h = mix64(hashes[w] * MIX[0] + hashes[w + 1] * MIX[1] + hashes[w + 2] * MIX[2] + hashes[w + 3] * MIX[3]);
        picked[count] = h;
        count += !(h & mask);
    }
    r->picked.size = count * 8;
    if (!distinct(r)) return 0;
    sample(r, doc, 0, shingle_level);
    mask = (1ULL << band_level) - 1;
    for (i64 i = 0; i < COUNT(r->picked, u64); i++) {
        u64 h = AT(r->picked, u64)[i];
        if (h & mask) continue;
        PUSH(r->b_doc, u32, doc);
        PUSH(r->b_hash, u64, h);
    }
    i64 *marked[3] = {NULL, AT(r->marked, i64), AT(r->marked, i64) + words}, n_marked[3] = {0};
    for (i64 w = 0; w < words; w++) {
        marked[1][n_marked[1]] = marked[2][n_marked[2]] = w;
        n_marked[1] += (word_flags[w] & HAS_DIGIT) != 0;
        n_marked[2] += (word_flags[w] & CAPITAL) != 0;
    }
    for (int kind = 1; kind <= 2; kind++) {
        r->picked.size = 0;
        i64 s = 0;
        for (i64 m = 0; m < n_marked[kind]; m++) {
            i64 w = marked[kind][m], begin = starts[w], end = w + 1 < words ? starts[w + 1] : text_end;
            if (kind == 1) {
                if (kind_of(t, folded[begin]) > DIGIT) continue;
                int digits = 0, letters = 0;
                for (i64 i = begin; i < end && i < begin + NUMBER_CHARS; i++) {
                    digits += kind_of(t, folded[i]) == DIGIT;
                    letters += kind_of(t, folded[i]) > DIGIT;
                }
                if (digits <= letters) continue;
            } else {
                while (s < sentences && firsts[s] < begin) s++;
                if (s < sentences && firsts[s] == begin) continue; /* it opens a sentence */
            }
            PUSH(r->picked, u64, mix64((u64)hashes[w] + MIX[0]));
        }
        if (r->picked.failed || !distinct(r)) return 0;
        int l = level(COUNT(r->picked, u64), sizes[kind]);
        if (kind == 1) PUSH(r->f_number_level, i32, l);
        else PUSH(r->f_name_level, i32, l);
        sample(r, doc, (u8)kind, l);
    }
    return 1;
}

/* For each order, the least run of two words of each sentence from `low` on: what near-duplicate sentences meet by. And a bit
   for each of its words. */
WIDE static int least_runs(Sentences *r, i64 low) {
    const i64 *starts = AT(r->word_start, i64), *firsts = AT(r->first, i64);
    const u32 *hashes = AT(r->word_hash, u32);
    i64 sentences = COUNT(r->first, i64), w = 0;
    if (!reserve(&r->least, sentences * ORDERS * 4) || !reserve(&r->word_bits, sentences * 8)) return 0;
    while (w < COUNT(r->word_start, i64) && starts[w] < firsts[0]) w++;
    for (i64 s = 0; s < sentences; s++) { /* words are in the order of the sentences */
        u32 words = AT(r->n_words, u32)[low + s], least[ORDERS];
        u64 bits = 0;
        for (int o = 0; o < ORDERS; o++) least[o] = 0xFFFFFFFF;
        for (u32 i = 0; i + 1 < words; i++) {
            u32 run = (hashes[w + i] * 0x9E3779B1U) ^ hashes[w + i + 1];
            for (int o = 0; o < ORDERS; o++) {
                u32 value = run * ORDER[o];
                value ^= value >> 15;
                least[o] = value < least[o] ? value : least[o];
            }
        }
        for (u32 i = 0; i < words; i++) bits |= 1ULL << ((hashes[w + i] * 0x9E3779B1U) >> 26);
        w += words;
        for (int o = 0; o < ORDERS; o++) PUSH(r->least, u32, least[o]);
        PUSH(r->word_bits, u64, bits);
    }
    return 1;
}

static int by_number(const void *one, const void *two) {
    u64 a = *(const u64 *)one, b = *(const u64 *)two;
    return (a > b) - (a < b);
}

/* The pairs of sentences from `low` on, one document, that have the least run by some order in common: each sentence with
   the last before it, where both are long enough, neither is too long, and they are neither the same nor very unlike in
   size. */
static int near_pairs(Sentences *r, i64 low, u32 min_words, u32 max_chars) {
    const i64 *firsts = AT(r->first, i64), *pasts = AT(r->past, i64);
    const u32 *words = AT(r->n_words, u32) + low, *starts = AT(r->start, u32) + low, *ends = AT(r->end, u32) + low;
    const u32 *least = AT(r->least, u32) + low * ORDERS;
    const u64 *keys = AT(r->key, u64) + low;
    i64 sentences = COUNT(r->first, i64), room = 16;
    while (room < 2 * sentences) room *= 2;
    r->table.size = r->picked.size = 0;
    if (!reserve(&r->table, room * 8)) return 0;
    i64 *slot = AT(r->table, i64);
    for (int o = 0; o < ORDERS; o++) {
        memset(slot, 0xFF, (size_t)room * 8);
        for (i64 s = 0; s < sentences; s++) {
            if (words[s] < min_words) continue;
            u32 run = least[s * ORDERS + o];
            i64 at = (i64)(mix64(run) & (u64)(room - 1));
            while (slot[at] >= 0 && least[slot[at] * ORDERS + o] != run) at = (at + 1) & (room - 1);
            i64 before = slot[at];
            slot[at] = s;
            if (before < 0 || keys[before] == keys[s] || ends[before] - starts[before] > max_chars || ends[s] - starts[s] > max_chars) continue;
            i64 one = pasts[before] - firsts[before], two = pasts[s] - firsts[s];
            if (2 * one < two || 2 * two < one) continue;
            PUSH(r->picked, u64, (u64)before << 32 | (u64)s);
        }
    }
    if (r->picked.failed) return 0;
    u64 *pairs = AT(r->picked, u64);
    i64 n = COUNT(r->picked, u64);
    if (n) qsort(pairs, (size_t)n, sizeof *pairs, by_number);
    for (i64 i = 0; i < n; i++) {
        if (i && pairs[i] == pairs[i - 1]) continue;
        i64 pair[2] = {(i64)(pairs[i] >> 32), (i64)(pairs[i] & 0xFFFFFFFF)};
        PUSH(r->n_one, i64, low + pair[0]);
        PUSH(r->n_two, i64, low + pair[1]);
        for (int side = 0; side < 2; side++) {
            i64 size = pasts[pair[side]] - firsts[pair[side]];
            PUSH(*(side ? &r->n_two_size : &r->n_one_size), i64, size);
            if (!reserve(&r->n_text, size * 4)) return 0;
            memcpy(r->n_text.data + r->n_text.size, AT(r->folded, u32) + firsts[pair[side]], (size_t)size * 4);
            r->n_text.size += size * 4;
        }
    }
    return 1;
}

/* What is told of a document when all its sentences, those from `low` on, are read. */
static int document(const Tables *t, Sentences *r, i64 low, const int *sizes, int bands, u32 min_words, u32 max_chars) {
    if (!fingerprint(t, r, low, sizes, bands) || !least_runs(r, low) || !near_pairs(r, low, min_words, max_chars)) return 0;
    r->folded.size = r->word_start.size = r->word_hash.size = r->word_flags.size = r->first.size = r->past.size = 0;
    return 1;
}

/* Room for what so much text usually gives, so that little is moved as it grows. 0 when memory ran out. */
static int expect(Sentences *r, const Texts *lines, i64 n_lines) {
    i64 bytes = 0;
    for (i64 l = 0; l < n_lines; l++) bytes += load32(lines->views + 16 * l);
    i64 sentences = bytes / 100 + 64, hashes = bytes / 24 + 64;
    Buffer *fours[] = {&r->doc, &r->line, &r->start, &r->end, &r->n_words, &r->segment};
    int ok = reserve(&r->flags, sentences) && reserve(&r->key, sentences * 8) && reserve(&r->least, sentences * ORDERS * 4) &&
             reserve(&r->s_doc, hashes * 4) && reserve(&r->s_kind, hashes) && reserve(&r->s_hash, hashes * 8) && reserve(&r->n_text, bytes / 3);
    for (int i = 0; i < 6; i++) ok = ok && reserve(fours[i], sentences * 4);
    return ok;
}

/* Everything about the lines of whole documents. doc, line, shift: number of each line's document, of the line, and where it begins in
   the document, in code points. sizes, bands: of the samples.
   min_words, max_chars: of near-duplicate sentences. 0 when memory ran out. */
EXPORT Sentences *winnow_sentences(const Tables *t, const Texts *lines, const u32 *doc, const u32 *line, const u32 *shift, i64 n_lines, const int *sizes, int bands, u32 min_words, u32 max_chars) {
    Sentences *r = NEW_RESULT(Sentences);
    if (!r) return NULL;
    i64 low = 0; /* the first sentence of the document */
    int ok = expect(r, lines, n_lines);
    for (i64 l = 0; ok && l < n_lines; l++) {
        int special = 0;
        const u8 *end, *p = text_of(lines, l, &end);
        i64 n = read_line(t, r, p, end, &special);
        if (n < 0) {
            ok = 0;
            break;
        }
        i64 before = COUNT(r->doc, u32);
        r->bounds.size = 0;
        boundaries(t, r, AT(r->codes, u32), AT(r->kinds, u8), n);
        ok = !r->bounds.failed && !r->flags.failed;
        if (ok && before > low && r->bounds.size && AT(r->doc, u32)[low] != doc[l]) {
            ok = document(t, r, low, sizes, bands, min_words, max_chars);
            low = before;
        }
        i64 w = COUNT(r->word_start, i64);
        if (!ok || !fold_line(t, r, n, special)) {
            ok = 0;
            break;
        }
        const u32 *folded = AT(r->folded, u32);
        const i64 *bounds = AT(r->bounds, i64), *from = AT(r->from, i64), *starts = AT(r->word_start, i64);
        i64 words = COUNT(r->word_start, i64);
        for (i64 s = 0; s < COUNT(r->bounds, i64); s += 2) {
            i64 first = from[s], past = from[s + 1];
            if (past > first && folded[past - 1] == BLANK) past--;
            while (w < words && starts[w] < first) w++;
            i64 begin = w;
            while (w < words && starts[w] < past) w++;
            PUSH(r->doc, u32, doc[l]);
            PUSH(r->line, u32, line[l]);
            PUSH(r->start, u32, (u32)(bounds[s] + shift[l]));
            PUSH(r->end, u32, (u32)(bounds[s + 1] + shift[l]));
            PUSH(r->first, i64, first);
            PUSH(r->past, i64, past);
            PUSH(r->n_words, u32, (u32)(w - begin));
            PUSH(r->key, u64, xxh64((const u8 *)(folded + first), (past - first) * 4, 0));
            PUSH(r->segment, u32, (u32)l);
        }
        ok = !(r->doc.failed || r->line.failed || r->start.failed || r->end.failed || r->first.failed || r->past.failed || r->n_words.failed || r->key.failed || r->segment.failed);
    }
    if (ok && COUNT(r->doc, u32) > low) ok = document(t, r, low, sizes, bands, min_words, max_chars);
    for (Buffer *work = &r->folded; work <= &r->table; work++) work->size = 0; /* nobody asks for what was on the way */
    return complete(r, ok);
}

typedef struct {
    i64 buffers;
    Buffer text, size;
} Folds;

/* The folded forms of n texts, one behind the other, and the size of each. offsets: of each text in `text`, and one more.
   0 when memory ran out. */
EXPORT Folds *winnow_folds(const Tables *t, const u8 *text, const i64 *offsets, i64 n_texts) {
    Folds *folds = NEW_RESULT(Folds);
    Sentences *r = NEW_RESULT(Sentences);
    int ok = folds && r && reserve(&folds->size, n_texts * 8);
    for (i64 i = 0; ok && i < n_texts; i++) {
        int special = 0;
        i64 before = r->folded.size, n = read_line(t, r, text + offsets[i], text + offsets[i + 1], &special);
        ok = n >= 0 && fold_line(t, r, n, special);
        PUSH(folds->size, i64, (r->folded.size - before) / 4);
        r->word_start.size = r->word_hash.size = r->word_flags.size = 0;
    }
    if (ok) {
        folds->text = r->folded;
        r->folded = (Buffer){0};
    }
    if (r) release(r);
    return folds ? complete(folds, ok) : NULL;
}

/* Which pairs of texts surely don't say the same: what pairs.py would find out, of those that few words tell. */

typedef struct {
    u32 first, size; /* in folded code points */
} Word;

typedef struct {
    i64 from;          /* its first word */
    u32 words;
    u8 odd, label, credit; /* blanks that only Python knows; it may have a label in front; a credit behind */
} Read;

typedef struct {
    i64 buffers;
    Buffer unlike;
    Buffer words, read, one, two; /* work */
} Unlike;

enum { AT_START = 40, AT_END = 60 }; /* code points of pairs._AT_START and _AT_END */

static int is_dash(u32 c) { return c == '|' || c == '-' || c == 0x2013 || c == 0x2014; }

static int is_bullet(u32 c) { return c == 0x2022 || c == 0x25AA || c == 0x25CF || c == '*' || c == 0xB7 || c == 0x2013 || c == '-' || c == 0x2014; }

/* Whether pairs._PREFIX might match n code points: more than it does. */
static int may_have_label(const u32 *c, i64 n) {
    for (i64 i = 0; i < n && i < 38; i++) {
        if (c[i] == ':' || c[i] == 0x2014 || c[i] == 0x2013 || (c[i] == '-' && i && c[i - 1] < 0x21)) return 1;
        if (i < 8 && (c[i] == '.' || c[i] == ')' || is_bullet(c[i]))) return 1;
    }
    return 0;
}

/* The same of pairs._SUFFIX: a bracket that closes at the end, or a dash with no full stop behind it. */
static int may_have_credit(const u32 *c, i64 n) {
    for (i64 i = n; i > 0 && i > n - 6; i--)
        if (c[i - 1] == ']' || c[i - 1] == ')') return 1;
    for (i64 i = n; i > 0 && c[i - 1] != '.'; i--)
        if (is_dash(c[i - 1])) return 1;
    return 0;
}

static int other_blank(u32 c) {
    return (c >= 9 && c <= 13 && c != '\n') || (c >= 0x1C && c <= 0x1F) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static int same_word(const u32 *f, Word a, Word b) { return a.size == b.size && !memcmp(f + a.first, f + b.first, (size_t)a.size * 4); }

/* A word with letters that scanners confuse made one, as pairs._misread makes it; its size. to: room for as many. */
static i64 misread(const u32 *f, Word w, u32 *to) {
    static const struct { u32 one, two, made; } JOINED[] = {{'r', 'n', 'm'}, {'c', 'l', 'd'}, {'v', 'v', 'w'}};
    i64 n = w.size;
    for (i64 i = 0; i < n; i++) {
        u32 c = f[w.first + i];
        to[i] = c == '0' ? 'o' : c == '1' || c == 'i' || c == '|' ? 'l' : c == '5' ? 's' : c == '8' ? 'b' : c;
    }
    for (int j = 0; j < 3; j++) {
        i64 out = 0;
        for (i64 i = 0; i < n; i++) {
            if (i + 1 < n && to[i] == JOINED[j].one && to[i + 1] == JOINED[j].two) to[out++] = JOINED[j].made, i++;
            else to[out++] = to[i];
        }
        n = out;
    }
    if (n >= 5)
        for (i64 i = 0; i < n; i++) to[i] = to[i] == 'e' ? 'c' : to[i] == 'h' ? 'b' : to[i];
    return n;
}

static int has_digit(const u32 *f, Word w) {
    for (u32 i = 0; i < w.size; i++)
        if (f[w.first + i] - '0' < 10) return 1;
    return 0;
}

/* Whether pairs._slip might take one word for the other: mistyped by a letter, or misread. */
static int may_be_slip(Unlike *r, const u32 *f, Word a, Word b) {
    if (has_digit(f, a) && has_digit(f, b)) return 0;
    const u32 *x = f + a.first, *y = f + b.first;
    i64 n = a.size, m = b.size, at = 0;
    while (at < n && at < m && x[at] == y[at]) at++;
    while (n > at && m > at && x[n - 1] == y[m - 1]) n--, m--;
    n -= at;
    m -= at;
    if (n <= 1 && m <= 1) return 1;
    if (n == 2 && m == 2 && x[at] == y[at + 1] && x[at + 1] == y[at]) return 1;
    r->one.size = r->two.size = 0;
    if (!reserve(&r->one, (i64)a.size * 4) || !reserve(&r->two, (i64)b.size * 4)) return 1;
    u32 *one = AT(r->one, u32), *two = AT(r->two, u32);
    n = misread(f, a, one);
    return n == misread(f, b, two) && !memcmp(one, two, (size_t)n * 4);
}

/* Whether pairs._same_words might pass over a word that only one of the two has: one without a letter or digit, or a filler. */
static int may_be_extra(const Tables *t, const Set *fillers, const u32 *f, Word w, int *real) {
    int known = 0;
    for (u32 i = 0; i < w.size; i++) {
        u32 c = f[w.first + i];
        known |= c - '0' < 10 || c - 'a' < 26 || (((c >= 0xC0 && c < 0x250) || (c >= 0x400 && c < 0x530)) && t->chars[c] >> 24 == LOWER);
    }
    *real = known;
    if (!known) return 1;
    u64 hash = xxh64((const u8 *)(f + w.first), (i64)w.size * 4, 0);
    i64 at = first_from(fillers->values, fillers->size, hash);
    return at < fillers->size && fillers->values[at] == hash;
}

/* Whether one word begins, or ends, with the other. */
static int may_join(const u32 *f, Word a, Word b, int at_end) {
    u32 n = a.size < b.size ? a.size : b.size;
    return !memcmp(f + a.first + (at_end ? a.size - n : 0), f + b.first + (at_end ? b.size - n : 0), (size_t)n * 4);
}

static int surely_unlike(const Tables *t, const Set *fillers, Unlike *r, const u32 *f, const Word *a, i64 n, const Word *b, i64 m) {
    i64 least = n < m ? n : m, first = 0, last = 0;
    int real = 0;
    if (!least) return 1;
    while (first < least && same_word(f, a[first], b[first])) first++;
    if (first == n && first == m) return 0;
    if (n != m && first >= least - 1) return 0; /* one may be cut off */
    while (last < least - first && same_word(f, a[n - 1 - last], b[m - 1 - last])) last++;
    a += first;
    b += first;
    n -= first + last;
    m -= first + last;
    if (n == 1 && m == 1) return !may_be_slip(r, f, a[0], b[0]);
    if (!n || !m) {
        const Word *more = n ? a : b;
        int found = 0;
        for (i64 i = 0; i < n + m; i++) {
            if (!may_be_extra(t, fillers, f, more[i], &real)) return 1;
            found += real;
        }
        return found > 1;
    }
    for (int at_end = 0; at_end < 2; at_end++) { /* what an alignment may begin and end with */
        Word x = a[at_end ? n - 1 : 0], y = b[at_end ? m - 1 : 0];
        if (!may_join(f, x, y, at_end) && !may_be_extra(t, fillers, f, x, &real) && !may_be_extra(t, fillers, f, y, &real) && !may_be_slip(r, f, x, y)) return 1;
    }
    return 0;
}

static int same_ends(const u32 *a, i64 n, const u32 *b, i64 m, i64 size, int at_end) {
    i64 x = n < size ? n : size, y = m < size ? m : size;
    return x == y && !memcmp(a + (at_end ? n - x : 0), b + (at_end ? m - y : 0), (size_t)x * 4);
}

/* Of each pair of texts 1 when they surely don't say the same, as pairs.likenesses would tell; of those with what may be a label or a
   credit always 0. fillers: XXH64 of words, sorted. */
EXPORT void *winnow_unlike(
    const Tables *t, const Set *fillers, const u8 *text, const i64 *offsets, i64 n_texts, const u32 *ones, const u32 *others, i64 n_pairs) {
    Unlike *u = NEW_RESULT(Unlike);
    Sentences *r = NEW_RESULT(Sentences);
    Buffer raw = {0}; /* code points as they are, text by text */
    i64 *begins = malloc(((size_t)n_texts + 1) * sizeof(i64));
    int ok = u && r && begins && reserve(&u->read, n_texts * (i64)sizeof(Read)) && reserve(&u->unlike, n_pairs);
    for (i64 i = 0; ok && i < n_texts; i++) {
        int special = 0;
        i64 before = COUNT(r->folded, u32), n = read_line(t, r, text + offsets[i], text + offsets[i + 1], &special);
        Read told = {COUNT(u->words, Word), 0, 0, 0, 0};
        begins[i] = COUNT(raw, u32);
        ok = n >= 0 && reserve(&raw, n * 4);
        if (!ok) break;
        if (n) memcpy(raw.data + raw.size, r->codes.data, (size_t)n * 4);
        raw.size += n * 4;
        told.label = (u8)may_have_label(AT(r->codes, u32), n);
        told.credit = (u8)may_have_credit(AT(r->codes, u32), n);
        ok = fold_line(t, r, n, special);
        r->word_start.size = r->word_hash.size = r->word_flags.size = 0;
        const u32 *f = AT(r->folded, u32);
        for (i64 at = before, past = COUNT(r->folded, u32); ok && at < past;) {
            i64 first = at;
            while (at < past && f[at] != BLANK && f[at] != '\n') told.odd |= (u8)other_blank(f[at]), at++;
            if (at > first) {
                Word word = {(u32)first, (u32)(at - first)};
                PUSH(u->words, Word, word);
                told.words++;
            }
            at++;
        }
        AT(u->read, Read)[i] = told;
    }
    if (ok && !u->words.failed) {
        begins[n_texts] = COUNT(raw, u32);
        const Read *read = AT(u->read, Read);
        const u32 *c = AT(raw, u32), *f = AT(r->folded, u32);
        for (i64 p = 0; p < n_pairs; p++) {
            i64 i = ones[p], j = others[p], n = begins[i + 1] - begins[i], m = begins[j + 1] - begins[j];
            int left = read[i].odd || read[j].odd ||
                       ((read[i].label || read[j].label) && !same_ends(c + begins[i], n, c + begins[j], m, AT_START, 0)) ||
                       ((read[i].credit || read[j].credit) && !same_ends(c + begins[i], n, c + begins[j], m, AT_END, 1));
            u->unlike.data[u->unlike.size++] = (char)(!left && surely_unlike(
                t, fillers, u, f, AT(u->words, Word) + read[i].from, read[i].words, AT(u->words, Word) + read[j].from, read[j].words));
        }
    }
    if (r) release(r);
    free(raw.data);
    free(begins);
    if (!u) return NULL;
    u->words.size = u->read.size = u->one.size = u->two.size = 0;
    return complete(u, ok);
}
