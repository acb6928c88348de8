-- name: blocked sessions
-- Who waits for a lock, and for whom.
SELECT pid, usename AS "user", pg_blocking_pids(pid) AS blocked_by, wait_event AS waits_for,
       round(extract(epoch FROM clock_timestamp() - query_start)::numeric, 1) AS seconds, left(query, 120) AS statement
FROM pg_stat_activity
WHERE cardinality(pg_blocking_pids(pid)) > 0
ORDER BY query_start
