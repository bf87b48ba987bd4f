/* Which patterns a text can match by what it holds: rules.py looks up the literals of literals.py. */
#include "literals.h"

enum { AHEAD = 4 };

/* For each text at `rows` the bits of all patterns of which it holds a literal. chars: of its first so many characters, or of its last
   ones where it is negative; 0 for all. 0 when memory ran out. */
EXPORT int winnow_literals(const Literals *t, const Texts *texts, const i64 *rows, i64 n, i64 chars, u64 *found) {
    Buffer codes = {0};
    for (i64 i = 0; i < n; i++) {
        if (i + AHEAD < n) text_ahead(texts, rows[i + AHEAD]);
        const u8 *end, *p = text_of(texts, rows[i], &end), *q;
        if (chars && end - p > llabs(chars)) {
            i64 left = llabs(chars);
            if (chars > 0) {
                end = skip_chars(p, end, left);
            } else {
                for (q = end; q > p && left; left -= (*q & 0xC0) != 0x80) q--;
                p = q;
            }
        }
        if (is_ascii(p, end)) {
            found[i] = of_ascii(t, p, end - p);
        } else {
            if (!reserve(&codes, 3 * (end - p))) break;
            found[i] = of_any(t, p, end, AT(codes, u16));
        }
    }
    free(codes.data);
    return !codes.failed;
}
