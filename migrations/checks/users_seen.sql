-- Users who were active after a moment: the application keeps both columns in UTC.
SELECT count(DISTINCT u.id)
FROM users u LEFT JOIN chat_sessions s ON s."userId" = u.id
WHERE u."lastInteraction" > %(since)s OR s."lastActivity" > %(since)s
