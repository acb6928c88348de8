-- name: unused indexes
-- No query has used them since statistics were reset; those that keep rows unique are used by every write.
SELECT s.relname AS "table", s.indexrelname AS index, pg_size_pretty(pg_relation_size(s.indexrelid)) AS size
FROM pg_stat_user_indexes s JOIN pg_index i ON i.indexrelid = s.indexrelid
WHERE s.idx_scan = 0 AND NOT i.indisunique AND s.schemaname <> 'pilotage'
ORDER BY pg_relation_size(s.indexrelid) DESC, 1, 2
