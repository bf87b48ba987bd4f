-- Site templates: lines that recur on different pages of one site, copies of one article collapsed first.
-- in   pages(site, doc, mass, run)       a page, the characters of its lines that carry its text, and the run that took it
--      page_lines(site, doc, line, weight)   each distinct line of a page; weight: its share of mass, 0 if it carries none
--      known_pages(site, doc, page_group, mass, run)   pages that earlier runs kept, and which page each is a copy of
--      known_lines(site, doc, line, weight)  of the lines of such pages those that this run's pages have too
--      known_habits(site, line, had)     lines that many of an earlier run's kept pages had, and how many had it
--      params(copy_share, half_life_runs, kept_pages, kept_pages_unknown_site, run)     run: the one under way
-- out  site_lines(site, line, pages)     lines on two or more groups of pages
--      site_pages(site, pages)           groups of pages a site has
--      drifted_sites(site, habits, kept) sites whose habitual lines are gone from the pages of this run
--      kept_pages, habits                what later runs will know of this one as known_pages and known_habits
--
-- Evidence fades: a page of a run that half_life_runs others followed counts half. Counts are whole numbers, halves up, so
-- that one page half faded still counts.
--
-- Copies share most of their long lines, so each line votes for the first page it is on, a page of an earlier run if there
-- is one: pages that owe enough of their mass to one other page are copies of it. One vote a line keeps this linear,
-- however often a line recurs. A page of an earlier run stands for its group.
--
-- Most lines are on one page alone. They say nothing here but how much of a page is its own, and leave at the first count, which
-- the local engine makes by templates.repeated_lines: the same rows.
CREATE TABLE repeated_lines AS
SELECT line
FROM (
    SELECT line FROM page_lines
    UNION ALL
    SELECT line FROM known_lines
) every_line
GROUP BY line
HAVING COUNT(*) > 1;

CREATE TABLE shared_lines AS
SELECT l.site, l.doc, l.line, l.weight
FROM page_lines l
JOIN repeated_lines r ON r.line = l.line;

CREATE TABLE groups_known AS
SELECT site, page_group, MAX(mass) AS mass
FROM known_pages
GROUP BY site, page_group;

CREATE TABLE lines_known AS
SELECT l.site, l.line, k.page_group, l.weight, k.run
FROM known_lines l
JOIN known_pages k ON k.site = l.site AND k.doc = l.doc;

CREATE TABLE first_pages AS
SELECT site, line, COALESCE(MIN(known_doc), MIN(doc)) AS first_doc
FROM (
    SELECT site, line, doc, CAST(NULL AS BIGINT) AS known_doc
    FROM shared_lines
    WHERE weight > 0
    UNION ALL
    SELECT site, line, page_group AS doc, page_group AS known_doc
    FROM lines_known
    WHERE weight > 0
) carried
GROUP BY site, line
HAVING COUNT(*) > 1;

CREATE TABLE shared_mass AS
SELECT l.site, l.doc, f.first_doc, SUM(l.weight) AS weight
FROM shared_lines l
JOIN first_pages f ON l.site = f.site AND l.line = f.line
WHERE l.weight > 0 AND l.doc <> f.first_doc
GROUP BY l.site, l.doc, f.first_doc;

CREATE TABLE masses AS
SELECT site, doc, MAX(mass) AS mass
FROM (
    SELECT site, doc, mass FROM pages
    UNION ALL
    SELECT site, page_group AS doc, mass FROM groups_known
) every_page
GROUP BY site, doc;

CREATE TABLE copies AS
SELECT s.site, s.doc, MIN(s.first_doc) AS copy_of
FROM shared_mass s
JOIN masses a ON a.site = s.site AND a.doc = s.doc
JOIN masses b ON b.site = s.site AND b.doc = s.first_doc
CROSS JOIN params p
WHERE s.weight >= p.copy_share * LEAST(a.mass, b.mass)
GROUP BY s.site, s.doc;

CREATE TABLE collapsed AS
SELECT p.site, p.doc, COALESCE(c3.copy_of, c2.copy_of, c1.copy_of, p.doc) AS page_group, p.mass, p.run
FROM pages p
LEFT JOIN copies c1 ON c1.site = p.site AND c1.doc = p.doc
LEFT JOIN copies c2 ON c2.site = p.site AND c2.doc = c1.copy_of
LEFT JOIN copies c3 ON c3.site = p.site AND c3.doc = c2.copy_of;

-- Many pages that share long terms of use below short articles of their own look like copies of each other, too. There each
-- line is either on one page or on nearly all; edits of one article leave lines that some copies have and others lack.
CREATE TABLE large_groups AS
SELECT site, page_group, COUNT(DISTINCT doc) AS size
FROM (
    SELECT site, page_group, doc FROM collapsed
    UNION ALL
    SELECT site, page_group, doc FROM known_pages
) members
WHERE site <> ''
GROUP BY site, page_group
HAVING COUNT(DISTINCT doc) >= 6;

CREATE TABLE own_lines AS
SELECT l.site, l.line, l.doc, l.weight, c.page_group, g.size
FROM page_lines l
JOIN collapsed c ON c.site = l.site AND c.doc = l.doc
JOIN large_groups g ON g.site = c.site AND g.page_group = c.page_group
WHERE l.weight > 0;

CREATE TABLE line_holders AS
SELECT site, page_group, line, COUNT(DISTINCT doc) AS holders
FROM (
    SELECT site, page_group, line, doc FROM own_lines
    UNION ALL
    SELECT l.site, k.page_group, l.line, l.doc
    FROM known_lines l
    JOIN known_pages k ON k.site = l.site AND k.doc = l.doc
    JOIN large_groups g ON g.site = k.site AND g.page_group = k.page_group
    WHERE l.weight > 0
) held
GROUP BY site, page_group, line;

CREATE TABLE groups_apart AS
SELECT site, page_group
FROM (
    SELECT
        l.site,
        l.page_group,
        l.doc,
        SUM(l.weight) AS mass,
        SUM(CASE WHEN h.holders = 1 THEN l.weight ELSE 0 END) AS on_one,
        SUM(CASE WHEN h.holders > 1 AND 10 * h.holders < 9 * l.size THEN l.weight ELSE 0 END) AS on_few
    FROM own_lines l
    JOIN line_holders h ON h.site = l.site AND h.page_group = l.page_group AND h.line = l.line
    GROUP BY l.site, l.page_group, l.doc
) parts
GROUP BY site, page_group
HAVING
    100 * SUM(on_one) >= 15 * SUM(mass)
    AND 10 * SUM(on_few) <= SUM(mass)
    AND 2 * COUNT(CASE WHEN on_one >= 200 THEN 1 END) >= COUNT(*);

CREATE TABLE page_groups AS
SELECT c.site, c.doc, CASE WHEN a.site IS NULL THEN c.page_group ELSE c.doc END AS page_group, c.mass, c.run
FROM collapsed c
LEFT JOIN groups_apart a ON a.site = c.site AND a.page_group = c.page_group;

CREATE TABLE runs AS
SELECT run FROM pages
UNION
SELECT run FROM known_pages;

CREATE TABLE run_strengths AS
SELECT r.run, CAST(FLOOR(1000 * POWER(0.5, COUNT(later.run) / MAX(p.half_life_runs)) + 0.5) AS BIGINT) AS strength
FROM runs r
LEFT JOIN runs later ON later.run > r.run
CROSS JOIN params p
GROUP BY r.run;

CREATE TABLE site_lines AS
SELECT site, line, CAST(FLOOR((SUM(strength) + 500) / 1000.0) AS BIGINT) AS pages
FROM (
    SELECT site, line, page_group, MAX(strength) AS strength
    FROM (
        SELECT l.site, l.line, g.page_group, s.strength
        FROM shared_lines l
        JOIN page_groups g ON g.site = l.site AND g.doc = l.doc
        JOIN run_strengths s ON s.run = g.run
        UNION ALL
        SELECT k.site, k.line, k.page_group, s.strength
        FROM lines_known k
        JOIN run_strengths s ON s.run = k.run
    ) shown
    GROUP BY site, line, page_group
) held
GROUP BY site, line
HAVING SUM(strength) >= 1500
ORDER BY site, line;

CREATE TABLE site_pages AS
SELECT site, CAST(FLOOR((SUM(strength) + 500) / 1000.0) AS BIGINT) AS pages
FROM (
    SELECT g.site, g.page_group, MAX(s.strength) AS strength
    FROM (
        SELECT site, page_group, run FROM page_groups
        UNION ALL
        SELECT site, page_group, run FROM known_pages
    ) g
    JOIN run_strengths s ON s.run = g.run
    GROUP BY g.site, g.page_group
) grouped
GROUP BY site
ORDER BY site;

-- Later runs see a sample of a site's pages: numbers of documents are hashes, so the least of them are one.
CREATE TABLE kept_pages AS
SELECT k.site, k.doc, k.page_group, k.mass, k.run
FROM (
    SELECT site, doc, page_group, mass, run, ROW_NUMBER() OVER (PARTITION BY site ORDER BY doc) AS place
    FROM page_groups
) k
CROSS JOIN params p
WHERE k.place <= CASE WHEN k.site = '' THEN p.kept_pages_unknown_site ELSE p.kept_pages END
ORDER BY k.site, k.doc;

-- A habit is a line that most of the pages had that earlier runs kept of a site. Too few pages, then or now, tell nothing.
CREATE TABLE site_sizes AS
SELECT site, COUNT(DISTINCT page_group) AS kept
FROM kept_pages
WHERE site <> ''
GROUP BY site
HAVING COUNT(DISTINCT page_group) >= 3;

CREATE TABLE habits AS
SELECT l.site, l.line, COUNT(DISTINCT k.page_group) AS had
FROM page_lines l
JOIN kept_pages k ON k.site = l.site AND k.doc = l.doc
JOIN site_sizes z ON z.site = l.site
GROUP BY l.site, l.line, z.kept
HAVING 4 * COUNT(DISTINCT k.page_group) > z.kept
ORDER BY l.site, l.line;

CREATE TABLE earlier_sizes AS
SELECT site, SUM(kept) AS kept
FROM (
    SELECT site, run, COUNT(DISTINCT page_group) AS kept
    FROM known_pages
    WHERE site <> ''
    GROUP BY site, run
    HAVING COUNT(DISTINCT page_group) >= 3
) sizes
GROUP BY site;

CREATE TABLE site_habits AS
SELECT h.site, h.line
FROM known_habits h
JOIN earlier_sizes e ON e.site = h.site
JOIN site_sizes z ON z.site = h.site
GROUP BY h.site, h.line, e.kept
HAVING 2 * SUM(h.had) > e.kept;

CREATE TABLE drifted_sites AS
SELECT h.site, COUNT(*) AS habits, COUNT(n.line) AS kept
FROM site_habits h
LEFT JOIN (
    SELECT DISTINCT l.site, l.line
    FROM page_lines l
    JOIN site_habits h ON h.site = l.site AND h.line = l.line
) n ON n.site = h.site AND n.line = h.line
GROUP BY h.site
HAVING COUNT(*) >= 3 AND 2 * COUNT(n.line) < COUNT(*)
ORDER BY h.site;
