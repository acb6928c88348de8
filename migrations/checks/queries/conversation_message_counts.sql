-- name: conversation message counts
-- expect: no rows
-- tables: conversations, messages
-- A conversation's "messageCount" is the number of its messages: the application keeps both in one transaction.
SELECT c.id, c."messageCount", count(m.id) AS messages
FROM conversations c LEFT JOIN messages m ON m."conversationId" = c.id
GROUP BY c.id, c."messageCount"
HAVING c."messageCount" <> count(m.id)
