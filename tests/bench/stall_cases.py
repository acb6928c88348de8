"""The changes of the stall bench: each written plainly, and the way that the lint advises, and how to undo both."""

from dataclasses import dataclass

OUTSIDE = "with op.get_context().autocommit_block():\n        "


def ddl(sql: str) -> str:
    """A step that sends one statement."""
    return f'op.execute("""{sql}""")'


def outside(sql: str) -> str:
    """A step that sends one statement outside of transactions."""
    return OUTSIDE + ddl(sql)


@dataclass(frozen=True)
class Change:
    """One change, made twice.

    Attributes:
        name: what it is.
        plain: the revision that one writes first.
        safe: the revisions that do the same without making anyone wait.
        undo: what takes it away again, whoever made it.
        reader_s: seconds that a transaction has read the table and stays open.
    """

    name: str
    plain: str
    safe: tuple[str, ...]
    undo: str
    reader_s: float = 0.0


ADD_COLUMN = ddl("ALTER TABLE orders ADD COLUMN extra text")
SYNC = """
CREATE FUNCTION prices_amount() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.amount_new := NEW.amount; RETURN NEW; END $$;
CREATE TRIGGER prices_amount BEFORE INSERT OR UPDATE ON prices FOR EACH ROW EXECUTE FUNCTION prices_amount()
"""

CHANGES = (
    Change(
        "add column, a reader open 3 s",
        ADD_COLUMN,
        (ADD_COLUMN,),
        "ALTER TABLE orders DROP COLUMN IF EXISTS extra",
        reader_s=3.0,
    ),
    Change(
        "foreign key, 3M rows",
        ddl("ALTER TABLE orders ADD CONSTRAINT orders_fk FOREIGN KEY (customer) REFERENCES customers (id)"),
        (
            ddl(
                "ALTER TABLE orders ADD CONSTRAINT orders_fk FOREIGN KEY (customer) REFERENCES customers (id) NOT VALID"
            ),
            ddl("ALTER TABLE orders VALIDATE CONSTRAINT orders_fk"),
        ),
        "ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_fk",
    ),
    Change(
        "check, 3M rows",
        ddl("ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0)"),
        (
            ddl("ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount >= 0) NOT VALID"),
            ddl("ALTER TABLE orders VALIDATE CONSTRAINT orders_amount"),
        ),
        "ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_amount",
    ),
    Change(
        "not null, 3M rows",
        ddl("ALTER TABLE orders ALTER COLUMN amount SET NOT NULL"),
        (
            ddl("ALTER TABLE orders ADD CONSTRAINT orders_amount CHECK (amount IS NOT NULL) NOT VALID"),
            ddl("ALTER TABLE orders VALIDATE CONSTRAINT orders_amount"),
            ddl("ALTER TABLE orders ALTER COLUMN amount SET NOT NULL")
            + "\n    "
            + ddl("ALTER TABLE orders DROP CONSTRAINT orders_amount"),
        ),
        "ALTER TABLE orders ALTER COLUMN amount DROP NOT NULL, DROP CONSTRAINT IF EXISTS orders_amount",
    ),
    Change(
        "unique, 3M rows",
        ddl("ALTER TABLE orders ADD CONSTRAINT orders_code UNIQUE (code)"),
        (
            outside("CREATE UNIQUE INDEX CONCURRENTLY orders_code ON orders (code)"),
            ddl("ALTER TABLE orders ADD CONSTRAINT orders_code UNIQUE USING INDEX orders_code"),
        ),
        "ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_code",
    ),
    Change(
        "index, 3M rows",
        ddl("CREATE INDEX orders_customer ON orders (customer)"),
        (outside("CREATE INDEX CONCURRENTLY orders_customer ON orders (customer)"),),
        "DROP INDEX IF EXISTS orders_customer",
    ),
    Change(
        "int to bigint, 1M rows",
        ddl("ALTER TABLE prices ALTER COLUMN amount TYPE bigint"),
        (
            ddl("ALTER TABLE prices ADD COLUMN amount_new bigint") + "\n    " + ddl(SYNC),
            'op.backfill("prices", {"amount_new": "amount"}, where="amount_new IS NULL")',
            ddl("DROP TRIGGER prices_amount ON prices")
            + "\n    "
            + ddl("ALTER TABLE prices DROP COLUMN amount")
            + "\n    "
            + ddl("ALTER TABLE prices RENAME COLUMN amount_new TO amount")
            + "\n    "
            + ddl("DROP FUNCTION prices_amount()"),
        ),
        "ALTER TABLE prices ALTER COLUMN amount TYPE int",
    ),
)
