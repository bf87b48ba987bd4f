/* What the line model sees of lines: counters and words of their beginnings.
   Twins of the numpy functions of etl/boilerplate/features.py, which say what each number means. */
#include "common.h"

enum { HEAD_CHARS = 240, HEAD_BYTES = 4 * HEAD_CHARS, FIELDS = 8, HAN_FIRST = 0xE3, HAN_LAST = 0xE9 };

typedef struct {
    i64 buffers;
    Buffer slot, line, entry, entry_line; /* the words: those worth comparing, then all */
    Buffer slots;                         /* one number: slots of all pages */
    Buffer keys, table;                   /* work */
} Words;

typedef struct {
    const u8 *space, *in_word;     /* of each code point; of each byte */
    const u8 *closing, *terminal, *colon, *ellipsis; /* of each code point */
    const u64 *pairs0, *pairs1;    /* eight packed counters for each pair of bytes */
    i64 entry_bits, room;          /* of a lexicon; slots for each word of a page */
} HeadTables;

static const u64 KEY_FACTOR = 0xD6E8FEB86659FD93ULL, WIDE_FACTOR = 0x9E3779B97F4A7C15ULL;

static inline u64 keep(u64 value, i64 bytes) { return bytes >= 8 ? value : value & ((1ULL << (8 * bytes)) - 1); }

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

/* Reads n lines, of n_pages pages that begin at the lines `pages` (and one more: n). Each output has a number a line:
   chars, fields (15 rows of n: the packed counters in their order), short_words, first, start, tail, words, same, above. */
EXPORT Words *winnow_read_lines(const HeadTables *t, const u8 *text, const i64 *offsets, i64 n, const i64 *pages, i64 n_pages, double *chars, double *fields, double *short_words, double *first, double *start, double *tail, double *words, double *same, double *above) {
    Words *r = NEW_RESULT(Words);
    if (!r) return NULL;
    u8 buffer[HEAD_BYTES + 64];
    i64 base = 0;
    int ok = 1;
    for (i64 page = 0; ok && page < n_pages; page++) {
        i64 first_word = COUNT(r->line, i32);
        r->keys.size = 0;
        for (i64 l = pages[page]; l < pages[page + 1]; l++) {
            const u8 *p = text + offsets[l], *end = text + offsets[l + 1];
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
            i64 count = 0, bytes = 0;
            for (const u8 *q = p; q < end; q++) {
                if ((*q & 0xC0) != 0x80) {
                    if (count == HEAD_CHARS) bytes = q - p;
                    count++;
                }
            }
            if (count <= HEAD_CHARS) bytes = end - p;
            chars[l] = (double)count;
            tail[l] = tail_of(t, p, end);
            memcpy(buffer, p, (size_t)bytes);
            memset(buffer + bytes, '\n', 64);
            u64 sum0 = 0, sum1 = 0;
            for (i64 i = 0; i < bytes; i++) {
                u32 pair = (u32)buffer[i] << 8 | buffer[i + 1];
                sum0 += t->pairs0[pair];
                sum1 += t->pairs1[pair];
            }
            for (i64 f = 0; f < FIELDS; f++) fields[f * n + l] = (double)(sum0 >> (8 * f) & 255);
            for (i64 f = 0; f < FIELDS - 1; f++) fields[(FIELDS + f) * n + l] = (double)(sum1 >> (8 * f) & 255);
            u64 opens = t->pairs0[(u32)buffer[0] << 8 | buffer[1]];
            first[l] = opens >> 16 & 1 ? 3 : opens & 1 ? 2 : opens >> 8 & 1 ? 1 : 0;
            start[l] = (double)((i64)buffer[0] << 16 | (i64)buffer[1] << 8 | (buffer[0] > 0xE0 ? buffer[2] : 0));
            i64 in_line = 0, brief = 0, han = 0;
            for (i64 i = 0; i < bytes;) {
                if (!t->in_word[buffer[i]]) {
                    i++;
                    continue;
                }
                i64 begin = i;
                while (t->in_word[buffer[i]]) {
                    han += buffer[i] >= HAN_FIRST && buffer[i] <= HAN_LAST;
                    i++;
                }
                i64 length = i - begin, letters = buffer[begin] >= 0xC3 ? length >> 1 : length;
                in_line++;
                brief += letters <= 3;
                if (buffer[begin] >= HAN_FIRST && buffer[begin] <= HAN_LAST) continue;
                u64 key = keep(load64(buffer + begin) | 0x2020202020202020ULL, length);
                if (length > 8 && buffer[begin] >= 0xC3) key += keep(load64(buffer + begin + 8), length - 8 < 6 ? length - 8 : 6) * WIDE_FACTOR;
                key *= KEY_FACTOR;
                PUSH(r->entry, i32, (i32)(key >> (64 - t->entry_bits)));
                PUSH(r->entry_line, i32, (i32)l);
                if (letters >= 4) {
                    PUSH(r->slot, u64, key);
                    PUSH(r->line, i32, (i32)l);
                }
            }
            for (i64 i = 0; han && i + 6 <= bytes; i++) {
                if (buffer[i] < HAN_FIRST || buffer[i] > HAN_LAST) continue;
                u64 key = keep(load64(buffer + i) | 0x2020202020202020ULL, 6) * KEY_FACTOR;
                PUSH(r->entry, i32, (i32)(key >> (64 - t->entry_bits)));
                PUSH(r->entry_line, i32, (i32)l);
                PUSH(r->slot, u64, key);
                PUSH(r->line, i32, (i32)l);
            }
            short_words[l] = (double)brief;
            words[l] = (double)((in_line > 1 ? in_line : 1) + han / 2);
        }
        ok = !(r->keys.failed || r->entry.failed || r->entry_line.failed || r->slot.failed || r->line.failed);
        i64 low = pages[page];
        ok = ok && by_key(AT(r->keys, u64), pages[page + 1] - low, &r->table, same + low, above + low);
        if (!ok) break;
        i64 some = COUNT(r->line, i32) - first_word, bits = slot_bits(some, t->room);
        u64 *slots = AT(r->slot, u64) + first_word;
        for (i64 i = 0; i < some; i++) slots[i] = (slots[i] >> (64 - bits)) + (u64)base;
        base += (i64)1 << bits;
    }
    PUSH(r->slots, i64, base);
    return complete(r, ok);
}
