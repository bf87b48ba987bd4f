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
    i64 words;         /* in so many words */
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

INLINE void swap_places(Ways *w) {
    u32 *places = w->places;
    w->places = w->following;
    w->following = places;
}

/* Whether a program goes from end to end over a text of `size` characters, told by their classes. `w` must have room. */
static inline int goes_over(const Programs *t, i64 program, Ways *w, const u16 *text, i64 size) {
    const u32 *steps = t->steps + t->begin[program];
    u32 last = NOTHING;
    i64 n = 1;
    int done = 0;
    w->places[0] = 0;
    for (i64 i = 0; i < size; i++) {
        n = follow(t, steps, w, n, place_between(t, last, text[i]), text[i], &done);
        if (!n) return 0;
        swap_places(w);
        last = kind_of(t, text[i]);
    }
    done = 0;
    follow(t, steps, w, n, place_between(t, last, NO_CLASS), NO_CLASS, &done);
    return done;
}

/* What is known of a program that every text is asked for: its ways after all beginnings of texts so far, as states. A state is the
   places and what the last character was. Kinds are classes that the program doesn't tell apart. */
typedef struct {
    i64 program, kinds;
    const u8 *kind; /* of each class */
    int part;       /* whether the program need not go to the text's end */
    Buffer places;  /* u32, of all states */
    Buffer states;  /* State */
    Buffer after;   /* i32, for each state and kind, and for the text's end: UNKNOWN, DEAD, MATCHED, or the state that follows */
    i32 slots[8192];
} States;

typedef struct {
    i64 first;
    u32 n, last;
} State;

enum { UNKNOWN = 0, DEAD = -1, MATCHED = -2, FAILED = -3, MOST_STATES = 2048, SLOTS = 8192 };

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
    i64 bytes = n * (i64)sizeof(u32), row = (s->kinds + 1) * (i64)sizeof(i32);
    State made = {COUNT(s->places, u32), (u32)n, last};
    if (!reserve(&s->places, bytes) || !reserve(&s->after, row) || !reserve(&s->states, (i64)sizeof(State))) return FAILED;
    s->slots[slot] = (i32)COUNT(s->states, State);
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

/* The state after `state` and a character of class `next`, NO_CLASS for the text's end, found out. */
static i32 find_after(const Programs *t, States *s, Ways *w, i32 state, u16 next) {
    State from = AT(s->states, State)[state];
    int done = 0;
    memcpy(w->places, AT(s->places, u32) + from.first, from.n * sizeof(u32));
    i64 n = follow(t, t->steps + t->begin[s->program], w, from.n, place_between(t, from.last, next), next, &done);
    i32 after = DEAD;
    i64 cell = state * (s->kinds + 1) + (next == NO_CLASS ? s->kinds : s->kind[next]);
    if (done && (s->part || next == NO_CLASS)) {
        after = MATCHED;
    } else if (n) {
        if (COUNT(s->states, State) >= MOST_STATES) {
            if (!begin_states(s)) return FAILED;
            cell = -1;
        }
        after = state_of(s, w->following, n, kind_of(t, next));
    }
    if (cell >= 0 && after != FAILED) AT(s->after, i32)[cell] = after;
    return after;
}

INLINE i32 after_character(const Programs *t, States *s, Ways *w, i32 state, u16 next) {
    i32 after = AT(s->after, i32)[state * (s->kinds + 1) + s->kind[next]];
    return after == UNKNOWN ? find_after(t, s, w, state, next) : after;
}

INLINE i32 after_all(const Programs *t, States *s, Ways *w, i32 state) {
    i32 after = AT(s->after, i32)[state * (s->kinds + 1) + s->kinds];
    return after == UNKNOWN ? find_after(t, s, w, state, NO_CLASS) : after;
}

#endif
