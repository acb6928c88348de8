-- name: recent messages
-- expect: any
-- tables: conversations, messages
-- The page of a conversation can be read: the query is valid on this schema.
SELECT m.id, m.role, m.content, m."timestamp"
FROM messages m JOIN conversations c ON c.id = m."conversationId"
ORDER BY m."timestamp" DESC LIMIT 50
