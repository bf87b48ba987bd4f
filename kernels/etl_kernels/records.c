/* Records of JSON Lines that are as simple as most: twin of etl/ingest/jsonl.py, for lines whose keys are known beforehand.
 * Whatever is not plainly right is left to Python: a line is read as a whole or not at all. */
#include "common.h"

enum { FIELDS = 9, MOST_DEPTH = 32, MOST_DIGITS = 18, LONGEST_PLAIN = 10000 };
enum { TEXT = 0, RAW = 1, PLAIN = 2 };             /* what a field is for: the text, a value as it is, a short text in one line */
enum { IS_VALUE = 0, IS_NULL = 1, IS_ROUGH = 2 }; /* rough: a short text that isn't in one line yet */

typedef struct {
    Buffer data, past, state; /* UTF-8; where each value ends; what it is */
} Column;

typedef struct {
    i64 buffers;
    Column columns[FIELDS];
} Records;

static const u8 *blanks(const u8 *s, const u8 *end) {
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\r')) s++;
    return s;
}

/* The end of a sequence of UTF-8 that begins at s with a byte beyond ASCII; NULL when it isn't one. */
static const u8 *sequence(const u8 *s, const u8 *end) {
    int more = *s >= 0xF0 ? 3 : *s >= 0xE0 ? 2 : 1;
    if (*s < 0xC2 || *s > 0xF4 || end - s <= more) return NULL;
    u8 low = *s == 0xE0 ? 0xA0 : *s == 0xF0 ? 0x90 : 0x80, high = *s == 0xED ? 0x9F : *s == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high) return NULL;
    for (int i = 2; i <= more; i++)
        if (s[i] < 0x80 || s[i] > 0xBF) return NULL;
    return s + more + 1;
}

static int hex4(const u8 *s, const u8 *end, u32 *value) {
    if (end - s < 4) return 0;
    u32 v = 0;
    for (int i = 0; i < 4; i++) {
        u8 c = s[i] | 0x20;
        if (s[i] >= '0' && s[i] <= '9') v = v << 4 | (u32)(s[i] - '0');
        else if (c >= 'a' && c <= 'f') v = v << 4 | (u32)(c - 'a' + 10);
        else return 0;
    }
    *value = v;
    return 1;
}

/* What follows a backslash at s. Moves both on; 0 when it is no escape, or half of a surrogate pair. */
static int escape(const u8 **at, const u8 *end, u8 **out) {
    const u8 *s = *at + 1;
    if (s >= end) return 0;
    u32 c, second;
    switch (*s++) {
    case '"': c = '"'; break;
    case '\\': c = '\\'; break;
    case '/': c = '/'; break;
    case 'b': c = '\b'; break;
    case 'f': c = '\f'; break;
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 't': c = '\t'; break;
    case 'u':
        if (!hex4(s, end, &c) || (c >= 0xDC00 && c <= 0xDFFF)) return 0;
        s += 4;
        if (c >= 0xD800 && c <= 0xDBFF) {
            if (end - s < 6 || s[0] != '\\' || s[1] != 'u' || !hex4(s + 2, end, &second) || second < 0xDC00 || second > 0xDFFF) return 0;
            c = 0x10000 + ((c - 0xD800) << 10) + (second - 0xDC00);
            s += 6;
        }
        break;
    default: return 0;
    }
    *at = s;
    *out = write_char(*out, c);
    return 1;
}

#define EACH 0x0101010101010101ULL

/* A string, s behind its opening quote; what it says goes to `out`, which has room for as many bytes as there are, and eight.
 * Returns behind the closing quote, NULL when it isn't right. */
static const u8 *string(const u8 *s, const u8 *end, u8 **to) {
    u8 *out = *to;
    while (s < end) {
        while (end - s >= 8) {
            u64 v = load64(s), quote = v ^ '"' * EACH, slash = v ^ '\\' * EACH;
            u64 met = ((v - 0x20 * EACH) | v | (quote - EACH) | (slash - EACH)) & 0x80 * EACH; /* the lowest is right */
            memcpy(out, &v, 8);
            if (met) {
#ifdef __GNUC__
                int clean = __builtin_ctzll(met) >> 3;
                out += clean;
                s += clean;
#endif
                break;
            }
            out += 8;
            s += 8;
        }
        if (s == end) break;
        if (*s == '"') {
            *to = out;
            return s + 1;
        }
        if (*s == '\\') {
            if (!escape(&s, end, &out)) return NULL;
        } else if (*s >= 0x80) {
            const u8 *next = sequence(s, end);
            if (!next) return NULL;
            while (s < next) *out++ = *s++;
        } else if (*s < 0x20) {
            return NULL;
        } else {
            *out++ = *s++;
        }
    }
    return NULL;
}

/* A whole number of few digits, or with `any` another number that every reader takes; NULL for all else. */
static const u8 *number(const u8 *s, const u8 *end, int any) {
    const u8 *digits = s += s < end && *s == '-';
    while (s < end && *s >= '0' && *s <= '9') s++;
    if (s == digits || s - digits > MOST_DIGITS || (*digits == '0' && (s - digits > 1 || digits[-1] == '-'))) return NULL;
    if (s < end && *s == '.') {
        const u8 *fraction = ++s;
        while (s < end && *s >= '0' && *s <= '9') s++;
        if (!any || s == fraction || s - fraction > MOST_DIGITS) return NULL;
    }
    return s < end && (*s == 'e' || *s == 'E') ? NULL : s;
}

static const u8 *word(const u8 *s, const u8 *end, const char *name, i64 size) {
    return end - s >= size && !memcmp(s, name, (size_t)size) ? s + size : NULL;
}

/* Behind any value; `work` is room for a string. */
static const u8 *skip(const u8 *s, const u8 *end, u8 *work, int depth) {
    u8 *out = work;
    if (s >= end || depth > MOST_DEPTH) return NULL;
    switch (*s) {
    case '"': return string(s + 1, end, &out);
    case 't': return word(s, end, "true", 4);
    case 'f': return word(s, end, "false", 5);
    case 'n': return word(s, end, "null", 4);
    case '[':
    case '{': {
        u8 close = *s == '[' ? ']' : '}';
        s = blanks(s + 1, end);
        if (s < end && *s == close) return s + 1;
        for (;;) {
            if (close == '}') {
                if (s >= end || *s != '"' || !(out = work, s = string(s + 1, end, &out))) return NULL;
                s = blanks(s, end);
                if (s >= end || *s++ != ':') return NULL;
                s = blanks(s, end);
            }
            if (!(s = skip(s, end, work, depth + 1))) return NULL;
            s = blanks(s, end);
            if (s >= end) return NULL;
            if (*s == close) return s + 1;
            if (*s++ != ',') return NULL;
            s = blanks(s, end);
        }
    }
    default: return number(s, end, 1);
    }
}

/* Whether there is surely a visible character: signs, digits, letters of the large scripts. */
static int is_visible(const u8 *s, const u8 *end) {
    while (s < end) {
        u32 c = read_char(&s);
        if ((c > 0x20 && c < 0x7F) || (c >= 0x410 && c <= 0x44F) || (c >= 0x3B1 && c <= 0x3C9) || (c >= 0x627 && c <= 0x64A) ||
            (c >= 0x905 && c <= 0x939) || (c >= 0x3041 && c <= 0x3096) || (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0xAC00 && c <= 0xD7A3))
            return 1;
    }
    return 0;
}

/* Whether a short text is in one line, with single spaces between its words. */
static int is_plain(const u8 *s, const u8 *end) {
    int blank = 1;
    if (end - s > LONGEST_PLAIN) return 0;
    while (s < end) {
        u32 c = read_char(&s);
        if (c == ' ') {
            if (blank) return 0;
            blank = 1;
            continue;
        }
        blank = 0;
        if (c < 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
            c == 0x202F || c == 0x205F || c == 0x3000)
            return 0;
    }
    return !blank;
}

/* A value for a field. NULL when it is of another kind than is read here, or the text has nothing to see. */
static const u8 *take(Column *column, int kind, const u8 *s, const u8 *end) {
    if (s >= end || !reserve(&column->data, end - s + 16)) return NULL;
    u8 *first = (u8 *)column->data.data + column->data.size, *out = first, state = IS_VALUE;
    if (*s == '"') {
        if (!(s = string(s + 1, end, &out))) return NULL;
        if (out == first) state = IS_NULL;
        else if (kind == PLAIN && !is_plain(first, out)) state = IS_ROUGH;
    } else if (*s == 'n') {
        s = word(s, end, "null", 4);
        state = IS_NULL;
    } else if (kind == PLAIN) {
        const u8 *past = number(s, end, 0);
        if (past) memcpy(out, s, (size_t)(past - s)), out += past - s;
        s = past;
    } else {
        return NULL;
    }
    if (!s || (kind == TEXT && (state != IS_VALUE || !is_visible(first, out)))) return NULL;
    column->data.size += out - first;
    PUSH(column->past, i64, column->data.size);
    PUSH(column->state, u8, state);
    return column->past.failed || column->state.failed ? NULL : s;
}

/* The shape of a record: its keys as they stand, and for each the number of its field, or -1; what the fields are for. */
typedef struct {
    const u8 *keys;
    const i64 *offsets;
    const i32 *field;
    i64 n_keys;
    const i32 *kind;
} Shape;

static int record(Records *r, const Shape *shape, const u8 *s, const u8 *end, u8 *work) {
    s = blanks(s, end);
    if (s >= end || *s++ != '{') return 0;
    for (i64 k = 0; k < shape->n_keys; k++) {
        i64 size = shape->offsets[k + 1] - shape->offsets[k];
        s = blanks(s, end);
        if (end - s < size + 2 || *s != '"' || memcmp(s + 1, shape->keys + shape->offsets[k], (size_t)size) || s[size + 1] != '"') return 0;
        s = blanks(s + size + 2, end);
        if (s >= end || *s++ != ':') return 0;
        s = blanks(s, end);
        int field = shape->field[k];
        s = field < 0 ? skip(s, end, work, 0) : take(&r->columns[field], shape->kind[field], s, end);
        if (!s) return 0;
        s = blanks(s, end);
        if (s >= end || *s++ != (k + 1 < shape->n_keys ? ',' : '}')) return 0;
    }
    return shape->n_keys && blanks(s, end) == end;
}

/* The values of those of n lines that have the shape, which read[i] then tells. */
EXPORT Records *winnow_records(const Shape *shape, const u8 *data, const i64 *starts, const i64 *ends, i64 n, u8 *read) {
    Records *r = NEW_RESULT(Records);
    i64 longest = 0;
    for (i64 i = 0; i < n; i++)
        if (ends[i] - starts[i] > longest) longest = ends[i] - starts[i];
    u8 *work = malloc((size_t)longest + 16);
    int ok = r && work;
    for (i64 i = 0; ok && i < n; i++) {
        i64 before[FIELDS][3];
        for (int f = 0; f < FIELDS; f++) {
            Column *c = &r->columns[f];
            before[f][0] = c->data.size;
            before[f][1] = c->past.size;
            before[f][2] = c->state.size;
        }
        read[i] = (u8)record(r, shape, data + starts[i], data + ends[i], work);
        if (read[i]) continue;
        for (int f = 0; f < FIELDS; f++) {
            Column *c = &r->columns[f];
            c->data.size = before[f][0];
            c->past.size = before[f][1];
            c->state.size = before[f][2];
            ok = ok && !c->data.failed && !c->past.failed && !c->state.failed;
        }
    }
    free(work);
    return r ? complete(r, ok) : NULL;
}

/* XXH3 with 128 bits (the published algorithm, its own secret, no seed) of more than 240 bytes. */
enum { STRIPE = 64, LANES = 8, BLOCK = 1024, SHORT = 240 };

static const u8 SECRET[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb,
    0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31,
    0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc,
    0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e};

INLINE void accumulate(u64 *acc, const u8 *in, const u8 *secret) {
    for (int i = 0; i < LANES; i++) {
        u64 value = load64(in + 8 * i), key = value ^ load64(secret + 8 * i);
        acc[i ^ 1] += value;
        acc[i] += (key & 0xFFFFFFFF) * (key >> 32);
    }
}

/* Both halves of the product of two numbers, one over the other. */
static u64 folded_product(u64 a, u64 b) {
    u64 low = (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF), cross = (a >> 32) * (b & 0xFFFFFFFF), other = (a & 0xFFFFFFFF) * (b >> 32);
    u64 middle = (low >> 32) + (cross & 0xFFFFFFFF) + other;
    u64 high = (a >> 32) * (b >> 32) + (cross >> 32) + (middle >> 32);
    return high ^ (middle << 32 | (low & 0xFFFFFFFF));
}

static u64 merged(const u64 *acc, const u8 *secret, u64 h) {
    for (int i = 0; i < LANES; i += 2) h += folded_product(acc[i] ^ load64(secret + 8 * i), acc[i + 1] ^ load64(secret + 8 * i + 8));
    h ^= h >> 37;
    h *= 0x165667919E3779F9ULL;
    return h ^ h >> 32;
}

INLINE void xxh3_128(const u8 *in, i64 n, u64 *high, u64 *low) {
    u64 acc[LANES] = {0xC2B2AE3D, P1, P2, P3, P4, 0x85EBCA77, P5, 0x9E3779B1};
    const u8 *end = in + n, *last = SECRET + sizeof SECRET - STRIPE;
    while (end - in > BLOCK) {
        for (int s = 0; s < BLOCK / STRIPE; s++) accumulate(acc, in + s * STRIPE, SECRET + 8 * s);
        for (int i = 0; i < LANES; i++) acc[i] = (acc[i] ^ acc[i] >> 47 ^ load64(last + 8 * i)) * 0x9E3779B1;
        in += BLOCK;
    }
    for (int s = 0; end - in > STRIPE; s++, in += STRIPE) accumulate(acc, in, SECRET + 8 * s);
    accumulate(acc, end - STRIPE, last - 7);
    *low = merged(acc, SECRET + 11, (u64)n * P1);
    *high = merged(acc, last - 11, ~((u64)n * P2));
}

/* The ids of n records, 32 hexadecimal digits each: hashes of `prefix`, the record's number in digits, a null byte and its line. Of
 * those that are not longer than SHORT bytes in all none is told. 0 when memory ran out. */
WIDE EXPORT int winnow_record_ids(const u8 *prefix, i64 prefix_size, const u8 *data, const i64 *starts, const i64 *ends, const i64 *numbers,
                                  i64 n, u8 *ids, u8 *told) {
    i64 longest = 0;
    for (i64 i = 0; i < n; i++)
        if (ends[i] - starts[i] > longest) longest = ends[i] - starts[i];
    u8 *room = malloc((size_t)(prefix_size + longest + 24));
    if (!room) return 0;
    memcpy(room, prefix, (size_t)prefix_size);
    for (i64 i = 0; i < n; i++) {
        u8 digits[20], *first = digits + sizeof digits, *out = room + prefix_size;
        for (u64 number = (u64)numbers[i]; number || first == digits + sizeof digits; number /= 10) *--first = (u8)('0' + number % 10);
        while (first < digits + sizeof digits) *out++ = *first++;
        *out++ = 0;
        memcpy(out, data + starts[i], (size_t)(ends[i] - starts[i]));
        out += ends[i] - starts[i];
        told[i] = out - room > SHORT;
        if (!told[i]) continue;
        u64 half[2];
        xxh3_128(room, out - room, &half[0], &half[1]);
        for (int k = 0; k < 32; k++) ids[32 * i + k] = (u8)"0123456789abcdef"[half[k / 16] >> (60 - 4 * (k % 16)) & 15];
    }
    free(room);
    return 1;
}
