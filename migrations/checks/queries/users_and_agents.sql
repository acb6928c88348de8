-- name: users and agents
-- expect: rows
-- tables: users, agents
-- The queries that every page starts with are answered.
SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM agents) AS agents
