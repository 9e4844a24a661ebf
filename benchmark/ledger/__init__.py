"""The ledger: what finished runs leave behind, in a public format; see `benchmark.ledger.format`."""

from benchmark.ledger.files import as_json, commit_file, storage_fault, whole_file, write_json, write_text
from benchmark.ledger.format import (
    METRICS,
    Record,
    artifact_folder,
    ask_again,
    existing_experiment,
    experiment_folder,
    failed_runs,
    finished_runs,
    is_finished,
    read_audit,
    read_experiment,
    read_failure,
    read_record,
    run_folder,
    write_experiment,
    write_failure,
    write_run,
)
from benchmark.ledger.reading import Ledger, load_ledger
from benchmark.ledger.schema import SCHEMA, SELECTIONS

__all__ = [
    "METRICS",
    "SCHEMA",
    "SELECTIONS",
    "Ledger",
    "Record",
    "artifact_folder",
    "as_json",
    "ask_again",
    "commit_file",
    "existing_experiment",
    "experiment_folder",
    "failed_runs",
    "finished_runs",
    "is_finished",
    "load_ledger",
    "read_audit",
    "read_experiment",
    "read_failure",
    "read_record",
    "run_folder",
    "storage_fault",
    "whole_file",
    "write_experiment",
    "write_failure",
    "write_json",
    "write_run",
    "write_text",
]
