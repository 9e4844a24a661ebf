"""Read a ledger, packed or not: its records at once, the predictions of its runs when they are asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError, base_name
from benchmark.ledger.files import read_json, read_rows
from benchmark.ledger.format import (
    Record,
    again,
    existing_experiment,
    history_digest,
    is_present,
    predictions_digest,
    read_findings,
    read_records,
    run_folder,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Classified:
    """What one run said of its N images, in file order.

    Attributes:
        image_ids: (N,) strings.
        is_test: (N,) whether an image is of the test part; the others are of validation.
        predicted, labels: (N,) class with the highest logit, and true class.
    """

    image_ids: pa.Array
    is_test: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    labels: NDArray[np.int64]

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true one."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right


@dataclass(frozen=True)
class Ledger:
    """The records of one experiment, in one order whatever the order of the runs.

    Attributes:
        name: the experiment's name.
        experiment: what `experiment.json` says.
        records: sorted by kind, method, backbones and seed.
        root: the experiment's folder; predictions are read from it when asked for.
        aside: finished runs that no table shows: of earlier versions of a plug-in, and of methods that were dropped.
    """

    name: str
    experiment: dict[str, Any]
    records: list[Record]
    root: Path
    aside: list[Record] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Record]:
        """Return the records of backbones, or of fusion runs."""
        return [record for record in self.records if record.kind == kind]

    def earlier_versions(self, method: str) -> dict[str, int]:
        """Return how many runs other versions of a method's plug-in have, by digest: tested on the same images."""
        name = base_name(method)
        present = self.experiment.get("plugins", {}).get(name, {}).get("digest")
        own = [record for record in self.aside if record.method and base_name(record.method) == name]
        return dict(
            Counter(record.sources.get(name, "unknown") for record in own if record.sources.get(name) != present)
        )

    def frame(self) -> pd.DataFrame:
        """Return every run that tables show in one tidy frame: a line for each run and selection rule.

        `backbones` and `method` are as they are typed, `networks` and `title` as tables call them; metrics are shares
        of 1. Predictions are not in it: see `predictions`.
        """
        import pandas as pd  # tables do without it, and it takes half a second

        return pd.DataFrame(
            {
                "run_id": one.run_id,
                "kind": one.kind,
                "method": one.method,
                "title": one.titles["method"],
                "backbones": "+".join(one.backbones),
                "networks": " + ".join(one.titles["backbones"]),
                "seed": one.seed,
                "selection": rule,
                **metrics,
                "selected_epoch": one.selected_epoch,
                "batch_dependent": one.batch_dependent,
                "parameters": one.parameters,
                "macs": one.macs,
                "milliseconds": one.milliseconds,
                "seconds": one.seconds,
            }
            for one in self.records
            for rule, metrics in one.metrics.items()
        )

    def predictions(self, run_id: str) -> pd.DataFrame:
        """Read one run's predictions: image_id, split, label, logit_0 ... logit_{C-1}."""
        import pandas as pd  # tables do without it, and it takes half a second

        table = self.prediction_table(run_id)
        return pd.DataFrame({name: table.column(name).to_pandas() for name in table.column_names})

    def prediction_table(self, run_id: str) -> pa.Table:
        """Read one run's predictions as they are stored; what was read last is kept, to be checked and then used.

        Raises:
            UserError: they are missing or damaged.
        """
        if run_id not in self._last_read:
            table = self._read_predictions(run_id)
            self._last_read.clear()
            self._last_read[run_id] = table
        return self._last_read[run_id]

    def _read_predictions(self, run_id: str) -> pa.Table:
        """Read one run's predictions; the file of a packed ledger is read once for all runs."""
        import pyarrow as pa
        import pyarrow.parquet as pq  # see predictions

        path = run_folder(self.root, run_id) / "predictions.parquet"
        try:
            if self._is_packed and not path.is_file():
                table = _decoded(self._packed_predictions[run_id])
            else:
                table = pq.ParquetFile(path, page_checksum_verification=True).read()
            left = self._digests.get(run_id, {}).get("predictions")
            whole = {"image_id", "split", "label"} <= set(table.column_names)
            if left is not None and whole and predictions_digest(table) != left:
                raise ValueError("they are not those that the run left: their digest is another one")
            return table
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            reason = "they are missing" if isinstance(error, KeyError) else " ".join(str(error).split())
            folder = run_folder(self.root, run_id)
            raise UserError(
                f"predictions of run {run_id} cannot be read ({reason}); delete {folder} and run it again"
            ) from error

    def classified(self, run_id: str) -> Classified:
        """Return what a run said of every image; its predictions are read once, whoever asks.

        Raises:
            UserError: they are missing or damaged.
        """
        if run_id not in self._classified:
            table = self.prediction_table(run_id)
            try:
                self._classified[run_id] = _classify(table)
            except (KeyError, ValueError, TypeError, IndexError) as error:
                reason = " ".join(str(error).split())
                raise UserError(f"predictions of run {run_id} cannot be used ({reason}); run it again") from error
        return self._classified[run_id]

    @cached_property
    def _last_read(self) -> dict[str, pa.Table]:
        return {}

    @cached_property
    def _classified(self) -> dict[str, Classified]:
        return {}

    @cached_property
    def audit(self) -> list[dict[str, Any]]:
        """What the batch-dependence audit found of each run that tables show, nothing where there was none."""
        return self._findings("audit")

    @cached_property
    def transfers(self) -> list[dict[str, Any]]:
        """How each run that tables show did on other data sets, nothing where none was asked."""
        return self._findings("transfer")

    def _findings(self, check: str) -> list[dict[str, Any]]:
        aside = {record.run_id for record in self.aside}
        return [finding for finding in read_findings(self.root, check) if finding["run_id"] not in aside]

    @cached_property
    def repetitions(self) -> list[dict[str, Any]]:
        """How runs that were done again compare with their first time, nothing where none was."""
        path = self.root / "repetitions.json"
        found: list[dict[str, Any]] = read_json(path)["repetitions"] if path.is_file() else []
        return found

    def history(self, run_id: str) -> list[dict[str, str]]:
        """Read one run's epochs, a row each, as they are written; empty where they are not kept."""
        path = run_folder(self.root, run_id) / "history.csv"
        packed = self._is_packed and not path.is_file()
        rows = self._packed_histories.get(run_id, []) if packed else read_rows(path)
        left = self._digests.get(run_id, {}).get("history")
        kept = path.is_file() or (self.root / "history.csv").is_file()
        if left is not None and kept and history_digest(rows) != left:
            raise UserError(
                f"the history of run {run_id} is not what the run left (its digest is another one); restore it"
            )
        return rows

    @cached_property
    def _digests(self) -> dict[str, dict[str, str]]:
        return {record.run_id: record.digests for record in [*self.records, *self.aside]}

    @cached_property
    def _packed_histories(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for row in read_rows(self.root / "history.csv"):
            found.setdefault(row.pop("run_id", ""), []).append({name: text for name, text in row.items() if text})
        return found

    @cached_property
    def _packed_predictions(self) -> dict[str, pa.Table]:
        """The rows of every run; repeated names are kept once, which makes the whole a third as large."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = ["run_id", "image_id", "split"]
        table = pq.ParquetFile(self.root / "predictions.parquet", read_dictionary=names).read().unify_dictionaries()
        run_ids = table.column("run_id").combine_chunks()
        codes = run_ids.indices.to_numpy()
        if (np.diff(codes) < 0).any():
            order = np.argsort(codes, kind="stable")
            table, codes = table.take(pa.array(order)), codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        rows = table.drop_columns("run_id").combine_chunks()
        return {
            run_ids.dictionary[int(codes[start])].as_py(): rows.slice(start, end - start)
            for start, end in zip(starts, [*starts[1:], len(codes)], strict=True)
        }

    @cached_property
    def _is_packed(self) -> bool:
        return (self.root / "records.jsonl").is_file()


def logits_of(table: pa.Table) -> NDArray[np.floating[Any]]:
    """Return the scores of a table of predictions, (N, C)."""
    import numpy as np

    return np.column_stack([table.column(name).to_numpy() for name in table.column_names if name.startswith("logit_")])


def _classify(table: pa.Table) -> Classified:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    return Classified(
        image_ids=table.column("image_id").cast(pa.string()).combine_chunks(),
        is_test=pc.equal(table.column("split"), "test").to_numpy(),
        predicted=logits_of(table).argmax(axis=1),
        labels=table.column("label").to_numpy().astype(np.int64),
    )


def _decoded(table: pa.Table) -> pa.Table:
    """Write names that are kept once as plain columns again."""
    for place, column in enumerate(table.schema):
        if hasattr(column.type, "value_type"):
            table = table.set_column(place, column.name, table.column(place).cast(column.type.value_type))
    return table


def load_ledger(experiment: Path | str) -> Ledger:
    """Read all finished runs of an experiment, packed or not.

    Raises:
        UserError: no such experiment, nothing finished in it, or a damaged record.
    """
    experiment = Path(experiment)
    description = existing_experiment(experiment)
    records = sorted(read_records(experiment), key=lambda r: (r.kind, r.method or "", r.backbones, r.seed))
    if not records:
        raise UserError(f"experiment {experiment} holds no finished run yet; `{again(description)}` does them")
    parts: dict[bool, list[Record]] = {True: [], False: []}
    for record in records:
        parts[is_present(record, description)].append(record)
    return Ledger(str(description["experiment"]), description, parts[True], experiment, parts[False])
