/* Pages of a Parquet column, and texts in them: what etl/pages.py does. Files may be damaged: nothing is read beyond their bytes. */
#include "common.h"

enum { FOUND, OTHER, DAMAGED };
enum { DEEPEST = 4 }; /* a page's header holds structures in structures: statistics of values */

typedef struct {
    const u8 *at, *end;
    int damaged;
} Reader;

typedef struct {
    i64 at, packed, size, first, past;
} Page;

typedef struct {
    int is_data, has_values;
    i64 size, packed, values;
} Header;

static u64 varint(Reader *r) {
    u64 value = 0;
    for (int shift = 0; r->at < r->end; shift += 7) {
        u8 byte = *r->at++;
        if (shift < 64) value |= (u64)(byte & 127) << shift;
        if (byte < 128) return value;
    }
    r->damaged = 1;
    return 0;
}

static i64 zigzag(Reader *r) {
    u64 value = varint(r);
    return (i64)(value >> 1 ^ (0 - (value & 1)));
}

/* The next field's number, `kind` its type; 0 at the end of a structure. */
static i64 field_after(Reader *r, i64 before, int *kind) {
    if (r->damaged || r->at == r->end) {
        r->damaged = 1;
        return 0;
    }
    u8 head = *r->at++;
    if (!head) return 0;
    *kind = head & 15;
    if (head >> 4) return before + (head >> 4);
    i64 told = zigzag(r);
    if (!told) r->damaged = 1;
    return told;
}

static int is_whole(int kind) { return kind >= 4 && kind <= 6; }

/* Past a value. */
static void skip(Reader *r, int kind, int depth) {
    if (kind == 1 || kind == 2) return;
    if (is_whole(kind)) {
        varint(r);
    } else if (kind == 8) {
        u64 size = varint(r);
        if (size > (u64)(r->end - r->at)) r->damaged = 1;
        else r->at += size;
    } else if (kind == 12 && depth < DEEPEST) {
        int inner;
        for (i64 field = 0; (field = field_after(r, field, &inner)) && !r->damaged;) skip(r, inner, depth + 1);
    } else {
        r->damaged = 1;
    }
}

static Header header_of(Reader *r) {
    Header h = {0, 0, -1, -1, -1};
    int kind;
    for (i64 field = 0; (field = field_after(r, field, &kind)) && !r->damaged;) {
        if (field <= 3 && is_whole(kind)) {
            i64 value = zigzag(r);
            if (field == 1) h.is_data = value == 0;
            else if (field == 2) h.size = value;
            else h.packed = value;
        } else if (field == 5 && kind == 12) {
            int inner;
            h.has_values = 1;
            for (i64 part = 0; (part = field_after(r, part, &inner)) && !r->damaged;) {
                if (part == 1 && is_whole(inner)) h.values = zigzag(r);
                else skip(r, inner, 1);
            }
        } else {
            skip(r, kind, 0);
        }
    }
    return h;
}

/* The pages of a chunk of `length` bytes that hold some of its rows, in order, each once: n at most. most: bytes of the whole chunk,
   unpacked. count: how many pages; where it is damaged, the byte after which. */
EXPORT int winnow_pages(const u8 *chunk, i64 length, const i64 *rows, i64 n, i64 most, Page *pages, i64 *count) {
    Reader r = {chunk, chunk + length, 0};
    i64 first = 0, done = 0;
    *count = 0;
    while (done < n) {
        Header h = header_of(&r);
        if (!r.damaged && (!h.is_data || !h.has_values)) return OTHER;
        i64 past = done;
        if (r.damaged || h.size < 0 || h.size > most || h.packed <= 0 || h.packed > r.end - r.at || h.values <= 0 ||
            h.values > INT64_MAX - first) {
            *count = r.at - chunk;
            return DAMAGED;
        }
        while (past < n && rows[past] < first + h.values) past++;
        if (past > done) pages[(*count)++] = (Page){r.at - chunk, h.packed, h.size, first, past};
        done = past;
        first += h.values;
        r.at += h.packed;
    }
    return FOUND;
}

/* Where the texts in n rows of a page lie, from `at` on, each behind its length: places, beginning and end of each. How many there are. */
EXPORT i64 winnow_texts_of_page(const u8 *page, i64 length, i64 at, const i64 *rows, i64 n, i64 *places) {
    i64 done = 0;
    for (i64 row = 0; done < n; row++) {
        if (at < 0 || at > length - 4) break;
        i64 first = at + 4;
        at = first + load32(page + at);
        if (at > length) break;
        if (row == rows[done]) {
            places[2 * done] = first;
            places[2 * done + 1] = at;
            done++;
        }
    }
    return done;
}
