-- name: slow statements
-- needs: pg_stat_statements
-- More than 100 ms on average, the slowest first. Source: the columns are called so since PostgreSQL 13.
SELECT left(regexp_replace(s.query, '\s+', ' ', 'g'), 120) AS statement, s.calls,
       round(s.mean_exec_time::numeric, 1) AS mean_ms, round(s.max_exec_time::numeric, 1) AS max_ms,
       round(s.total_exec_time::numeric / 1000, 1) AS total_s
FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
WHERE s.mean_exec_time > 100
ORDER BY s.mean_exec_time DESC LIMIT 20
