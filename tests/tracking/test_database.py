"""A database whose making was interrupted is made again; one that holds runs is never touched."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmark.tracking.sync import remove_unfinished_database


@pytest.mark.parametrize(
    ("statements", "goes"),
    [
        (["CREATE TABLE scheduler_leases (x)"], True),
        (["CREATE TABLE runs (x)", "CREATE TABLE alembic_version (v)"], True),
        (
            ["CREATE TABLE runs (x)", "CREATE TABLE alembic_version (v)", "INSERT INTO alembic_version VALUES (1)"],
            False,
        ),
        (["CREATE TABLE runs (x)", "INSERT INTO runs VALUES (1)"], False),
    ],
)
def test_only_what_was_never_finished_goes(tmp_path: Path, statements: list[str], goes: bool) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as opened:
        for statement in statements:
            opened.execute(statement)
        opened.commit()
    remove_unfinished_database(f"sqlite:///{path}")
    assert path.is_file()  # somebody may be making it just now
    os.utime(path, (1, 1))
    remove_unfinished_database(f"sqlite:///{path}")
    assert path.is_file() != goes
    remove_unfinished_database("http://localhost:1")
