-- Which documents of this run are copies of another: exact copies by the hash of the whole comparable text, near copies
-- by the resolved table near_documents (see clusters.py). Reads fingerprints, history_fingerprints, near_documents and params;
-- the last statement makes dropped_documents. Earlier runs always win; then the order of seen_at, n_chars, doc_id.

CREATE TABLE document_copies AS
SELECT doc_id, 0 AS era, run_key, seen_at, n_chars, key_hash, key_check
FROM history_fingerprints
WHERE n_tokens > 0 AND key_hash IN (SELECT key_hash FROM fingerprints WHERE n_tokens > 0)
UNION ALL
SELECT doc_id, 1 AS era, '' AS run_key, seen_at, n_chars, key_hash, key_check
FROM fingerprints
WHERE n_tokens > 0;

CREATE TABLE exact_documents AS
SELECT doc_id, kept_doc_id
FROM (
    SELECT
        doc_id,
        era,
        FIRST_VALUE(doc_id) OVER (
            PARTITION BY key_hash, key_check ORDER BY era, run_key, seen_at, n_chars DESC, doc_id
        ) AS kept_doc_id,
        ROW_NUMBER() OVER (
            PARTITION BY key_hash, key_check ORDER BY era, run_key, seen_at, n_chars DESC, doc_id
        ) AS place
    FROM document_copies
) AS placed
WHERE era = 1 AND place > 1;

CREATE TABLE dropped_documents AS
SELECT e.doc_id, e.kept_doc_id, 'exact-document' AS rule, CAST(1.0 AS DOUBLE) AS score, p.document_mode AS action
FROM exact_documents AS e
CROSS JOIN params AS p
WHERE p.documents_on
ORDER BY e.doc_id;
