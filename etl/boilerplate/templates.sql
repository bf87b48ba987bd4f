-- Site templates: lines that recur on different pages of one site, copies of one article collapsed first.
-- in   pages(site, doc, mass, run)       a page, the characters of its lines that carry its text, and the run that took it
--      page_lines(site, doc, line, weight)   each distinct line of a page; weight: its share of mass, 0 if it carries none
--      params(copy_share, half_life_runs, run)     run: the one under way
-- out  site_lines(site, line, pages)     lines on two or more groups of pages
--      site_pages(site, pages)           groups of pages a site has
--      drifted_sites(site, habits, kept) sites whose habitual lines are gone from the pages of this run
--
-- Evidence fades: a page of a run that half_life_runs others followed counts half. Counts are whole numbers, halves up, so
-- that one page half faded still counts.
--
-- Copies share most of their long lines, so each line votes for the first page it is on: pages that owe enough of their
-- mass to one other page are copies of it. One vote a line keeps this linear, however often a line recurs.
CREATE TABLE first_pages AS
SELECT site, line, MIN(doc) AS first_doc
FROM page_lines
WHERE weight > 0
GROUP BY site, line
HAVING COUNT(*) > 1;

CREATE TABLE shared_mass AS
SELECT l.site, l.doc, f.first_doc, SUM(l.weight) AS weight
FROM page_lines l
JOIN first_pages f ON l.site = f.site AND l.line = f.line
WHERE l.weight > 0 AND l.doc <> f.first_doc
GROUP BY l.site, l.doc, f.first_doc;

CREATE TABLE copies AS
SELECT s.site, s.doc, MIN(s.first_doc) AS copy_of
FROM shared_mass s
JOIN pages a ON a.site = s.site AND a.doc = s.doc
JOIN pages b ON b.site = s.site AND b.doc = s.first_doc
CROSS JOIN params p
WHERE s.weight >= p.copy_share * LEAST(a.mass, b.mass)
GROUP BY s.site, s.doc;

CREATE TABLE page_groups AS
SELECT p.site, p.doc, COALESCE(c3.copy_of, c2.copy_of, c1.copy_of, p.doc) AS page_group
FROM pages p
LEFT JOIN copies c1 ON c1.site = p.site AND c1.doc = p.doc
LEFT JOIN copies c2 ON c2.site = p.site AND c2.doc = c1.copy_of
LEFT JOIN copies c3 ON c3.site = p.site AND c3.doc = c2.copy_of;

CREATE TABLE run_strengths AS
SELECT r.run, CAST(FLOOR(1000 * POWER(0.5, COUNT(later.run) / MAX(p.half_life_runs)) + 0.5) AS BIGINT) AS strength
FROM (SELECT DISTINCT run FROM pages) r
LEFT JOIN (SELECT DISTINCT run FROM pages) later ON later.run > r.run
CROSS JOIN params p
GROUP BY r.run;

CREATE TABLE strong_pages AS
SELECT g.site, g.doc, g.page_group, p.run, s.strength
FROM page_groups g
JOIN pages p ON p.site = g.site AND p.doc = g.doc
JOIN run_strengths s ON s.run = p.run;

CREATE TABLE site_lines AS
SELECT site, line, CAST(FLOOR((SUM(strength) + 500) / 1000.0) AS BIGINT) AS pages
FROM (
    SELECT l.site, l.line, g.page_group, MAX(g.strength) AS strength
    FROM page_lines l
    JOIN strong_pages g ON g.site = l.site AND g.doc = l.doc
    GROUP BY l.site, l.line, g.page_group
) held
GROUP BY site, line
HAVING SUM(strength) >= 1500
ORDER BY site, line;

CREATE TABLE site_pages AS
SELECT site, CAST(FLOOR((SUM(strength) + 500) / 1000.0) AS BIGINT) AS pages
FROM (
    SELECT site, page_group, MAX(strength) AS strength
    FROM strong_pages
    GROUP BY site, page_group
) grouped
GROUP BY site
ORDER BY site;

-- A habit is a line that most of a site's earlier pages had. Too few pages, then or now, tell nothing.
CREATE TABLE site_sizes AS
SELECT
    g.site,
    COUNT(DISTINCT CASE WHEN g.run < p.run THEN g.page_group END) AS earlier,
    COUNT(DISTINCT CASE WHEN g.run = p.run THEN g.page_group END) AS now
FROM strong_pages g
CROSS JOIN params p
WHERE g.site <> ''
GROUP BY g.site;

CREATE TABLE site_habits AS
SELECT l.site, l.line, COUNT(DISTINCT CASE WHEN g.run = p.run THEN g.page_group END) AS now
FROM page_lines l
JOIN strong_pages g ON g.site = l.site AND g.doc = l.doc
JOIN site_sizes z ON z.site = l.site
CROSS JOIN params p
WHERE z.earlier >= 3 AND z.now >= 3
GROUP BY l.site, l.line, z.earlier
HAVING 2 * COUNT(DISTINCT CASE WHEN g.run < p.run THEN g.page_group END) > z.earlier;

CREATE TABLE drifted_sites AS
SELECT site, COUNT(*) AS habits, COUNT(CASE WHEN now > 0 THEN 1 END) AS kept
FROM site_habits
GROUP BY site
HAVING COUNT(*) >= 3 AND 2 * COUNT(CASE WHEN now > 0 THEN 1 END) < COUNT(*)
ORDER BY site;
