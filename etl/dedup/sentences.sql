-- Which sentences of this run's surviving documents repeat an earlier one, in the same document or in another.
-- in   sentences, near_sentences (see fingerprint.py), params, known_sentences and known_fingerprints (earlier runs)
--      documents, repeated_keys, recurring_sentences, judged_documents: as documents.sql made them
-- out  dropped_sentences(doc, doc_id, start_char, end_char, kept_doc_id, kept_start, rule, score, action); action: remove, or
--      annotate for a sentence that stays
--      meeting_sentences: those that near.sql compares with sentences of other documents
--
-- The copy that stays comes first by the number of its document, then by its position. Only what repeats is looked at
-- closely: most sentences leave at the count of repeated_keys.

CREATE TABLE eligible_sentences AS
SELECT
    CAST(s.number AS BIGINT) AS number,
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
    END AS across,
    CASE WHEN n.number IS NULL THEN 0 ELSE 1 END AS nearly
FROM recurring_sentences AS s
CROSS JOIN params AS p
LEFT JOIN judged_documents AS j ON s.number = j.number AND j.action = 'remove'
LEFT JOIN (
    SELECT d.number, n.start_char FROM near_sentences AS n INNER JOIN documents AS d ON n.doc = d.doc
) AS n ON s.number = n.number AND s.start_char = n.start_char
WHERE p.sentences_on AND j.number IS NULL AND s.whole AND s.n_words >= p.sentence_min_words_in_document;

CREATE TABLE own_places AS
SELECT number, key_hash, n_words, MIN(start_char) AS own_start, COUNT(*) AS times, MAX(nearly) AS nearly
FROM (
    SELECT number, key_hash, n_words, start_char, nearly FROM eligible_sentences
    UNION ALL
    SELECT number, key_hash, n_words, start_char, 0 AS nearly FROM known_sentences WHERE usable
) AS every_sentence
GROUP BY number, key_hash, n_words;

-- One row a sentence: joined to all its places at once, one that many documents have would meet itself in all their pairs.
-- What nearly repeats another sentence of its document may go for that: it is no copy that stays for other documents.

CREATE TABLE first_places AS
SELECT o.key_hash, o.n_words, o.number AS first_number, o.own_start AS first_start
FROM own_places AS o
INNER JOIN (
    SELECT key_hash, n_words, MIN(number) AS number FROM own_places WHERE nearly = 0 GROUP BY key_hash, n_words
) AS f ON o.key_hash = f.key_hash AND o.n_words = f.n_words AND o.number = f.number;

CREATE TABLE repeated_sentences AS
SELECT
    e.number,
    e.start_char,
    e.end_char,
    CASE WHEN e.across = 1 AND f.first_number < e.number THEN f.first_number ELSE e.number END AS kept_number,
    CASE WHEN e.across = 1 AND f.first_number < e.number THEN f.first_start ELSE mine.own_start END AS kept_start,
    CASE WHEN e.across = 1 AND f.first_number < e.number THEN 1 ELSE 0 END AS foreign_copy
FROM eligible_sentences AS e
CROSS JOIN params AS p
LEFT JOIN first_places AS f ON e.key_hash = f.key_hash AND e.n_words = f.n_words
INNER JOIN own_places AS mine ON e.number = mine.number AND e.key_hash = mine.key_hash AND e.n_words = mine.n_words
WHERE
    (e.across = 1 AND f.first_number < e.number)
    OR (
        e.start_char > mine.own_start
        AND NOT (p.sentence_protect_refrains AND mine.times >= 3 AND e.n_words < p.sentence_refrain_max_words)
    );

-- Near-duplicates inside one document were found where its text was at hand. One goes only while the sentence it
-- repeats stays.

CREATE TABLE nearly_repeated AS
SELECT d.number, n.start_char, n.end_char, n.kept_start, n.score
FROM near_sentences AS n
CROSS JOIN params AS p
INNER JOIN documents AS d ON n.doc = d.doc
LEFT JOIN judged_documents AS j ON n.doc = j.doc AND j.action = 'remove'
LEFT JOIN repeated_sentences AS mine ON d.number = mine.number AND n.start_char = mine.start_char
LEFT JOIN repeated_sentences AS theirs ON d.number = theirs.number AND n.kept_start = theirs.start_char
WHERE p.sentences_on AND p.sentence_near AND j.doc IS NULL AND mine.number IS NULL AND theirs.number IS NULL;

CREATE TABLE riddled_documents AS
SELECT d.number
FROM (
    SELECT number, SUM(end_char - start_char) AS chars FROM repeated_sentences WHERE foreign_copy = 1 GROUP BY number
) AS r
CROSS JOIN params AS p
INNER JOIN documents AS d ON r.number = d.number
WHERE r.chars > d.n_chars * p.sentence_max_share;

CREATE TABLE judged_sentences AS
SELECT
    r.number,
    r.start_char,
    r.end_char,
    r.kept_number,
    r.kept_start,
    'exact-sentence' AS rule,
    CAST(1.0 AS DOUBLE) AS score,
    CASE
        WHEN p.sentence_mode = 'annotate' OR (r.foreign_copy = 1 AND x.number IS NOT NULL) THEN 'annotate'
        ELSE 'remove'
    END AS action
FROM repeated_sentences AS r
CROSS JOIN params AS p
LEFT JOIN riddled_documents AS x ON r.number = x.number
UNION ALL
SELECT
    n.number,
    n.start_char,
    n.end_char,
    n.number AS kept_number,
    n.kept_start,
    'near-sentence' AS rule,
    n.score,
    p.sentence_mode AS action
FROM nearly_repeated AS n
CROSS JOIN params AS p;

CREATE TABLE dropped_sentences AS
SELECT
    d.doc,
    d.doc_id,
    j.start_char,
    j.end_char,
    COALESCE(own.doc_id, known.doc_id) AS kept_doc_id,
    j.kept_start,
    j.rule,
    j.score,
    j.action
FROM judged_sentences AS j
INNER JOIN documents AS d ON j.number = d.number
LEFT JOIN documents AS own ON j.kept_number = own.number
LEFT JOIN known_fingerprints AS known ON j.kept_number = known.number
ORDER BY d.doc_id, j.start_char;

-- What near.sql may pair with a sentence of another document: the first of its kind, in a document that stays. Who else
-- has the same sentence later changes nothing for it. What nearly repeats a sentence of its own document is left out.

CREATE TABLE first_of_kind AS
SELECT first_number AS number, first_start AS start_char FROM first_places WHERE first_number > 0;

CREATE TABLE meeting_sentences AS
SELECT d.number, s.doc, s.start_char, s.end_char, s.n_words, s.near_a, s.near_b, s.rest_a, s.rest_b, s.word_bits
FROM sentences AS s
CROSS JOIN params AS p
INNER JOIN documents AS d ON s.doc = d.doc
LEFT JOIN repeated_keys AS r ON s.key_hash = r.key_hash
LEFT JOIN judged_documents AS j ON s.doc = j.doc AND j.action = 'remove'
LEFT JOIN near_sentences AS n ON s.doc = n.doc AND s.start_char = n.start_char
LEFT JOIN first_of_kind AS f ON d.number = f.number AND s.start_char = f.start_char
WHERE
    p.sentences_on
    AND s.near_a >= 0
    AND s.n_words >= p.sentence_min_words_in_document
    AND j.doc IS NULL
    AND n.doc IS NULL
    AND (r.key_hash IS NULL OR f.number IS NOT NULL);
