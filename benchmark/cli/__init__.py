"""The command line: reads what the user typed, calls the rooms, prints. Heavy imports wait until they are needed."""

# The order of these imports is the order of commands in --help.
from benchmark.cli import running, planning, results, judging, ledgers, tracking, tuning, data, listing  # noqa: I001
from benchmark.cli.application import app, main, spread_lists

__all__ = [
    "app",
    "data",
    "judging",
    "ledgers",
    "listing",
    "main",
    "planning",
    "results",
    "running",
    "spread_lists",
    "tracking",
    "tuning",
]
