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
    i64 field = head >> 4 ? before + (head >> 4) : zigzag(r);
    if (field < 1 || field > INT16_MAX) r->damaged = 1;
    return r->damaged ? 0 : field;
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
        if (field >= 1 && field <= 3 && is_whole(kind)) {
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
            h.values > INT32_MAX) {
            *count = r.at - chunk;
            return DAMAGED;
        }
        while (past < n && rows[past] - first < h.values) past++;
        if (past > done) pages[(*count)++] = (Page){r.at - chunk, h.packed, h.size, first, past};
        done = past;
        first += h.values;
        r.at += h.packed;
    }
    return FOUND;
}

typedef struct {
    i64 buffers;
    Buffer text, offsets;
} Read;

/* The texts in some rows of a chunk, from pages that hold them: unpacked ones, each text behind its length. has_levels: those stand
   before, behind how many bytes they are. Fewer texts than rows where a page ends before. */
EXPORT void *winnow_page_texts(const u8 *const *unpacked, const Page *pages, i64 n, int has_levels, const i64 *rows) {
    Read *r = NEW_RESULT(Read);
    if (!r) return NULL;
    PUSH(r->offsets, i64, 0);
    for (i64 p = 0, done = 0; p < n; p++) {
        i64 at = 0, size = pages[p].size;
        if (has_levels) at = size < 4 ? size : 4 + (i64)load32(unpacked[p]);
        for (i64 row = pages[p].first; done < pages[p].past; row++) {
            if (at > size - 4) return complete(r, 1);
            i64 first = at + 4;
            at = first + load32(unpacked[p] + first - 4);
            if (at > size) return complete(r, 1);
            if (row != rows[done]) continue;
            if (!reserve(&r->text, at - first)) return complete(r, 0);
            if (at > first) memcpy(r->text.data + r->text.size, unpacked[p] + first, (size_t)(at - first));
            r->text.size += at - first;
            PUSH(r->offsets, i64, r->text.size);
            done++;
        }
    }
    return complete(r, 1);
}
