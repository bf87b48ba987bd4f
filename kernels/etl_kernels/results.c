/* How Python takes what a kernel made, and lays texts one behind the other. */
#include "common.h"

/* The bytes of the result's array number `which`, in the order of its structure. */
EXPORT i64 winnow_array(Result *r, int which, void **data) {
    *data = r->first[which].data;
    return r->first[which].size;
}

EXPORT void winnow_free(Result *r) { release(r); }

typedef struct {
    i64 buffers;
    Buffer text, offsets; /* UTF-8; where each text begins, and one more */
} Joined;

EXPORT Joined *winnow_joined(const Texts *texts, i64 n) {
    Joined *r = NEW_RESULT(Joined);
    if (!r) return NULL;
    i64 whole = 0;
    for (i64 i = 0; i < n; i++) {
        const u8 *end, *text = text_of(texts, i, &end);
        whole += end - text;
    }
    int ok = reserve(&r->text, whole) && reserve(&r->offsets, (n + 1) * (i64)sizeof(i64)); /* at once, so that nothing is moved */
    if (ok) PUSH(r->offsets, i64, 0);
    for (i64 i = 0; ok && i < n; i++) {
        const u8 *end, *text = text_of(texts, i, &end);
        if (end > text) memcpy(r->text.data + r->text.size, text, (size_t)(end - text));
        r->text.size += end - text;
        PUSH(r->offsets, i64, r->text.size);
    }
    return complete(r, ok);
}
