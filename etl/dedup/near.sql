-- Which sentences of this run's documents may nearly repeat one of an earlier document: pairs, whose texts decide.
-- in   meeting_sentences (see sentences.sql), known_meetings (of earlier runs, see history.py)
-- out  near_candidates(number, doc, start_char, end_char, earlier, kept_doc, kept_start, kept_end): earlier is the number of the
--      document that stays; for one of an earlier run it is negative, and kept_doc and kept_end are null
--
-- Two sentences meet at a hash of two of their four least runs of words, and are a pair when a third one agrees and few words
-- of each are missing in the other: two, or a fifth, less one (but never less than one) for each two words that one has more,
-- which then may be missing too, for they may be a label. word_bits, one of 64 bits for each word, tells at least so many
-- (0: earlier versions left none). Like bands, a meeting point that many share gives a pair or two for each, with the first
-- that has it and with the one before: of what an earlier run left, no other is ever asked. Nothing here looks at what
-- comes later, so days give the pairs of one run.

CREATE TABLE every_meeting AS
SELECT near_a AS h, rest_a AS rest, word_bits, number, doc, start_char, end_char, n_words, 1 AS stands FROM meeting_sentences
UNION ALL
SELECT near_b AS h, rest_b AS rest, word_bits, number, doc, start_char, end_char, n_words, 1 AS stands FROM meeting_sentences
UNION ALL
SELECT
    h, rest, word_bits, number, NULL AS doc, start_char, NULL AS end_char, n_words,
    CASE WHEN stands THEN 1 ELSE 0 END AS stands
FROM known_meetings;

CREATE TABLE meetings AS
SELECT m.*, ROW_NUMBER() OVER (PARTITION BY m.h ORDER BY m.number, m.start_char) AS place
FROM every_meeting AS m
INNER JOIN (SELECT h FROM every_meeting GROUP BY h HAVING COUNT(*) > 1) AS shared ON m.h = shared.h;

CREATE TABLE first_meetings AS
SELECT * FROM meetings WHERE place = 1;

CREATE TABLE near_candidates AS
SELECT DISTINCT
    number,
    doc,
    start_char,
    end_char,
    earlier,
    kept_doc,
    kept_start,
    kept_end
FROM (
    SELECT
        *,
        GREATEST(
            1, GREATEST(2, FLOOR(GREATEST(n_words, their_words) / 5.0)) - FLOOR(ABS(n_words - their_words) / 2.0)
        ) AS few
    FROM (
        SELECT
            l.number, l.doc, l.start_char, l.end_char, CAST(l.n_words AS INT) AS n_words, l.rest, l.word_bits,
            e.number AS earlier, e.doc AS kept_doc, e.start_char AS kept_start, e.end_char AS kept_end,
            CAST(e.n_words AS INT) AS their_words, e.rest AS their_rest, e.word_bits AS their_bits, e.stands
        FROM meetings AS l
        INNER JOIN meetings AS e ON l.h = e.h AND l.place - 1 = e.place
        WHERE l.number > 0
        UNION ALL
        SELECT
            l.number, l.doc, l.start_char, l.end_char, CAST(l.n_words AS INT) AS n_words, l.rest, l.word_bits,
            e.number AS earlier, e.doc AS kept_doc, e.start_char AS kept_start, e.end_char AS kept_end,
            CAST(e.n_words AS INT) AS their_words, e.rest AS their_rest, e.word_bits AS their_bits, e.stands
        FROM meetings AS l
        INNER JOIN first_meetings AS e ON l.h = e.h
        WHERE l.number > 0 AND l.place > 2
    ) AS every_pair
) AS met
WHERE
    earlier < number
    AND stands = 1
    AND GREATEST(n_words, their_words) - LEAST(n_words, their_words) <= 3 + 0.1 * LEAST(n_words, their_words)
    AND (rest % 256 = their_rest % 256 OR rest - rest % 256 = their_rest - their_rest % 256)
    AND (
        word_bits = 0
        OR their_bits = 0
        OR (
            BIT_COUNT(word_bits & ~their_bits) <= few + GREATEST(n_words - their_words, 0)
            AND BIT_COUNT(their_bits & ~word_bits) <= few + GREATEST(their_words - n_words, 0)
        )
    )
ORDER BY number, start_char, earlier, kept_start;
