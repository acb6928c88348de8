"""The clients of the stall bench: a process of its own, so that nobody's Python keeps them from their queries.

200 queries a second are due whether those before them were answered or not, dealt out to eight connections; how long
one took counts from when it was due. A connection serves its own in order, so that a stall is also the stall of all
that became due behind it. One line a query: due, answered (the monotonic clock, in seconds), what it was, its error.
"""

import json
import random
import sys
import threading
import time
from typing import Any

import psycopg

CLIENTS = 8
PER_SECOND = 200
LEAD_S = 0.5

QUERIES = (
    ("orders read", "SELECT id, note FROM orders WHERE id = %(order)s"),
    ("orders write", "UPDATE orders SET note = 'seen' WHERE id = %(order)s"),
    ("orders write", "UPDATE orders SET note = 'read' WHERE id = %(order)s"),
    ("prices read", "SELECT id, note FROM prices WHERE id = %(price)s"),
    ("orders write", "UPDATE orders SET note = 'sent' WHERE id = %(order)s"),
    ("customers write", "UPDATE customers SET name = 'new' WHERE id = %(customer)s"),
    ("orders read", "SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer WHERE o.id = %(order)s"),
    ("prices write", "UPDATE prices SET note = 'sent' WHERE id = %(price)s"),
    ("orders read", "SELECT id, note FROM orders WHERE id = %(order)s"),
    ("prices write", "UPDATE prices SET note = 'seen' WHERE id = %(price)s"),
)


def serve(given: dict[str, Any], number: int, begins: float, over: threading.Event, out: threading.Lock) -> None:
    """Send every eighth query, each when it is due or as soon as the connection is free."""
    # Clients that prepare would fail where a type changes, whoever changes it.
    session = psycopg.connect(given["dsn"], autocommit=True, prepare_threshold=None, application_name="client")
    dice = random.Random(number)  # noqa: S311
    at = number
    while not over.is_set():
        due = begins + at / PER_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        kind, query = QUERIES[at % len(QUERIES)]
        rows = {name: dice.randint(1, given[name]) for name in ("order", "price", "customer")}
        error = ""
        try:
            session.execute(query.encode(), rows)
        except psycopg.Error as raised:
            error = str(raised).strip()
            if session.closed:
                session = psycopg.connect(given["dsn"], autocommit=True, prepare_threshold=None)
        line = json.dumps([due, time.monotonic(), kind, error])
        with out:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        at += CLIENTS
    session.close()


def main() -> None:
    """Work until standard input ends."""
    given = json.loads(sys.stdin.readline())
    over, out = threading.Event(), threading.Lock()
    begins = time.monotonic() + LEAD_S
    threads = [threading.Thread(target=serve, args=(given, n, begins, over, out)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
