/* Texts as titles are compared: the twin of titles.py's `title_keys`. */
#include "common.h"

typedef struct {
    i64 buffers;
    Buffer text, offsets;
} Keys;

enum { ASK = 0xFFFFFFFF };

/* The words of a text in lower case, one space between them, at `out`; where the key ends. ascii: as lower, a space for 0. */
static u8 *write_key(const u32 *lower, const u8 *ascii, const u8 *p, const u8 *end, u8 *out, u8 *asked) {
    u8 *const first = out;
    int open = 0; /* whether the last character was one of a word; without branches, since every word ends somewhere else */
    while (p < end) {
        while (p < end && *p < 0x80) {
            u8 c = ascii[*p++];
            int word = c != ' ';
            *out = c;
            out += word | open;
            open = word;
        }
        if (p == end) break;
        u32 c = lower[read_char(&p)];
        if (c == ASK) *asked = 1;
        else if (c) out = write_char(out, c);
        else if (open) *out++ = ' ';
        open = c != 0;
    }
    return out > first && out[-1] == ' ' ? out - 1 : out;
}

/* Each text in lower case, one space for whatever is no character of a word, none at its ends. lower: of each code point in
   a word its lower case, 0 for the others, ASK where that is several or depends on what stands around: `asked` is then 1,
   and the key of no use. */
EXPORT Keys *winnow_title_keys(const u32 *lower, const u8 *text, const i64 *offsets, i64 n, u8 *asked) {
    Keys *r = NEW_RESULT(Keys);
    if (!r) return NULL;
    u8 ascii[128];
    for (int i = 0; i < 128; i++) ascii[i] = lower[i] ? (u8)lower[i] : ' ';
    PUSH(r->offsets, i64, 0);
    int ok = reserve(&r->offsets, n * (i64)sizeof(i64)) && reserve(&r->text, 2 * (offsets[n] - offsets[0]) + 1);
    for (i64 i = 0; ok && i < n; i++) { /* a letter of two bytes or more makes four at most, a gap one; one is written in vain */
        u8 *out = (u8 *)r->text.data + r->text.size;
        asked[i] = 0;
        r->text.size += write_key(lower, ascii, text + offsets[i], text + offsets[i + 1], out, &asked[i]) - out;
        PUSH(r->offsets, i64, r->text.size);
    }
    return complete(r, ok);
}
