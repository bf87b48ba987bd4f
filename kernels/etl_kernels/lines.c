/* Texts to lines, and the keys by which lines are counted: twins of etl/boilerplate/lines.py and templates.py. */
#include "common.h"

typedef struct {
    i64 buffers;
    Buffer doc, line, start, end, text, offsets;
} Lines;

static int line_of(Lines *r, const u8 *visible, const u8 *from, const u8 *to, u32 doc, u32 line, u32 *at) {
    u32 chars = 0;
    int seen = 0;
    for (const u8 *p = from; p < to; chars++) seen |= visible[read_char(&p)];
    u32 start = *at;
    *at += chars + 1;
    if (!seen) return 1;
    if (!reserve(&r->text, to - from)) return 0;
    memcpy(r->text.data + r->text.size, from, (size_t)(to - from));
    r->text.size += to - from;
    PUSH(r->doc, u32, doc);
    PUSH(r->line, u32, line);
    PUSH(r->start, u32, start);
    PUSH(r->end, u32, start + chars);
    PUSH(r->offsets, i64, r->text.size);
    return !(r->doc.failed || r->line.failed || r->start.failed || r->end.failed || r->offsets.failed);
}

/* The lines of n texts that hold a visible character (1 in the table `visible`). */
EXPORT Lines *winnow_split_lines(const u8 *visible, const u8 *text, const i64 *offsets, i64 n) {
    Lines *r = NEW_RESULT(Lines);
    if (!r) return NULL;
    PUSH(r->offsets, i64, 0);
    int ok = !r->offsets.failed;
    for (i64 doc = 0; ok && doc < n; doc++) {
        const u8 *p = text + offsets[doc], *end = text + offsets[doc + 1];
        u32 line = 0, at = 0;
        while (ok) {
            const u8 *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
            ok = line_of(r, visible, p, stop ? stop : end, (u32)doc, line++, &at);
            if (!stop) break;
            p = stop + 1;
        }
    }
    return complete(r, ok);
}

enum { SPACE = 1, DIGIT = 2, LETTER = 4, HAN = 8, VISIBLE = 16 };

#define BYTES(b) (0x0101010101010101ULL * (b))

/* Of each byte below 128, its high bit if it is between two characters. */
static inline u64 between(u64 x, u8 low, u8 high) { return (x + BYTES(0x80 - low)) & ~(x + BYTES(0x7F - high)) & BYTES(0x80); }

typedef struct {
    int letters, digits, han, visible; /* how many there are; of digits and visible ones, whether there are any */
} Kinds;

/* The folded text, stripped, each run of blanks one space, into `room`; how many characters, and of which kinds there were.
   Eight characters at a time where all are ASCII, with single spaces alone between them. */
static i64 fold_line(const u8 *kinds, const u32 *fold, const u8 *p, const u8 *end, u32 *room, Kinds *seen) {
    i64 size = 0;
    int blank = 0;
    while (p < end) {
        while (end - p >= 8) {
            u64 x = load64(p);
            if ((x | (x - BYTES(0x20))) & BYTES(0x80)) break; /* beyond ASCII, or a control character */
            u64 spaces = between(x, ' ', ' ');
            int opens = (x & 0xFF) == ' ', closes = x >> 56 == ' ';
            if ((spaces & spaces << 8) || (opens && (blank || !size))) break;
            if (blank) room[size++] = ' ';
            x |= between(x, 'A', 'Z') >> 2;
            seen->digits |= between(x, '0', '9') != 0;
            seen->visible |= between(x, '!', '~') != 0;
            seen->letters += (int)((between(x, 'a', 'z') >> 7) * BYTES(1) >> 56);
            u8 eight[8];
            memcpy(eight, &x, 8);
            for (int i = 0; i < 8; i++) room[size + i] = eight[i];
            size += 8 - closes;
            blank = closes;
            p += 8;
        }
        if (p == end) break;
        u32 c = read_char(&p);
        u8 kind = kinds[c];
        seen->visible |= kind & VISIBLE;
        if (kind & SPACE) {
            blank = size > 0;
            continue;
        }
        if (blank) room[size++] = ' ';
        blank = 0;
        seen->letters += (kind & LETTER) != 0;
        seen->digits |= (kind & DIGIT) != 0;
        seen->han += (kind & HAN) != 0;
        room[size++] = fold[c];
    }
    return size;
}

/* The text that `fold_line` left, with each number as one 0: digits, and a sign between two of them. */
static i64 mask_numbers(const u8 *kinds, u32 *room, i64 size) {
    i64 kept = 0;
    for (i64 i = 0; i < size; i++) {
        if ((room[i] < 128 && room[i] - '0' > 9) || !(kinds[room[i]] & DIGIT)) {
            room[kept++] = room[i];
            continue;
        }
        room[kept++] = 0;
        while (i + 1 < size) {
            u32 next = room[i + 1];
            int sign = next == '.' || next == ',' || next == ':' || next == '/';
            if (sign ? i + 2 == size || !(kinds[room[i + 2]] & DIGIT) : !(kinds[next] & DIGIT)) break;
            i++;
        }
    }
    return kept;
}

static int is_numbered(const Kinds *seen) { return seen->digits && (seen->letters >= 4 || seen->han >= 2); }

WIDE static u32 count_chars(const u8 *p, const u8 *end) {
    u32 n = 0;
    for (; p < end; p++) n += (*p & 0xC0) != 0x80;
    return n;
}

static u32 *room_for(const i64 *offsets, i64 n) {
    i64 longest = 0;
    for (i64 i = 0; i < n; i++)
        if (offsets[i + 1] - offsets[i] > longest) longest = offsets[i + 1] - offsets[i];
    return malloc((size_t)(longest + 1) * 8);
}

/* XXH64 of each line's folded text, and the key it shares with lines that differ in numbers alone. kinds: of each code
   point, SPACE, DIGIT, LETTER, HAN and VISIBLE together. 0 when memory ran out. */
EXPORT int winnow_line_keys(const u8 *kinds, const u32 *fold, const u8 *text, const i64 *offsets, i64 n, u64 *keys, u64 *near) {
    u32 *room = room_for(offsets, n);
    if (!room) return 0;
    for (i64 i = 0; i < n; i++) {
        Kinds seen = {0, 0, 0, 0};
        i64 size = fold_line(kinds, fold, text + offsets[i], text + offsets[i + 1], room, &seen);
        keys[i] = near[i] = xxh64((const u8 *)room, size * 4, 0);
        if (is_numbered(&seen)) near[i] = xxh64((const u8 *)room, mask_numbers(kinds, room, size) * 4, 0);
    }
    free(room);
    return 1;
}

typedef struct {
    i64 key;
    u32 number, chars; /* of the line; a key that lines without their numbers share comes after all lines, without characters */
} Counted;

typedef struct {
    i64 buffers;
    Buffer line, weight; /* of all texts, in their order; those of a text by key */
    Buffer lines, mass;  /* for each text: how many there are up to its end, their weight */
    Buffer work;         /* Counted */
} Evidence;

static int by_key(const void *one, const void *other) {
    const Counted *a = one, *b = other;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* The first of each key. How many are left. */
static i64 distinct(Counted *counted, i64 n) {
    qsort(counted, (size_t)n, sizeof *counted, by_key);
    i64 kept = 0;
    for (i64 i = 0; i < n; i++)
        if (!kept || counted[i].key != counted[kept - 1].key) counted[kept++] = counted[i];
    return kept;
}

/* The visible lines of a text as keys with their weight: a long line's characters, or on a page with little in long lines, each line's. */
static void weigh_text(Evidence *r, const u8 *kinds, const u32 *fold, const u8 *p, const u8 *end, u32 *room, u32 long_chars, i64 page_chars) {
    Buffer *work = &r->work;
    work->size = 0;
    Buffer near = {0};
    for (u32 number = 0; p <= end; number++) {
        const u8 *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        if (!stop) stop = end;
        Kinds seen = {0, 0, 0, 0};
        i64 size = fold_line(kinds, fold, p, stop, room, &seen);
        u32 chars = count_chars(p, stop);
        p = stop + 1;
        if (!seen.visible) continue;
        Counted line = {(i64)xxh64((const u8 *)room, size * 4, 0), number, chars};
        PUSH(*work, Counted, line);
        if (!is_numbered(&seen)) continue;
        Counted shared = {(i64)xxh64((const u8 *)room, mask_numbers(kinds, room, size) * 4, 0), number, 0};
        if (shared.key != line.key) PUSH(near, Counted, shared);
    }
    i64 n = distinct(AT(*work, Counted), COUNT(*work, Counted)), mass = 0, in_long = 0;
    i64 more = near.size ? distinct(AT(near, Counted), COUNT(near, Counted)) : 0;
    Counted *line = AT(*work, Counted);
    for (i64 i = 0; i < n; i++) in_long += line[i].chars >= long_chars ? line[i].chars : 0;
    for (i64 i = 0; i < n; i++) {
        if (in_long >= page_chars && line[i].chars < long_chars) line[i].chars = 0;
        mass += line[i].chars;
    }
    const Counted *shared = AT(near, Counted);
    for (i64 i = 0, j = 0; i < n || j < more;) {
        const Counted *next = j == more || (i < n && line[i].key <= shared[j].key) ? &line[i++] : &shared[j++];
        PUSH(r->line, i64, next->key);
        PUSH(r->weight, i32, (i32)next->chars);
    }
    PUSH(r->lines, i64, COUNT(r->line, i64));
    PUSH(r->mass, i64, n ? mass : -1);
    r->work.failed |= near.failed;
    free(near.data);
}

/* The evidence of the n texts `order`. A text without a visible line has mass -1. */
EXPORT Evidence *winnow_evidence(const u8 *kinds, const u32 *fold, const u8 *text, const i64 *offsets, const i64 *order, i64 n,
                                 u32 long_chars, i64 page_chars) {
    u32 *room = room_for(offsets, n);
    Evidence *r = room ? NEW_RESULT(Evidence) : NULL;
    int ok = r != NULL;
    for (i64 i = 0; ok && i < n; i++) {
        weigh_text(r, kinds, fold, text + offsets[order[i]], text + offsets[order[i] + 1], room, long_chars, page_chars);
        ok = !r->work.failed;
    }
    free(room);
    return r ? complete(r, ok) : NULL;
}
