/* Which rules' patterns match which lines: the twin of rules.py's passes. */
#include "literals.h"
#include "programs.h"

enum { SPACE = 1, LEADING = 2, TRAILING = 4, FOREIGN = 8, BARE_END = 16, BARE_TAIL = 32 }; /* kinds of characters, as bits */
enum { NAME_BITS = 18 };
#define GONE 0xFFFFFFFFu

typedef struct {
    Programs programs;
    const Literals *literals;
    const u8 *letter; /* of each code point; */
    const u8 *kinds;  /* its bits; */
    const u32 *plain; /* what stands for it where a line isn't all ASCII, GONE for nothing; */
    const u32 *fold;
    /* Heads, hashed: their number in each slot, -1 for none; their code points, `head_chars` with zeros after them; their patterns. */
    const i32 *slots;
    const u64 *named; /* a bit for each name that a head has, cut to NAME_BITS */
    i64 room, head_chars;
    const u32 *heads;
    const i64 *of_head;
    const u16 *by_head;
    /* The patterns of each bit of a literal, and those that ask for nothing. */
    const i64 *of_bit;
    const u16 *by_bit;
    const u16 *always;
    i64 n_always;
    /* Phrases, hashed: a name in each slot, 0 for none. */
    const u64 *phrases;
    i64 phrase_room, phrase_chars;
    /* Of each pattern: the number of its pass, its place there, its rule, how many characters a line may have, whether it must hold
       a letter of another script. */
    const i32 *pass, *place, *rule, *most_chars;
    const u8 *foreign;
    i64 patterns, passes;
    i64 begun, ended; /* the programs that lines are asked for at their start and at their end, -1 for none */
} Rules;

typedef struct {
    i64 buffers;
    Buffer row, rule, size, phrased;
} Named;

/* One line as patterns see it. bytes: it as ASCII, if it is that; else codes, folded the same folded, klass what literals know it by. */
typedef struct {
    u8 *bytes, *klass;
    u32 *codes, *bare;
    u16 *folded;
    i64 size;
    int ascii, foreign;
    Buffer held;
} Line;

static int room_for(Line *l, i64 chars) {
    l->held.size = 0;
    if (!reserve(&l->held, chars * 12 + 64)) return 0;
    l->codes = AT(l->held, u32);
    l->bare = l->codes + chars;
    l->folded = (u16 *)(l->bare + chars);
    l->bytes = (u8 *)(l->folded + chars);
    l->klass = l->bytes + chars;
    return 1;
}

INLINE u32 char_of(const Line *l, i64 at) { return l->ascii ? l->bytes[at] : l->codes[at]; }

/* Drops what stands around a line's words: spaces, then ornaments before it and after it. Returns how many characters go in front. */
INLINE i64 trim(const Rules *t, Line *l) {
    i64 low = 0, high = l->size, at;
#define IS(at, bit) (t->kinds[char_of(l, at)] & (bit))
    while (low < high && IS(low, SPACE)) low++;
    while (high > low && IS(high - 1, SPACE)) high--;
    for (;;) {
        while (low < high && IS(low, LEADING)) low++;
        for (at = low; at < high && char_of(l, at) == '-'; at++) {}
        if (at == low || at == high || !IS(at, SPACE)) break;
        low = at + 1;
    }
    for (;;) {
        while (high > low && IS(high - 1, TRAILING)) high--;
        for (at = high; at > low && char_of(l, at - 1) == '-'; at--) {}
        if (at == high || at == low || !IS(at - 1, SPACE)) break;
        high = at - 1;
    }
    l->size = high - low;
    return low;
}

/* A line's key, as rules.py's `_keys` has it. */
INLINE void read_key(const Rules *t, Line *l, const u8 *p, const u8 *end) {
    i64 n = 0;
    int spaced = 0;
    l->ascii = is_ascii(p, end);
    l->foreign = 0;
    if (l->ascii) {
        for (; p < end; p++) {
            l->bytes[n] = *p;
            n += !(spaced & (*p == ' '));
            spaced = *p == ' ';
        }
    } else {
        while (p < end) {
            u32 c = t->plain[read_char(&p)];
            if (c == GONE || (spaced && c == ' ')) continue;
            l->codes[n++] = c;
            spaced = c == ' ';
        }
    }
    l->size = n;
    i64 first = trim(t, l);
    if (l->ascii) {
        l->bytes += first;
        return;
    }
    l->codes += first;
    for (i64 i = 0; i < l->size; i++) {
        u32 c = t->fold[l->codes[i]];
        l->foreign |= t->kinds[l->codes[i]] & FOREIGN;
        l->folded[i] = (u16)c;
        l->klass[i] = t->literals->klass[c];
    }
}

/* Whether the line may be a phrase: the bare key, folded, has the name of one. */
static int may_be_phrase(const Rules *t, const Line *l) {
    i64 low = 0, high = l->size, n = 0;
    int spaced = 0;
    while (low < high && IS(low, BARE_END)) low++;
    while (high > low && IS(high - 1, BARE_END)) high--;
    for (i64 at = low; at < high; at++) spaced |= char_of(l, at) == ' ';
    while (spaced && high > low && IS(high - 1, BARE_TAIL)) high--;
    for (i64 at = low; at < high; at++) l->bare[n++] = t->fold[char_of(l, at)];
    u64 name = xxh64((const u8 *)l->bare, n * (i64)sizeof(u32), 0);
    name += !name;
    for (i64 slot = (i64)(name & (u64)(t->phrase_room - 1)); t->phrases[slot]; slot = (slot + 1) & (t->phrase_room - 1))
        if (t->phrases[slot] == name) return 1;
    return 0;
}

/* The name of what a head was so far and one more character. */
INLINE u64 longer_name(u64 name, u32 c) {
    name = (name ^ c) * P1;
    return name ^ name >> 32;
}

/* Of the passes what is known of one line. */
typedef struct {
    i32 *best;   /* of each pass the place of the first pattern that matches, */
    i32 *named;  /* and its rule; */
    u32 *of;     /* for which line they stand */
    u32 *asked;  /* of each pattern the line it was asked for last */
    u32 line;
    Known *known;
    Buffer held;
} Found;

/* 1 or 0, -1 when memory ran out. */
static int pattern_matches(const Rules *t, Known *known, Line *l, i64 pattern) {
    i32 state = 0;
    if (!states_of(&t->programs, known, pattern)) return -1;
    for (i64 i = 0; i < l->size && state >= 0; i++) state = after_character(&t->programs, known, pattern, state, t->programs.klass[char_of(l, i)], 0);
    if (state >= 0) state = after_all(&t->programs, known, pattern, state, 0);
    return state == FAILED ? -1 : state == MATCHED;
}

static int ask(const Rules *t, Found *f, Line *l, i64 pattern) {
    i32 pass = t->pass[pattern];
    if (f->asked[pattern] == f->line) return 1;
    f->asked[pattern] = f->line;
    if (l->size > t->most_chars[pattern] || (t->foreign[pattern] && !l->foreign)) return 1;
    if (f->of[pass] == f->line && f->best[pass] <= t->place[pattern]) return 1;
    int met = pattern_matches(t, f->known, l, pattern);
    if (met > 0) {
        f->of[pass] = f->line;
        f->best[pass] = t->place[pattern];
        f->named[pass] = t->rule[pattern];
    }
    return met >= 0;
}

static int ask_by_head(const Rules *t, Found *f, Line *l) {
    u32 head[16];
    i64 size = 0;
    u64 name = 0;
    for (i64 at = 0; at < l->size && size < t->head_chars && size < 16; at++) {
        u32 c = char_of(l, at);
        if (!size && !t->letter[c]) continue;
        head[size++] = t->fold[c];
        name = longer_name(name, head[size - 1]);
        if (!(t->named[name >> (64 - NAME_BITS) >> 6] >> (name >> (64 - NAME_BITS) & 63) & 1)) continue;
        for (i64 slot = (i64)(name & (u64)(t->room - 1)); t->slots[slot] >= 0; slot = (slot + 1) & (t->room - 1)) {
            i64 number = t->slots[slot];
            const u32 *known = t->heads + number * t->head_chars;
            if (memcmp(known, head, (size_t)size * 4) || (size < t->head_chars && known[size])) continue;
            for (i64 i = t->of_head[number]; i < t->of_head[number + 1]; i++)
                if (!ask(t, f, l, t->by_head[i])) return 0;
            break;
        }
    }
    return 1;
}

static int ask_by_literal(const Rules *t, Found *f, Line *l) {
    u64 bits = l->ascii ? of_ascii(t->literals, l->bytes, l->size) : of_codes(t->literals, l->folded, l->klass, l->size);
    for (i64 bit = 0; bits; bit++, bits >>= 1) {
        if (!(bits & 1)) continue;
        for (i64 i = t->of_bit[bit]; i < t->of_bit[bit + 1]; i++)
            if (!ask(t, f, l, t->by_bit[i])) return 0;
    }
    for (i64 i = 0; i < t->n_always; i++)
        if (!ask(t, f, l, t->always[i])) return 0;
    return 1;
}

/* Fills the slots for `n` heads, of which no two are alike. */
EXPORT void winnow_head_slots(const u32 *heads, i64 n, i64 chars, i32 *slots, i64 room, u64 *named) {
    memset(named, 0, ((size_t)1 << NAME_BITS) / 8);
    for (i64 slot = 0; slot < room; slot++) slots[slot] = -1;
    for (i64 i = 0; i < n; i++) {
        u64 name = 0;
        for (i64 at = 0; at < chars && heads[i * chars + at]; at++) name = longer_name(name, heads[i * chars + at]);
        named[name >> (64 - NAME_BITS) >> 6] |= (u64)1 << (name >> (64 - NAME_BITS) & 63);
        i64 slot = (i64)(name & (u64)(room - 1));
        while (slots[slot] >= 0) slot = (slot + 1) & (room - 1);
        slots[slot] = (i32)i;
    }
}

/* Where the character begins that ends at `end`. */
INLINE const u8 *before(const u8 *start, const u8 *end) {
    for (end--; end > start && (*end & 0xC0) == 0x80; end--) {}
    return end;
}

/* What is known of the programs of a rule set: nothing. NULL when memory ran out. */
EXPORT Known *winnow_known(i64 programs) {
    Known *known = calloc(1, sizeof(Known) + (size_t)programs * sizeof(States *));
    if (known) known->programs = programs;
    return known;
}

EXPORT void winnow_forget(Known *known) {
    forget_failure(known);
    free(known);
}

/* For the lines at `rows`: row, rule and the key's characters, for the first pattern that matches in each pass; and the rows whose
   line may be a phrase. */
EXPORT Named *winnow_rules(const Rules *t, Known *known, const Texts *texts, const i64 *rows, i64 n) {
    Named *r = NEW_RESULT(Named);
    if (!r) return NULL;
    Line line = {0};
    Found f = {.known = known};
    i64 room = (t->passes * 3 + t->patterns + 1) * 4;
    int ok = reserve(&f.held, room);
    if (ok) {
        memset(f.held.data, 0, (size_t)room);
        f.of = AT(f.held, u32);
        f.asked = f.of + t->passes;
        f.best = (i32 *)(f.asked + t->patterns);
        f.named = f.best + t->passes;
    }
    for (i64 i = 0; ok && i < n; i++) {
        const u8 *end, *p = text_of(texts, rows[i], &end);
        if (!room_for(&line, end - p)) break;
        read_key(t, &line, p, end);
        if (!++f.line) { /* after 2^32 lines */
            memset(f.held.data, 0, (size_t)(t->passes + t->patterns) * 4);
            f.line = 1;
        }
        if (line.size <= t->phrase_chars && may_be_phrase(t, &line)) PUSH(r->phrased, i64, rows[i]);
        if (known->bytes > MOST_BYTES) forget_all(known);
        ok = ask_by_head(t, &f, &line) && ask_by_literal(t, &f, &line);
        for (i64 pass = 0; pass < t->passes; pass++)
            if (f.of[pass] == f.line) {
                PUSH(r->row, i64, rows[i]);
                PUSH(r->rule, i64, f.named[pass]);
                PUSH(r->size, i64, line.size);
            }
    }
    ok = ok && !line.held.failed;
    if (!ok) forget_failure(known);
    free(line.held.data);
    free(f.held.data);
    return complete(r, ok);
}

/* Whether a program goes over a text, from end to end unless `part` is 1; FAILED when memory ran out. */
INLINE i32 goes_over(const Rules *t, Known *known, i64 program, const u8 *p, const u8 *end, i64 most, int part) {
    i32 state = 0;
    for (; p < end && most && state >= 0; most--) state = after_character(&t->programs, known, program, state, t->programs.klass[read_char(&p)], part);
    return state >= 0 ? after_all(&t->programs, known, program, state, part) : state;
}

/* For each of the lines at `rows`, without the spaces around it: whether the program `begun` matches at its start, within its first
   `most` characters; and the bits of the literals `tails` in its last `few`, if there are any and the program `ended` goes over its
   last `most` characters. 0 when memory ran out. */
EXPORT int winnow_ends(const Rules *t, Known *known, const Literals *tails, const Texts *texts, const i64 *rows, i64 n, i64 most, i64 few, u8 *begun, u64 *ended) {
    u16 codes[256];
    int ok = few <= 32 && (t->begun < 0 || states_of(&t->programs, known, t->begun)) && (t->ended < 0 || states_of(&t->programs, known, t->ended));
    for (i64 i = 0; ok && i < n; i++) {
        const u8 *end, *p = text_of(texts, rows[i], &end), *q = p;
        i32 state = DEAD;
        for (; p < end && t->kinds[read_char(&q)] & SPACE; p = q) {}
        for (; end > p; end = q) {
            const u8 *one = q = before(p, end);
            if (!(t->kinds[read_char(&one)] & SPACE)) break;
        }
        q = end;
        for (i64 left = few; left && q > p; left--) q = before(p, q);
        ended[i] = is_ascii(q, end) ? of_ascii(tails, q, end - q) : of_any(tails, q, end, codes);
        if (ended[i] && t->ended >= 0) {
            for (i64 left = most - few; left > 0 && q > p; left--) q = before(p, q);
            state = goes_over(t, known, t->ended, q, end, most, 0);
            if (state != MATCHED) ended[i] = 0;
            ok = state != FAILED;
        }
        if (t->begun >= 0) state = goes_over(t, known, t->begun, p, end, most, 1);
        begun[i] = t->begun < 0 || state == MATCHED;
        ok = ok && state != FAILED;
    }
    if (!ok) forget_failure(known);
    return ok;
}
