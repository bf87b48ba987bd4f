/* Cutting texts at marks, putting them together again to check, and counting words: twins of etl/publish. */
#include "common.h"

typedef struct {
    i64 at, byte; /* code points and bytes before a place */
} Place;

typedef struct {
    i64 buffers;
    Buffer kept, kept_offsets, starts, ends, cut, cut_offsets;
    Buffer marks, gaps; /* work: Place */
} Cuts;

#define EACH 0x0101010101010101ULL

/* How many bytes have their high bit, all others being 0. */
static inline int count_high(u64 bits) { return (int)((bits >> 7) * EACH >> 56); }

/* Of eight bytes of ASCII, the high bits of those between two of them. */
static inline u64 among(u64 x, u8 low, u8 high) { return (x + (0x80 - low) * EACH) & ~(x + (0x7F - high) * EACH) & 0x80 * EACH; }

static inline int continues(u8 byte) { return (byte & 0xC0) == 0x80; }

enum { BLOCK = 64 };

/* The place `to` code points from the beginning, from p on; many bytes at a time while they can't go beyond it. */
WIDE static Place forward(const u8 *text, i64 size, Place p, i64 to) {
    while (to - p.at >= BLOCK && size - p.byte > BLOCK) {
        const u8 *block = text + p.byte;
        u8 more = 0;
        for (int i = 0; i < BLOCK; i++) more += (u8)((block[i] & 0xC0) == 0x80);
        p.at += BLOCK - more;
        p.byte += BLOCK;
    }
    while (to - p.at >= 8 && size - p.byte > 8) {
        u64 v = load64(text + p.byte);
        p.at += 8 - count_high(v & ~(v << 1) & 0x80 * EACH);
        p.byte += 8;
    }
    while (p.byte < size && continues(text[p.byte])) p.byte++;
    while (p.at < to && p.byte < size) {
        p.byte++;
        while (p.byte < size && continues(text[p.byte])) p.byte++;
        p.at++;
    }
    return p;
}

static int space_before(const u8 *space, const u8 *text, Place *p) {
    i64 byte = p->byte - 1;
    while (continues(text[byte])) byte--;
    const u8 *c = text + byte;
    if (!space[read_char(&c)]) return 0;
    p->at--;
    p->byte = byte;
    return 1;
}

static Place gap_end(const u8 *space, const u8 *text, i64 size, Place p) {
    while (p.byte < size) {
        const u8 *c = text + p.byte;
        if (!space[read_char(&c)]) break;
        p.byte = c - text;
        p.at++;
    }
    return p;
}

static int put(Buffer *b, const u8 *from, i64 bytes) {
    if (!reserve(b, bytes)) return 0;
    if (bytes) memcpy(b->data + b->size, from, (size_t)bytes);
    b->size += bytes;
    return 1;
}

/* One span: what was kept before it, and what it cuts. */
static int take(Cuts *r, const u8 *text, Place *done, Place start, Place end) {
    if (!put(&r->kept, text + done->byte, start.byte - done->byte) || !put(&r->cut, text + start.byte, end.byte - start.byte)) return 0;
    PUSH(r->starts, i64, start.at);
    PUSH(r->ends, i64, end.at);
    PUSH(r->cut_offsets, i64, r->cut.size);
    *done = end;
    return 1;
}

static int cut_text(Cuts *r, const u8 *space, const u8 *text, i64 size, const u32 *starts, const u32 *ends, i64 n) {
    r->marks.size = 0;
    Place p = {0, 0};
    for (i64 i = 0; i < n; i++) {
        p = forward(text, size, p, starts[i]);
        PUSH(r->marks, Place, p);
        p = forward(text, size, p, ends[i]);
        PUSH(r->marks, Place, p);
    }
    if (r->marks.failed) return 0;
    const Place *mark = AT(r->marks, Place);
    Place done = {0, 0};
    for (i64 first = 0, last; first < n; first = last + 1) {
        r->gaps.size = 0;
        Place before = mark[2 * first];
        while (before.at > done.at && space_before(space, text, &before)) {}
        PUSH(r->gaps, Place, before);
        PUSH(r->gaps, Place, mark[2 * first]);
        for (last = first;; last++) {
            Place end = mark[2 * last + 1], after = gap_end(space, text, size, end);
            int more = last + 1 < n && mark[2 * last + 2].at <= after.at;
            PUSH(r->gaps, Place, end);
            PUSH(r->gaps, Place, more ? mark[2 * last + 2] : after);
            if (!more) break;
        }
        if (r->gaps.failed) return 0;
        const Place *gap = AT(r->gaps, Place);
        i64 k = last - first + 1, stays = 0;
        int at_start = gap[0].at == 0, at_end = gap[2 * k + 1].byte == size;
        if (!at_start && at_end) stays = k;
        if (!at_start && !at_end) {
            i64 most = -1;
            for (i64 g = 0; g <= k; g++) {
                i64 breaks = 0;
                for (i64 b = gap[2 * g].byte; b < gap[2 * g + 1].byte; b++) breaks += text[b] == '\n';
                if (breaks > most) most = breaks, stays = g;
            }
        }
        for (i64 m = 0; m < k; m++) {
            Place start = m < stays ? gap[2 * m] : mark[2 * (first + m)];
            Place end = m < stays ? mark[2 * (first + m) + 1] : gap[2 * m + 3];
            if (m == 0 && at_start) start = (Place){0, 0};
            if (m == k - 1 && at_end) end = gap[2 * k + 1];
            if (!take(r, text, &done, start, end)) return 0;
        }
    }
    return put(&r->kept, text + done.byte, size - done.byte);
}

/* Cuts each text at its marks. bounds: of each text's marks, and one more. space: 1 for each code point that is blank. */
EXPORT Cuts *winnow_cut(const u8 *space, const Texts *texts, i64 n, const i64 *bounds, const u32 *starts, const u32 *ends) {
    Cuts *r = NEW_RESULT(Cuts);
    if (!r) return NULL;
    i64 whole = 0;
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *text = text_of(texts, i, &end);
        whole += end - text;
    }
    int ok = reserve(&r->kept, whole); /* at once, so that it isn't moved while it grows */
    PUSH(r->kept_offsets, i64, 0);
    PUSH(r->cut_offsets, i64, 0);
    for (i64 i = 0; ok && i < n; i++) {
        const u8 *end, *text = text_of(texts, i, &end);
        ok = cut_text(r, space, text, end - text, starts + bounds[i], ends + bounds[i], bounds[i + 1] - bounds[i]);
        PUSH(r->kept_offsets, i64, r->kept.size);
    }
    return complete(r, ok);
}

/* The first text that is not its kept text with the cut pieces (at `starts`, code points) put back; -1 when all are. */
EXPORT i64 winnow_check(const Texts *texts, i64 n, const i64 *bounds, const u8 *kept, const i64 *kept_offsets, const i64 *starts, const i64 *ends, const u8 *cut, const i64 *cut_offsets) {
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *t = text_of(texts, i, &end), *k = kept + kept_offsets[i];
        i64 size = end - t, left = kept_offsets[i + 1] - kept_offsets[i];
        Place p = {0, 0};
        for (i64 m = bounds[i]; m < bounds[i + 1]; m++) {
            if (starts[m] < p.at) return i;
            Place q = forward(t, size, p, starts[m]);
            i64 stays = q.byte - p.byte, goes = cut_offsets[m + 1] - cut_offsets[m];
            if (q.at != starts[m] || stays > left || goes > size - q.byte) return i;
            if (memcmp(t + p.byte, k, (size_t)stays) || memcmp(t + q.byte, cut + cut_offsets[m], (size_t)goes)) return i;
            k += stays;
            left -= stays;
            p = forward(t, size, q, ends[m]);
            if (p.byte - q.byte != goes || p.at != ends[m]) return i;
        }
        if (size - p.byte != left || memcmp(t + p.byte, k, (size_t)left)) return i;
    }
    return -1;
}

typedef struct {
    i64 buffers;
    Buffer kind, line, start;
} Around;

enum { OUTSIDE, FILLS, PART };

static int is_blank(const u8 *space, const u8 *s, const u8 *end) {
    while (s < end)
        if (!space[read_char(&s)]) return 0;
    return 1;
}

/* For each of n spans, ordered by text: the lines that it stands in, as a view into the text, where it begins in there, and
   whether there is but blanks around it. A span that the text doesn't have is OUTSIDE. */
EXPORT Around *winnow_lines_around(const u8 *space, const Texts *texts, const u32 *owners, const u32 *starts, const u32 *ends, i64 n) {
    Around *r = NEW_RESULT(Around);
    if (!r) return NULL;
    Place p = {0, 0};
    for (i64 i = 0; i < n; i++) {
        const u8 *past, *text = text_of(texts, owners[i], &past);
        i64 size = past - text;
        if (!i || owners[i] != owners[i - 1] || p.at > starts[i]) p = (Place){0, 0};
        p = forward(text, size, p, starts[i]);
        Place q = forward(text, size, p, ends[i]);
        const u8 *from = text + p.byte, *to = text + q.byte, *begin = from, *stop = memchr(to, '\n', (size_t)(past - to));
        i64 before = 0;
        if (!stop) stop = past;
        while (begin > text && begin[-1] != '\n') before += !continues(*--begin);
        int kind = starts[i] >= ends[i] || q.at != ends[i] ? OUTSIDE : is_blank(space, begin, from) && is_blank(space, to, stop) ? FILLS : PART;
        u32 view[4];
        part_view(view, texts->views + 16 * owners[i], text, begin, stop);
        if (reserve(&r->line, 16)) {
            memcpy(r->line.data + r->line.size, view, 16);
            r->line.size += 16;
        }
        PUSH(r->kind, u8, (u8)kind);
        PUSH(r->start, i64, before);
    }
    return complete(r, 1);
}

/* How many words each text has. kind: of each code point, 0 for none, 1 for part of a word, 2 for a word by itself. */
EXPORT void winnow_count_words(const u8 *kind, const Texts *texts, i64 n, i64 *words) {
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *p = text_of(texts, i, &end);
        i64 count = 0;
        u8 last = 0;
        while (p < end) {
            while (end - p >= 8) { /* where all are ASCII */
                u64 v = load64(p);
                if (v & 0x80 * EACH) break;
                u64 word = among(v, 'a', 'z') | among(v, 'A', 'Z') | among(v, '0', '9');
                count += count_high(word & ~(word << 8 | (last == 1 ? 0x80 : 0)));
                last = (u8)(word >> 63);
                p += 8;
            }
            if (p == end) break;
            u8 k = kind[read_char(&p)];
            count += k == 2 || (k == 1 && last != 1);
            last = k;
        }
        words[i] = count;
    }
}

typedef struct {
    i64 buffers;
    Buffer bytes, offsets;
} Spans;

/* The spans [starts, ends) (code points) of texts, as bytes and where each begins in them, and one more. owners: the text that each is
   of. Fastest where those of a text come together, in order. */
EXPORT void *winnow_spans(const Texts *texts, const u32 *owners, const u32 *starts, const u32 *ends, i64 n) {
    Spans *r = NEW_RESULT(Spans);
    if (!r) return NULL;
    Place p = {0, 0};
    PUSH(r->offsets, i64, 0);
    for (i64 i = 0; i < n; i++) {
        if (!i || owners[i] != owners[i - 1] || starts[i] < p.at) p = (Place){0, 0};
        const u8 *end, *text = text_of(texts, owners[i], &end);
        p = forward(text, end - text, p, starts[i]);
        Place past = forward(text, end - text, p, ends[i]);
        if (!put(&r->bytes, text + p.byte, past.byte - p.byte)) break;
        PUSH(r->offsets, i64, r->bytes.size);
    }
    return complete(r, 1);
}
