"""Statements judged before they run: what they would do to the clients of a live database, and what to do instead."""

from migrations.lint.hazards import HAZARDS
from migrations.lint.judging import lint
from migrations.lint.sql_files import parse_sql, read_sql
from migrations.sql.context import Context
from migrations.sql.values import Finding, LintedStatement, Thresholds, Waiver

__all__ = ["HAZARDS", "Context", "Finding", "LintedStatement", "Thresholds", "Waiver", "lint", "parse_sql", "read_sql"]
