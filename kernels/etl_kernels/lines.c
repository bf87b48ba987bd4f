/* Texts to lines, and the keys by which lines are counted: twins of etl/boilerplate/lines.py and templates.py. */
#include "common.h"

typedef struct {
    i64 buffers;
    Buffer doc, line, start, end, view;
} Lines;

INLINE u32 count_chars(const u8 *p, const u8 *end) {
    u32 n = 0;
    for (; p < end; p++) n += (*p & 0xC0) != 0x80;
    return n;
}

/* Adds the line from `from` to `to` if there is something to see in it. where: its text's view; text: where that begins. */
INLINE int add_line(Lines *r, const u8 *visible, const u8 *from, const u8 *to, const u8 *where, const u8 *text, u32 doc, u32 line, u32 *at) {
    u32 chars = 0;
    const u8 *p = from;
    int seen = 0;
    for (; p < to && !seen; chars++) seen = visible[read_char(&p)];
    chars += count_chars(p, to);
    u32 start = *at;
    *at += chars + 1;
    if (!seen) return 1;
    u32 view[4];
    part_view(view, where, text, from, to);
    if (!reserve(&r->view, 16)) return 0;
    memcpy(r->view.data + r->view.size, view, 16);
    r->view.size += 16;
    PUSH(r->doc, u32, doc);
    PUSH(r->line, u32, line);
    PUSH(r->start, u32, start);
    PUSH(r->end, u32, start + chars);
    return !(r->doc.failed || r->line.failed || r->start.failed || r->end.failed);
}

/* The lines of n texts that hold a visible character (1 in the table `visible`), as views into the texts' buffers. */
WIDE EXPORT Lines *winnow_split_lines(const u8 *visible, const Texts *texts, i64 n) {
    Lines *r = NEW_RESULT(Lines);
    if (!r) return NULL;
    int ok = 1;
    for (i64 doc = 0; ok && doc < n; doc++) {
        const u8 *end, *text = text_of(texts, doc, &end), *p = text;
        u32 line = 0, at = 0;
        while (ok) {
            const u8 *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
            ok = add_line(r, visible, p, stop ? stop : end, texts->views + 16 * doc, text, (u32)doc, line++, &at);
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

enum { SOME_LETTERS = 4, BLOCK = 32, PIECE = 8 };

typedef struct {
    int letters, digits, han; /* how many there are, letters at least up to SOME_LETTERS; of digits and what follows, whether there are any */
    int visible, wide;        /* wide: beyond ASCII */
    i64 plain;                /* so many characters of the folded text, or more, come before its first digit */
} Kinds;

/* As many characters as a block has, folded, into `room`, if they are visible ASCII with single spaces; whether they are. blank:
   whether a space comes before; a character does. */
INLINE int fold_block(const u8 *p, int blank, u32 *room, u64 *digits) {
    const u8 *before = p - 1;
    u8 odd = 0, number = 0;
    for (int i = 0; i < BLOCK; i++) odd |= (u8)((u8)(p[i] - ' ') >= 0x60) | ((u8)(p[i] == ' ') & (u8)(before[i] == ' '));
    if (odd || (blank && *p == ' ')) return 0;
    for (int i = 0; i < BLOCK; i++) number |= (u8)((u8)(p[i] - '0') < 10);
    for (int i = 0; i < BLOCK; i++) room[i] = (u8)(p[i] | (u8)((u8)(p[i] - 'A') < 26) << 5);
    *digits |= number;
    return 1;
}

/* The folded text, stripped, each run of blanks one space, into `room`; how many characters, and of which kinds there were.
   Visible ASCII with single spaces in it is read in pieces of up to 8 characters, and in blocks once the letters are counted. */
INLINE i64 fold_line(const u8 *kinds, const u32 *fold, const u8 *p, const u8 *end, u32 *room, Kinds *seen) {
    i64 size = 0;
    int blank = 0, letters = 0;
    u64 digits = 0, visible = 0; /* not 0 if there are any */
    while (p < end) {
        if (!digits && !seen->wide) seen->plain = size;
        while (letters >= SOME_LETTERS && end - p >= BLOCK && fold_block(p, blank, room + size + blank, &digits)) {
            if (blank) room[size] = ' ';
            size += blank + BLOCK;
            p += BLOCK;
            blank = p[-1] == ' ';
            size -= blank;
            if (!digits && !seen->wide) seen->plain = size;
        }
        if (p == end) break;
        u64 x = 0;
        if (end - p >= 8) x = load64(p);
        else memcpy(&x, p, (size_t)(end - p));
        u64 spaces = between(x, ' ', ' '); /* all this is true up to the first byte that is `other` */
        u64 other = ((x | (x - BYTES(0x20))) & BYTES(0x80)) | (spaces & (spaces << 8 | (u64)(blank || !size) << 7));
        int n = other ? __builtin_ctzll(other) >> 3 : 8;
        if (n) {
            u64 these = ~0ULL >> (64 - 8 * n);
            if (blank) room[size++] = ' ';
            blank = (int)(spaces >> (8 * n - 1) & 1);
            x |= between(x, 'A', 'Z') >> 2;
            digits |= between(x, '0', '9') & these;
            visible |= between(x, '!', '~') & these;
            if (letters < SOME_LETTERS) letters += (int)(((between(x, 'a', 'z') & these) >> 7) * BYTES(1) >> 56);
            u8 eight[8];
            memcpy(eight, &x, 8);
            for (int i = 0; i < 8; i++) room[size + i] = eight[i];
            size += n - blank;
            p += n;
        }
        if (n == 8 || p == end) continue;
        u32 c = read_char(&p);
        u8 kind = kinds[c];
        seen->wide |= c >= 0x80;
        visible |= kind & VISIBLE;
        if (kind & SPACE) {
            blank = size > 0;
            continue;
        }
        if (blank) room[size++] = ' ';
        blank = 0;
        letters += (kind & LETTER) != 0;
        digits |= kind & DIGIT;
        seen->han += (kind & HAN) != 0;
        room[size++] = fold[c];
    }
    seen->letters = letters;
    seen->digits = digits != 0;
    seen->visible = visible != 0;
    return size;
}

/* Whether none of the characters of a piece is a digit, as far as ASCII tells. */
INLINE int no_digits(const u32 *c) {
    u32 odd = 0;
    for (int i = 0; i < PIECE; i++) odd |= (u32)(c[i] >= 128) | (u32)(c[i] - '0' <= 9);
    return !odd;
}

/* The text that `fold_line` left, with each number as one 0: digits, and a sign between two of them. The first `kept` are none. */
INLINE i64 mask_numbers(const u8 *kinds, u32 *room, i64 size, i64 kept) {
    i64 mixed = 0; /* up to `mixed` a piece is not looked at as a whole */
    while (size - kept >= PIECE && no_digits(room + kept)) kept += PIECE;
    for (i64 i = kept; i < size; i++) {
        while (i >= mixed && size - i >= PIECE) {
            mixed = i + PIECE;
            if (!no_digits(room + i)) break;
            u32 piece[PIECE]; /* it may overlap its new place */
            memcpy(piece, room + i, sizeof piece);
            memcpy(room + kept, piece, sizeof piece);
            kept += PIECE;
            i += PIECE;
        }
        if (i == size) break;
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

static int is_numbered(const Kinds *seen) { return seen->digits && (seen->letters >= SOME_LETTERS || seen->han >= 2); }

/* XXH64 of the text that `fold_line` left, which is masked then, and the key it shares with lines that differ in numbers alone. */
INLINE void key_line(const u8 *kinds, u32 *room, i64 size, const Kinds *seen, u64 *key, u64 *near) {
    const u8 *text = (const u8 *)room;
    if (!is_numbered(seen)) {
        *key = *near = xxh64(text, size * 4, 0);
        return;
    }
    i64 stripes = seen->plain * 4 / 32;
    Sums first = xstripes(xfirst(0), text, stripes);
    *key = xxh64_after(first, stripes, text, size * 4);
    *near = xxh64_after(first, stripes, text, mask_numbers(kinds, room, size, seen->plain) * 4);
}

static u32 *room_for(const Texts *texts, i64 n) {
    i64 longest = 0;
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *p = text_of(texts, i, &end);
        if (end - p > longest) longest = end - p;
    }
    return malloc((size_t)(longest + 8) * 8); /* pieces are written whole */
}

/* XXH64 of each line's folded text, and the key it shares with lines that differ in numbers alone. kinds: of each code
   point, SPACE, DIGIT, LETTER, HAN and VISIBLE together. 0 when memory ran out. */
WIDE EXPORT int winnow_line_keys(const u8 *kinds, const u32 *fold, const Texts *texts, i64 n, u64 *keys, u64 *near) {
    u32 *room = room_for(texts, n);
    if (!room) return 0;
    for (i64 i = 0; i < n; i++) {
        Kinds seen = {0};
        const u8 *end, *p = text_of(texts, i, &end);
        i64 size = fold_line(kinds, fold, p, end, room, &seen);
        key_line(kinds, room, size, &seen, &keys[i], &near[i]);
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
    Buffer key, near;    /* of every visible line, in the order of the texts: what winnow_line_keys gives */
    Buffer visible;      /* for each text: how many of those there are */
    Buffer work;         /* Counted */
} Evidence;

static int by_key(const void *one, const void *other) {
    const Counted *a = one, *b = other;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

enum { FEW = 48 }; /* lines up to which they are sorted by insertion */

/* The first of each key, in order. How many are left. */
static i64 distinct(Counted *counted, i64 n) {
    if (n > FEW) qsort(counted, (size_t)n, sizeof *counted, by_key);
    for (i64 i = 1; i < n && n <= FEW; i++) {
        Counted one = counted[i];
        i64 to = i;
        for (; to > 0 && counted[to - 1].key > one.key; to--) counted[to] = counted[to - 1]; /* the same ones stay in order */
        counted[to] = one;
    }
    i64 kept = 0;
    for (i64 i = 0; i < n; i++)
        if (!kept || counted[i].key != counted[kept - 1].key) counted[kept++] = counted[i];
    return kept;
}

/* The visible lines of a text as keys with their weight: a long line's characters, or on a page with little in long lines, each line's. */
INLINE void weigh_text(Evidence *r, const u8 *kinds, const u32 *fold, const u8 *p, const u8 *end, u32 *room, u32 long_chars, i64 page_chars) {
    Buffer *work = &r->work;
    work->size = 0;
    Buffer near = {0};
    for (u32 number = 0; p <= end; number++) {
        const u8 *stop = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        if (!stop) stop = end;
        Kinds seen = {0};
        i64 size = fold_line(kinds, fold, p, stop, room, &seen);
        u32 chars = seen.wide ? count_chars(p, stop) : (u32)(stop - p);
        p = stop + 1;
        if (!seen.visible) continue;
        u64 key, masked;
        key_line(kinds, room, size, &seen, &key, &masked);
        Counted line = {(i64)key, number, chars}, shared = {(i64)masked, number, 0};
        PUSH(*work, Counted, line);
        PUSH(r->key, i64, line.key);
        PUSH(r->near, i64, shared.key);
        if (shared.key != line.key) PUSH(near, Counted, shared);
    }
    PUSH(r->visible, i64, COUNT(*work, Counted));
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
WIDE EXPORT Evidence *winnow_evidence(const u8 *kinds, const u32 *fold, const Texts *texts, const i64 *order, i64 n,
                                      u32 long_chars, i64 page_chars) {
    u32 *room = room_for(texts, n);
    Evidence *r = room ? NEW_RESULT(Evidence) : NULL;
    int ok = r != NULL;
    for (i64 i = 0; ok && i < n; i++) {
        const u8 *end, *p = text_of(texts, order[i], &end);
        weigh_text(r, kinds, fold, p, end, room, long_chars, page_chars);
        ok = !r->work.failed;
    }
    free(room);
    return r ? complete(r, ok) : NULL;
}
