"""Users' money, for their own eyes: profiles, accounts, transactions, budgets, debts, investments, recurring payments.

Numbers of accounts and what users write for themselves are ciphertext. Row-level security is enabled and forced as on
the tables of health. An account with a past cannot be deleted alone; with its user, all goes.

Revision ID: 20251111_0900
Revises: 20251110_0900
"""

from alembic import op

revision = "20251111_0900"
down_revision = "20251110_0900"
branch_labels = None
depends_on = None
phase = "expand"
waivers = {"timestamp-without-zone": "every time that the application keeps is of UTC"}

ENUMS = ("""CREATE TYPE "TransactionType" AS ENUM ('INCOME', 'EXPENSE', 'TRANSFER')""",)

TABLES = (
    """
    CREATE TABLE "financial_profiles" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "baseCurrency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "monthlyIncome" NUMERIC(14,2),
      "monthlySavingsGoal" NUMERIC(14,2),
      "riskTolerance" VARCHAR(20) NOT NULL DEFAULT 'MODERATE',
      "taxId" TEXT,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "financial_profiles_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "financial_profiles_taxId_check" CHECK ("taxId" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "financial_profiles_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "financial_profiles_baseCurrency_check" CHECK ("baseCurrency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "financial_profiles_riskTolerance_check"
        CHECK ("riskTolerance"::text IN ('CONSERVATIVE', 'MODERATE', 'AGGRESSIVE')),
      CONSTRAINT "financial_profiles_monthlyIncome_check" CHECK ("monthlyIncome" >= 0),
      CONSTRAINT "financial_profiles_monthlySavingsGoal_check" CHECK ("monthlySavingsGoal" >= 0)
    )
    """,
    """
    CREATE TABLE "financial_accounts" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "name" VARCHAR(255) NOT NULL,
      "type" VARCHAR(20) NOT NULL,
      "institution" VARCHAR(255),
      "accountNumber" TEXT,
      "currency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "balance" NUMERIC(14,2) NOT NULL DEFAULT 0,
      "balanceAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "creditLimit" NUMERIC(14,2),
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "financial_accounts_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "financial_accounts_userId_id_key" UNIQUE ("userId", "id"),
      CONSTRAINT "financial_accounts_accountNumber_check"
        CHECK ("accountNumber" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "financial_accounts_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "financial_accounts_type_check"
        CHECK ("type"::text IN ('CHECKING', 'SAVINGS', 'CREDIT_CARD', 'CASH', 'INVESTMENT', 'LOAN', 'OTHER')),
      CONSTRAINT "financial_accounts_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "financial_accounts_creditLimit_check"
        CHECK ("creditLimit" IS NULL OR "creditLimit" >= 0 AND "type" = 'CREDIT_CARD')
    )
    """,
    """
    CREATE TABLE "recurring_payments" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "accountId" UUID,
      "name" VARCHAR(255) NOT NULL,
      "contractNumber" TEXT,
      "category" VARCHAR(50) NOT NULL,
      "amount" NUMERIC(14,2) NOT NULL,
      "currency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "frequency" VARCHAR(20) NOT NULL DEFAULT 'MONTHLY',
      "startsOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "nextDueOn" DATE NOT NULL,
      "endsOn" DATE,
      "isAutomatic" BOOLEAN NOT NULL DEFAULT false,
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "recurring_payments_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "recurring_payments_userId_id_key" UNIQUE ("userId", "id"),
      CONSTRAINT "recurring_payments_contractNumber_check"
        CHECK ("contractNumber" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "recurring_payments_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "recurring_payments_frequency_check"
        CHECK ("frequency"::text IN ('DAILY', 'WEEKLY', 'BIWEEKLY', 'MONTHLY', 'QUARTERLY', 'YEARLY')),
      CONSTRAINT "recurring_payments_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "recurring_payments_amount_check" CHECK ("amount" > 0),
      CONSTRAINT "recurring_payments_endsOn_check" CHECK ("endsOn" >= "startsOn"),
      CONSTRAINT "recurring_payments_nextDueOn_check" CHECK ("nextDueOn" >= "startsOn"),
      CONSTRAINT "recurring_payments_accountId_fkey"
        FOREIGN KEY ("userId", "accountId") REFERENCES "financial_accounts" ("userId", "id") ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "transactions" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "accountId" UUID NOT NULL,
      "toAccountId" UUID,
      "recurringPaymentId" UUID,
      "type" "TransactionType" NOT NULL,
      "amount" NUMERIC(14,2) NOT NULL,
      "currency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "category" VARCHAR(50) NOT NULL,
      "description" VARCHAR(255) NOT NULL,
      "notes" TEXT,
      "tags" JSONB NOT NULL DEFAULT '[]',
      "occurredOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "transactions_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "transactions_userId_id_key" UNIQUE ("userId", "id"),
      CONSTRAINT "transactions_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "transactions_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "transactions_amount_check" CHECK ("amount" > 0),
      CONSTRAINT "transactions_toAccountId_check" CHECK (("type" = 'TRANSFER') = ("toAccountId" IS NOT NULL)),
      CONSTRAINT "transactions_accounts_check" CHECK ("toAccountId" <> "accountId"),
      CONSTRAINT "transactions_tags_check" CHECK (jsonb_typeof(tags) = 'array'),
      CONSTRAINT "transactions_accountId_fkey"
        FOREIGN KEY ("userId", "accountId") REFERENCES "financial_accounts" ("userId", "id") ON UPDATE CASCADE,
      CONSTRAINT "transactions_toAccountId_fkey"
        FOREIGN KEY ("userId", "toAccountId") REFERENCES "financial_accounts" ("userId", "id") ON UPDATE CASCADE,
      CONSTRAINT "transactions_recurringPaymentId_fkey"
        FOREIGN KEY ("userId", "recurringPaymentId")
        REFERENCES "recurring_payments" ("userId", "id") ON DELETE SET NULL ("recurringPaymentId") ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "budgets" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "category" VARCHAR(50) NOT NULL,
      "period" VARCHAR(20) NOT NULL DEFAULT 'MONTHLY',
      "amount" NUMERIC(14,2) NOT NULL,
      "currency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "alertPercent" SMALLINT NOT NULL DEFAULT 80,
      "startsOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "endsOn" DATE,
      "isActive" BOOLEAN NOT NULL DEFAULT true,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "budgets_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "budgets_period_check" CHECK ("period"::text IN ('WEEKLY', 'MONTHLY', 'QUARTERLY', 'YEARLY')),
      CONSTRAINT "budgets_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "budgets_amount_check" CHECK ("amount" > 0),
      CONSTRAINT "budgets_alertPercent_check" CHECK ("alertPercent" BETWEEN 1 AND 100),
      CONSTRAINT "budgets_endsOn_check" CHECK ("endsOn" >= "startsOn")
    )
    """,
    """
    CREATE TABLE "debts" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "creditor" VARCHAR(255) NOT NULL,
      "type" VARCHAR(20) NOT NULL,
      "contractNumber" TEXT,
      "currency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "principal" NUMERIC(14,2) NOT NULL,
      "balance" NUMERIC(14,2) NOT NULL,
      "interestRate" NUMERIC(6,3) NOT NULL DEFAULT 0,
      "minimumPayment" NUMERIC(14,2),
      "dueDay" SMALLINT,
      "status" VARCHAR(20) NOT NULL DEFAULT 'ACTIVE',
      "startedOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "paidOffOn" DATE,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "debts_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "debts_userId_id_key" UNIQUE ("userId", "id"),
      CONSTRAINT "debts_contractNumber_check" CHECK ("contractNumber" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "debts_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "debts_type_check"
        CHECK ("type"::text IN ('CREDIT_CARD', 'MORTGAGE', 'CAR_LOAN', 'STUDENT_LOAN', 'PERSONAL_LOAN', 'OTHER')),
      CONSTRAINT "debts_status_check" CHECK ("status"::text IN ('ACTIVE', 'PAID_OFF', 'DEFAULTED')),
      CONSTRAINT "debts_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "debts_principal_check" CHECK ("principal" > 0),
      CONSTRAINT "debts_balance_check" CHECK ("balance" >= 0),
      CONSTRAINT "debts_interestRate_check" CHECK ("interestRate" BETWEEN 0 AND 999),
      CONSTRAINT "debts_minimumPayment_check" CHECK ("minimumPayment" >= 0),
      CONSTRAINT "debts_dueDay_check" CHECK ("dueDay" BETWEEN 1 AND 31),
      CONSTRAINT "debts_paidOff_check" CHECK (("status" = 'PAID_OFF') = ("paidOffOn" IS NOT NULL)),
      CONSTRAINT "debts_paidOffOn_check" CHECK ("paidOffOn" >= "startedOn")
    )
    """,
    """
    CREATE TABLE "debt_payments" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "debtId" UUID NOT NULL,
      "transactionId" UUID,
      "amount" NUMERIC(14,2) NOT NULL,
      "interestAmount" NUMERIC(14,2) NOT NULL DEFAULT 0,
      "paidOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "debt_payments_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "debt_payments_amount_check" CHECK ("amount" > 0),
      CONSTRAINT "debt_payments_interestAmount_check" CHECK ("interestAmount" BETWEEN 0 AND "amount"),
      CONSTRAINT "debt_payments_debtId_fkey"
        FOREIGN KEY ("userId", "debtId") REFERENCES "debts" ("userId", "id") ON DELETE CASCADE ON UPDATE CASCADE,
      CONSTRAINT "debt_payments_transactionId_fkey"
        FOREIGN KEY ("userId", "transactionId")
        REFERENCES "transactions" ("userId", "id") ON DELETE SET NULL ("transactionId") ON UPDATE CASCADE
    )
    """,
    """
    CREATE TABLE "investments" (
      "id" UUID NOT NULL DEFAULT gen_random_uuid(),
      "userId" UUID NOT NULL,
      "accountId" UUID,
      "type" VARCHAR(20) NOT NULL,
      "name" VARCHAR(255) NOT NULL,
      "symbol" VARCHAR(20),
      "quantity" NUMERIC(20,8) NOT NULL,
      "purchasePrice" NUMERIC(14,2) NOT NULL,
      "currentPrice" NUMERIC(14,2),
      "pricedAt" TIMESTAMP(3),
      "currency" VARCHAR(3) NOT NULL DEFAULT 'MXN',
      "purchasedOn" DATE NOT NULL DEFAULT CURRENT_DATE,
      "soldOn" DATE,
      "notes" TEXT,
      "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      "updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
      CONSTRAINT "investments_pkey" PRIMARY KEY ("id"),
      CONSTRAINT "investments_notes_check" CHECK ("notes" ~ '^aesgcm:[A-Za-z0-9_-]+:[A-Za-z0-9+/]+=*$'),
      CONSTRAINT "investments_type_check"
        CHECK ("type"::text IN ('STOCK', 'BOND', 'FUND', 'CRYPTO', 'REAL_ESTATE', 'OTHER')),
      CONSTRAINT "investments_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$'),
      CONSTRAINT "investments_quantity_check" CHECK ("quantity" > 0),
      CONSTRAINT "investments_purchasePrice_check" CHECK ("purchasePrice" >= 0),
      CONSTRAINT "investments_currentPrice_check" CHECK ("currentPrice" >= 0),
      CONSTRAINT "investments_pricedAt_check" CHECK (("currentPrice" IS NULL) = ("pricedAt" IS NULL)),
      CONSTRAINT "investments_soldOn_check" CHECK ("soldOn" >= "purchasedOn"),
      CONSTRAINT "investments_accountId_fkey"
        FOREIGN KEY ("userId", "accountId") REFERENCES "financial_accounts" ("userId", "id") ON UPDATE CASCADE
    )
    """,
)

# A reference locks its target against writes until the transaction ends: these come last.
REFERENCES = (
    """
    ALTER TABLE "financial_profiles" ADD CONSTRAINT "financial_profiles_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "financial_accounts" ADD CONSTRAINT "financial_accounts_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "recurring_payments" ADD CONSTRAINT "recurring_payments_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "transactions" ADD CONSTRAINT "transactions_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "budgets" ADD CONSTRAINT "budgets_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "debts" ADD CONSTRAINT "debts_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "debt_payments" ADD CONSTRAINT "debt_payments_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
    """
    ALTER TABLE "investments" ADD CONSTRAINT "investments_userId_fkey"
      FOREIGN KEY ("userId") REFERENCES "users" ("id") ON DELETE CASCADE ON UPDATE CASCADE
    """,
)

INDEXES = (
    'CREATE UNIQUE INDEX "financial_profiles_userId_key" ON "financial_profiles" ("userId")',
    """
    CREATE UNIQUE INDEX "financial_accounts_active_name_key"
      ON "financial_accounts" ("userId", lower("name")) WHERE "isActive"
    """,
    'CREATE INDEX "recurring_payments_due_idx" ON "recurring_payments" ("nextDueOn") WHERE "isActive"',
    'CREATE INDEX "recurring_payments_userId_accountId_idx" ON "recurring_payments" ("userId", "accountId")',
    'CREATE INDEX "recurring_payments_userId_nextDueOn_idx" ON "recurring_payments" ("userId", "nextDueOn" DESC)',
    'CREATE INDEX "transactions_tags_idx" ON "transactions" USING GIN ("tags" jsonb_path_ops)',
    """
    CREATE INDEX "transactions_userId_accountId_occurredOn_idx"
      ON "transactions" ("userId", "accountId", "occurredOn" DESC)
    """,
    """
    CREATE INDEX "transactions_userId_category_occurredOn_idx"
      ON "transactions" ("userId", "category", "occurredOn" DESC)
    """,
    'CREATE INDEX "transactions_userId_occurredOn_idx" ON "transactions" ("userId", "occurredOn" DESC)',
    'CREATE INDEX "transactions_userId_recurringPaymentId_idx" ON "transactions" ("userId", "recurringPaymentId")',
    'CREATE INDEX "transactions_userId_toAccountId_idx" ON "transactions" ("userId", "toAccountId")',
    """
    CREATE UNIQUE INDEX "budgets_active_category_period_key"
      ON "budgets" ("userId", "category", "period") WHERE "isActive"
    """,
    'CREATE INDEX "budgets_userId_startsOn_idx" ON "budgets" ("userId", "startsOn" DESC)',
    """CREATE INDEX "debts_active_idx" ON "debts" ("userId", "dueDay") WHERE status = 'ACTIVE'""",
    'CREATE INDEX "debts_userId_startedOn_idx" ON "debts" ("userId", "startedOn" DESC)',
    'CREATE INDEX "debt_payments_userId_debtId_paidOn_idx" ON "debt_payments" ("userId", "debtId", "paidOn" DESC)',
    'CREATE INDEX "debt_payments_userId_paidOn_idx" ON "debt_payments" ("userId", "paidOn" DESC)',
    'CREATE UNIQUE INDEX "debt_payments_userId_transactionId_key" ON "debt_payments" ("userId", "transactionId")',
    """
    CREATE INDEX "investments_held_symbol_idx"
      ON "investments" ("symbol") WHERE "soldOn" IS NULL AND "symbol" IS NOT NULL
    """,
    'CREATE INDEX "investments_userId_accountId_idx" ON "investments" ("userId", "accountId")',
    'CREATE INDEX "investments_userId_purchasedOn_idx" ON "investments" ("userId", "purchasedOn" DESC)',
)

COMMENTS = (
    """COMMENT ON TABLE "financial_profiles" IS 'What plans for users'' money begin with, one row a user.'""",
    """COMMENT ON COLUMN "financial_profiles"."baseCurrency" IS 'What totals are shown in; ISO 4217.'""",
    """COMMENT ON COLUMN "financial_profiles"."monthlyIncome" IS 'In baseCurrency, after taxes.'""",
    """COMMENT ON COLUMN "financial_profiles"."monthlySavingsGoal" IS 'In baseCurrency.'""",
    """COMMENT ON COLUMN "financial_profiles"."taxId" IS 'Encrypted, and shown masked.'""",
    """COMMENT ON COLUMN "financial_profiles"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "financial_accounts" IS 'Where users'' money lies.'""",
    """COMMENT ON COLUMN "financial_accounts"."name" IS 'What the user calls it; once among those that are active.'""",
    """COMMENT ON COLUMN "financial_accounts"."institution" IS 'The bank or the like; none for cash.'""",
    """COMMENT ON COLUMN "financial_accounts"."accountNumber" IS 'Encrypted, and shown masked.'""",
    """COMMENT ON COLUMN "financial_accounts"."currency" IS 'ISO 4217.'""",
    """COMMENT ON COLUMN "financial_accounts"."balance" IS 'Below 0 where money is owed.'""",
    """COMMENT ON COLUMN "financial_accounts"."balanceAt" IS 'When the balance was that.'""",
    """COMMENT ON COLUMN "financial_accounts"."creditLimit" IS 'Of a credit card only.'""",
    """COMMENT ON COLUMN "financial_accounts"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "recurring_payments" IS 'What users pay again and again.'""",
    """COMMENT ON COLUMN "recurring_payments"."accountId" IS 'Where it is paid from.'""",
    """COMMENT ON COLUMN "recurring_payments"."contractNumber" IS 'Encrypted, and shown masked.'""",
    """COMMENT ON COLUMN "recurring_payments"."category" IS 'Of the transactions that come of it.'""",
    """COMMENT ON COLUMN "recurring_payments"."amount" IS 'Of one payment.'""",
    """COMMENT ON COLUMN "recurring_payments"."currency" IS 'ISO 4217.'""",
    """COMMENT ON COLUMN "recurring_payments"."endsOn" IS 'The last day; none where it goes on.'""",
    """
    COMMENT ON COLUMN "recurring_payments"."isAutomatic" IS
      'Whether the bank pays it by itself; the user is reminded otherwise.'
    """,
    """COMMENT ON COLUMN "recurring_payments"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "transactions" IS 'What came into users'' accounts, and what went.'""",
    """COMMENT ON COLUMN "transactions"."accountId" IS 'Where it came to, or went from.'""",
    """COMMENT ON COLUMN "transactions"."toAccountId" IS 'Where a transfer went to.'""",
    """COMMENT ON COLUMN "transactions"."recurringPaymentId" IS 'What it was due for, if anything.'""",
    """COMMENT ON COLUMN "transactions"."amount" IS 'Above 0 whatever the type.'""",
    """COMMENT ON COLUMN "transactions"."currency" IS 'ISO 4217.'""",
    """COMMENT ON COLUMN "transactions"."category" IS 'What budgets count it under.'""",
    """COMMENT ON COLUMN "transactions"."notes" IS 'Encrypted.'""",
    """COMMENT ON COLUMN "transactions"."tags" IS 'An array of strings.'""",
    """COMMENT ON TABLE "budgets" IS 'What users mean to spend.'""",
    """COMMENT ON COLUMN "budgets"."category" IS 'The category of the transactions that count.'""",
    """COMMENT ON COLUMN "budgets"."amount" IS 'For one period.'""",
    """COMMENT ON COLUMN "budgets"."currency" IS 'ISO 4217.'""",
    """COMMENT ON COLUMN "budgets"."alertPercent" IS 'How much of it may be spent before the user is told.'""",
    """COMMENT ON TABLE "debts" IS 'What users owe.'""",
    """COMMENT ON COLUMN "debts"."contractNumber" IS 'Encrypted, and shown masked.'""",
    """COMMENT ON COLUMN "debts"."currency" IS 'ISO 4217.'""",
    """COMMENT ON COLUMN "debts"."principal" IS 'What was borrowed.'""",
    """COMMENT ON COLUMN "debts"."balance" IS 'What is still owed.'""",
    """COMMENT ON COLUMN "debts"."interestRate" IS 'Percent a year, of the balance.'""",
    """COMMENT ON COLUMN "debts"."minimumPayment" IS 'What must be paid each month.'""",
    """
    COMMENT ON COLUMN "debts"."dueDay" IS
      'The day of the month that a payment is due on; the last one in shorter months.'
    """,
    """COMMENT ON COLUMN "debts"."notes" IS 'Encrypted.'""",
    """COMMENT ON TABLE "debt_payments" IS 'What users paid back.'""",
    """COMMENT ON COLUMN "debt_payments"."transactionId" IS 'Where the money left an account.'""",
    """COMMENT ON COLUMN "debt_payments"."amount" IS 'In the currency of the debt.'""",
    """COMMENT ON COLUMN "debt_payments"."interestAmount" IS 'How much of the amount did not lessen the debt.'""",
    """COMMENT ON TABLE "investments" IS 'What users bought to gain by it.'""",
    """COMMENT ON COLUMN "investments"."accountId" IS 'Where it is kept, if in an account.'""",
    """COMMENT ON COLUMN "investments"."symbol" IS 'What its price is looked up by.'""",
    """COMMENT ON COLUMN "investments"."purchasePrice" IS 'Of one.'""",
    """COMMENT ON COLUMN "investments"."currentPrice" IS 'Of one, when it was last looked up.'""",
    """COMMENT ON COLUMN "investments"."pricedAt" IS 'When the price was looked up.'""",
    """COMMENT ON COLUMN "investments"."currency" IS 'ISO 4217.'""",
    """COMMENT ON COLUMN "investments"."notes" IS 'Encrypted.'""",
)

CREATED_TABLES = (
    "financial_profiles",
    "financial_accounts",
    "recurring_payments",
    "transactions",
    "budgets",
    "debts",
    "debt_payments",
    "investments",
)
CREATED_TYPES = ("TransactionType",)

# A policy is a range of "userId" whose bounds are looked up once a query, so that the index on "userId" serves it.
LOWEST = "'00000000-0000-0000-0000-000000000000'::uuid"
HIGHEST = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
OF_THE_OWNER = """
FROM pg_catalog.pg_class c WHERE c.oid = '"{table}"'::regclass AND pg_has_role(current_user, c.relowner, 'MEMBER')
"""
OF_A_SERVICE = """
FROM pg_catalog.pg_roles r WHERE r.rolname = 'pilotage_service' AND pg_has_role(current_user, r.oid, 'USAGE')
"""
APPLICATION = """"userId" = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid)"""
SERVICE = f'"userId" BETWEEN (SELECT {LOWEST} {OF_A_SERVICE.strip()}) AND {HIGHEST}'


def upgrade() -> None:
    for statement in (*ENUMS, *TABLES, *INDEXES, *COMMENTS):
        op.execute(statement)
    for table in CREATED_TABLES:
        op.execute(
            f'CREATE TRIGGER "{table}_updatedAt_touch" BEFORE UPDATE ON "{table}" FOR EACH ROW '
            'WHEN (NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt") EXECUTE FUNCTION touch_updated_at()'
        )
        protect(table)
    for statement in REFERENCES:
        op.execute(statement)


def protect(table: str) -> None:
    owner = f'"userId" BETWEEN (SELECT {LOWEST} {OF_THE_OWNER.format(table=table).strip()}) AND {HIGHEST}'
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    for name, rows in (("owner", owner), ("application", APPLICATION), ("service", SERVICE)):
        op.execute(f'CREATE POLICY "{table}_{name}" ON "{table}" USING ({rows}) WITH CHECK ({rows})')


def downgrade() -> None:
    for table in reversed(CREATED_TABLES):
        op.execute(f'DROP TABLE "{table}"')
    for name in CREATED_TYPES:
        op.execute(f'DROP TYPE "{name}"')
