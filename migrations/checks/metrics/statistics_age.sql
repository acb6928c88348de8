-- name: vacuum and analyze
-- Rows that are dead or have changed since; the planner knows nothing of a table that was never analyzed.
SELECT relname AS "table", n_live_tup AS live, n_dead_tup AS dead, n_mod_since_analyze AS changed,
       greatest(last_vacuum, last_autovacuum) AS vacuumed, greatest(last_analyze, last_autoanalyze) AS analyzed
FROM pg_stat_user_tables
WHERE schemaname <> 'pilotage'
ORDER BY greatest(last_analyze, last_autoanalyze) NULLS FIRST, 1
