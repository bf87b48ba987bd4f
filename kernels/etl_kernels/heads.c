/* Which patterns a line can match by how it begins: the twin of rules.py's look-up of heads. */
#include "common.h"

/* For each text the bits of all the heads that are a beginning of its own: its first letter and what follows, folded.
   letter, fold: of each code point. room: a power of two, slots of a table of heads (xxh64 of folded code points, 0 for
   none) with their bits. always: the bits of every text. */
EXPORT void winnow_heads(const u8 *letter, const u32 *fold, const u8 *text, const i64 *offsets, i64 n, const u64 *names, const u64 *bits, i64 room, i64 chars, u64 always, u64 *found) {
    u32 head[16];
    for (i64 i = 0; i < n; i++) {
        const u8 *p = text + offsets[i], *end = text + offsets[i + 1];
        i64 size = 0;
        u64 all = always;
        while (p < end && size < chars && size < 16) {
            u32 c = read_char(&p);
            if (!size && !letter[c]) continue;
            head[size++] = fold[c];
            u64 name = xxh64((const u8 *)head, size * 4, 0);
            name += !name;
            for (i64 slot = (i64)(name & (u64)(room - 1)); names[slot]; slot = (slot + 1) & (room - 1))
                if (names[slot] == name) {
                    all |= bits[slot];
                    break;
                }
        }
        found[i] = all;
    }
}
