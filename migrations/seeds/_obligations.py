"""What users must pay, owe and own: of the users that have accounts."""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from migrations.seeds._copy_format import FALSE, NULL, TRUE
from migrations.seeds._distributions import DAY_MS, END_MS, LAST_DAY, date, log_normal, money, one_of, stamp
from migrations.seeds._finance import REGULAR, regular_payments, users_with_accounts
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan

_RECURRING = (
    "id", "userId", "accountId", "name", "contractNumber", "category", "amount", "startsOn", "nextDueOn",
    "isAutomatic", "isActive", "createdAt", "updatedAt",
)  # fmt: skip
_DEBTS = (
    "id", "userId", "creditor", "type", "contractNumber", "principal", "balance", "interestRate", "minimumPayment",
    "dueDay", "status", "startedOn", "paidOffOn", "createdAt", "updatedAt",
)  # fmt: skip
_PAYMENTS = ("id", "userId", "debtId", "amount", "interestAmount", "paidOn", "createdAt", "updatedAt")
_INVESTMENTS = (
    "id", "userId", "accountId", "type", "name", "symbol", "quantity", "purchasePrice", "currentPrice", "pricedAt",
    "purchasedOn", "createdAt", "updatedAt",
)  # fmt: skip

_LENT: Final = (
    ("BBVA", "CREDIT_CARD", 28_000, 420),
    ("Infonavit", "MORTGAGE", 1_100_000, 105),
    ("Volkswagen Financial", "CAR_LOAN", 260_000, 135),
    ("Nu", "PERSONAL_LOAN", 45_000, 310),
)
_HELD: Final = (
    ("Naftrac", "NAFTRAC", "FUND", 52),
    ("Cetes 28", "CETES28", "BOND", 10),
    ("Apple", "AAPL", "STOCK", 3_400),
    ("Bitcoin", "BTC", "CRYPTO", 1_100_000),
)


class _Debt(NamedTuple):
    lent: int
    principal: int
    day: int
    payments: tuple[tuple[int, int, int], ...]
    """The day, the cents and the cents of interest of each."""


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("recurring_payments", _RECURRING, partial(_recurring, plan)),
        TableRows("debts", _DEBTS, partial(_debts, plan)),
        TableRows("debt_payments", _PAYMENTS, partial(_payments, plan)),
        TableRows("investments", _INVESTMENTS, partial(_investments, plan)),
    )


def _recurring(plan: Plan) -> Iterator[Row]:
    for user in users_with_accounts(plan):
        roll = plan.roll("recurring_payments", user)
        born = plan.person(user).born
        for place in regular_payments(user):
            name, category, pesos = REGULAR[place]
            active = roll.random() < 0.93
            yield (
                plan.key("recurring_payments", user, place),
                plan.user(user),
                plan.key("financial_accounts", user, 0),
                name,
                f"C{roll.randrange(10**8):08}" if roll.random() < 0.5 else NULL,
                category,
                money(int(log_normal(roll, pesos, 0.3) * 100) + 1),
                date(born // DAY_MS),
                date(LAST_DAY + 1 + int(roll.random() * 30)),
                TRUE if roll.random() < 0.6 else FALSE,
                TRUE if active else FALSE,
                stamp(born),
                stamp(born),
            )


def _debt(plan: Plan, user: int) -> _Debt | None:
    """What a user owes, and paid of it; a third of the users owe nothing."""
    roll = plan.roll("debt", user)
    if roll.random() < 0.35 and user:
        return None
    lent = int(roll.random() * len(_LENT))
    _, _, pesos, rate = _LENT[lent]
    principal = int(log_normal(roll, pesos, 0.4)) * 100
    day, balance = int(roll.random() * 500), principal
    payments: list[tuple[int, int, int]] = []
    for month in range(1, 1 + (LAST_DAY - day) // 30):
        if roll.random() < 0.3 or balance <= 0:
            continue
        interest = balance * rate // 120_000
        amount = min(interest + principal // (24 if pesos < 300_000 else 180), balance + interest)
        balance -= amount - interest
        payments.append((day + 30 * month, amount, interest))
    return _Debt(lent, principal, day, tuple(payments))


def _debts(plan: Plan) -> Iterator[Row]:
    for user in users_with_accounts(plan):
        one = _debt(plan, user)
        if one is None:
            continue
        roll = plan.roll("debts", user)
        creditor, kind, _, rate = _LENT[one.lent]
        balance = one.principal - sum(amount - interest for _, amount, interest in one.payments)
        status = "PAID_OFF" if balance == 0 else "DEFAULTED" if roll.random() < 0.04 else "ACTIVE"
        moment = stamp(one.day * DAY_MS)
        yield (
            plan.key("debts", user),
            plan.user(user),
            creditor,
            kind,
            f"{roll.randrange(10**12):012}",
            money(one.principal),
            money(balance),
            f"{rate / 10:.3f}",
            money(one.principal // 100),
            str(1 + user % 28),
            status,
            date(one.day),
            date(one.payments[-1][0]) if status == "PAID_OFF" else NULL,
            moment,
            moment,
        )


def _payments(plan: Plan) -> Iterator[Row]:
    for user in users_with_accounts(plan):
        one = _debt(plan, user)
        for place, (day, amount, interest) in enumerate(one.payments if one else ()):
            moment = stamp(day * DAY_MS + 15 * 3_600_000)
            yield (
                plan.key("debt_payments", user, place),
                plan.user(user),
                plan.key("debts", user),
                money(amount),
                money(interest),
                date(day),
                moment,
                moment,
            )


def _investments(plan: Plan) -> Iterator[Row]:
    for user in users_with_accounts(plan):
        roll = plan.roll("investments", user)
        born = plan.person(user).born
        for place in range(int(roll.random() ** 2 * 4) or int(user == 0)):
            name, symbol, kind, pesos = one_of(roll, _HELD)
            moment = plan.after(roll, born)
            paid = int(log_normal(roll, pesos, 0.2) * 100)
            yield (
                plan.key("investments", user, place),
                plan.user(user),
                plan.key("financial_accounts", user, 0),
                kind,
                name,
                symbol,
                f"{log_normal(roll, 20_000 / pesos, 1.0) + 0.00000001:.8f}",
                money(paid),
                money(int(log_normal(roll, paid, 0.15))),
                stamp(END_MS - DAY_MS),
                date(moment // DAY_MS),
                stamp(moment),
                stamp(moment),
            )
