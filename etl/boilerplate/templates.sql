-- Site templates: lines that recur on different pages of one site, copies of one article collapsed first.
-- in   pages(site, doc, mass)            a page, and the characters of its lines that carry its text
--      page_lines(site, doc, line, weight)   each distinct line of a page; weight: its share of mass, 0 if it carries none
--      params(copy_share)
-- out  site_lines(site, line, pages)     lines on two or more groups of pages
--      site_pages(site, pages)           groups of pages a site has
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

CREATE TABLE site_lines AS
SELECT l.site, l.line, COUNT(DISTINCT g.page_group) AS pages
FROM page_lines l
JOIN page_groups g ON g.site = l.site AND g.doc = l.doc
GROUP BY l.site, l.line
HAVING COUNT(DISTINCT g.page_group) > 1
ORDER BY l.site, l.line;

CREATE TABLE site_pages AS
SELECT site, COUNT(DISTINCT page_group) AS pages
FROM page_groups
GROUP BY site
ORDER BY site;
