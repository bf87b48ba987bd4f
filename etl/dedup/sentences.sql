-- Which sentences of this run's surviving documents repeat an earlier one, in the same document or in another.
-- in   sentences, near_sentences, history_sentences, fingerprints (see fingerprint.py), params, dropped_documents
-- out  dropped_sentences(doc_id, start_char, end_char, kept_doc_id, kept_start, rule, score, action); action: remove, or
--      annotate for a sentence that stays
--
-- The copy that stays comes first by: earlier run, then the order of documents (seen_at, longest, doc_id), then position.

CREATE TABLE eligible_sentences AS
SELECT
    s.doc_id,
    s.start_char,
    s.end_char,
    s.key_hash,
    s.n_words,
    CASE
        WHEN p.sentence_scope = 'corpus'
            AND s.n_words >= p.sentence_min_words
            AND s.ends_properly
            AND NOT (s.quoted AND p.sentence_protect_quotes)
        THEN 1 ELSE 0
    END AS across
FROM sentences AS s
CROSS JOIN params AS p
LEFT JOIN dropped_documents AS d ON s.doc_id = d.doc_id
WHERE p.sentences_on AND d.doc_id IS NULL AND s.whole AND s.n_words >= p.sentence_min_words_in_document;

CREATE TABLE repeated_keys AS
SELECT key_hash, n_words
FROM eligible_sentences
GROUP BY key_hash, n_words
HAVING COUNT(*) > 1;

CREATE TABLE known_keys AS
SELECT h.key_hash, h.n_words, h.run_key, h.doc_id, MIN(h.start_char) AS start_char
FROM history_sentences AS h
WHERE h.key_hash IN (SELECT key_hash FROM eligible_sentences WHERE across = 1)
GROUP BY h.key_hash, h.n_words, h.run_key, h.doc_id;

CREATE TABLE copied_keys AS
SELECT key_hash, n_words FROM repeated_keys
UNION
SELECT key_hash, n_words FROM known_keys;

CREATE TABLE sentence_copies AS
SELECT e.doc_id, e.start_char, e.end_char, e.key_hash, e.n_words, e.across, 1 AS era, '' AS run_key, f.seen_at, f.n_chars
FROM eligible_sentences AS e
INNER JOIN copied_keys AS c ON e.key_hash = c.key_hash AND e.n_words = c.n_words
INNER JOIN fingerprints AS f ON e.doc_id = f.doc_id
UNION ALL
SELECT doc_id, start_char, start_char AS end_char, key_hash, n_words, 1 AS across, 0 AS era, run_key, 0 AS seen_at, 0 AS n_chars
FROM known_keys;

CREATE TABLE placed_sentences AS
SELECT
    doc_id,
    start_char,
    end_char,
    n_words,
    across,
    era,
    n_chars,
    FIRST_VALUE(doc_id) OVER across_corpus AS first_doc_id,
    FIRST_VALUE(start_char) OVER across_corpus AS first_start,
    FIRST_VALUE(start_char) OVER within_document AS own_start,
    COUNT(*) OVER (PARTITION BY era, run_key, doc_id, key_hash, n_words) AS times
FROM sentence_copies
WINDOW
    across_corpus AS (PARTITION BY key_hash, n_words ORDER BY era, run_key, seen_at, n_chars DESC, doc_id, start_char),
    within_document AS (PARTITION BY era, run_key, doc_id, key_hash, n_words ORDER BY start_char);

CREATE TABLE repeated_sentences AS
SELECT doc_id, start_char, end_char, n_chars, first_doc_id AS kept_doc_id, first_start AS kept_start, 1 AS foreign_copy
FROM placed_sentences
WHERE era = 1 AND across = 1 AND doc_id <> first_doc_id
UNION ALL
SELECT placed.doc_id, placed.start_char, placed.end_char, placed.n_chars, placed.doc_id AS kept_doc_id, placed.own_start AS kept_start, 0 AS foreign_copy
FROM placed_sentences AS placed
CROSS JOIN params AS p
WHERE
    placed.era = 1
    AND placed.start_char > placed.own_start
    AND NOT (placed.across = 1 AND placed.doc_id <> placed.first_doc_id)
    AND NOT (p.sentence_protect_refrains AND placed.times >= 3 AND placed.n_words < p.sentence_refrain_max_words);

-- Near-duplicates inside one document were found where its text was at hand. One goes only while the sentence it
-- repeats stays.

CREATE TABLE nearly_repeated AS
SELECT n.doc_id, n.start_char, n.end_char, n.kept_start, n.score
FROM near_sentences AS n
CROSS JOIN params AS p
LEFT JOIN dropped_documents AS d ON n.doc_id = d.doc_id
LEFT JOIN repeated_sentences AS mine ON n.doc_id = mine.doc_id AND n.start_char = mine.start_char
LEFT JOIN repeated_sentences AS theirs ON n.doc_id = theirs.doc_id AND n.kept_start = theirs.start_char
WHERE p.sentences_on AND p.sentence_near AND d.doc_id IS NULL AND mine.doc_id IS NULL AND theirs.doc_id IS NULL;

CREATE TABLE riddled_documents AS
SELECT r.doc_id
FROM repeated_sentences AS r
CROSS JOIN params AS p
WHERE r.foreign_copy = 1
GROUP BY r.doc_id, r.n_chars, p.sentence_max_share
HAVING SUM(r.end_char - r.start_char) > r.n_chars * p.sentence_max_share;

CREATE TABLE dropped_sentences AS
SELECT doc_id, start_char, end_char, kept_doc_id, kept_start, rule, score, action
FROM (
    SELECT
        r.doc_id,
        r.start_char,
        r.end_char,
        r.kept_doc_id,
        r.kept_start,
        'exact-sentence' AS rule,
        CAST(1.0 AS DOUBLE) AS score,
        CASE
            WHEN p.sentence_mode = 'annotate' OR (r.foreign_copy = 1 AND x.doc_id IS NOT NULL) THEN 'annotate'
            ELSE 'remove'
        END AS action
    FROM repeated_sentences AS r
    CROSS JOIN params AS p
    LEFT JOIN riddled_documents AS x ON r.doc_id = x.doc_id
    UNION ALL
    SELECT
        n.doc_id,
        n.start_char,
        n.end_char,
        n.doc_id AS kept_doc_id,
        n.kept_start,
        'near-sentence' AS rule,
        n.score,
        p.sentence_mode AS action
    FROM nearly_repeated AS n
    CROSS JOIN params AS p
) AS decided
ORDER BY doc_id, start_char;
