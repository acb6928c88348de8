-- name: negative usage
-- expect: no rows
-- tables: usage_logs
-- What is counted and billed cannot be less than nothing.
SELECT id, "totalTokens", "totalCost" FROM usage_logs
WHERE "tokensInput" < 0 OR "tokensOutput" < 0 OR "totalTokens" < 0 OR "totalCost" < 0
