/* What all kernels share: growing arrays, hashes, reading UTF-8. Input is UTF-8 that Arrow has checked. */
#ifndef WINNOW_COMMON_H
#define WINNOW_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* A second version of a function for processors with AVX2, chosen when the library is loaded: the same operations. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* Part of each version of the function that calls it. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;

typedef struct {
    char *data;
    i64 size, room; /* bytes */
    int failed;
} Buffer;

/* Room for `bytes` more. 0 when memory ran out; the buffer then stays as it was and remembers. */
static inline int reserve(Buffer *b, i64 bytes) {
    if (b->failed) return 0;
    if (b->size + bytes <= b->room) return 1;
    i64 room = b->room ? b->room : 4096;
    while (room < b->size + bytes) room *= 2;
    char *data = realloc(b->data, (size_t)room);
    if (!data) {
        b->failed = 1;
        return 0;
    }
    b->data = data;
    b->room = room;
    return 1;
}

/* A result is a number of buffers, and that number before them: `buffers` is the first member of each structure of them. */
typedef struct {
    i64 buffers;
    Buffer first[1];
} Result;

/* They are buffers of another structure, so the compiler must not see them as members of this one. */
static inline Buffer *buffers_of(void *result) { return (Buffer *)((char *)result + offsetof(Result, first)); }

static inline void release(void *result) {
    i64 n = *(i64 *)result;
    for (i64 i = 0; i < n; i++) free(buffers_of(result)[i].data);
    free(result);
}

/* Gives back what a buffer holds beyond its content. */
static inline void fit(Buffer *b) {
    if (b->room == b->size) return;
    char *data = b->size ? realloc(b->data, (size_t)b->size) : NULL;
    if (!b->size) free(b->data);
    else if (!data) return;
    b->data = data;
    b->room = b->size;
}

/* The result, without room to spare, or NULL when it could not all be held. */
static inline void *complete(void *result, int ok) {
    i64 n = *(i64 *)result;
    Buffer *buffers = buffers_of(result);
    for (i64 i = 0; i < n; i++) ok = ok && !buffers[i].failed;
    if (ok) {
        for (i64 i = 0; i < n; i++) fit(&buffers[i]);
        return result;
    }
    release(result);
    return NULL;
}

#define NEW_RESULT(type) new_result(sizeof(type))

static inline void *new_result(size_t size) {
    Result *r = calloc(1, size);
    if (r) r->buffers = (i64)((size - offsetof(Result, first)) / sizeof(Buffer));
    return r;
}

#define PUSH(buffer, type, value)                             \
    do {                                                      \
        if (reserve(&(buffer), (i64)sizeof(type))) {          \
            *(type *)((buffer).data + (buffer).size) = (value); \
            (buffer).size += (i64)sizeof(type);               \
        }                                                     \
    } while (0)

#define COUNT(buffer, type) ((buffer).size / (i64)sizeof(type))
#define AT(buffer, type) ((type *)(buffer).data)

/* Texts as Arrow's string views: 16 bytes each, a text's length and then itself, if it has 12 bytes or fewer, or else its
   first bytes, the number of a buffer and where it begins in there. */
typedef struct {
    const u8 *views;
    const u8 *const *buffers;
} Texts;

static inline const u8 *text_of(const Texts *t, i64 i, const u8 **end) {
    const u8 *view = t->views + 16 * i;
    u32 where[4];
    memcpy(where, view, 16);
    const u8 *p = where[0] <= 12 ? view + 4 : t->buffers[where[2]] + where[3];
    *end = p + where[0];
    return p;
}

/* Asks for the first bytes of a text, and for its last ones, which are soon read. */
static inline void text_ahead(const Texts *t, i64 i) {
    const u8 *end, *p = text_of(t, i, &end);
    for (int line = 0; line < 4 && p + 64 * line < end; line++) __builtin_prefetch(p + 64 * line);
    __builtin_prefetch(end - 1);
}

/* The view of a part of a text, which lies at `text` and has the view `whole`. */
static inline void part_view(u32 view[4], const u8 *whole, const u8 *text, const u8 *from, const u8 *to) {
    view[0] = (u32)(to - from);
    view[1] = view[2] = view[3] = 0;
    if (view[0] <= 12) {
        memcpy(view + 1, from, view[0]);
    } else {
        memcpy(view + 1, from, 4);
        memcpy(view + 2, whole + 8, 8);
        view[3] += (u32)(from - text);
    }
}

/* One code point; `*p` moves behind it. */
static inline u32 read_char(const u8 **p) {
    const u8 *s = *p;
    u32 c = s[0];
    if (c < 0x80) {
        *p = s + 1;
        return c;
    }
    if (c < 0xE0) {
        *p = s + 2;
        return (c & 0x1F) << 6 | (s[1] & 0x3F);
    }
    if (c < 0xF0) {
        *p = s + 3;
        return (c & 0x0F) << 12 | (u32)(s[1] & 0x3F) << 6 | (s[2] & 0x3F);
    }
    *p = s + 4;
    return (c & 0x07) << 18 | (u32)(s[1] & 0x3F) << 12 | (u32)(s[2] & 0x3F) << 6 | (s[3] & 0x3F);
}

/* Writes one code point as UTF-8, four bytes at most; where the next one goes. */
static inline u8 *write_char(u8 *out, u32 c) {
    if (c < 0x80) {
        *out++ = (u8)c;
    } else if (c < 0x800) {
        *out++ = (u8)(0xC0 | c >> 6);
        *out++ = (u8)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (u8)(0xE0 | c >> 12);
        *out++ = (u8)(0x80 | (c >> 6 & 0x3F));
        *out++ = (u8)(0x80 | (c & 0x3F));
    } else {
        *out++ = (u8)(0xF0 | c >> 18);
        *out++ = (u8)(0x80 | (c >> 12 & 0x3F));
        *out++ = (u8)(0x80 | (c >> 6 & 0x3F));
        *out++ = (u8)(0x80 | (c & 0x3F));
    }
    return out;
}

/* Bits of the number of slots that a page's vocabulary of n words gets, `room` (rounded down) for each word. */
static inline i64 slot_bits(i64 n, i64 room) {
    i64 bits = -1;
    while (bits < 61 && (n * room) >> (bits + 1)) bits++;
    return bits < 1 ? 1 : bits > 17 ? 17 : bits;
}

/* XXH64 (the published algorithm) of bytes, little-endian. */
#define P1 0x9E3779B185EBCA87ULL
#define P2 0xC2B2AE3D27D4EB4FULL
#define P3 0x165667B19E3779F9ULL
#define P4 0x85EBCA77C2B2AE63ULL
#define P5 0x27D4EB2F165667C5ULL

static inline u64 rotl(u64 x, int r) { return x << r | x >> (64 - r); }
static inline u64 load64(const u8 *p) {
    u64 x;
    memcpy(&x, p, 8);
    return x;
}
static inline u32 load32(const u8 *p) {
    u32 x;
    memcpy(&x, p, 4);
    return x;
}

/* Where the character begins that has `chars` before it in a text, `end` where there are no more. */
static inline const u8 *skip_chars(const u8 *p, const u8 *end, i64 chars) {
    for (; end - p >= 8 && chars >= 8; p += 8) {
        u64 bytes = load64(p), inside = bytes & ~(bytes << 1) & 0x8080808080808080ULL;
        chars -= 8 - (i64)((inside >> 7) * 0x0101010101010101ULL >> 56);
    }
    for (; p < end; p++)
        if ((*p & 0xC0) != 0x80 && !chars--) break;
    return p;
}

static inline u64 xround(u64 acc, u64 in) { return rotl(acc + in * P2, 31) * P1; }
static inline u64 xmerge(u64 acc, u64 v) { return (acc ^ xround(0, v)) * P1 + P4; }

/* The hash of bytes of which the last ones, fewer than 32, are still to be read. */
static inline u64 xlast(u64 h, const u8 *p, const u8 *end) {
    for (; p + 8 <= end; p += 8) h = rotl(h ^ xround(0, load64(p)), 27) * P1 + P4;
    if (p + 4 <= end) {
        h = rotl(h ^ load32(p) * P1, 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++) h = rotl(h ^ *p * P5, 11) * P1;
    h ^= h >> 33;
    h *= P2;
    h ^= h >> 29;
    h *= P3;
    return h ^ h >> 32;
}

static inline u64 xxh64(const u8 *p, i64 n, u64 seed) {
    const u8 *end = p + n;
    u64 h;
    if (n >= 32) {
        u64 a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
        do {
            a = xround(a, load64(p));
            b = xround(b, load64(p + 8));
            c = xround(c, load64(p + 16));
            d = xround(d, load64(p + 24));
            p += 32;
        } while (p + 32 <= end);
        h = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
        h = xmerge(xmerge(xmerge(xmerge(h, a), b), c), d);
    } else {
        h = seed + P5;
    }
    return xlast(h + (u64)n, p, end);
}

/* The four sums of a text of 32 bytes or more. */
typedef struct {
    u64 a, b, c, d;
} Sums;

static inline Sums xfirst(u64 seed) { return (Sums){seed + P1 + P2, seed + P2, seed, seed - P1}; }

static inline u64 xjoined(Sums s) {
    u64 h = rotl(s.a, 1) + rotl(s.b, 7) + rotl(s.c, 12) + rotl(s.d, 18);
    return xmerge(xmerge(xmerge(xmerge(h, s.a), s.b), s.c), s.d);
}

/* The sums after some more stripes of 32 bytes. */
static inline Sums xstripes(Sums s, const u8 *p, i64 stripes) {
    for (; stripes > 0; stripes--, p += 32) {
        s.a = xround(s.a, load64(p));
        s.b = xround(s.b, load64(p + 8));
        s.c = xround(s.c, load64(p + 16));
        s.d = xround(s.d, load64(p + 24));
    }
    return s;
}

/* XXH64 without a seed of n bytes, of whose first stripes there are the sums already. */
static inline u64 xxh64_after(Sums s, i64 stripes, const u8 *p, i64 n) {
    i64 whole = n / 32;
    u64 h = whole ? xjoined(xstripes(s, p + 32 * stripes, whole - stripes)) : P5;
    return xlast(h + (u64)n, p + 32 * whole, p + n);
}

/* XXH64 with two seeds: `one` and `other` come in as seeds and go out as hashes. */
static inline void xxh64_twice(const u8 *p, i64 n, u64 *one, u64 *other) {
    const u8 *end = p + n;
    u64 g = *one + P5, h = *other + P5;
    if (n >= 32) {
        Sums s = xfirst(*one), t = xfirst(*other);
        do {
            u64 a = load64(p) * P2, b = load64(p + 8) * P2, c = load64(p + 16) * P2, d = load64(p + 24) * P2;
            s.a = rotl(s.a + a, 31) * P1;
            s.b = rotl(s.b + b, 31) * P1;
            s.c = rotl(s.c + c, 31) * P1;
            s.d = rotl(s.d + d, 31) * P1;
            t.a = rotl(t.a + a, 31) * P1;
            t.b = rotl(t.b + b, 31) * P1;
            t.c = rotl(t.c + c, 31) * P1;
            t.d = rotl(t.d + d, 31) * P1;
            p += 32;
        } while (p + 32 <= end);
        g = xjoined(s);
        h = xjoined(t);
    }
    *one = xlast(g + (u64)n, p, end);
    *other = xlast(h + (u64)n, p, end);
}

/* The finaliser of MurmurHash3. */
static inline u64 mix64(u64 h) {
    h ^= h >> 33;
    h *= 0xFF51AFD7ED558CCDULL;
    h ^= h >> 33;
    h *= 0xC4CEB9FE1A85EC53ULL;
    return h ^ h >> 33;
}

#endif
