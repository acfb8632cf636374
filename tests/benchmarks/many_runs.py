"""A database of many made-up runs, for benchmarks of pages and exports; nothing in it was measured."""

import sqlite3
import sys
from pathlib import Path

from engine.store.store import Store
from tests.dashboard.samples import SERVICE, TEXT, add_done, sample_machine, sample_result, sample_spec

COPIES = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :copies)
INSERT INTO runs ({columns})
SELECT {values} FROM numbers JOIN runs AS template ON template.id = 1 + (numbers.n % :templates)
ORDER BY numbers.n
"""
NUMBERS = """
INSERT INTO metrics (run_id, name, value, lo, hi, n)
SELECT copy.id, name, value * factor, lo * factor, hi * factor, n
FROM (
  SELECT copy.id AS id, metrics.name AS name, metrics.value AS value, metrics.lo AS lo, metrics.hi AS hi,
         metrics.n AS n,
         CASE WHEN metrics.name IN ('accuracy', 'macro_f1', 'roc_auc') THEN 1 - ((copy.id * 7919) % 1000) / 20000.0
              ELSE 0.5 + ((copy.id * 104729) % 1000) / 500.0 END AS factor
  FROM runs AS copy JOIN metrics ON metrics.run_id = 1 + ((copy.id - :templates) % :templates)
  WHERE copy.id > :templates
) AS copy
"""


def fill(path: Path, count: int) -> None:
    """Put ``count`` finished runs of one context into a fresh database; their numbers scatter, their results do not."""
    store = Store(path)
    store.beat(SERVICE, sample_machine().machine, 1)
    store.describe_machine(sample_machine())
    for seed, (techniques, backend, p50_ms, accuracy, megabytes, p_value) in enumerate(TEXT):
        spec = sample_spec(techniques, backend, seed=seed)
        add_done(store, spec, sample_result(spec, p50_ms, accuracy, megabytes=megabytes, p_value=p_value))
    store.close()
    _multiply(path, count)


def _multiply(path: Path, count: int) -> None:
    """Copy the first runs until there are enough, in SQL: a hundred thousand take seconds."""
    connection = sqlite3.connect(path)
    with connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)") if row[1] != "id"]
        values = ", ".join(
            "printf('%064x', numbers.n)" if name == "fingerprint" else f"template.{name}" for name in columns
        )
        arguments = {"copies": count - len(TEXT), "templates": len(TEXT)}
        connection.execute(COPIES.format(columns=", ".join(columns), values=values), arguments)
        connection.execute(NUMBERS, arguments)
        connection.execute("UPDATE revision SET number = number + 1")
    connection.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
