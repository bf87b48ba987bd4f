-- What a run wrote, counted for its report.
-- in   rule_counts, site_counts, told_removals, kept_documents      what each part told of its documents and removals (told.py)
--      rejects                                                      the run's parts of that dataset
-- out  by_rule(stage, rule, unit, reason, n, chars)                   reason: null where a rule has several
--      by_site(site, documents, chars_kept, chars_removed, sites)      the 50 largest; sites: how many there are
--      by_error(error, n, message, source)                             message, source: those of the first reject
--      clusters(kept_doc_id, n, score_min, source, title)              the 20 largest; source, title: null for an earlier run's
--      members(kept_doc_id, place, doc_id, source, rule, score)        the first five copies of each of them
--      samples(stage, rule, place, doc_id, source, unit, start_at, text, chars, reason, score, kept_doc_id, before, after)
--                                                                 three different texts of each rule, of the smallest doc_ids
CREATE TABLE by_rule AS
SELECT r.stage, r.rule, r.unit,
       CASE WHEN MIN(r.least_reason) = MAX(r.most_reason) THEN MIN(r.least_reason) END AS reason,
       CAST(SUM(r.n) AS BIGINT) AS n, CAST(SUM(r.chars) AS BIGINT) AS chars
FROM rule_counts r
GROUP BY r.stage, r.rule, r.unit
ORDER BY r.stage, r.rule, r.unit;

CREATE TABLE all_sites AS
SELECT s.site, CAST(SUM(s.documents) AS BIGINT) AS documents, CAST(SUM(s.chars_kept) AS BIGINT) AS chars_kept,
       CAST(SUM(s.chars_removed) AS BIGINT) AS chars_removed
FROM site_counts s
GROUP BY s.site;

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
FROM told_removals r
WHERE r.unit = 'document' AND r.kept_doc_id IS NOT NULL;

CREATE TABLE largest AS
SELECT c.kept_doc_id, COUNT(*) AS n, MIN(c.score) AS score_min
FROM copies c
GROUP BY c.kept_doc_id
ORDER BY n DESC, c.kept_doc_id
LIMIT 20;

CREATE TABLE clusters AS
SELECT l.kept_doc_id, l.n, l.score_min, d.source, d.title
FROM largest l
LEFT JOIN kept_documents d ON d.doc_id = l.kept_doc_id
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
-- one aggregate after another: the smallest ones of each part are among the removals that it told.
CREATE TABLE samplable AS
SELECT r.stage, r.rule, r.doc_id, r.source, r.unit, r.start_at, r.text, r.chars, r.reason, r.score, r.kept_doc_id, r.before, r.after
FROM told_removals r
WHERE r.text IS NOT NULL;

CREATE TABLE first_docs AS
SELECT r.stage, r.rule, MIN(r.doc_id) AS doc_id FROM samplable r GROUP BY r.stage, r.rule;

CREATE TABLE second_docs AS
SELECT r.stage, r.rule, MIN(r.doc_id) AS doc_id
FROM samplable r JOIN first_docs f ON f.stage = r.stage AND f.rule = r.rule
WHERE r.doc_id > f.doc_id
GROUP BY r.stage, r.rule;

CREATE TABLE third_docs AS
SELECT r.stage, r.rule, MIN(r.doc_id) AS doc_id
FROM samplable r JOIN second_docs f ON f.stage = r.stage AND f.rule = r.rule
WHERE r.doc_id > f.doc_id
GROUP BY r.stage, r.rule;

CREATE TABLE early_docs AS
SELECT stage, rule, doc_id FROM first_docs
UNION ALL SELECT stage, rule, doc_id FROM second_docs
UNION ALL SELECT stage, rule, doc_id FROM third_docs;

CREATE TABLE early_texts AS
SELECT r.*, ROW_NUMBER() OVER (PARTITION BY r.stage, r.rule, r.doc_id ORDER BY r.start_at) AS turn
FROM samplable r
JOIN early_docs e ON e.doc_id = r.doc_id AND e.rule = r.rule AND e.stage = r.stage;

CREATE TABLE numbered_places AS
SELECT e.*, ROW_NUMBER() OVER (PARTITION BY e.stage, e.rule ORDER BY e.turn, e.doc_id) AS place
FROM early_texts e;

CREATE TABLE first_of_text AS
SELECT n.stage, n.rule, n.text, MIN(n.place) AS place FROM numbered_places n GROUP BY n.stage, n.rule, n.text;

CREATE TABLE numbered_texts AS
SELECT f.stage, f.rule, f.place, ROW_NUMBER() OVER (PARTITION BY f.stage, f.rule ORDER BY f.place) AS sample
FROM first_of_text f;

CREATE TABLE samples AS
SELECT e.stage, e.rule, n.sample AS place, e.doc_id, e.source, e.unit, e.start_at, e.text, e.chars, e.reason, e.score, e.kept_doc_id,
       e.before, e.after
FROM numbered_texts n
JOIN numbered_places e ON e.stage = n.stage AND e.rule = n.rule AND e.place = n.place
WHERE n.sample <= 3
ORDER BY e.stage, e.rule, n.sample;
