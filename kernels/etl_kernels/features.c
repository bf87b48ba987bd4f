/* What the line model sees of lines: counters and words of their beginnings.
   Twins of the numpy functions of etl/boilerplate/features.py, which say what each number means. */
#include "line_model.h"

enum { HEAD_CHARS = 240, HEAD_BYTES = 4 * HEAD_CHARS, PADDING = 72, HAN_FIRST = 0xE3, HAN_LAST = 0xE9 };

static const u64 KEY_FACTOR = 0xD6E8FEB86659FD93ULL, WIDE_FACTOR = 0x9E3779B97F4A7C15ULL;

/* The first of up to 8 bytes, at least one. */
static inline u64 keep(u64 value, i64 bytes) { return value & ~0ULL >> (64 - 8 * (bytes < 8 ? bytes : 8)); }
static inline i64 at_least_1(i64 x) { return x > 1 ? x : 1; }
static inline int is_han(u8 b) { return b >= HAN_FIRST && b <= HAN_LAST; }

static u32 char_before(const u8 *text, const u8 **end) {
    const u8 *p = *end - 1;
    while (p > text && (*p & 0xC0) == 0x80) p--;
    *end = p;
    return read_char(&p);
}

/* How a line ends: 0 otherwise, 1 on a colon, 2 on an ellipsis, 3 on a full stop or the like, closed or not. */
static double tail_of(const HeadTables *t, const u8 *text, const u8 *end) {
    if (text == end) return 0;
    u32 last = char_before(text, &end);
    u32 before = end > text ? char_before(text, &end) : 0;
    if (t->ellipsis[last] || (last == '.' && before == '.')) return 2;
    if (t->terminal[last] || (t->closing[last] && before && t->terminal[before])) return 3;
    return t->colon[last] ? 1 : 0;
}

static int by_key(const u64 *keys, i64 n, Buffer *table, double *same, double *above) {
    i64 room = 16;
    while (room < 2 * n) room *= 2;
    table->size = 0;
    if (!reserve(table, room * 16)) return 0;
    i64 *slot = AT(*table, i64), *count = slot + room;
    for (i64 i = 0; i < room; i++) slot[i] = -1;
    for (i64 i = 0; i < n; i++) {
        i64 s = (i64)(keys[i] & (u64)(room - 1));
        while (slot[s] >= 0 && keys[slot[s]] != keys[i]) s = (s + 1) & (room - 1);
        if (slot[s] < 0) slot[s] = i, count[s] = 0;
        above[i] = (double)count[s]++;
    }
    for (i64 i = 0; i < n; i++) {
        i64 s = (i64)(keys[i] & (u64)(room - 1));
        while (keys[slot[s]] != keys[i]) s = (s + 1) & (room - 1);
        same[i] = (double)count[s];
    }
    return 1;
}

/* Characters from p to end, and into `bytes` how many bytes the first HEAD_CHARS of them take. */
INLINE i64 count_chars(const u8 *p, const u8 *end, i64 *bytes) {
    u8 any = 0;
    for (const u8 *q = p; q < end; q++) any |= *q;
    i64 size = end - p, count = size;
    *bytes = size < HEAD_CHARS ? size : HEAD_CHARS;
    if (any < 0x80) return count;
    count = 0;
    for (const u8 *q = p; q < end; q++) count += (*q & 0xC0) != 0x80;
    *bytes = size;
    if (count <= HEAD_CHARS) return count;
    const u8 *q = p;
    for (i64 chars = 0;; q++) {
        if ((*q & 0xC0) == 0x80) continue;
        if (chars++ == HEAD_CHARS) break;
    }
    *bytes = q - p;
    return count;
}

/* A head, with PADDING newlines behind it, and what is counted in it. edge: where words begin and end, in turn. */
typedef struct {
    u8 text[HEAD_BYTES + PADDING];
    i64 bytes, edges, han;
    u64 sum[2];
    uint16_t edge[HEAD_BYTES + 64];
} Head;

/* Which of 64 bytes are of words: ASCII letters and digits, and what lies beyond ASCII but for the first bytes of signs. */
INLINE u64 words_of(const u8 *text) {
    u8 flag[64];
    for (int i = 0; i < 64; i++) {
        u8 b = text[i];
        flag[i] = ((u8)((b | 0x20) - 'a') < 26) | ((u8)(b - '0') < 10) | ((b >= 0x80) & ((u8)(b - 0xC0) > 2));
    }
    u64 words = 0;
    for (int i = 0; i < 8; i++) words |= (load64(flag + 8 * i) * 0x0102040810204080ULL >> 56) << (8 * i);
    return words;
}

INLINE void read_head(const HeadTables *t, Head *h, const u8 *p, i64 bytes) {
    memcpy(h->text, p, (size_t)bytes);
    memset(h->text + bytes, '\n', PADDING);
    h->bytes = bytes;
    const uint16_t *row = t->row, *column = t->column;
    const Pair *pairs = t->pairs;
    Pair sum = {0, 0};
    u32 here = row[h->text[0]];
    for (i64 i = 0; i < bytes; i++) {
        u8 b = h->text[i + 1];
        sum += pairs[here + column[b]];
        here = row[b];
    }
    i64 edges = 0;
    u64 inside = 0;
    for (i64 low = 0; low <= bytes; low += 64) {
        u64 words = words_of(h->text + low);
        if (bytes - low < 64) words &= (1ULL << (bytes - low)) - 1;
        u64 turns = words ^ (words << 1 | inside);
        inside = words >> 63;
        for (; turns; turns &= turns - 1) h->edge[edges++] = (uint16_t)(low + __builtin_ctzll(turns));
    }
    h->edges = edges;
    h->sum[0] = sum[0];
    h->sum[1] = sum[1];
    u8 any = 0;
    h->han = 0;
    for (i64 i = 0; i < bytes; i++) any |= (u8)(h->text[i] - HAN_FIRST) <= HAN_LAST - HAN_FIRST;
    for (i64 i = 0; any && i < bytes; i++) h->han += is_han(h->text[i]);
}

/* Room for as many more numbers in each array of words as a head can hold. */
static int reserve_words(Words *r) {
    return reserve(&r->slot, HEAD_BYTES * 8) && reserve(&r->line, HEAD_BYTES * 4) && reserve(&r->entry, HEAD_BYTES * 4) && reserve(&r->entry_line, HEAD_BYTES * 4);
}

/* Adds the words of a head; how many of them are short. */
INLINE i64 add_words(const HeadTables *t, const Head *h, i64 l, Words *r) {
    const u8 *text = h->text;
    i64 entries = COUNT(r->entry, i32), slots = COUNT(r->slot, u64), brief = 0;
    i32 *entry = AT(r->entry, i32), *entry_line = AT(r->entry_line, i32), *line = AT(r->line, i32);
    u64 *slot = AT(r->slot, u64);
    for (i64 e = 0; e < h->edges; e += 2) {
        i64 begin = h->edge[e], length = h->edge[e + 1] - begin, letters = text[begin] >= 0xC3 ? length >> 1 : length;
        brief += letters <= 3;
        if (is_han(text[begin])) continue;
        u64 key = keep(load64(text + begin) | 0x2020202020202020ULL, length);
        if (length > 8 && text[begin] >= 0xC3) key += keep(load64(text + begin + 8), length - 8 < 6 ? length - 8 : 6) * WIDE_FACTOR;
        key *= KEY_FACTOR;
        entry[entries] = (i32)(key >> (64 - t->entry_bits));
        entry_line[entries++] = (i32)l;
        slot[slots] = key;
        line[slots] = (i32)l;
        slots += letters >= 4;
    }
    for (i64 i = 0; h->han && i + 6 <= h->bytes; i++) {
        if (!is_han(text[i])) continue;
        u64 key = keep(load64(text + i) | 0x2020202020202020ULL, 6) * KEY_FACTOR;
        entry[entries] = (i32)(key >> (64 - t->entry_bits));
        entry_line[entries++] = (i32)l;
        slot[slots] = key;
        line[slots++] = (i32)l;
    }
    r->entry.size = r->entry_line.size = entries * 4;
    r->slot.size = slots * 8;
    r->line.size = slots * 4;
    return brief;
}

/* The features of a line by itself, in their order, each a row of n numbers. */
INLINE void write_own(const Head *h, i64 chars, i64 brief, double tail, double *own, i64 n) {
    double count[16];
    for (int f = 0; f < 16; f++) count[f] = (double)(h->sum[f >> 3] >> (8 * (f & 7)) & 255);
    enum { letters, digits, capitals, wide, words_, commas, stops, separators, quotes, colons, times, numbers, brackets, links, symbols };
    double head = (double)at_least_1(chars < HEAD_CHARS ? chars : HEAD_CHARS), scale = (double)at_least_1(chars) / head;
    i64 in_line = at_least_1(h->edges / 2) + h->han / 2;
    double words = (double)in_line, some = count[letters] > 1 ? count[letters] : 1;
    double values[] = {
        (double)(i64)((double)chars + count[wide] * scale),
        (double)(i64)(words * scale),
        (head + count[wide]) / words,
        count[digits] / head,
        count[numbers] / words,
        count[capitals] / some,
        count[capitals] / words,
        count[letters] / head,
        count[commas],
        count[commas] / words,
        count[stops],
        count[separators],
        count[separators] / words,
        count[quotes],
        count[colons],
        count[times],
        count[brackets],
        count[links],
        count[symbols],
        (double)brief / words,
    };
    for (i64 f = 0; f < 20; f++) own[f * n] = values[f];
    own[21 * n] = tail;
}

WIDE int read_pages(const HeadTables *t, const Texts *texts, const i64 *pages, i64 n_pages, double *own, i64 stride, double *start, Words *r) {
    Head head, *h = &head;
    i64 base = 0;
    int ok = 1;
    for (i64 page = 0; ok && page < n_pages; page++) {
        i64 first_word = COUNT(r->line, i32), low = pages[page] - pages[0], high = pages[page + 1] - pages[0];
        r->keys.size = 0;
        for (i64 l = low; ok && l < high; l++) {
            const u8 *end, *p = text_of(texts, pages[0] + l, &end);
            PUSH(r->keys, u64, xxh64(p, end - p, 0));
            while (p < end) {
                const u8 *next = p;
                if (!t->space[read_char(&next)]) break;
                p = next;
            }
            while (end > p) {
                const u8 *last = end;
                if (!t->space[char_before(p, &last)]) break;
                end = last;
            }
            i64 bytes, chars = count_chars(p, end, &bytes);
            read_head(t, h, p, bytes);
            ok = reserve_words(r);
            if (!ok) break;
            write_own(h, chars, add_words(t, h, l, r), tail_of(t, p, end), own + l, stride);
            const u8 *b = h->text;
            u64 opens = t->pairs[t->row[b[0]] + t->column[b[1]]][0];
            own[20 * stride + l] = opens >> 16 & 1 ? 3 : opens & 1 ? 2 : opens >> 8 & 1 ? 1 : 0;
            start[l] = (double)((i64)b[0] << 16 | (i64)b[1] << 8 | (b[0] > 0xE0 ? b[2] : 0));
        }
        ok = ok && !r->keys.failed && by_key(AT(r->keys, u64), high - low, &r->table, own + 22 * stride + low, own + 23 * stride + low);
        if (!ok) break;
        i64 some = COUNT(r->line, i32) - first_word, bits = slot_bits(some, t->room);
        u64 *slots = AT(r->slot, u64) + first_word;
        for (i64 i = 0; i < some; i++) slots[i] = (slots[i] >> (64 - bits)) + (u64)base;
        base += (i64)1 << bits;
    }
    PUSH(r->slots, i64, base);
    return ok && !r->slots.failed;
}

/* Reads n lines, of n_pages pages that begin at the lines `pages` (and one more: n). own: 24 rows of n numbers, the
   features of lines by themselves in their order. start: the first bytes of each line. */
EXPORT Words *winnow_read_lines(const HeadTables *t, const Texts *texts, i64 n, const i64 *pages, i64 n_pages, double *own, double *start) {
    Words *r = NEW_RESULT(Words);
    return r ? complete(r, read_pages(t, texts, pages, n_pages, own, n, start, r)) : NULL;
}
