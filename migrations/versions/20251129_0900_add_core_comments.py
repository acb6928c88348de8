"""Say of the first tables, and of their columns that are not plain, what they hold.

Revision ID: 20251129_0900
Revises: 20251128_1000
"""

from alembic import op

revision = "20251129_0900"
down_revision = "20251128_1000"
branch_labels = None
depends_on = None
phase = "expand"

TABLES = {
    "users": "People and service accounts; who has a trail is deactivated, not deleted.",
    "accounts": "Accounts of users with identity providers.",
    "auth_sessions": "Logins that have not ended.",
    "verification_tokens": "Tokens sent to an address to prove that it is read.",
    "invitations": "Invitations by users, each with the role that it gives.",
    "agents": "AI agents that users talk to.",
    "chat_sessions": "Stretches of a user's activity, which conversations belong to.",
    "conversations": "Conversations of users with agents.",
    "messages": "Messages of conversations.",
    "user_agent_permissions": "Which user may use which agent.",
    "artifacts": "What agents made; a version names the one it came from.",
    "usage_logs": "Tokens and cost of each call of a model; kept when the conversation goes.",
    "monthly_usage": "Each user's usage, one row a month.",
    "usage_alerts": "Thresholds of usage, and whether they were reached.",
    "audit_logs": "What administrators did, and to what; only added to.",
}

COLUMNS = {
    "users": {
        "timezone": "A name of the IANA time zone database.",
        "language": "An ISO 639-1 code.",
        "permissions": "What the user may do beside what the role gives, by name.",
        "isActive": "Whether the user may log in; who has a trail is deactivated instead of deleted.",
        "personalityProfile": "What agents have learned of the user.",
        "aiProfileLastUpdate": "When personalityProfile was last made.",
        "subscriptionId": "The payment provider's name for the subscription.",
        "customLimits": "Limits that stand instead of the tier's, by name.",
        "monthlyMessages": "Since lastResetAt.",
        "monthlyTokens": "Since lastResetAt.",
        "lastResetAt": "When the counts of the month were last set to zero.",
    },
    "accounts": {
        "type": "How it logs in: oauth, oidc, email or credentials.",
        "provider": "The identity provider.",
        "providerAccountId": "The provider's name for the user.",
        "expires_at": "When access_token ends, in seconds since 1970.",
        "session_state": "What the provider wants back when the session ends.",
    },
    "auth_sessions": {
        "sessionToken": "What the browser's cookie holds.",
    },
    "verification_tokens": {
        "identifier": "The address that the token was sent to.",
    },
    "invitations": {
        "email": "Whom the invitation was sent to.",
        "token": "What the link in the e-mail ends in.",
        "role": "The role that the invited gets.",
    },
    "agents": {
        "slug": "Its name in addresses.",
        "model": "The language model behind it.",
        "config": "The model's parameters, by name.",
        "endpointUrl": "Where the application calls it.",
        "capabilities": "An array of what it can do.",
        "averageRating": "0 to 9.99, from users' ratings.",
    },
    "chat_sessions": {
        "metadata": "What the client said of itself.",
    },
    "conversations": {
        "summary": "Made by the agent.",
        "messageCount": "How many messages it has; kept by a trigger.",
        "tokenCount": "Tokens of its messages, in and out; kept by a trigger.",
    },
    "messages": {
        "role": "Who says it: user, assistant or system.",
        "tokensInput": "Tokens sent to the model.",
        "tokensOutput": "Tokens that the model answered with.",
        "metadata": "What the model said beside the text.",
    },
    "user_agent_permissions": {
        "granterId": "Who gave it; none after that user is gone.",
    },
    "artifacts": {
        "ownerId": "The user that it was made for.",
        "conversationId": "Where it was made.",
        "type": "What kind of thing it is: code, document, image.",
        "version": "1 for the first.",
        "parentId": "The version that it came from.",
        "tags": "An array of strings.",
    },
    "usage_logs": {
        "conversationId": "None after the conversation is gone.",
        "sourceMessageId": "The message that it was charged for; none after that is gone.",
        "model": "The language model that was called.",
        "costInput": "In US dollars.",
        "costOutput": "In US dollars.",
        "totalCost": "In US dollars.",
        "duration": "Milliseconds.",
    },
    "monthly_usage": {
        "totalCost": "In US dollars.",
        "agentUsage": "Messages and tokens by agent.",
        "limitMessages": "The limit of that month; none is no limit.",
        "limitTokens": "The limit of that month; none is no limit.",
        "warningsSent": "How many warnings the user got that month.",
    },
    "usage_alerts": {
        "threshold": "Percent of the limit.",
    },
    "audit_logs": {
        "adminId": "Who did it.",
        "action": "What was done, such as agent.create.",
        "targetType": "What kind of thing it was done to.",
        "targetId": "The id of what it was done to; of a table that targetType names.",
        "details": "What was changed, by name.",
    },
}


def comment(thing: str, text: str | None) -> None:
    literal = "NULL" if text is None else "'" + text.replace("'", "''") + "'"
    op.execute(f"COMMENT ON {thing} IS {literal}")


def upgrade() -> None:
    for table, text in TABLES.items():
        comment(f'TABLE "{table}"', text)
    for table, columns in COLUMNS.items():
        for column, text in columns.items():
            comment(f'COLUMN "{table}"."{column}"', text)


def downgrade() -> None:
    for table in TABLES:
        comment(f'TABLE "{table}"', None)
    for table, columns in COLUMNS.items():
        for column in columns:
            comment(f'COLUMN "{table}"."{column}"', None)
