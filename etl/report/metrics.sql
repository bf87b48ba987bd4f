-- What a run wrote, counted for its report.
-- in   documents, removals, rejects      the run's parts of the three datasets
-- out  by_rule(stage, rule, unit, reason, n, chars)                   reason: null where a rule has several
--      by_site(site, documents, chars_kept, chars_removed, sites)      the 50 largest; sites: how many there are
--      by_error(error, n, message, source)                             message, source: those of the first reject
--      clusters(kept_doc_id, n, score_min, source, title)              the 20 largest; source, title: null for an earlier run's
--      members(kept_doc_id, place, doc_id, source, rule, score)        the first five copies of each of them
--      samples(stage, rule, place, doc_id, source, unit, start_at, text, chars, reason, score, kept_doc_id, before, after)
--                                                                 three different texts of each rule, of the smallest doc_ids
CREATE TABLE by_rule AS
SELECT r.stage, r.rule, r.unit,
       CASE WHEN MIN(r.reason) = MAX(r.reason) THEN MIN(r.reason) END AS reason,
       COUNT(*) AS n, CAST(SUM(r.end - r.start) AS BIGINT) AS chars
FROM removals r
GROUP BY r.stage, r.rule, r.unit
ORDER BY r.stage, r.rule, r.unit;

CREATE TABLE all_sites AS
SELECT d.site, COUNT(*) AS documents, CAST(SUM(d.n_chars) AS BIGINT) AS chars_kept, CAST(SUM(d.removed_chars) AS BIGINT) AS chars_removed
FROM documents d
GROUP BY d.site;

CREATE TABLE by_site AS
SELECT s.site, s.documents, s.chars_kept, s.chars_removed, COUNT(*) OVER () AS sites
FROM all_sites s
ORDER BY s.documents DESC, s.chars_kept DESC, s.site
LIMIT 50;

CREATE TABLE numbered_rejects AS
SELECT j.error, j.message, j.source, ROW_NUMBER() OVER (PARTITION BY j.error ORDER BY j.source, j.record, j.message) AS place
FROM rejects j;

CREATE TABLE by_error AS
SELECT j.error, COUNT(*) AS n,
       MIN(CASE WHEN j.place = 1 THEN SUBSTRING(j.message, 1, 300) END) AS message,
       MIN(CASE WHEN j.place = 1 THEN j.source END) AS source
FROM numbered_rejects j
GROUP BY j.error
ORDER BY n DESC, j.error;

CREATE TABLE copies AS
SELECT r.kept_doc_id, r.doc_id, r.source, r.rule, r.score
FROM removals r
WHERE r.unit = 'document' AND r.kept_doc_id IS NOT NULL;

CREATE TABLE largest AS
SELECT c.kept_doc_id, COUNT(*) AS n, MIN(c.score) AS score_min
FROM copies c
GROUP BY c.kept_doc_id
ORDER BY n DESC, c.kept_doc_id
LIMIT 20;

CREATE TABLE clusters AS
SELECT l.kept_doc_id, l.n, l.score_min, d.source, SUBSTRING(d.title, 1, 200) AS title
FROM largest l
LEFT JOIN documents d ON d.doc_id = l.kept_doc_id
ORDER BY l.n DESC, l.kept_doc_id;

CREATE TABLE numbered_copies AS
SELECT c.kept_doc_id, c.doc_id, c.source, c.rule, c.score, ROW_NUMBER() OVER (PARTITION BY c.kept_doc_id ORDER BY c.doc_id) AS place
FROM copies c
JOIN largest l ON l.kept_doc_id = c.kept_doc_id;

CREATE TABLE members AS
SELECT m.kept_doc_id, m.place, m.doc_id, m.source, m.rule, m.score
FROM numbered_copies m
WHERE m.place <= 5
ORDER BY m.kept_doc_id, m.place;

-- Samples: three texts of each rule, from three documents if it has them. The documents with the smallest ids are found by
-- one aggregate after another, so that nothing is sorted and memory holds a row a rule, however many removals there are.
CREATE TABLE first_docs AS
SELECT r.stage, r.rule, MIN(r.doc_id) AS doc_id FROM removals r GROUP BY r.stage, r.rule;

CREATE TABLE second_docs AS
SELECT r.stage, r.rule, MIN(r.doc_id) AS doc_id
FROM removals r JOIN first_docs f ON f.stage = r.stage AND f.rule = r.rule
WHERE r.doc_id > f.doc_id
GROUP BY r.stage, r.rule;

CREATE TABLE third_docs AS
SELECT r.stage, r.rule, MIN(r.doc_id) AS doc_id
FROM removals r JOIN second_docs f ON f.stage = r.stage AND f.rule = r.rule
WHERE r.doc_id > f.doc_id
GROUP BY r.stage, r.rule;

CREATE TABLE early_docs AS
SELECT stage, rule, doc_id FROM first_docs
UNION ALL SELECT stage, rule, doc_id FROM second_docs
UNION ALL SELECT stage, rule, doc_id FROM third_docs;

CREATE TABLE early_texts AS
SELECT r.stage, r.rule, r.doc_id, r.start AS start_at, r.source, r.unit, SUBSTRING(r.text, 1, 300) AS text,
       r.end - r.start AS chars, SUBSTRING(r.reason, 1, 300) AS reason, r.score, r.kept_doc_id,
       ROW_NUMBER() OVER (PARTITION BY r.stage, r.rule, r.doc_id ORDER BY r.start) AS turn
FROM removals r
JOIN early_docs e ON e.doc_id = r.doc_id AND e.rule = r.rule AND e.stage = r.stage;

CREATE TABLE numbered_places AS
SELECT e.*, ROW_NUMBER() OVER (PARTITION BY e.stage, e.rule ORDER BY e.turn, e.doc_id) AS place
FROM early_texts e;

CREATE TABLE first_of_text AS
SELECT n.stage, n.rule, n.text, MIN(n.place) AS place FROM numbered_places n GROUP BY n.stage, n.rule, n.text;

CREATE TABLE numbered_texts AS
SELECT f.stage, f.rule, f.place, ROW_NUMBER() OVER (PARTITION BY f.stage, f.rule ORDER BY f.place) AS sample
FROM first_of_text f;

CREATE TABLE chosen AS
SELECT e.stage, e.rule, n.sample, e.doc_id, e.source, e.unit, e.start_at, e.text, e.chars, e.reason, e.score, e.kept_doc_id
FROM numbered_texts n
JOIN numbered_places e ON e.stage = n.stage AND e.rule = n.rule AND e.place = n.place
WHERE n.sample <= 3;

-- Where the cut was in the kept text: its start, less what was cut before it.
CREATE TABLE chosen_at AS
SELECT c.stage, c.rule, c.sample, c.start_at - CAST(COALESCE(SUM(r.end - r.start), 0) AS BIGINT) AS kept_at
FROM chosen c
LEFT JOIN removals r ON r.doc_id = c.doc_id AND r.start < c.start_at
WHERE c.unit <> 'document'
GROUP BY c.stage, c.rule, c.sample, c.start_at;

CREATE TABLE sampled_documents AS
SELECT d.doc_id, d.text
FROM documents d
JOIN (SELECT DISTINCT c.doc_id FROM chosen c WHERE c.unit <> 'document') c ON c.doc_id = d.doc_id;

CREATE TABLE samples AS
SELECT c.stage, c.rule, c.sample AS place, c.doc_id, c.source, c.unit, c.start_at, c.text, c.chars, c.reason, c.score, c.kept_doc_id,
       SUBSTRING(d.text, CAST(GREATEST(a.kept_at - 79, 1) AS INT), CAST(LEAST(a.kept_at, 80) AS INT)) AS before,
       SUBSTRING(d.text, CAST(a.kept_at + 1 AS INT), 80) AS after
FROM chosen c
LEFT JOIN chosen_at a ON a.stage = c.stage AND a.rule = c.rule AND a.sample = c.sample
LEFT JOIN sampled_documents d ON d.doc_id = c.doc_id AND a.kept_at IS NOT NULL
ORDER BY c.stage, c.rule, c.sample;
