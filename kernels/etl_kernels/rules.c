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

/* How many of these characters of ASCII can be taken as they are: all up to the eight that hold two spaces one after the other. */
INLINE i64 before_two_spaces(const u8 *from, const u8 *end) {
    const u8 *p = from;
    for (; end - p >= 9; p += 8) {
        u64 here = load64(p) ^ 0x2020202020202020ULL, next = load64(p + 1) ^ 0x2020202020202020ULL, both = here | next;
        if ((both - 0x0101010101010101ULL) & ~both & 0x8080808080808080ULL) break;
    }
    return p - from;
}

/* A line's key, as rules.py's `_keys` has it. */
INLINE void read_key(const Rules *t, Line *l, const u8 *p, const u8 *end) {
    i64 n = 0;
    int spaced = 0;
    l->ascii = is_ascii(p, end);
    l->foreign = 0;
    if (l->ascii) {
        n = before_two_spaces(p, end);
        memcpy(l->bytes, p, (size_t)n);
        for (p += n; p < end; p++) {
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

/* A line of a block, as its patterns are to see it: `size` characters at `at`, bytes where it is ASCII, code points where not. */
typedef struct {
    i64 at, number, size; /* number: of the line among all that differ */
    i32 pass, place;      /* the last pass of which a pattern matched it, and the place of that, -1 for none */
    int ascii;
} Asked;

/* Lines of which no two are alike. Patterns follow them a block of lines at a time, one pattern after the other: what is known of
   a pattern is then in the nearest caches. */
typedef struct {
    i64 buffers;
    Buffer slots; /* u64, hashed by their text: half of the hash, and the number of a line from 1 on; 0 for none */
    Buffer like;  /* i32, of each line given: its number */
    Buffer lines; /* Distinct */
    Buffer met;   /* u64, of matches: number of the line in its block, pass, place and pattern, 16 bits each */
    Buffer rules; /* i64, of each line the rules of the first pattern of each pass that matches */
    Buffer block; /* Asked */
    Buffer texts; /* of the block */
    Buffer asks;  /* u32: a pattern, and a line of the block */
    Buffer sorted, begin, asked;
} Lines;

typedef struct {
    i64 row, size, first, past; /* where it stands first; characters of its key; its rules */
    int phrase;
} Distinct;

enum { BLOCK = 4096, BLOCK_BITS = 16, AHEAD = 16 };

/* Whether a pattern matches a line: 1 or 0, -1 when memory ran out. */
static int pattern_matches(const Rules *t, Known *known, const Asked *l, const char *text, i64 pattern) {
    i32 state = 0;
    if (l->ascii) {
        const u8 *p = (const u8 *)text, *end = p + l->size;
        for (; p < end && state >= 0; p++) state = after_ascii(&t->programs, known, pattern, state, *p);
    } else {
        const u32 *p = (const u32 *)text, *end = p + l->size;
        for (; p < end && state >= 0; p++) state = after_character(&t->programs, known, pattern, state, t->programs.klass[*p], 0);
    }
    if (state >= 0) state = after_all(&t->programs, known, pattern, state, 0);
    return state == FAILED ? -1 : state == MATCHED;
}

/* Has the block's line `l`, the last one so far, asked for a pattern, once. */
static void ask(const Rules *t, Lines *r, const Line *l, i64 pattern) {
    u32 *asked = AT(r->asked, u32), line = (u32)COUNT(r->lines, Distinct);
    if (asked[pattern] == line) return;
    asked[pattern] = line;
    if (l->size > t->most_chars[pattern] || (t->foreign[pattern] && !l->foreign)) return;
    PUSH(r->asks, u32, (u32)pattern << BLOCK_BITS | (u32)(COUNT(r->block, Asked) - 1));
}

/* The asks of the block, a pattern's together, each with its lines in order; begin: where each pattern's are, and one more. 0 when
   memory ran out. */
static int sort_asks(const Rules *t, Lines *r) {
    i64 n = COUNT(r->asks, u32);
    r->sorted.size = 0;
    if (!reserve(&r->sorted, n * 4)) return 0;
    u32 *begin = AT(r->begin, u32), *sorted = AT(r->sorted, u32);
    const u32 *asks = AT(r->asks, u32);
    memset(begin, 0, (size_t)(t->patterns + 2) * 4);
    for (i64 i = 0; i < n; i++) begin[(asks[i] >> BLOCK_BITS) + 2]++;
    for (i64 p = 0; p < t->patterns; p++) begin[p + 2] += begin[p + 1];
    for (i64 i = 0; i < n; i++) sorted[begin[(asks[i] >> BLOCK_BITS) + 1]++] = asks[i] & ((1 << BLOCK_BITS) - 1);
    return 1;
}

static int by_value(const void *a, const void *b) {
    u64 x = *(const u64 *)a, y = *(const u64 *)b;
    return (x > y) - (x < y);
}

/* Follows the lines of the block, and begins another one. 0 when memory ran out. */
static int follow_block(const Rules *t, Known *known, Lines *r) {
    if (!sort_asks(t, r)) return 0;
    const u32 *begin = AT(r->begin, u32), *sorted = AT(r->sorted, u32);
    Asked *lines = AT(r->block, Asked);
    for (i64 pattern = 0; pattern < t->patterns; pattern++) {
        if (begin[pattern] == begin[pattern + 1]) continue;
        if (known->bytes > MOST_BYTES) forget_all(known);
        if (!states_of(&t->programs, known, pattern)) return 0;
        i32 pass = t->pass[pattern], place = t->place[pattern];
        for (u32 i = begin[pattern]; i < begin[pattern + 1]; i++) {
            Asked *l = lines + sorted[i];
            if (l->pass == pass && l->place <= place) continue;
            int met = pattern_matches(t, known, l, r->texts.data + l->at, pattern);
            if (met < 0) return 0;
            if (!met) continue;
            l->pass = pass;
            l->place = place;
            PUSH(r->met, u64, (u64)sorted[i] << 48 | (u64)pass << 32 | (u64)place << 16 | (u64)pattern);
        }
    }
    i64 n = COUNT(r->met, u64);
    u64 *met = AT(r->met, u64);
    if (n) qsort(met, (size_t)n, sizeof *met, by_value);
    for (i64 i = 0; i < n; i++) {
        Distinct *line = AT(r->lines, Distinct) + lines[met[i] >> 48].number;
        if (i && met[i] >> 32 == met[i - 1] >> 32) continue; /* a later pattern of the same pass */
        if (!i || met[i] >> 48 != met[i - 1] >> 48) line->first = COUNT(r->rules, i64);
        PUSH(r->rules, i64, t->rule[met[i] & 0xFFFF]);
        line->past = COUNT(r->rules, i64);
    }
    r->block.size = r->texts.size = r->asks.size = 0;
    int ok = !r->met.failed && !r->rules.failed;
    r->met.size = 0;
    return ok;
}

/* The hash of a line, whose slot is asked for ahead: it's far away. */
static u64 hash_ahead(const Lines *r, const Texts *texts, i64 row, i64 room) {
    const u8 *end, *p = text_of(texts, row, &end);
    u64 hash = xxh64(p, end - p, 0);
    __builtin_prefetch(AT(r->slots, u64) + (hash & (u64)(room - 1)));
    return hash;
}

/* The number of a line among those that differ; that of a new one when none before was the same, -1 when memory ran out. */
static i64 number_of(Lines *r, const Texts *texts, i64 row, u64 hash, i64 room) {
    const u8 *end, *p = text_of(texts, row, &end), *past;
    u64 *slots = AT(r->slots, u64);
    i64 slot = (i64)(hash & (u64)(room - 1));
    for (; slots[slot]; slot = (slot + 1) & (room - 1)) {
        if (slots[slot] >> 32 != hash >> 32) continue;
        i64 known = (i64)(slots[slot] & 0xFFFFFFFF) - 1;
        const u8 *q = text_of(texts, AT(r->lines, Distinct)[known].row, &past);
        if (past - q == end - p && !memcmp(p, q, (size_t)(end - p))) return known;
    }
    Distinct line = {row, 0, 0, 0, 0};
    i64 number = COUNT(r->lines, Distinct);
    PUSH(r->lines, Distinct, line);
    if (r->lines.failed) return -1;
    slots[slot] = (hash >> 32 << 32) | (u64)(number + 1);
    return number;
}

static void ask_by_head(const Rules *t, Lines *r, const Line *l) {
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
            for (i64 i = t->of_head[number]; i < t->of_head[number + 1]; i++) ask(t, r, l, t->by_head[i]);
            break;
        }
    }
}

static void ask_by_literal(const Rules *t, Lines *r, const Line *l) {
    u64 bits = l->ascii ? of_ascii(t->literals, l->bytes, l->size) : of_codes(t->literals, l->folded, l->klass, l->size);
    for (i64 bit = 0; bits; bit++, bits >>= 1) {
        if (!(bits & 1)) continue;
        for (i64 i = t->of_bit[bit]; i < t->of_bit[bit + 1]; i++) ask(t, r, l, t->by_bit[i]);
    }
    for (i64 i = 0; i < t->n_always; i++) ask(t, r, l, t->always[i]);
}

/* Reads a line that is the first of its kind into the block, with all that it asks for. 0 when memory ran out. */
static int read_into_block(const Rules *t, Lines *r, Line *l, const Texts *texts, i64 row) {
    const u8 *end, *p = text_of(texts, row, &end);
    if (!room_for(l, end - p)) return 0;
    read_key(t, l, p, end);
    Distinct *line = AT(r->lines, Distinct) + COUNT(r->lines, Distinct) - 1;
    line->size = l->size;
    line->phrase = l->size <= t->phrase_chars && may_be_phrase(t, l);
    i64 bytes = l->ascii ? l->size : l->size * (i64)sizeof(u32);
    r->texts.size = (r->texts.size + 3) & ~(i64)3;
    if (!reserve(&r->texts, bytes + 4)) return 0;
    Asked asked = {r->texts.size, COUNT(r->lines, Distinct) - 1, l->size, -1, -1, l->ascii};
    memcpy(r->texts.data + r->texts.size, l->ascii ? (const void *)l->bytes : (const void *)l->codes, (size_t)bytes);
    r->texts.size += bytes;
    PUSH(r->block, Asked, asked);
    if (r->block.failed) return 0;
    ask_by_head(t, r, l);
    ask_by_literal(t, r, l);
    return !r->asks.failed;
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
   line may be a phrase. Lines that are alike are followed once. */
EXPORT Named *winnow_rules(const Rules *t, Known *known, const Texts *texts, const i64 *rows, i64 n) {
    Named *named = NEW_RESULT(Named);
    Lines *r = NEW_RESULT(Lines);
    Line line = {0};
    u64 hashes[AHEAD];
    i64 room = 16;
    while (room < 2 * n) room *= 2;
    int ok = named && r && n < INT32_MAX && reserve(&r->slots, room * 8) && reserve(&r->like, n * 4) &&
             reserve(&r->begin, (t->patterns + 2) * 4) && reserve(&r->asked, (t->patterns + 1) * 4);
    if (ok) {
        memset(r->slots.data, 0, (size_t)room * 8);
        memset(r->asked.data, 0, (size_t)t->patterns * 4);
    }
    for (i64 i = 0; ok && i < n && i < AHEAD; i++) hashes[i] = hash_ahead(r, texts, rows[i], room);
    for (i64 i = 0; ok && i < n; i++) {
        i64 known_lines = COUNT(r->lines, Distinct), number = number_of(r, texts, rows[i], hashes[i % AHEAD], room);
        if (i + 2 * AHEAD < n) text_ahead(texts, rows[i + 2 * AHEAD]);
        if (i + AHEAD < n) hashes[i % AHEAD] = hash_ahead(r, texts, rows[i + AHEAD], room);
        PUSH(r->like, i32, (i32)number);
        ok = number >= 0;
        if (ok && number == known_lines) ok = read_into_block(t, r, &line, texts, rows[i]);
        if (ok && COUNT(r->block, Asked) == BLOCK) ok = follow_block(t, known, r);
    }
    ok = ok && follow_block(t, known, r);
    for (i64 i = 0; ok && i < n; i++) {
        const Distinct *l = AT(r->lines, Distinct) + AT(r->like, i32)[i];
        if (l->phrase) PUSH(named->phrased, i64, rows[i]);
        for (i64 at = l->first; at < l->past; at++) {
            PUSH(named->row, i64, rows[i]);
            PUSH(named->rule, i64, AT(r->rules, i64)[at]);
            PUSH(named->size, i64, l->size);
        }
    }
    if (!ok) forget_failure(known);
    free(line.held.data);
    if (r) release(r);
    return named ? complete(named, ok) : NULL;
}

/* Whether a program goes over a text, from end to end unless `part` is 1; FAILED when memory ran out. */
INLINE i32 goes_over(const Rules *t, Known *known, i64 program, const u8 *p, const u8 *end, i64 most, int part) {
    i32 state = 0;
    for (; p < end && most && state >= 0; most--) state = after_character(&t->programs, known, program, state, t->programs.klass[read_char(&p)], part);
    return state >= 0 ? after_all(&t->programs, known, program, state, part) : state;
}

/* Whether a text may be matched: it holds one of these characters, or one beyond ASCII. */
INLINE int may_match(const Needed *needed, const u8 *p, i64 size) {
    u8 one[NEEDED], some = 0;
    memcpy(one, needed->chars, NEEDED);
    for (i64 i = 0; i < size; i++) some |= (u8)(p[i] == one[0]) | (u8)(p[i] == one[1]) | (u8)(p[i] == one[2]) | (u8)(p[i] == one[3]) | (u8)(p[i] >> 7);
    return some;
}

/* For each of the lines at `rows`, without the spaces around it: whether the program `begun` matches at its start, within its first
   `most` characters; and the bits of the literals `tails` in its last `few`, if there are any and the program `ended` goes over its
   last `most` characters. 0 when memory ran out. */
EXPORT int winnow_ends(const Rules *t, Known *known, const Literals *tails, const Texts *texts, const i64 *rows, i64 n, i64 most, i64 few, u8 *begun, u64 *ended) {
    u16 codes[256];
    int ok = few <= 32 && (t->begun < 0 || states_of(&t->programs, known, t->begun)) && (t->ended < 0 || states_of(&t->programs, known, t->ended));
    const Needed *needed = ok && t->begun >= 0 ? needed_by(&t->programs, known, t->begun) : NULL;
    for (i64 i = 0; ok && i < n; i++) {
        const u8 *end, *p = text_of(texts, rows[i], &end), *q = p;
        i32 state = DEAD;
        for (; p < end && t->kinds[read_char(&q)] & SPACE; p = q) {}
        for (; end > p; end = q) {
            const u8 *one = q = before(p, end);
            if (!(t->kinds[read_char(&one)] & SPACE)) break;
        }
        q = end - p > few ? end - few : p;
        int ascii = is_ascii(q, end);
        if (!ascii) {
            q = end;
            for (i64 left = few; left && q > p; left--) q = before(p, q);
        }
        ended[i] = ascii ? of_ascii(tails, q, end - q) : of_any(tails, q, end, codes);
        if (ended[i] && t->ended >= 0) {
            for (i64 left = most - few; left > 0 && q > p; left--) q = before(p, q);
            state = goes_over(t, known, t->ended, q, end, most, 0);
            if (state != MATCHED) ended[i] = 0;
            ok = state != FAILED;
        }
        state = DEAD;
        if (needed && (!needed->found || may_match(needed, p, end - p < most ? end - p : most))) state = goes_over(t, known, t->begun, p, end, most, 1);
        begun[i] = !needed || state == MATCHED;
        ok = ok && state != FAILED;
    }
    if (!ok) forget_failure(known);
    return ok;
}
