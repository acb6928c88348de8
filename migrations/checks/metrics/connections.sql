-- name: connections
-- By role and state; one that is idle in a transaction holds its locks.
SELECT usename AS "user", state, count(*) AS sessions,
       round(max(extract(epoch FROM clock_timestamp() - state_change))::numeric) AS longest_s,
       current_setting('max_connections')::int AS limit
FROM pg_stat_activity WHERE datname = current_database()
GROUP BY usename, state ORDER BY sessions DESC, 1, 2
