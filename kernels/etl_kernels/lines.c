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

typedef struct {
    const u8 *space, *digit, *letter, *han; /* 1 for the code points that are one */
    const u32 *fold;
} LineTables;

/* XXH64 of the folded text, stripped, each run of blanks one space; numbers as one 0 when they are masked. */
static u64 key_of(const LineTables *t, const u8 *p, const u8 *end, int masked, u32 *room) {
    i64 size = 0;
    int blank = 0;
    while (p < end) {
        u32 c = read_char(&p);
        if (t->space[c]) {
            blank = size > 0;
            continue;
        }
        if (blank) room[size++] = ' ';
        blank = 0;
        if (!masked || !t->digit[c]) {
            room[size++] = t->fold[c];
            continue;
        }
        room[size++] = 0;
        while (p < end) { /* more digits, or a sign and a digit */
            const u8 *next = p;
            u32 d = read_char(&next);
            if (d == '.' || d == ',' || d == ':' || d == '/') {
                if (next == end || !t->digit[read_char(&next)]) break;
            } else if (!t->digit[d]) {
                break;
            }
            p = next;
        }
    }
    return xxh64((const u8 *)room, size * 4, 0);
}

/* The key of each line, and the one it shares with lines that differ in numbers alone. 0 when memory ran out. */
EXPORT int winnow_line_keys(const LineTables *t, const u8 *text, const i64 *offsets, i64 n, u64 *keys, u64 *near) {
    i64 longest = 0;
    for (i64 i = 0; i < n; i++)
        if (offsets[i + 1] - offsets[i] > longest) longest = offsets[i + 1] - offsets[i];
    u32 *room = malloc((size_t)(longest + 1) * 8);
    if (!room) return 0;
    for (i64 i = 0; i < n; i++) {
        const u8 *p = text + offsets[i], *end = text + offsets[i + 1];
        keys[i] = near[i] = key_of(t, p, end, 0, room);
        int digits = 0, letters = 0, han = 0;
        for (const u8 *q = p; q < end;) {
            u32 c = read_char(&q);
            digits += t->digit[c];
            letters += t->letter[c];
            han += t->han[c];
        }
        if (digits && (letters >= 4 || han >= 2)) near[i] = key_of(t, p, end, 1, room);
    }
    free(room);
    return 1;
}
