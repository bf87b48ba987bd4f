-- Which documents of this run are copies of another, exactly or nearly, and which copy stays.
-- in   fingerprints, sketches, history_fingerprints, history_sketches (see fingerprint.py; history with run_key), params
-- out  dropped_documents(doc_id, kept_doc_id, rule, score), and annotated_documents, the same of copies that stay:
--      all of them when the policy is to annotate, excerpts (rule 'excerpt') when it is to keep those
--
-- The copy that stays comes first by: earlier run, seen_at, longest, doc_id. A near copy is dropped only if it is
-- similar enough to the very document that stays; similarity is not handed on from one copy to the next.

CREATE TABLE document_order AS
SELECT
    f.doc_id, 1 AS era, '' AS run_key, f.seen_at, f.n_chars, f.n_tokens, f.key_hash, f.key_check,
    f.shingle_level, f.number_level, f.name_level, f.band_level
FROM fingerprints AS f
CROSS JOIN params AS p
WHERE p.documents_on AND f.n_tokens > 0
UNION ALL
SELECT
    f.doc_id, 0 AS era, f.run_key, f.seen_at, f.n_chars, f.n_tokens, f.key_hash, f.key_check,
    f.shingle_level, f.number_level, f.name_level, f.band_level
FROM history_fingerprints AS f
CROSS JOIN params AS p
WHERE p.documents_on AND f.n_tokens > 0;

-- Exact copies: the same comparable text.

CREATE TABLE exact_copies AS
SELECT doc_id, kept_doc_id
FROM (
    SELECT
        d.doc_id,
        d.era,
        FIRST_VALUE(d.doc_id) OVER same_text AS kept_doc_id,
        ROW_NUMBER() OVER same_text AS place
    FROM document_order AS d
    INNER JOIN (SELECT DISTINCT key_hash FROM fingerprints) AS k ON d.key_hash = k.key_hash
    WINDOW same_text AS (
        PARTITION BY d.key_hash, d.key_check ORDER BY d.era, d.run_key, d.seen_at, d.n_chars DESC, d.doc_id
    )
) AS placed
WHERE era = 1 AND place > 1;

-- Near copies. Candidates share two bands (short texts, which have few: one) with one of the first documents that have
-- them, or with one just before: a band that many documents share gives no more pairs than a few for each.

CREATE TABLE near_eligible AS
SELECT d.*
FROM document_order AS d
CROSS JOIN params AS p
LEFT JOIN exact_copies AS e ON d.doc_id = e.doc_id AND d.era = 1
WHERE p.document_near AND e.doc_id IS NULL AND d.n_tokens >= p.document_near_min_words;

CREATE TABLE own_bands AS
SELECT s.doc_id, s.h
FROM sketches AS s
INNER JOIN near_eligible AS d ON s.doc_id = d.doc_id AND d.era = 1
WHERE s.kind = 0 AND s.depth >= d.band_level;

CREATE TABLE known_bands AS
SELECT s.doc_id, s.run_key, s.h
FROM history_sketches AS s
INNER JOIN (SELECT DISTINCT h FROM own_bands) AS b ON s.h = b.h
INNER JOIN near_eligible AS d ON s.doc_id = d.doc_id AND s.run_key = d.run_key AND d.era = 0
WHERE s.kind = 0 AND s.depth >= d.band_level;

CREATE TABLE shared_bands AS
SELECT h
FROM (SELECT h FROM own_bands UNION ALL SELECT h FROM known_bands) AS every_band
GROUP BY h
HAVING COUNT(*) > 1;

CREATE TABLE band_members AS
SELECT b.h, d.doc_id, d.era, ROW_NUMBER() OVER (
    PARTITION BY b.h ORDER BY d.era, d.run_key, d.seen_at, d.n_chars DESC, d.doc_id
) AS place
FROM (
    SELECT doc_id, 1 AS era, h FROM own_bands
    UNION ALL
    SELECT doc_id, 0 AS era, h FROM known_bands
) AS b
INNER JOIN shared_bands AS s ON b.h = s.h
INNER JOIN near_eligible AS d ON b.doc_id = d.doc_id AND b.era = d.era;

CREATE TABLE candidate_pairs AS
SELECT
    c.doc_id,
    c.earlier_id,
    c.earlier_era,
    GREATEST(a.shingle_level, b.shingle_level) AS shingle_level,
    GREATEST(a.number_level, b.number_level) AS number_level,
    GREATEST(a.name_level, b.name_level) AS name_level,
    1.0 * LEAST(a.n_tokens, b.n_tokens) / GREATEST(a.n_tokens, b.n_tokens) AS length_ratio,
    LEAST(a.n_tokens, b.n_tokens) AS n_tokens,
    CASE WHEN a.n_tokens <= b.n_tokens THEN 1 ELSE 0 END AS is_shorter
FROM (
    SELECT later.doc_id, earlier.doc_id AS earlier_id, earlier.era AS earlier_era, COUNT(*) AS bands
    FROM band_members AS later
    INNER JOIN band_members AS earlier ON later.h = earlier.h AND earlier.place < later.place
    WHERE later.era = 1 AND (earlier.place <= 6 OR earlier.place >= later.place - 2)
    GROUP BY later.doc_id, earlier.doc_id, earlier.era
) AS c
INNER JOIN near_eligible AS a ON c.doc_id = a.doc_id AND a.era = 1
INNER JOIN near_eligible AS b ON c.earlier_id = b.doc_id AND c.earlier_era = b.era
WHERE c.bands >= 2 OR LEAST(a.n_tokens, b.n_tokens) < 60;

CREATE TABLE pair_sketches AS
SELECT s.doc_id, 1 AS era, s.kind, s.h, s.depth
FROM sketches AS s
INNER JOIN (
    SELECT doc_id FROM candidate_pairs
    UNION
    SELECT earlier_id FROM candidate_pairs WHERE earlier_era = 1
) AS wanted ON s.doc_id = wanted.doc_id
UNION ALL
SELECT s.doc_id, 0 AS era, s.kind, s.h, s.depth
FROM history_sketches AS s
INNER JOIN near_eligible AS d ON s.doc_id = d.doc_id AND s.run_key = d.run_key AND d.era = 0
INNER JOIN (SELECT DISTINCT earlier_id FROM candidate_pairs WHERE earlier_era = 0) AS wanted ON s.doc_id = wanted.earlier_id;

-- Each join on a hash has the pair in its key, in a table made before: joined on the hash alone, a common run of words
-- would meet itself in all pairs of its documents.

CREATE TABLE candidate_hashes AS
SELECT c.doc_id, c.earlier_id, c.earlier_era, s.h
FROM candidate_pairs AS c
INNER JOIN pair_sketches AS s ON c.doc_id = s.doc_id AND s.era = 1
WHERE s.kind = 0 AND s.depth >= c.shingle_level;

CREATE TABLE shared_shingles AS
SELECT c.doc_id, c.earlier_id, c.earlier_era, COUNT(*) AS shared
FROM candidate_hashes AS c
INNER JOIN pair_sketches AS s ON c.earlier_id = s.doc_id AND c.earlier_era = s.era AND c.h = s.h
WHERE s.kind = 0
GROUP BY c.doc_id, c.earlier_id, c.earlier_era
HAVING COUNT(*) >= 3;

CREATE TABLE likely_pairs AS
SELECT c.*, s.shared
FROM candidate_pairs AS c
INNER JOIN shared_shingles AS s ON c.doc_id = s.doc_id AND c.earlier_id = s.earlier_id AND c.earlier_era = s.earlier_era
CROSS JOIN params AS p
WHERE s.shared * POWER(2, c.shingle_level) >= 0.6 * p.document_containment_min * (c.n_tokens - 3);

-- A pair is compared at the deeper of the two levels, where both samples are whole.

CREATE TABLE my_hashes AS
SELECT c.doc_id, c.earlier_id, c.earlier_era, s.kind, s.h
FROM likely_pairs AS c
INNER JOIN pair_sketches AS s ON c.doc_id = s.doc_id AND s.era = 1
WHERE s.depth >= CASE s.kind WHEN 0 THEN c.shingle_level WHEN 1 THEN c.number_level ELSE c.name_level END;

CREATE TABLE their_hashes AS
SELECT c.doc_id, c.earlier_id, c.earlier_era, s.kind, s.h
FROM likely_pairs AS c
INNER JOIN pair_sketches AS s ON c.earlier_id = s.doc_id AND c.earlier_era = s.era
WHERE s.depth >= CASE s.kind WHEN 0 THEN c.shingle_level WHEN 1 THEN c.number_level ELSE c.name_level END;

CREATE TABLE sample_sizes AS
SELECT
    doc_id,
    earlier_id,
    earlier_era,
    SUM(CASE WHEN side = 1 AND kind = 0 THEN 1 ELSE 0 END) AS my_shingles,
    SUM(CASE WHEN side = 2 AND kind = 0 THEN 1 ELSE 0 END) AS their_shingles,
    SUM(CASE WHEN side = 1 AND kind = 1 THEN 1 ELSE 0 END) AS my_numbers,
    SUM(CASE WHEN side = 2 AND kind = 1 THEN 1 ELSE 0 END) AS their_numbers,
    SUM(CASE WHEN side = 3 AND kind = 1 THEN 1 ELSE 0 END) AS shared_numbers,
    SUM(CASE WHEN side = 1 AND kind = 2 THEN 1 ELSE 0 END) AS my_names,
    SUM(CASE WHEN side = 2 AND kind = 2 THEN 1 ELSE 0 END) AS their_names,
    SUM(CASE WHEN side = 3 AND kind = 2 THEN 1 ELSE 0 END) AS shared_names
FROM (
    SELECT doc_id, earlier_id, earlier_era, kind, 1 AS side FROM my_hashes
    UNION ALL
    SELECT doc_id, earlier_id, earlier_era, kind, 2 AS side FROM their_hashes
    UNION ALL
    SELECT mine.doc_id, mine.earlier_id, mine.earlier_era, mine.kind, 3 AS side
    FROM my_hashes AS mine
    INNER JOIN their_hashes AS theirs
        ON mine.doc_id = theirs.doc_id
        AND mine.earlier_id = theirs.earlier_id
        AND mine.earlier_era = theirs.earlier_era
        AND mine.kind = theirs.kind
        AND mine.h = theirs.h
    WHERE mine.kind > 0
) AS counted
GROUP BY doc_id, earlier_id, earlier_era;

-- What the two have in common in whole sentences, and in sentences that many documents have: two articles may share a
-- disclaimer and nothing else.

CREATE TABLE pair_sentences AS
SELECT s.doc_id, 1 AS era, s.key_hash, MAX(s.n_words) AS n_words
FROM sentences AS s
INNER JOIN (
    SELECT doc_id FROM likely_pairs
    UNION
    SELECT earlier_id FROM likely_pairs WHERE earlier_era = 1
) AS wanted ON s.doc_id = wanted.doc_id
WHERE s.n_words > 0
GROUP BY s.doc_id, s.key_hash
UNION ALL
SELECT s.doc_id, 0 AS era, s.key_hash, MAX(s.n_words) AS n_words
FROM history_sentences AS s
INNER JOIN near_eligible AS d ON s.doc_id = d.doc_id AND s.run_key = d.run_key AND d.era = 0
INNER JOIN (SELECT DISTINCT earlier_id FROM likely_pairs WHERE earlier_era = 0) AS wanted ON s.doc_id = wanted.earlier_id
WHERE s.n_words > 0
GROUP BY s.doc_id, s.key_hash;

CREATE TABLE likely_keys AS
SELECT c.doc_id, c.earlier_id, c.earlier_era, s.key_hash, s.n_words
FROM likely_pairs AS c
INNER JOIN pair_sentences AS s ON c.doc_id = s.doc_id AND s.era = 1;

CREATE TABLE shared_keys AS
SELECT c.doc_id, c.earlier_id, c.earlier_era, c.key_hash, c.n_words
FROM likely_keys AS c
INNER JOIN pair_sentences AS s ON c.earlier_id = s.doc_id AND c.earlier_era = s.era AND c.key_hash = s.key_hash;

CREATE TABLE common_keys AS
SELECT k.key_hash
FROM (
    SELECT s.key_hash, s.doc_id FROM sentences AS s
    INNER JOIN (SELECT DISTINCT key_hash FROM shared_keys) AS wanted ON s.key_hash = wanted.key_hash
    UNION
    SELECT s.key_hash, s.doc_id FROM history_sentences AS s
    INNER JOIN (SELECT DISTINCT key_hash FROM shared_keys) AS wanted ON s.key_hash = wanted.key_hash
) AS k
CROSS JOIN params AS p
GROUP BY k.key_hash, p.document_common_sentence
HAVING COUNT(*) >= p.document_common_sentence;

CREATE TABLE shared_sentences AS
SELECT
    s.doc_id,
    s.earlier_id,
    s.earlier_era,
    SUM(s.n_words) AS words,
    SUM(CASE WHEN c.key_hash IS NULL THEN 0 ELSE s.n_words END) AS common_words
FROM shared_keys AS s
LEFT JOIN common_keys AS c ON s.key_hash = c.key_hash
GROUP BY s.doc_id, s.earlier_id, s.earlier_era;

CREATE TABLE pair_evidence AS
SELECT
    e.*,
    SQRT(e.containment * (1 - e.containment) / GREATEST(e.sample_size, 1)) AS deviation
FROM (
    SELECT
        c.doc_id,
        c.earlier_id,
        c.earlier_era,
        c.length_ratio,
        c.n_tokens,
        c.is_shorter,
        c.shared,
        CAST(LEAST(z.my_shingles, z.their_shingles) AS DOUBLE) AS sample_size,
        CAST(c.shared AS DOUBLE) / GREATEST(LEAST(z.my_shingles, z.their_shingles), 1) AS containment,
        LEAST(z.my_numbers, z.their_numbers) AS numbers,
        z.shared_numbers,
        LEAST(z.my_names, z.their_names) AS names,
        z.shared_names,
        LEAST(1.0, CAST(COALESCE(w.words, 0) AS DOUBLE) / GREATEST(c.n_tokens - 3, 1)) AS in_sentences,
        LEAST(1.0, CAST(COALESCE(w.common_words, 0) AS DOUBLE) / GREATEST(c.n_tokens - 3, 1)) AS in_common
    FROM likely_pairs AS c
    INNER JOIN sample_sizes AS z
        ON c.doc_id = z.doc_id AND c.earlier_id = z.earlier_id AND c.earlier_era = z.earlier_era
    LEFT JOIN shared_sentences AS w
        ON c.doc_id = w.doc_id AND c.earlier_id = w.earlier_id AND c.earlier_era = w.earlier_era
) AS e;

-- Much in common is enough. With less, what is outside the shared sentences must be alike too; with little less,
-- what is outside the sentences that many documents have. A containment is an estimate: it must reach three quarters
-- of the limit even a standard deviation below. In a short text one sentence from elsewhere is a large part: a third
-- more is asked of it. Numbers and names disagree only if both documents have some that the other lacks: a copy may
-- lose a paragraph or gain a byline, but a form filled in anew differs on both sides.

CREATE TABLE similar_pairs AS
SELECT
    v.doc_id, v.earlier_id, v.containment AS score, v.length_ratio, v.is_shorter,
    d.era, d.run_key, d.seen_at, d.n_chars
FROM pair_evidence AS v
CROSS JOIN params AS p
INNER JOIN near_eligible AS d ON v.earlier_id = d.doc_id AND v.earlier_era = d.era
WHERE
    v.shared >= 3
    AND v.containment >= p.document_containment_min * CASE WHEN v.n_tokens < p.document_short_words THEN 1.35 ELSE 1 END
    AND v.containment - v.deviation >= 0.75 * p.document_containment_min
    AND (
        v.containment >= p.document_containment_sure
        OR v.containment - v.in_sentences >= p.document_rest_containment_min * (1 - v.in_sentences)
        OR (
            v.containment >= 0.8 * p.document_containment_sure
            AND v.containment - v.in_common >= p.document_rest_containment_min * (1 - v.in_common)
        )
    )
    AND NOT (
        v.numbers - v.shared_numbers >= CASE WHEN v.n_tokens < p.document_short_words THEN 1 ELSE 2 END
        AND v.shared_numbers < p.document_numbers_min * v.numbers
    )
    AND NOT (v.names >= v.shared_names + 2 AND v.shared_names < p.document_names_min * v.names);

-- The first document in the order stays; each that is similar to it goes; of the rest, the first stays, and so on. Each
-- round settles the documents whose earlier neighbours are settled; four rounds are more than real copies need, and
-- what is open after them stays.

CREATE TABLE open_pairs_0 AS
SELECT doc_id, earlier_id, earlier_id AS kept_doc_id, score, era, run_key, seen_at, n_chars
FROM similar_pairs
WHERE length_ratio >= (SELECT MAX(document_length_ratio_min) FROM params);

CREATE TABLE near_copies_1 AS
SELECT doc_id, kept_doc_id, score
FROM (
    SELECT o.doc_id, o.kept_doc_id, o.score, ROW_NUMBER() OVER (
        PARTITION BY o.doc_id ORDER BY o.era, o.run_key, o.seen_at, o.n_chars DESC, o.kept_doc_id
    ) AS place
    FROM open_pairs_0 AS o
    LEFT JOIN (SELECT DISTINCT doc_id FROM open_pairs_0) AS waiting ON o.earlier_id = waiting.doc_id AND o.era = 1
    WHERE waiting.doc_id IS NULL
) AS placed
WHERE place = 1;

CREATE TABLE open_pairs_1 AS
SELECT o.*
FROM open_pairs_0 AS o
LEFT JOIN near_copies_1 AS mine ON o.doc_id = mine.doc_id
LEFT JOIN near_copies_1 AS theirs ON o.earlier_id = theirs.doc_id AND o.era = 1
WHERE mine.doc_id IS NULL AND theirs.doc_id IS NULL;

CREATE TABLE near_copies_2 AS
SELECT doc_id, kept_doc_id, score
FROM (
    SELECT o.doc_id, o.kept_doc_id, o.score, ROW_NUMBER() OVER (
        PARTITION BY o.doc_id ORDER BY o.era, o.run_key, o.seen_at, o.n_chars DESC, o.kept_doc_id
    ) AS place
    FROM open_pairs_1 AS o
    LEFT JOIN (SELECT DISTINCT doc_id FROM open_pairs_1) AS waiting ON o.earlier_id = waiting.doc_id AND o.era = 1
    WHERE waiting.doc_id IS NULL
) AS placed
WHERE place = 1;

CREATE TABLE open_pairs_2 AS
SELECT o.*
FROM open_pairs_1 AS o
LEFT JOIN near_copies_2 AS mine ON o.doc_id = mine.doc_id
LEFT JOIN near_copies_2 AS theirs ON o.earlier_id = theirs.doc_id AND o.era = 1
WHERE mine.doc_id IS NULL AND theirs.doc_id IS NULL;

CREATE TABLE near_copies_3 AS
SELECT doc_id, kept_doc_id, score
FROM (
    SELECT o.doc_id, o.kept_doc_id, o.score, ROW_NUMBER() OVER (
        PARTITION BY o.doc_id ORDER BY o.era, o.run_key, o.seen_at, o.n_chars DESC, o.kept_doc_id
    ) AS place
    FROM open_pairs_2 AS o
    LEFT JOIN (SELECT DISTINCT doc_id FROM open_pairs_2) AS waiting ON o.earlier_id = waiting.doc_id AND o.era = 1
    WHERE waiting.doc_id IS NULL
) AS placed
WHERE place = 1;

CREATE TABLE open_pairs_3 AS
SELECT o.*
FROM open_pairs_2 AS o
LEFT JOIN near_copies_3 AS mine ON o.doc_id = mine.doc_id
LEFT JOIN near_copies_3 AS theirs ON o.earlier_id = theirs.doc_id AND o.era = 1
WHERE mine.doc_id IS NULL AND theirs.doc_id IS NULL;

CREATE TABLE near_copies_4 AS
SELECT doc_id, kept_doc_id, score
FROM (
    SELECT o.doc_id, o.kept_doc_id, o.score, ROW_NUMBER() OVER (
        PARTITION BY o.doc_id ORDER BY o.era, o.run_key, o.seen_at, o.n_chars DESC, o.kept_doc_id
    ) AS place
    FROM open_pairs_3 AS o
    LEFT JOIN (SELECT DISTINCT doc_id FROM open_pairs_3) AS waiting ON o.earlier_id = waiting.doc_id AND o.era = 1
    WHERE waiting.doc_id IS NULL
) AS placed
WHERE place = 1;

CREATE TABLE near_copies AS
SELECT doc_id, kept_doc_id, score FROM near_copies_1
UNION ALL
SELECT doc_id, kept_doc_id, score FROM near_copies_2
UNION ALL
SELECT doc_id, kept_doc_id, score FROM near_copies_3
UNION ALL
SELECT doc_id, kept_doc_id, score FROM near_copies_4;

CREATE TABLE excerpts AS
SELECT doc_id, kept_doc_id, score
FROM (
    SELECT x.doc_id, x.earlier_id AS kept_doc_id, x.score, ROW_NUMBER() OVER (
        PARTITION BY x.doc_id ORDER BY x.era, x.run_key, x.seen_at, x.n_chars DESC, x.earlier_id
    ) AS place
    FROM similar_pairs AS x
    CROSS JOIN params AS p
    LEFT JOIN near_copies AS mine ON x.doc_id = mine.doc_id
    LEFT JOIN near_copies AS theirs ON x.earlier_id = theirs.doc_id AND x.era = 1
    WHERE
        x.length_ratio < p.document_length_ratio_min
        AND x.is_shorter = 1
        AND x.score >= p.document_excerpt_containment_min
        AND mine.doc_id IS NULL
        AND theirs.doc_id IS NULL
) AS placed
WHERE place = 1;

-- An exact copy of a document that goes as a near copy points to the one that stays.

CREATE TABLE document_copies AS
SELECT e.doc_id, COALESCE(n.kept_doc_id, e.kept_doc_id) AS kept_doc_id,
    CASE WHEN n.doc_id IS NULL THEN 'exact-document' ELSE 'near-document' END AS rule,
    COALESCE(n.score, 1.0) AS score
FROM exact_copies AS e
LEFT JOIN near_copies AS n ON e.kept_doc_id = n.doc_id
UNION ALL
SELECT doc_id, kept_doc_id, 'near-document' AS rule, score FROM near_copies
UNION ALL
SELECT doc_id, kept_doc_id, 'excerpt' AS rule, score FROM excerpts;

CREATE TABLE dropped_documents AS
SELECT c.doc_id, c.kept_doc_id, c.rule, CAST(c.score AS DOUBLE) AS score
FROM document_copies AS c
CROSS JOIN params AS p
WHERE p.document_mode = 'remove' AND (c.rule <> 'excerpt' OR p.document_excerpts = 'remove')
ORDER BY c.doc_id;

CREATE TABLE annotated_documents AS
SELECT c.doc_id, c.kept_doc_id, c.rule, CAST(c.score AS DOUBLE) AS score
FROM document_copies AS c
CROSS JOIN params AS p
WHERE NOT (p.document_mode = 'remove' AND (c.rule <> 'excerpt' OR p.document_excerpts = 'remove'))
ORDER BY c.doc_id;
