"""What users owe, own and pay again and again."""

# ruff: noqa: N815 - the columns are camelCase.
import datetime as dt
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Date, Index, Numeric, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from migrations.models.base import Base, Timestamp
from migrations.models.finance import Money
from migrations.models.protected import PROTECTED, currency, encrypted, of_same_user, one_of, owned, referenced

if TYPE_CHECKING:
    from migrations.models.finance import FinancialAccount, Transaction
    from migrations.models.identity import User


class Debt(Base):
    """Money that a user owes."""

    __tablename__ = "debts"
    __table_args__ = (
        *owned("debts"),
        *encrypted("debts", "contractNumber", "notes"),
        one_of("debts", "type", "CREDIT_CARD", "MORTGAGE", "CAR_LOAN", "STUDENT_LOAN", "PERSONAL_LOAN", "OTHER"),
        one_of("debts", "status", "ACTIVE", "PAID_OFF", "DEFAULTED"),
        currency("debts"),
        CheckConstraint('"principal" > 0', name="debts_principal_check"),
        CheckConstraint('"balance" >= 0', name="debts_balance_check"),
        CheckConstraint('"interestRate" BETWEEN 0 AND 999', name="debts_interestRate_check"),
        CheckConstraint('"minimumPayment" >= 0', name="debts_minimumPayment_check"),
        CheckConstraint('"dueDay" BETWEEN 1 AND 31', name="debts_dueDay_check"),
        CheckConstraint("""("status" = 'PAID_OFF') = ("paidOffOn" IS NOT NULL)""", name="debts_paidOff_check"),
        CheckConstraint('"paidOffOn" >= "startedOn"', name="debts_paidOffOn_check"),
        referenced("debts"),
        Index("debts_userId_startedOn_idx", "userId", text('"startedOn" DESC')),
        Index("debts_active_idx", "userId", "dueDay", postgresql_where=text("""status = 'ACTIVE'""")),
        {"comment": "What users owe.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    creditor: Mapped[str] = mapped_column(String(255))
    type: Mapped[str] = mapped_column(String(20))
    contractNumber: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True, "masked": True}, comment="Encrypted, and shown masked."
    )
    currency: Mapped[str] = mapped_column(String(3), server_default=text("'MXN'"), comment="ISO 4217.")
    principal: Mapped[Decimal] = mapped_column(Money, comment="What was borrowed.")
    balance: Mapped[Decimal] = mapped_column(Money, comment="What is still owed.")
    interestRate: Mapped[Decimal] = mapped_column(
        Numeric(6, 3), server_default=text("0"), comment="Percent a year, of the balance."
    )
    minimumPayment: Mapped[Decimal | None] = mapped_column(Money, comment="What must be paid each month.")
    dueDay: Mapped[int | None] = mapped_column(
        SmallInteger, comment="The day of the month that a payment is due on; the last one in shorter months."
    )
    status: Mapped[str] = mapped_column(String(20), server_default=text("'ACTIVE'"))
    startedOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    paidOffOn: Mapped[dt.date | None] = mapped_column(Date)
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    payments: Mapped[list["DebtPayment"]] = relationship(
        back_populates="debt", primaryjoin="foreign(DebtPayment.debtId) == Debt.id", passive_deletes="all"
    )


class DebtPayment(Base):
    """Money paid back."""

    __tablename__ = "debt_payments"
    __table_args__ = (
        *owned("debt_payments"),
        CheckConstraint('"amount" > 0', name="debt_payments_amount_check"),
        CheckConstraint('"interestAmount" BETWEEN 0 AND "amount"', name="debt_payments_interestAmount_check"),
        of_same_user("debt_payments", "debtId", "debts", ondelete="CASCADE"),
        of_same_user("debt_payments", "transactionId", "transactions", ondelete='SET NULL ("transactionId")'),
        Index("debt_payments_userId_debtId_paidOn_idx", "userId", "debtId", text('"paidOn" DESC')),
        Index("debt_payments_userId_paidOn_idx", "userId", text('"paidOn" DESC')),
        Index("debt_payments_userId_transactionId_key", "userId", "transactionId", unique=True),
        {"comment": "What users paid back.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    debtId: Mapped[uuid.UUID] = mapped_column(UUID())
    transactionId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Where the money left an account.")
    amount: Mapped[Decimal] = mapped_column(Money, comment="In the currency of the debt.")
    interestAmount: Mapped[Decimal] = mapped_column(
        Money, server_default=text("0"), comment="How much of the amount did not lessen the debt."
    )
    paidOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    debt: Mapped["Debt"] = relationship(back_populates="payments", primaryjoin="foreign(DebtPayment.debtId) == Debt.id")
    transaction: Mapped["Transaction | None"] = relationship(
        primaryjoin="foreign(DebtPayment.transactionId) == Transaction.id"
    )


class Investment(Base):
    """Something that a user bought to gain by it."""

    __tablename__ = "investments"
    __table_args__ = (
        *owned("investments"),
        *encrypted("investments", "notes"),
        one_of("investments", "type", "STOCK", "BOND", "FUND", "CRYPTO", "REAL_ESTATE", "OTHER"),
        currency("investments"),
        CheckConstraint('"quantity" > 0', name="investments_quantity_check"),
        CheckConstraint('"purchasePrice" >= 0', name="investments_purchasePrice_check"),
        CheckConstraint('"currentPrice" >= 0', name="investments_currentPrice_check"),
        CheckConstraint('("currentPrice" IS NULL) = ("pricedAt" IS NULL)', name="investments_pricedAt_check"),
        CheckConstraint('"soldOn" >= "purchasedOn"', name="investments_soldOn_check"),
        of_same_user("investments", "accountId", "financial_accounts"),
        Index("investments_userId_purchasedOn_idx", "userId", text('"purchasedOn" DESC')),
        Index("investments_userId_accountId_idx", "userId", "accountId"),
        Index(
            "investments_held_symbol_idx",
            "symbol",
            postgresql_where=text('"soldOn" IS NULL AND "symbol" IS NOT NULL'),
        ),
        {"comment": "What users bought to gain by it.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    accountId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Where it is kept, if in an account.")
    type: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(255))
    symbol: Mapped[str | None] = mapped_column(String(20), comment="What its price is looked up by.")
    quantity: Mapped[Decimal] = mapped_column(Numeric(20, 8))
    purchasePrice: Mapped[Decimal] = mapped_column(Money, comment="Of one.")
    currentPrice: Mapped[Decimal | None] = mapped_column(Money, comment="Of one, when it was last looked up.")
    pricedAt: Mapped[dt.datetime | None] = mapped_column(Timestamp, comment="When the price was looked up.")
    currency: Mapped[str] = mapped_column(String(3), server_default=text("'MXN'"), comment="ISO 4217.")
    purchasedOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    soldOn: Mapped[dt.date | None] = mapped_column(Date)
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    account: Mapped["FinancialAccount | None"] = relationship(
        primaryjoin="foreign(Investment.accountId) == FinancialAccount.id"
    )


class RecurringPayment(Base):
    """Something that a user pays again and again."""

    __tablename__ = "recurring_payments"
    __table_args__ = (
        *owned("recurring_payments"),
        *encrypted("recurring_payments", "contractNumber", "notes"),
        one_of("recurring_payments", "frequency", "DAILY", "WEEKLY", "BIWEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"),
        currency("recurring_payments"),
        CheckConstraint('"amount" > 0', name="recurring_payments_amount_check"),
        CheckConstraint('"endsOn" >= "startsOn"', name="recurring_payments_endsOn_check"),
        CheckConstraint('"nextDueOn" >= "startsOn"', name="recurring_payments_nextDueOn_check"),
        of_same_user("recurring_payments", "accountId", "financial_accounts"),
        referenced("recurring_payments"),
        Index("recurring_payments_userId_nextDueOn_idx", "userId", text('"nextDueOn" DESC')),
        Index("recurring_payments_userId_accountId_idx", "userId", "accountId"),
        Index("recurring_payments_due_idx", "nextDueOn", postgresql_where=text('"isActive"')),
        {"comment": "What users pay again and again.", "info": PROTECTED},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(), server_default=text("gen_random_uuid()"))
    userId: Mapped[uuid.UUID] = mapped_column(UUID())
    accountId: Mapped[uuid.UUID | None] = mapped_column(UUID(), comment="Where it is paid from.")
    name: Mapped[str] = mapped_column(String(255))
    contractNumber: Mapped[str | None] = mapped_column(
        Text, info={"encrypted": True, "masked": True}, comment="Encrypted, and shown masked."
    )
    category: Mapped[str] = mapped_column(String(50), comment="Of the transactions that come of it.")
    amount: Mapped[Decimal] = mapped_column(Money, comment="Of one payment.")
    currency: Mapped[str] = mapped_column(String(3), server_default=text("'MXN'"), comment="ISO 4217.")
    frequency: Mapped[str] = mapped_column(String(20), server_default=text("'MONTHLY'"))
    startsOn: Mapped[dt.date] = mapped_column(Date, server_default=text("CURRENT_DATE"))
    nextDueOn: Mapped[dt.date] = mapped_column(Date)
    endsOn: Mapped[dt.date | None] = mapped_column(Date, comment="The last day; none where it goes on.")
    isAutomatic: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="Whether the bank pays it by itself; the user is reminded otherwise."
    )
    isActive: Mapped[bool] = mapped_column(server_default=text("true"))
    notes: Mapped[str | None] = mapped_column(Text, info={"encrypted": True}, comment="Encrypted.")
    createdAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))
    updatedAt: Mapped[dt.datetime] = mapped_column(Timestamp, server_default=text("CURRENT_TIMESTAMP"))

    user: Mapped["User"] = relationship()
    account: Mapped["FinancialAccount | None"] = relationship(
        primaryjoin="foreign(RecurringPayment.accountId) == FinancialAccount.id"
    )
