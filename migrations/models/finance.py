"""Users' money: where it lies, where it goes, and what they mean to spend.

Amounts are plain, because they are summed; numbers of accounts and what users write for themselves are ciphertext.
Debts, investments and what is paid again and again are in migrations/models/obligations.py.
"""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Date, Index, Numeric, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Json, Timestamp, enum_type
from migrations.models.protected import PROTECTED, currency, encrypted, of_same_user, one_of, owned, referenced

if TYPE_CHECKING:
    from migrations.models.identity import User
    from migrations.models.obligations import RecurringPayment

Money = Numeric(14, 2)


class TransactionType(enum.StrEnum):
    """Where money moved."""

    INCOME = "INCOME"
    EXPENSE = "EXPENSE"
    TRANSFER = "TRANSFER"


class FinancialProfile(Base):
    """What plans for a user's money begin with."""

    __tablename__ = "financial_profiles"
    __table_args__ = (
        *owned("financial_profiles"),
        *encrypted("financial_profiles", "taxId", "notes"),
        currency("financial_profiles", "baseCurrency"),
        one_of("financial_profiles", "riskTolerance", "CONSERVATIVE", "MODERATE", "AGGRESSIVE"),
        CheckConstraint('"monthlyIncome" >= 0', name="financial_profiles_monthlyIncome_check"),
        CheckConstraint('"monthlySavingsGoal" >= 0', name="financial_profiles_monthlySavingsGoal_check"),
        Index("financial_profiles_userId_key", "userId", unique=True),
        {"comment": "What plans for users' money begin with, one row a user.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    baseCurrency: Mapped[str] = mapped_column(
        String(3), server_default=text("'MXN'"), comment="What totals are shown in; ISO 4217."
    )
    monthlyIncome: Mapped[Decimal | None] = mapped_column(Money, comment="In baseCurrency, after taxes.")
    monthlySavingsGoal: Mapped[Decimal | None] = mapped_column(Money, comment="In baseCurrency.")
    riskTolerance: Mapped[str] = mapped_column(String(20), server_default=text("'MODERATE'"))
    taxId: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True, "masked": True}, comment="Encrypted, and shown masked."
    )
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()


class FinancialAccount(Base):
    """A place where a user's money lies; one with a past is deactivated, not deleted."""

    __tablename__ = "financial_accounts"
    __table_args__ = (
        *owned("financial_accounts"),
        *encrypted("financial_accounts", "accountNumber", "notes"),
        one_of(
            "financial_accounts", "type", "CHECKING", "SAVINGS", "CREDIT_CARD", "CASH", "INVESTMENT", "LOAN", "OTHER"
        ),
        currency("financial_accounts"),
        CheckConstraint(
            """"creditLimit" IS NULL OR "creditLimit" >= 0 AND "type" = 'CREDIT_CARD'""",
            name="financial_accounts_creditLimit_check",
        ),
        referenced("financial_accounts"),
        Index(
            "financial_accounts_active_name_key",
            "userId",
            text('lower("name")'),
            unique=True,
            postgresql_where=text('"isActive"'),
        ),
        {"comment": "Where users' money lies.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    name: Mapped[str] = mapped_column(String(255), comment="What the user calls it; once among those that are active.")
    type: Mapped[str] = mapped_column(String(20))
    institution: Mapped[str | None] = mapped_column(String(255), comment="The bank or the like; none for cash.")
    accountNumber: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True, "masked": True}, comment="Encrypted, and shown masked."
    )
    currency: Mapped[str] = mapped_column(String(3), server_default=text("'MXN'"), comment="ISO 4217.")
    balance: Mapped[Decimal] = mapped_column(Money, server_default=text("0"), comment="Below 0 where money is owed.")
    balanceAt: Mapped[dt.datetime] = mapped_column(
        Timestamp, server_default=text("CURRENT_TIMESTAMP"), comment="When the balance was that."
    )
    creditLimit: Mapped[Decimal | None] = mapped_column(Money, comment="Of a credit card only.")
    isActive: Mapped[bool] = mapped_column(server_default=text("true"))
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()


class Transaction(Base):
    """Money that came, went, or moved between two accounts."""

    __tablename__ = "transactions"
    __table_args__ = (
        *owned("transactions"),
        *encrypted("transactions", "notes"),
        currency("transactions"),
        CheckConstraint('"amount" > 0', name="transactions_amount_check"),
        CheckConstraint(
            """("type" = 'TRANSFER') = ("toAccountId" IS NOT NULL)""", name="transactions_toAccountId_check"
        ),
        CheckConstraint('"toAccountId" <> "accountId"', name="transactions_accounts_check"),
        CheckConstraint("jsonb_typeof(tags) = 'array'", name="transactions_tags_check"),
        of_same_user("transactions", "accountId", "financial_accounts"),
        of_same_user("transactions", "toAccountId", "financial_accounts"),
        of_same_user(
            "transactions", "recurringPaymentId", "recurring_payments", ondelete='SET NULL ("recurringPaymentId")'
        ),
        referenced("transactions"),
        Index("transactions_userId_occurredOn_idx", "userId", text('"occurredOn" DESC')),
        Index("transactions_userId_category_occurredOn_idx", "userId", "category", text('"occurredOn" DESC')),
        Index("transactions_userId_accountId_occurredOn_idx", "userId", "accountId", text('"occurredOn" DESC')),
        Index("transactions_userId_toAccountId_idx", "userId", "toAccountId"),
        Index("transactions_userId_recurringPaymentId_idx", "userId", "recurringPaymentId"),
        Index("transactions_tags_idx", "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
        {"comment": "What came into users' accounts, and what went.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    accountId: Mapped[uuid.UUID] = mapped_column(UUID(), comment="Where it came to, or went from.")
    toAccountId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Where a transfer went to.")
    recurringPaymentId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="What it was due for, if anything.")
    type: Mapped[TransactionType] = mapped_column(enum_type(TransactionType))
    amount: Mapped[Decimal] = mapped_column(Money, comment="Above 0 whatever the type.")
    currency: Mapped[str] = mapped_column(String(3), server_default=text("'MXN'"), comment="ISO 4217.")
    category: Mapped[str] = mapped_column(String(50), comment="What budgets count it under.")
    description: Mapped[str] = mapped_column(String(255))
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    tags: Mapped[Json] = mapped_column(JSONB, server_default=text("'[]'"), comment="An array of strings.")
    occurredOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    account: Mapped["FinancialAccount"] = relationship(
        primaryjoin="foreign(Transaction.accountId) == FinancialAccount.id"
    )
    toAccount: Mapped["FinancialAccount | None"] = relationship(
        primaryjoin="foreign(Transaction.toAccountId) == FinancialAccount.id"
    )
    recurringPayment: Mapped["RecurringPayment | None"] = relationship(
        primaryjoin="foreign(Transaction.recurringPaymentId) == RecurringPayment.id"
    )


class Budget(Base):
    """What a user means to spend on something."""

    __tablename__ = "budgets"
    __table_args__ = (
        *owned("budgets"),
        one_of("budgets", "period", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"),
        currency("budgets"),
        CheckConstraint('"amount" > 0', name="budgets_amount_check"),
        CheckConstraint('"alertPercent" BETWEEN 1 AND 100', name="budgets_alertPercent_check"),
        CheckConstraint('"endsOn" >= "startsOn"', name="budgets_endsOn_check"),
        Index("budgets_userId_startsOn_idx", "userId", text('"startsOn" DESC')),
        Index(
            "budgets_active_category_period_key",
            "userId",
            "category",
            "period",
            unique=True,
            postgresql_where=text('"isActive"'),
        ),
        {"comment": "What users mean to spend.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    category: Mapped[str] = mapped_column(String(50), comment="The category of the transactions that count.")
    period: Mapped[str] = mapped_column(String(20), server_default=text("'MONTHLY'"))
    amount: Mapped[Decimal] = mapped_column(Money, comment="For one period.")
    currency: Mapped[str] = mapped_column(String(3), server_default=text("'MXN'"), comment="ISO 4217.")
    alertPercent: Mapped[int] = mapped_column(
        SmallInteger, server_default=text("80"), comment="How much of it may be spent before the user is told."
    )
    startsOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    endsOn: Mapped[dt.date | None] = mapped_column(Date)
    isActive: Mapped[bool] = mapped_column(server_default=text("true"))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
