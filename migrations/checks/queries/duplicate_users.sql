-- name: duplicate users
-- expect: no rows
-- tables: users
-- One person, one user, however the address is spelled.
SELECT lower(email), count(*) FROM users GROUP BY lower(email) HAVING count(*) > 1
