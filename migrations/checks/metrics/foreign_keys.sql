-- name: foreign keys
-- Which table references which, by which columns.
SELECT k.conrelid::regclass::text AS "table", k.conname AS name, k.confrelid::regclass::text AS referenced,
       array(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY o(num, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.num ORDER BY o.place) AS columns,
       k.convalidated AS validated
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY 1, 2
