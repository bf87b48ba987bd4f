/* Programs that tell whether a pattern matches a text: programs.py writes them. All ways through a program are followed at once,
   so that a text costs no more than its length times the program's. */
#ifndef WINNOW_PROGRAMS_H
#define WINNOW_PROGRAMS_H

#include "common.h"

enum { TAKE, TAKE_SET, SPLIT, JUMP, CHECK, DONE, STEP_BITS = 3 };
enum { AT_START = 1, AT_END = 2, AT_WORD = 4, NOT_AT_WORD = 8 };
enum { FAR = 1 << 27, NO_CLASS = 0xFFFF };

typedef struct {
    const u32 *steps;  /* of all programs: what one does in its lowest bits, then its argument */
    const i64 *begin;  /* of each program its first step, and one more */
    const u16 *klass;  /* of each code point; the rest of this sees classes alone */
    const u8 *word;    /* of each class whether it is of characters that \b stands between */
    const u64 *sets;   /* of each set a bit for each class, */
    i64 words, n_sets, classes; /* in so many words */
} Programs;

/* Where the ways through a program have got to: places of steps, and for each step when it was last met. */
typedef struct {
    u32 *places, *following, *waiting, *met;
    u32 now;
    i64 room; /* steps */
    Buffer held;
} Ways;

/* Room for the ways through a program of so many steps. 0 when memory ran out. */
static inline int make_room(Ways *w, i64 steps) {
    if (steps <= w->room) return 1;
    w->held.size = 0;
    if (!reserve(&w->held, 4 * steps * (i64)sizeof(u32))) return 0;
    memset(w->held.data, 0, (size_t)(4 * steps) * sizeof(u32));
    w->places = AT(w->held, u32);
    w->following = w->places + steps;
    w->waiting = w->following + steps;
    w->met = w->waiting + steps;
    w->now = 0;
    w->room = steps;
    return 1;
}

/* What the last character was: none, at a text's start; one of a word; another one. */
enum { NOTHING, OTHER, WORD };

INLINE u32 kind_of(const Programs *t, u16 klass) { return t->word[klass] ? WORD : OTHER; }

/* What holds at a place between a character and one of class `next`, NO_CLASS where the text ends. */
INLINE u32 place_between(const Programs *t, u32 last, u16 next) {
    int words = (last == WORD) != (next != NO_CLASS && t->word[next]);
    return (u32)(last == NOTHING) * AT_START | (u32)(next == NO_CLASS) * AT_END | (words ? AT_WORD : NOT_AT_WORD);
}

/* Goes on from `places` over a character of class `next`, NO_CLASS for the text's end: how many places there are then, in `following`.
   place: what holds before that character. done: set to 1 where a way reaches the program's end without it. */
static i64 follow(const Programs *t, const u32 *steps, Ways *w, i64 n, u32 place, u16 next, int *done) {
    i64 found = 0;
    if (!++w->now) { /* after 2^32 characters */
        memset(w->met, 0, (size_t)w->room * sizeof(u32));
        w->now = 1;
    }
    for (i64 i = 0; i < n; i++) {
        i64 waiting = 0;
        u32 at = w->places[i];
        for (;;) {
            if (w->met[at] != w->now) {
                u32 step = steps[at], argument = step >> STEP_BITS;
                w->met[at] = w->now;
                switch (step & ((1 << STEP_BITS) - 1)) {
                case TAKE:
                    if (argument == next) w->following[found++] = at + 1;
                    break;
                case TAKE_SET:
                    if (next != NO_CLASS && t->sets[argument * t->words + (next >> 6)] >> (next & 63) & 1) w->following[found++] = at + 1;
                    break;
                case SPLIT:
                    w->waiting[waiting++] = at + argument - FAR;
                    at++;
                    continue;
                case JUMP:
                    at += argument - FAR;
                    continue;
                case CHECK:
                    if (argument & ~place) break;
                    at++;
                    continue;
                default:
                    *done = 1;
                }
            }
            if (!waiting) break;
            at = w->waiting[--waiting];
        }
    }
    return found;
}

enum { NEEDED = 4 };

/* Characters of ASCII of which a text of nothing but ASCII holds one where a program matches a part of it. */
typedef struct {
    u8 chars[NEEDED]; /* some may be there twice */
    int known, found; /* whether they were looked for; whether there are any, and no more of them than this holds */
} Needed;

/* What is known of a program so far: its ways after all beginnings of texts that it has met, as states. A state is the places and what
   the last character was. Kinds are classes that the program doesn't tell apart. */
typedef struct {
    Buffer kind;   /* u16, of each class */
    Buffer places; /* u32, of all states */
    Buffer states; /* State */
    Buffer after;  /* i16, for each state and kind, and for the text's end: UNKNOWN, DEAD, MATCHED, or the state that follows */
    i64 kinds;
    u16 ascii[128]; /* the kind of each of these characters */
    i16 slots[1024];
    Needed needed;
} States;

typedef struct {
    i64 first;
    u32 n, last;
} State;

enum { UNKNOWN = 0, DEAD = -1, MATCHED = -2, FAILED = -3, MOST_STATES = 512, SLOTS = 1024 };

/* Finds the kinds of a program. 0 when memory ran out. */
static inline int find_kinds(const Programs *t, i64 program, States *s) {
    Buffer held = {0};
    i64 room = 1;
    while (room < 2 * t->classes) room *= 2;
    if (!reserve(&held, (t->classes + t->n_sets + 2 * room) * 8) || !reserve(&s->kind, t->classes * (i64)sizeof(u16))) {
        free(held.data);
        return 0;
    }
    memset(held.data, 0, (size_t)held.room);
    u64 *sign = AT(held, u64), *met = sign + t->classes, *known = met + t->n_sets, *number = known + room;
    for (i64 c = 0; c < t->classes; c++) sign[c] = (u64)t->word[c] + 1;
    for (i64 at = t->begin[program]; at < t->begin[program + 1]; at++) {
        u32 step = t->steps[at] & ((1 << STEP_BITS) - 1), argument = t->steps[at] >> STEP_BITS;
        if (step == TAKE) {
            sign[argument] = mix64(sign[argument] ^ ((u64)argument + 1) << 20);
        } else if (step == TAKE_SET && !met[argument]) {
            met[argument] = 1;
            for (i64 c = 0; c < t->classes; c++) sign[c] = mix64(sign[c] * 2 + (t->sets[argument * t->words + (c >> 6)] >> (c & 63) & 1));
        }
    }
    for (i64 c = 0; c < t->classes; c++) {
        u64 name = sign[c] + !sign[c];
        i64 slot = (i64)(mix64(name) & (u64)(room - 1));
        while (known[slot] && known[slot] != name) slot = (slot + 1) & (room - 1);
        if (!known[slot]) {
            known[slot] = name;
            number[slot] = (u64)s->kinds++;
        }
        AT(s->kind, u16)[c] = (u16)number[slot];
    }
    for (int c = 0; c < 128; c++) s->ascii[c] = AT(s->kind, u16)[t->klass[c]];
    free(held.data);
    return 1;
}

static inline int by_place(const void *a, const void *b) {
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

/* The number of the state at these places, FAILED when memory ran out. */
static inline i32 state_of(States *s, u32 *places, i64 n, u32 last) {
    qsort(places, (size_t)n, sizeof(u32), by_place);
    u64 slot = xxh64((const u8 *)places, n * (i64)sizeof(u32), last) & (SLOTS - 1);
    for (; s->slots[slot] >= 0; slot = (slot + 1) & (SLOTS - 1)) {
        const State *known = AT(s->states, State) + s->slots[slot];
        if (known->n == n && known->last == last && !memcmp(AT(s->places, u32) + known->first, places, (size_t)n * sizeof(u32))) return s->slots[slot];
    }
    i64 bytes = n * (i64)sizeof(u32), row = (s->kinds + 1) * (i64)sizeof(i16);
    State made = {COUNT(s->places, u32), (u32)n, last};
    if (!reserve(&s->places, bytes) || !reserve(&s->after, row) || !reserve(&s->states, (i64)sizeof(State))) return FAILED;
    s->slots[slot] = (i16)COUNT(s->states, State);
    memcpy(s->places.data + s->places.size, places, (size_t)bytes);
    memset(s->after.data + s->after.size, 0, (size_t)row);
    s->places.size += bytes;
    s->after.size += row;
    PUSH(s->states, State, made);
    return s->slots[slot];
}

/* Forgets all states but that in which a text begins, whose number is UNKNOWN: none leads to it. 0 when memory ran out. */
static inline int begin_states(States *s) {
    u32 start = 0;
    s->places.size = s->states.size = s->after.size = 0;
    memset(s->slots, 0xFF, sizeof s->slots);
    return state_of(s, &start, 1, NOTHING) != FAILED;
}

/* What is known of all programs, from one call to the next, in so many bytes; no two threads may use it at the same time. */
typedef struct {
    Ways ways;
    i64 programs, bytes;
    States *of[];
} Known;

#define MOST_BYTES ((i64)64 << 20)

static inline i64 bytes_of(const States *s) {
    return (i64)sizeof(States) + s->kind.room + s->places.room + s->states.room + s->after.room;
}

static inline void free_states(States *s) {
    if (!s) return;
    free(s->kind.data);
    free(s->places.data);
    free(s->states.data);
    free(s->after.data);
    free(s);
}

/* Forgets what is known of all programs. */
static inline void forget_all(Known *known) {
    for (i64 i = 0; i < known->programs; i++) {
        free_states(known->of[i]);
        known->of[i] = NULL;
    }
    known->bytes = 0;
}

/* Forgets everything, that memory ran out too. */
static inline void forget_failure(Known *known) {
    forget_all(known);
    free(known->ways.held.data);
    known->ways = (Ways){0};
}

/* The states of a program, NULL when memory ran out. */
static inline States *states_of(const Programs *t, Known *known, i64 program) {
    States *s = known->of[program];
    if (s) return s;
    s = calloc(1, sizeof(States));
    if (s && (!make_room(&known->ways, t->begin[program + 1] - t->begin[program]) || !find_kinds(t, program, s) || !begin_states(s))) {
        free_states(s);
        s = NULL;
    }
    if (s) known->bytes += bytes_of(s);
    return known->of[program] = s;
}

/* Whether a program can come to its end over no other characters than these of ASCII, whatever it checks between them. */
static int ends_over(const Programs *t, i64 program, Ways *w, const u8 *allowed) {
    const u32 *steps = t->steps + t->begin[program];
    i64 waiting = 1;
    u32 at = 0;
    memset(w->met, 0, (size_t)w->room * sizeof(u32));
    w->now = 1;
    for (w->waiting[0] = 0; waiting;) {
        at = w->waiting[--waiting];
        while (!w->met[at]) {
            u32 step = steps[at], argument = step >> STEP_BITS;
            int passes = 1;
            w->met[at] = w->now;
            switch (step & ((1 << STEP_BITS) - 1)) {
            case TAKE:
            case TAKE_SET:
                passes = 0;
                for (int c = 0; c < 128 && !passes; c++) {
                    u16 next = t->klass[c];
                    passes = allowed[c] && ((step & ((1 << STEP_BITS) - 1)) == TAKE ? argument == next : t->sets[argument * t->words + (next >> 6)] >> (next & 63) & 1);
                }
                break;
            case SPLIT:
                if (!w->met[at + argument - FAR]) w->waiting[waiting++] = at + argument - FAR;
                break;
            case JUMP:
                at += argument - FAR;
                continue;
            case CHECK:
                break;
            default:
                return 1;
            }
            if (!passes) break;
            at++;
        }
    }
    return 0;
}

/* What a text of ASCII needs for a program to match a part of it, the rarest characters that will do. */
static const Needed *needed_by(const Programs *t, Known *known, i64 program) {
    static const u8 USUAL[] = " etaoinsrhldcumfpgwybvkxjqzETAOINSRHLDCUMFPGWYBVKXJQZ.,0123456789'\"()-:"; /* of prose */
    Needed *needed = &known->of[program]->needed;
    if (needed->known) return needed;
    u8 allowed[128] = {0};
    needed->known = 1;
    if (ends_over(t, program, &known->ways, allowed)) return needed;
    for (int i = 0; i < 256; i++) {
        int c = i < (int)sizeof USUAL - 1 ? USUAL[i] : (i - (int)sizeof USUAL + 1) & 127;
        if (allowed[c]) continue;
        allowed[c] = 1;
        if (ends_over(t, program, &known->ways, allowed)) allowed[c] = 0;
    }
    int n = 0;
    for (int c = 0; c < 128; c++) {
        if (allowed[c]) continue;
        if (n < NEEDED) needed->chars[n] = (u8)c;
        n++;
    }
    for (int i = n; n && i < NEEDED; i++) needed->chars[i] = needed->chars[0];
    needed->found = n && n <= NEEDED;
    return needed;
}

/* The state after `state` and a character of class `next`, NO_CLASS for the text's end, found out. part: whether the program need not
   go to the text's end. */
static i32 find_after(const Programs *t, Known *known, i64 program, i32 state, u16 next, int part) {
    States *s = known->of[program];
    Ways *w = &known->ways;
    State from = AT(s->states, State)[state];
    i64 bytes = bytes_of(s);
    int done = 0;
    memcpy(w->places, AT(s->places, u32) + from.first, from.n * sizeof(u32));
    i64 n = follow(t, t->steps + t->begin[program], w, from.n, place_between(t, from.last, next), next, &done);
    i64 cell = state * (s->kinds + 1) + (next == NO_CLASS ? s->kinds : AT(s->kind, u16)[next]);
    i32 after = DEAD;
    if (done && (part || next == NO_CLASS)) {
        after = MATCHED;
    } else if (n) {
        if (COUNT(s->states, State) >= MOST_STATES) {
            if (!begin_states(s)) return FAILED;
            cell = -1;
        }
        after = state_of(s, w->following, n, kind_of(t, next));
    }
    known->bytes += bytes_of(s) - bytes;
    if (cell >= 0 && after != FAILED) AT(s->after, i16)[cell] = (i16)after;
    return after;
}

INLINE i32 after_character(const Programs *t, Known *known, i64 program, i32 state, u16 next, int part) {
    const States *s = known->of[program];
    i32 after = AT(s->after, i16)[state * (s->kinds + 1) + AT(s->kind, u16)[next]];
    return after == UNKNOWN ? find_after(t, known, program, state, next, part) : after;
}

/* The same of a character of ASCII, for a text that is to match from end to end. */
INLINE i32 after_ascii(const Programs *t, Known *known, i64 program, i32 state, u8 next) {
    const States *s = known->of[program];
    i32 after = AT(s->after, i16)[state * (s->kinds + 1) + s->ascii[next]];
    return after == UNKNOWN ? find_after(t, known, program, state, t->klass[next], 0) : after;
}

INLINE i32 after_all(const Programs *t, Known *known, i64 program, i32 state, int part) {
    const States *s = known->of[program];
    i32 after = AT(s->after, i16)[state * (s->kinds + 1) + s->kinds];
    return after == UNKNOWN ? find_after(t, known, program, state, NO_CLASS, part) : after;
}

#endif
