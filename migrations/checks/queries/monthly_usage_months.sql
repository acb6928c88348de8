-- name: monthly usage months
-- expect: no rows
-- tables: monthly_usage
-- A month is one of twelve, and its figures are not negative: the limits of a plan are held against them.
SELECT id, year, month FROM monthly_usage
WHERE month NOT BETWEEN 1 AND 12 OR year NOT BETWEEN 2000 AND 2100 OR "totalMessages" < 0 OR "totalTokens" < 0
