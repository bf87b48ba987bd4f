-- Which documents of this run are copies of another, exactly or nearly, and which copy stays.
-- in   fingerprints, sketches, bands, sentences (see fingerprint.py), params
--      known_fingerprints, known_sketches, known_bands, known_sentences: what history.py found of earlier runs
-- out  dropped_documents(doc_id, kept_doc_id, rule, score), and annotated_documents, the same of copies that stay:
--      all of them when the policy is to annotate, excerpts (rule 'excerpt') when it is to keep those
--      numbered_documents(doc, number, fate, common_words, kept_doc_id, rule, score): this run's; fate: 0 stays, 1 a near
--      copy or excerpt, 2 exact; the last three of what is a copy and may have exact copies itself (known_… has them too)
--
-- A document's number is its place in the order in which copies are kept: earlier runs have negative numbers, this run's
-- count from 1 by seen_at, longest, doc_id. So the copy that stays is the one with the least number, and one number
-- names, orders and joins. A near copy is dropped only if it is similar enough to the very document that stays;
-- similarity is not handed on from one copy to the next. A near copy of an earlier run is known, with the document that
-- stays for it: exact copies of it are copies, and it has its place in its bands, as in the run that it came in.

CREATE TABLE documents AS
SELECT
    doc, doc_id, n_chars, n_tokens, key_hash, key_check, shingle_level, number_level, name_level, band_level,
    CAST(ROW_NUMBER() OVER (ORDER BY seen_at, n_chars DESC, doc_id) AS BIGINT) AS number
FROM fingerprints;

-- Exact copies: the same comparable text.

CREATE TABLE repeated_texts AS
SELECT key_hash, key_check, MIN(number) AS kept_number
FROM (
    SELECT key_hash, key_check, number FROM documents WHERE n_tokens > 0
    UNION ALL
    SELECT key_hash, key_check, number FROM known_fingerprints WHERE n_tokens > 0
) AS every_text
GROUP BY key_hash, key_check
HAVING COUNT(*) > 1;

CREATE TABLE exact_copies AS
SELECT d.number, t.kept_number
FROM documents AS d
CROSS JOIN params AS p
INNER JOIN repeated_texts AS t ON d.key_hash = t.key_hash AND d.key_check = t.key_check
WHERE p.documents_on AND d.number > t.kept_number;

-- Near copies. Candidates share two bands (short texts, which have few: one) with one of the first documents that have
-- them, or with one just before (history.py gives no others of earlier runs): a band that many documents share gives no
-- more pairs than a few for each. Bands are a sample too: a pair whose share of them is far below the limit isn't looked at
-- closer. Nearly all pairs meet in one band alone, and leave where they are counted. turn: the order of the numbers in half
-- the bytes, odd for a short text.

CREATE TABLE near_eligible AS
SELECT
    CAST(2 * d.number + CASE WHEN d.n_tokens < 60 THEN 1 ELSE 0 END AS INT) AS turn,
    d.number, d.doc, d.n_tokens, d.shingle_level, d.number_level, d.name_level, d.band_level, 1 AS may_stay
FROM documents AS d
CROSS JOIN params AS p
LEFT JOIN exact_copies AS e ON d.number = e.number
WHERE p.documents_on AND p.document_near AND e.number IS NULL AND d.n_tokens >= p.document_near_min_words
UNION ALL
SELECT
    CAST(
        CASE WHEN k.n_tokens < 60 THEN 1 ELSE 0 END - 2 * ROW_NUMBER() OVER (ORDER BY k.number DESC) AS INT
    ) AS turn,
    k.number, CAST(NULL AS BIGINT) AS doc, k.n_tokens, k.shingle_level, k.number_level, k.name_level, k.band_level,
    CASE WHEN k.kept_doc_id IS NULL THEN 1 ELSE 0 END AS may_stay
FROM known_fingerprints AS k
CROSS JOIN params AS p
WHERE p.documents_on AND p.document_near AND k.n_tokens >= p.document_near_min_words;

-- In parts of 4,000,000: bands, known_bands by h
CREATE TABLE band_members AS
SELECT h, turn, CAST(LEAST(place, 9) AS SMALLINT) AS place, one_before, two_before
FROM (
    SELECT
        h,
        turn,
        ROW_NUMBER() OVER (PARTITION BY h ORDER BY turn) AS place,
        LAG(turn, 1) OVER (PARTITION BY h ORDER BY turn) AS one_before,
        LAG(turn, 2) OVER (PARTITION BY h ORDER BY turn) AS two_before,
        LEAD(turn, 1) OVER (PARTITION BY h ORDER BY turn) AS one_after
    FROM (
        SELECT b.h, d.turn
        FROM bands AS b
        INNER JOIN near_eligible AS d ON b.doc = d.doc
        UNION ALL
        SELECT b.h, d.turn
        FROM known_bands AS b
        INNER JOIN near_eligible AS d ON b.number = d.number
    ) AS every_member
) AS members
WHERE place > 1 OR one_after IS NOT NULL;

-- In parts of 1,000,000: band_members by turn
CREATE TABLE band_pairs AS
SELECT turn, earlier, COUNT(*) AS bands
FROM (
    SELECT later.turn, first.turn AS earlier
    FROM band_members AS later
    INNER JOIN band_members AS first ON later.h = first.h AND first.place <= 6 AND first.turn < later.turn
    UNION ALL
    SELECT later.turn, later.one_before AS earlier FROM band_members AS later WHERE later.place > 7
    UNION ALL
    SELECT later.turn, later.two_before AS earlier FROM band_members AS later WHERE later.place > 8
) AS met
WHERE turn > 0
GROUP BY turn, earlier
HAVING COUNT(*) >= 2 OR turn % 2 <> 0 OR earlier % 2 <> 0;

CREATE TABLE candidate_pairs AS
SELECT
    CAST(ROW_NUMBER() OVER (ORDER BY c.turn, c.earlier) AS INT) AS pair,
    a.number,
    b.number AS earlier,
    c.earlier AS their_turn,
    a.doc,
    b.doc AS their_doc,
    CAST(POWER(2, GREATEST(a.shingle_level, b.shingle_level)) AS BIGINT) AS shingle_step,
    CAST(POWER(2, GREATEST(a.number_level, b.number_level)) AS BIGINT) AS number_step,
    CAST(POWER(2, GREATEST(a.name_level, b.name_level)) AS BIGINT) AS name_step,
    a.n_tokens AS my_tokens,
    b.n_tokens AS their_tokens
FROM band_pairs AS c
INNER JOIN near_eligible AS a ON c.turn = a.turn
INNER JOIN near_eligible AS b ON c.earlier = b.turn
CROSS JOIN params AS p
WHERE
    b.may_stay = 1
    AND c.bands * POWER(2, GREATEST(a.band_level, b.band_level))
    >= 0.4 * p.document_containment_min * (LEAST(a.n_tokens, b.n_tokens) - 3);

-- The join on a hash has the pair in its key: on the hash alone, a common run of words would meet itself in all pairs of
-- its documents. COALESCE holds a planner to that: it needs the pair, and a hash is never null. In parts, a pair has a row
-- a part.

-- In parts of 50,000,000: sketches, known_sketches by h
CREATE TABLE met_shingles AS
SELECT c.pair, COUNT(*) AS shared
FROM sketches AS s
INNER JOIN candidate_pairs AS c ON s.doc = c.doc
INNER JOIN (
    SELECT w.their_turn, s.h
    FROM sketches AS s
    INNER JOIN (SELECT DISTINCT their_turn, their_doc FROM candidate_pairs) AS w ON s.doc = w.their_doc
    WHERE s.kind = 0
    UNION ALL
    SELECT w.their_turn, s.h
    FROM known_sketches AS s
    INNER JOIN (SELECT DISTINCT their_turn, earlier FROM candidate_pairs WHERE earlier < 0) AS w ON s.number = w.earlier
    WHERE s.kind = 0
) AS theirs ON c.their_turn = theirs.their_turn AND COALESCE(s.h, c.pair) = theirs.h
WHERE s.kind = 0 AND s.h % c.shingle_step = 0
GROUP BY c.pair;

CREATE TABLE likely_pairs AS
SELECT c.*, s.shared
FROM candidate_pairs AS c
INNER JOIN (SELECT pair, CAST(SUM(shared) AS BIGINT) AS shared FROM met_shingles GROUP BY pair) AS s ON c.pair = s.pair
CROSS JOIN params AS p
WHERE
    s.shared >= 3
    AND s.shared * c.shingle_step >= 0.6 * p.document_containment_min * (LEAST(c.my_tokens, c.their_tokens) - 3);

-- A pair is compared at the deeper of the two levels, where both samples are whole.

CREATE TABLE pair_sides AS
SELECT number, doc, shingle_step, number_step, name_step FROM likely_pairs
UNION
SELECT earlier AS number, their_doc AS doc, shingle_step, number_step, name_step FROM likely_pairs;

CREATE TABLE pair_documents AS
SELECT DISTINCT number, doc FROM pair_sides;

CREATE TABLE sample_sizes AS
SELECT
    number,
    shingle_step,
    number_step,
    name_step,
    COUNT(CASE WHEN kind = 0 THEN 1 END) AS shingles,
    COUNT(CASE WHEN kind = 1 THEN 1 END) AS numbers,
    COUNT(CASE WHEN kind = 2 THEN 1 END) AS names
FROM (
    SELECT d.number, d.shingle_step, d.number_step, d.name_step, s.kind
    FROM sketches AS s
    INNER JOIN pair_sides AS d ON s.doc = d.doc
    WHERE s.h % CASE s.kind WHEN 0 THEN d.shingle_step WHEN 1 THEN d.number_step ELSE d.name_step END = 0
    UNION ALL
    SELECT d.number, d.shingle_step, d.number_step, d.name_step, s.kind
    FROM known_sketches AS s
    INNER JOIN pair_sides AS d ON s.number = d.number
    WHERE s.h % CASE s.kind WHEN 0 THEN d.shingle_step WHEN 1 THEN d.number_step ELSE d.name_step END = 0
) AS sampled
GROUP BY number, shingle_step, number_step, name_step;

CREATE TABLE pair_samples AS
SELECT
    v.*,
    CASE WHEN v.containment >= p.document_containment_sure THEN 1 ELSE 0 END AS is_sure
FROM (
    SELECT
        c.*,
        CAST(LEAST(mine.shingles, theirs.shingles) AS DOUBLE) AS sample_size,
        CAST(c.shared AS DOUBLE) / GREATEST(LEAST(mine.shingles, theirs.shingles), 1) AS containment,
        LEAST(mine.numbers, theirs.numbers) AS numbers,
        LEAST(mine.names, theirs.names) AS names
    FROM likely_pairs AS c
    INNER JOIN sample_sizes AS mine
        ON c.number = mine.number
        AND c.shingle_step = mine.shingle_step AND c.number_step = mine.number_step AND c.name_step = mine.name_step
    INNER JOIN sample_sizes AS theirs
        ON c.earlier = theirs.number
        AND c.shingle_step = theirs.shingle_step AND c.number_step = theirs.number_step AND c.name_step = theirs.name_step
) AS v
CROSS JOIN params AS p;

CREATE TABLE pair_facts AS
SELECT d.number, s.kind, s.h
FROM sketches AS s
INNER JOIN pair_documents AS d ON s.doc = d.doc
WHERE s.kind > 0
UNION ALL
SELECT s.number, s.kind, s.h
FROM known_sketches AS s
INNER JOIN pair_documents AS d ON s.number = d.number
WHERE s.kind > 0;

CREATE TABLE my_facts AS
SELECT c.pair, c.earlier, s.kind, s.h
FROM likely_pairs AS c
INNER JOIN pair_facts AS s ON c.number = s.number
WHERE s.h % CASE s.kind WHEN 1 THEN c.number_step ELSE c.name_step END = 0;

CREATE TABLE shared_facts AS
SELECT
    c.pair,
    CAST(SUM(CASE WHEN c.kind = 1 THEN 1 ELSE 0 END) AS BIGINT) AS numbers,
    CAST(SUM(CASE WHEN c.kind = 2 THEN 1 ELSE 0 END) AS BIGINT) AS names
FROM my_facts AS c
INNER JOIN pair_facts AS s ON c.earlier = s.number AND c.kind = s.kind AND c.h = s.h
GROUP BY c.pair;

-- What the two have in common in whole sentences, and what of each are sentences that many documents have: two articles
-- may share a disclaimer and nothing else, or end on the same page of "about us". A sentence is common from the
-- document on that is the last of the first few to have it, and a document's common words are counted as of its own
-- place: a later document changes nothing for earlier ones.

-- In parts of 4,000,000: sentences, known_sentences by key_hash
CREATE TABLE repeated_keys AS
SELECT key_hash, COUNT(*) AS times
FROM (
    SELECT s.key_hash FROM sentences AS s WHERE s.n_words > 0
    UNION ALL
    SELECT s.key_hash FROM known_sentences AS s
) AS every_sentence
GROUP BY key_hash
HAVING COUNT(*) > 1;

CREATE TABLE recurring_sentences AS
SELECT
    CAST(d.number AS INT) AS number, s.start_char, s.end_char, s.n_words, s.key_hash, r.times, s.whole, s.ends_properly, s.quoted
FROM sentences AS s
INNER JOIN repeated_keys AS r ON s.key_hash = r.key_hash
INNER JOIN documents AS d ON s.doc = d.doc
WHERE s.n_words > 0;

CREATE TABLE pair_sentences AS
SELECT d.number, s.key_hash, MAX(s.n_words) AS n_words
FROM recurring_sentences AS s
INNER JOIN pair_documents AS d ON s.number = d.number
GROUP BY d.number, s.key_hash
UNION ALL
SELECT s.number, s.key_hash, MAX(s.n_words) AS n_words
FROM known_sentences AS s
INNER JOIN (SELECT number FROM pair_documents WHERE number < 0) AS wanted ON s.number = wanted.number
WHERE s.n_words > 0
GROUP BY s.number, s.key_hash;

CREATE TABLE key_holders AS
SELECT key_hash, number, n_words, ROW_NUMBER() OVER (PARTITION BY key_hash ORDER BY number) AS place
FROM (
    SELECT s.key_hash, s.number, MAX(s.n_words) AS n_words
    FROM recurring_sentences AS s
    CROSS JOIN params AS p
    LEFT JOIN exact_copies AS e ON s.number = e.number
    WHERE s.times >= p.document_common_sentence AND e.number IS NULL
    GROUP BY s.key_hash, s.number
    UNION ALL
    SELECT s.key_hash, s.number, MAX(s.n_words) AS n_words
    FROM known_sentences AS s
    CROSS JOIN params AS p
    INNER JOIN repeated_keys AS r ON s.key_hash = r.key_hash AND r.times >= p.document_common_sentence
    GROUP BY s.key_hash, s.number
) AS holders;

CREATE TABLE common_keys AS
SELECT h.key_hash, h.number AS common_from
FROM key_holders AS h
CROSS JOIN params AS p
WHERE h.place = p.document_common_sentence;

CREATE TABLE common_words AS
SELECT h.number, CAST(SUM(h.n_words) AS BIGINT) AS words
FROM key_holders AS h
INNER JOIN common_keys AS k ON h.key_hash = k.key_hash AND k.common_from <= h.number
WHERE h.number > 0
GROUP BY h.number
UNION ALL
SELECT number, common_words AS words FROM known_fingerprints;

CREATE TABLE my_keys AS
SELECT c.pair, c.number, c.earlier, s.key_hash, s.n_words
FROM likely_pairs AS c
INNER JOIN pair_sentences AS s ON c.number = s.number;

CREATE TABLE shared_sentences AS
SELECT
    mine.pair,
    CAST(SUM(mine.n_words) AS BIGINT) AS words,
    CAST(SUM(CASE WHEN k.common_from <= mine.number THEN mine.n_words ELSE 0 END) AS BIGINT) AS common_words,
    CAST(SUM(CASE WHEN k.common_from <= mine.earlier THEN mine.n_words ELSE 0 END) AS BIGINT) AS common_before
FROM my_keys AS mine
INNER JOIN pair_sentences AS theirs ON mine.earlier = theirs.number AND mine.key_hash = theirs.key_hash
LEFT JOIN common_keys AS k ON mine.key_hash = k.key_hash
GROUP BY mine.pair;

CREATE TABLE pair_evidence AS
SELECT
    e.*,
    CAST(LEAST(my_words, their_words) AS DOUBLE) / GREATEST(my_words, their_words) AS length_ratio,
    CASE WHEN my_words <= their_words THEN 1 ELSE 0 END AS is_shorter,
    SQRT(e.containment * (1 - e.containment) / GREATEST(e.sample_size, 1)) AS deviation
FROM (
    SELECT
        c.number,
        c.earlier,
        LEAST(c.my_tokens, c.their_tokens) AS n_tokens,
        GREATEST(
            c.my_tokens
            - CASE WHEN c.is_sure = 1 THEN 0 ELSE COALESCE(mine.words, 0) - COALESCE(w.common_words, 0) END, 1
        ) AS my_words,
        GREATEST(
            c.their_tokens
            - CASE WHEN c.is_sure = 1 THEN 0 ELSE COALESCE(theirs.words, 0) - COALESCE(w.common_before, 0) END, 1
        ) AS their_words,
        c.shared,
        c.sample_size,
        c.containment,
        c.numbers,
        COALESCE(f.numbers, 0) AS shared_numbers,
        c.names,
        COALESCE(f.names, 0) AS shared_names,
        LEAST(1.0, CAST(COALESCE(w.words, 0) AS DOUBLE) / GREATEST(LEAST(c.my_tokens, c.their_tokens) - 3, 1))
            AS in_sentences,
        LEAST(1.0, CAST(COALESCE(w.common_words, 0) AS DOUBLE) / GREATEST(LEAST(c.my_tokens, c.their_tokens) - 3, 1))
            AS in_common
    FROM pair_samples AS c
    LEFT JOIN shared_facts AS f ON c.pair = f.pair
    LEFT JOIN shared_sentences AS w ON c.pair = w.pair
    LEFT JOIN common_words AS mine ON c.number = mine.number
    LEFT JOIN common_words AS theirs ON c.earlier = theirs.number
) AS e;

-- Much in common is enough. With less, what is outside the shared sentences must be alike too; with little less,
-- what is outside the sentences that many documents have. A containment is an estimate: it must reach three quarters
-- of the limit even a standard deviation below. In a short text one sentence from elsewhere is a large part: a third
-- more is asked of it. Numbers and names disagree only if both documents have some that the other lacks: a copy may
-- lose a paragraph or gain a byline, but a form filled in anew differs on both sides. Where not much
-- is in common, lengths are compared without the common sentences that only one of them has: an excerpt under a long
-- footer is an excerpt.

CREATE TABLE similar_pairs AS
SELECT v.number, v.earlier, v.containment AS score, v.length_ratio, v.is_shorter
FROM pair_evidence AS v
CROSS JOIN params AS p
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
SELECT s.number, s.earlier, s.score
FROM similar_pairs AS s
CROSS JOIN params AS p
WHERE s.length_ratio >= p.document_length_ratio_min;

CREATE TABLE near_copies_1 AS
SELECT o.number, MIN(o.earlier) AS kept_number
FROM open_pairs_0 AS o
LEFT JOIN (SELECT DISTINCT number FROM open_pairs_0) AS waiting ON o.earlier = waiting.number
WHERE waiting.number IS NULL
GROUP BY o.number;

CREATE TABLE open_pairs_1 AS
SELECT o.number, o.earlier
FROM open_pairs_0 AS o
LEFT JOIN near_copies_1 AS mine ON o.number = mine.number
LEFT JOIN near_copies_1 AS theirs ON o.earlier = theirs.number
WHERE mine.number IS NULL AND theirs.number IS NULL;

CREATE TABLE near_copies_2 AS
SELECT o.number, MIN(o.earlier) AS kept_number
FROM open_pairs_1 AS o
LEFT JOIN (SELECT DISTINCT number FROM open_pairs_1) AS waiting ON o.earlier = waiting.number
WHERE waiting.number IS NULL
GROUP BY o.number;

CREATE TABLE open_pairs_2 AS
SELECT o.number, o.earlier
FROM open_pairs_1 AS o
LEFT JOIN near_copies_2 AS mine ON o.number = mine.number
LEFT JOIN near_copies_2 AS theirs ON o.earlier = theirs.number
WHERE mine.number IS NULL AND theirs.number IS NULL;

CREATE TABLE near_copies_3 AS
SELECT o.number, MIN(o.earlier) AS kept_number
FROM open_pairs_2 AS o
LEFT JOIN (SELECT DISTINCT number FROM open_pairs_2) AS waiting ON o.earlier = waiting.number
WHERE waiting.number IS NULL
GROUP BY o.number;

CREATE TABLE open_pairs_3 AS
SELECT o.number, o.earlier
FROM open_pairs_2 AS o
LEFT JOIN near_copies_3 AS mine ON o.number = mine.number
LEFT JOIN near_copies_3 AS theirs ON o.earlier = theirs.number
WHERE mine.number IS NULL AND theirs.number IS NULL;

CREATE TABLE near_copies_4 AS
SELECT o.number, MIN(o.earlier) AS kept_number
FROM open_pairs_3 AS o
LEFT JOIN (SELECT DISTINCT number FROM open_pairs_3) AS waiting ON o.earlier = waiting.number
WHERE waiting.number IS NULL
GROUP BY o.number;

CREATE TABLE near_copies AS
SELECT c.number, c.kept_number, o.score
FROM (
    SELECT number, kept_number FROM near_copies_1
    UNION ALL
    SELECT number, kept_number FROM near_copies_2
    UNION ALL
    SELECT number, kept_number FROM near_copies_3
    UNION ALL
    SELECT number, kept_number FROM near_copies_4
) AS c
INNER JOIN open_pairs_0 AS o ON c.number = o.number AND c.kept_number = o.earlier;

CREATE TABLE first_excerpts AS
SELECT x.number, MIN(x.earlier) AS kept_number
FROM similar_pairs AS x
CROSS JOIN params AS p
LEFT JOIN near_copies AS mine ON x.number = mine.number
LEFT JOIN near_copies AS theirs ON x.earlier = theirs.number
WHERE
    x.length_ratio < p.document_length_ratio_min
    AND x.is_shorter = 1
    AND x.score >= p.document_excerpt_containment_min
    AND mine.number IS NULL
    AND theirs.number IS NULL
GROUP BY x.number;

CREATE TABLE alike_documents AS
SELECT number, kept_number, 'near-document' AS rule, score, 1 AS hands_on FROM near_copies
UNION ALL
SELECT
    x.number, x.kept_number, 'excerpt' AS rule, s.score,
    CASE WHEN p.document_excerpts = 'remove' THEN 1 ELSE 0 END AS hands_on
FROM first_excerpts AS x
CROSS JOIN params AS p
INNER JOIN similar_pairs AS s ON x.number = s.number AND x.kept_number = s.earlier;

-- An exact copy of a document that goes points to the one that stays.

CREATE TABLE document_copies AS
SELECT
    e.number,
    COALESCE(a.kept_number, e.kept_number) AS kept_number,
    COALESCE(a.rule, k.rule, 'exact-document') AS rule,
    COALESCE(a.score, k.score, 1.0) AS score
FROM exact_copies AS e
LEFT JOIN alike_documents AS a ON e.kept_number = a.number AND a.hands_on = 1
LEFT JOIN known_fingerprints AS k ON e.kept_number = k.number
UNION ALL
SELECT number, kept_number, rule, score FROM alike_documents;

CREATE TABLE judged_documents AS
SELECT
    c.number,
    d.doc,
    d.doc_id,
    COALESCE(own.doc_id, known.kept_doc_id, known.doc_id) AS kept_doc_id,
    c.rule,
    CAST(c.score AS DOUBLE) AS score,
    CASE
        WHEN p.document_mode = 'remove' AND (c.rule <> 'excerpt' OR p.document_excerpts = 'remove') THEN 'remove'
        ELSE 'annotate'
    END AS action
FROM document_copies AS c
CROSS JOIN params AS p
INNER JOIN documents AS d ON c.number = d.number
LEFT JOIN documents AS own ON c.kept_number = own.number
LEFT JOIN known_fingerprints AS known ON c.kept_number = known.number;

CREATE TABLE dropped_documents AS
SELECT doc_id, kept_doc_id, rule, score FROM judged_documents WHERE action = 'remove' ORDER BY doc_id;

CREATE TABLE annotated_documents AS
SELECT doc_id, kept_doc_id, rule, score FROM judged_documents WHERE action = 'annotate' ORDER BY doc_id;

CREATE TABLE numbered_documents AS
SELECT
    d.doc,
    d.number,
    CASE WHEN j.number IS NULL THEN 0 WHEN e.number IS NULL THEN 1 ELSE 2 END AS fate,
    COALESCE(w.words, 0) AS common_words,
    c.kept_doc_id,
    c.rule,
    c.score
FROM documents AS d
LEFT JOIN common_words AS w ON d.number = w.number
LEFT JOIN judged_documents AS j ON d.number = j.number AND j.action = 'remove'
LEFT JOIN exact_copies AS e ON d.number = e.number
LEFT JOIN alike_documents AS a ON d.number = a.number AND a.hands_on = 1
LEFT JOIN judged_documents AS c ON a.number = c.number
ORDER BY d.number;
