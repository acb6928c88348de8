"""Money: of half of the users, in Mexican pesos."""

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Final, NamedTuple

from migrations.seeds.distributions import DAY_MS, END_MS, LAST_DAY, date, log_normal, money, one_of, shared, stamp
from migrations.seeds.fields import FALSE, NULL, TRUE
from migrations.seeds.loading import Row, TableRows
from migrations.seeds.plan import Plan

_PROFILES = (
    "id", "userId", "monthlyIncome", "monthlySavingsGoal", "riskTolerance", "taxId", "createdAt", "updatedAt",
)  # fmt: skip
_ACCOUNTS = (
    "id", "userId", "name", "type", "institution", "accountNumber", "currency", "balance", "balanceAt", "creditLimit",
    "createdAt", "updatedAt",
)  # fmt: skip
_BUDGETS = ("id", "userId", "category", "amount", "alertPercent", "startsOn", "createdAt", "updatedAt")
_RECURRING = (
    "id", "userId", "accountId", "name", "contractNumber", "category", "amount", "startsOn", "nextDueOn",
    "isAutomatic", "isActive", "createdAt", "updatedAt",
)  # fmt: skip
_TRANSACTIONS = (
    "id", "userId", "accountId", "toAccountId", "recurringPaymentId", "type", "amount", "currency", "category",
    "description", "notes", "tags", "occurredOn", "createdAt", "updatedAt",
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

_KINDS: Final = (
    ("Cuenta de nómina", "CHECKING"),
    ("Tarjeta de crédito", "CREDIT_CARD"),
    ("Ahorro", "SAVINGS"),
    ("Efectivo", "CASH"),
)
_BANKS: Final = ("BBVA", "Banorte", "Santander", "Citibanamex", "Nu")
_SPENT: Final = shared({"food": 34, "transport": 18, "home": 14, "health": 8, "leisure": 14, "clothes": 7, "school": 5})
_MEDIANS: Final = {
    "food": 240, "transport": 90, "home": 900, "health": 480, "leisure": 320, "clothes": 650, "school": 1_200,
}  # fmt: skip
_SHOPS: Final = {
    "food": ("Oxxo", "Walmart", "La Cocina de Ana", "Soriana"),
    "transport": ("Uber", "Metro", "Pemex"),
    "home": ("CFE", "Telmex", "Home Depot"),
    "health": ("Farmacia Guadalajara", "Laboratorio Chopo"),
    "leisure": ("Cinépolis", "Netflix", "Spotify"),
    "clothes": ("Liverpool", "Zara"),
    "school": ("Colegiatura", "Librería Gandhi"),
}
_REGULAR: Final = (("Renta", "home", 9_500), ("Internet", "home", 549), ("Gimnasio", "health", 699))
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
_RISKS: Final = shared({"MODERATE": 55, "CONSERVATIVE": 32, "AGGRESSIVE": 13})
_TAGS: Final = ("[]", "[]", "[]", '["familia"]', '["work"]')


class _Debt(NamedTuple):
    lent: int
    principal: int
    day: int
    payments: tuple[tuple[int, int, int], ...]
    """The day, the cents and the cents of interest of each."""


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("financial_profiles", _PROFILES, partial(_profiles, plan)),
        TableRows("financial_accounts", _ACCOUNTS, partial(_accounts, plan)),
        TableRows("budgets", _BUDGETS, partial(_budgets, plan)),
        TableRows("recurring_payments", _RECURRING, partial(_recurring, plan)),
        TableRows("transactions", _TRANSACTIONS, partial(_transactions, plan)),
        TableRows("debts", _DEBTS, partial(_debts, plan)),
        TableRows("debt_payments", _PAYMENTS, partial(_payments, plan)),
        TableRows("investments", _INVESTMENTS, partial(_investments, plan)),
    )


def _users(plan: Plan) -> range:
    return range(0, plan.users, 2)


def _accounts_of(user: int) -> int:
    return 2 + user // 2 % 3


def _income(plan: Plan, user: int) -> int:
    return int(log_normal(plan.roll("income", user), 16_000, 0.55)) * 100


def _profiles(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("financial_profiles", user)
        born, income = stamp(plan.person(user).born), _income(plan, user)
        yield (
            plan.key("financial_profiles", user),
            plan.user(user),
            money(income),
            money(int(income * roll.uniform(0.03, 0.3))) if roll.random() < 0.7 else NULL,
            one_of(roll, _RISKS),
            f"XAXX{roll.randrange(10**6):06}{roll.randrange(1_000):03}" if roll.random() < 0.8 else NULL,
            born,
            born,
        )


def _accounts(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("financial_accounts", user)
        born, income = stamp(plan.person(user).born), _income(plan, user)
        for place in range(_accounts_of(user)):
            name, kind = _KINDS[place]
            card, cash = kind == "CREDIT_CARD", kind == "CASH"
            held = int(log_normal(roll, income * (0.05 if cash else 0.6), 0.9))
            yield (
                plan.key("financial_accounts", user, place),
                plan.user(user),
                name,
                kind,
                NULL if cash else one_of(roll, _BANKS),
                NULL if cash else f"{roll.randrange(10**16):016}",
                "MXN",
                f"-{money(held)}" if card else money(held),
                stamp(END_MS - DAY_MS),
                money(income * 2) if card else NULL,
                born,
                born,
            )


def _budgets(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("budgets", user)
        born = plan.person(user).born
        for place, category in enumerate(roll.sample(sorted(_MEDIANS), k=1 + int(roll.random() * 4))):
            yield (
                plan.key("budgets", user, place),
                plan.user(user),
                category,
                money(int(log_normal(roll, _MEDIANS[category] * 12, 0.4)) * 100 + 100),
                one_of(roll, ("70", "80", "80", "90")),
                date(born // DAY_MS),
                stamp(born),
                stamp(born),
            )


def _recurring(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("recurring_payments", user)
        born = plan.person(user).born
        for place in range(1 + user // 2 % len(_REGULAR)):
            name, category, pesos = _REGULAR[place]
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


def _transactions(plan: Plan) -> Iterator[Row]:
    for user in _users(plan):
        roll = plan.roll("transactions", user)
        born, key, income = plan.person(user).born, plan.user(user), money(_income(plan, user) // 2)
        accounts = [plan.key("financial_accounts", user, place) for place in range(_accounts_of(user))]
        regular = [plan.key("recurring_payments", user, place) for place in range(1 + user // 2 % len(_REGULAR))]
        for place in range(1 + plan.count(roll, user, 52)):
            moment = plan.after(roll, born)
            yield (
                plan.key("transactions", user, place),
                key,
                *_moved(roll, accounts, regular, income),
                one_of(roll, _TAGS),
                date(moment // DAY_MS),
                stamp(moment),
                stamp(moment),
            )


def _moved(roll: Random, accounts: list[str], regular: list[str], income: str) -> Row:
    """From the account to the notes: what was spent mostly, else earned or moved."""
    which = roll.random()
    if which < 0.06:
        return accounts[0], NULL, NULL, "INCOME", income, "MXN", "salary", "Nómina", NULL
    if which < 0.11:
        amount = money(int(log_normal(roll, 1_500, 0.8) * 100) + 1)
        return accounts[0], accounts[1], NULL, "TRANSFER", amount, "MXN", "transfer", "Traspaso", NULL
    account = one_of(roll, accounts)
    if which < 0.18:
        place = int(roll.random() * len(regular))
        name, category, pesos = _REGULAR[place]
        return account, NULL, regular[place], "EXPENSE", money(pesos * 100), "MXN", category, name, NULL
    category = one_of(roll, _SPENT)
    amount = money(int(log_normal(roll, _MEDIANS[category], 0.75) * 100) + 1)
    notes = "compartido" if roll.random() < 0.04 else NULL
    return account, NULL, NULL, "EXPENSE", amount, "MXN", category, one_of(roll, _SHOPS[category]), notes


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
    for user in _users(plan):
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
    for user in _users(plan):
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
    for user in _users(plan):
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
