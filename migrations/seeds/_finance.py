"""Money: of half of the users, in Mexican pesos."""

from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Final

from migrations.seeds._copy_format import NULL
from migrations.seeds._distributions import DAY_MS, END_MS, date, log_normal, money, one_of, shared, stamp
from migrations.seeds._loading import Row, TableRows
from migrations.seeds.plan import Plan

_PROFILES = (
    "id", "userId", "monthlyIncome", "monthlySavingsGoal", "riskTolerance", "taxId", "createdAt", "updatedAt",
)  # fmt: skip
_ACCOUNTS = (
    "id", "userId", "name", "type", "institution", "accountNumber", "currency", "balance", "balanceAt", "creditLimit",
    "createdAt", "updatedAt",
)  # fmt: skip
_BUDGETS = ("id", "userId", "category", "amount", "alertPercent", "startsOn", "createdAt", "updatedAt")
_TRANSACTIONS = (
    "id", "userId", "accountId", "toAccountId", "recurringPaymentId", "type", "amount", "currency", "category",
    "description", "notes", "tags", "occurredOn", "createdAt", "updatedAt",
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
REGULAR: Final = (("Renta", "home", 9_500), ("Internet", "home", 549), ("Gimnasio", "health", 699))
_RISKS: Final = shared({"MODERATE": 55, "CONSERVATIVE": 32, "AGGRESSIVE": 13})
_TAGS: Final = ("[]", "[]", "[]", '["familia"]', '["work"]')


def tables(plan: Plan) -> tuple[TableRows, ...]:
    """The rows of this area."""
    return (
        TableRows("financial_profiles", _PROFILES, partial(_profiles, plan)),
        TableRows("financial_accounts", _ACCOUNTS, partial(_accounts, plan)),
        TableRows("budgets", _BUDGETS, partial(_budgets, plan)),
        TableRows("transactions", _TRANSACTIONS, partial(_transactions, plan)),
    )


def users_with_accounts(plan: Plan) -> range:
    """The users who keep their money here."""
    return range(0, plan.users, 2)


def regular_payments(user: int) -> range:
    """Which of the regular payments a user has."""
    return range(1 + user // 2 % len(REGULAR))


def _accounts_of(user: int) -> int:
    return 2 + user // 2 % 3


def _income(plan: Plan, user: int) -> int:
    return int(log_normal(plan.roll("income", user), 16_000, 0.55)) * 100


def _profiles(plan: Plan) -> Iterator[Row]:
    for user in users_with_accounts(plan):
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
    for user in users_with_accounts(plan):
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
    for user in users_with_accounts(plan):
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


def _transactions(plan: Plan) -> Iterator[Row]:
    for user in users_with_accounts(plan):
        roll = plan.roll("transactions", user)
        born, key, income = plan.person(user).born, plan.user(user), money(_income(plan, user) // 2)
        accounts = [plan.key("financial_accounts", user, place) for place in range(_accounts_of(user))]
        regular = [plan.key("recurring_payments", user, place) for place in regular_payments(user)]
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
        name, category, pesos = REGULAR[place]
        return account, NULL, regular[place], "EXPENSE", money(pesos * 100), "MXN", category, name, NULL
    category = one_of(roll, _SPENT)
    amount = money(int(log_normal(roll, _MEDIANS[category], 0.75) * 100) + 1)
    notes = "compartido" if roll.random() < 0.04 else NULL
    return account, NULL, NULL, "EXPENSE", amount, "MXN", category, one_of(roll, _SHOPS[category]), notes
