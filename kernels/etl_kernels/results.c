/* How Python takes what a kernel made. */
#include "common.h"

/* The bytes of the result's array number `which`, in the order of its structure. */
EXPORT i64 winnow_array(Result *r, int which, void **data) {
    *data = r->first[which].data;
    return r->first[which].size;
}

EXPORT void winnow_free(Result *r) { release(r); }
