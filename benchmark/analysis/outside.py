"""Results from anywhere: tables of predictions or accuracies become arrays that the statistics compare."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.config import UserError, nearest

Floats = NDArray[np.float64]
KNOWN = ("method", "seed", "image_id", "label", "prediction", "setting", "group", "dataset", "accuracy", "images")
TEXTS = ("method", "image_id", "setting", "group", "dataset")
LOGIT = "logit_"
ONE = "all"  # the name of a setting or data set that is not named


@dataclass(frozen=True, eq=False)
class Results:
    """What one method scored on one data set.

    Attributes:
        seeds: names of its runs, sorted.
        percent: (S, N) correct by seed and image, averaged over settings, times 100; (S, 1) where images are not known.
    """

    seeds: list[str]
    percent: Floats


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was given on one data set.

    Attributes:
        kind: "predictions" by image, or "accuracies" by seed.
        methods: results by method, in the order in which they were given.
        n_images: test images, None where they are not known.
        persons: (N,) who each image shows, None where it is not known.
        notes: how the input was understood.
    """

    dataset: str
    kind: str
    methods: dict[str, Results]
    n_images: int | None
    persons: NDArray[np.str_] | None = None
    notes: list[str] = field(default_factory=list)


def read_tables(paths: Sequence[Path], names: Mapping[str, str] | None = None, *, text: bool = False) -> pd.DataFrame:
    """Read CSV (any usual separator), Parquet or JSON lines and put them below each other.

    Args:
        names: what a known column is called in the files, `{"method": "model"}`.
        text: leave every cell of a CSV as it is written, "90.50" and not 90.5.

    Raises:
        UserError: a file that is missing, empty, of an unknown kind or damaged.
    """
    frames = [_read_table(path, text) for path in paths]
    columns = {tuple(sorted(frame.columns)) for frame in frames}
    if len(columns) > 1:
        raise UserError(f"the files have different columns: {' / '.join(', '.join(one) for one in sorted(columns))}")
    frame = pd.concat(frames, ignore_index=True)
    for known, given in (names or {}).items():
        if known not in KNOWN:
            raise UserError(f"--columns: '{known}' is no column that judge reads; {nearest(known, KNOWN)}")
        if given not in frame.columns:
            raise UserError(f"--columns: there is no column '{given}'; {nearest(given, list(map(str, frame.columns)))}")
    return frame.rename(columns={given: known for known, given in (names or {}).items()})


def _read_table(path: Path, text: bool) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path} is no file")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix in (".jsonl", ".ndjson"):
            frame = pd.read_json(path, lines=True, dtype=False)
        elif path.suffix in (".csv", ".tsv", ".txt"):
            frame = _read_csv(path, text)
        else:
            raise UserError(f"{path}: judge reads .csv, .tsv, .parquet and .jsonl files")
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if frame.empty:
        raise UserError(f"{path} holds no rows")
    return frame


def _read_csv(path: Path, as_text: bool) -> pd.DataFrame:
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = data.decode(encoding)
    if not text.strip():
        raise UserError(f"{path} holds no rows")
    header = text.lstrip("\r\n").splitlines()[0]
    columns = next(csv.reader([header]))
    if repeated := [name for name in columns if columns.count(name) > 1]:
        raise UserError(f"{path}: column '{repeated[0]}' stands there twice")
    separator = max(",;\t", key=header.count)
    kind = str if as_text else None
    return pd.read_csv(io.StringIO(text), sep=separator, dtype=kind, skip_blank_lines=True).dropna(how="all")


def evidence_of(frame: pd.DataFrame) -> list[Evidence]:
    """Return the evidence of each data set; its columns tell what it is.

    Raises:
        UserError: columns are missing, cells are empty or no numbers, a run is given twice, images or labels differ
            between runs, fractions and percent are mixed, or one method alone is given.
    """
    frame = frame.rename(columns=lambda name: str(name).strip())
    logits = [name for name in frame.columns if name.startswith(LOGIT)]
    by_image = "image_id" in frame.columns
    needed = ["method", "image_id", "label"] if by_image else ["method", "seed", "accuracy"]
    if lacking := [name for name in needed if name not in frame.columns]:
        raise UserError(
            f"column '{lacking[0]}' is missing (there are {', '.join(frame.columns)}); judge reads method, seed, "
            "image_id, label, prediction or method, seed, accuracy; name others by --columns method=MODEL"
        )
    if by_image and not logits and "prediction" not in frame.columns:
        raise UserError("column 'prediction' is missing, and there are no columns logit_0, logit_1, …")
    frame = frame.assign(
        **{name: _named(frame[name], str) for name in TEXTS if name in frame.columns and name != "group"}
    )
    used = [name for name in (*KNOWN, *logits) if name in frame.columns and name != "images"]
    if (empty := frame[used].isna()).to_numpy().any():
        column = empty.any().idxmax()
        raise UserError(
            f"column '{column}' has {int(empty[column].sum())} empty cells, first in row {_row(empty[column])}"
        )
    for name in ("setting", "dataset"):
        frame[name] = frame[name] if name in frame.columns else ONE
    frame["seed"] = _named(frame["seed"]) if "seed" in frame.columns else "0"
    read = _by_image if by_image else _by_seed
    found = [read(str(name), part, logits) for name, part in frame.groupby("dataset", sort=False)]
    for one in found:
        if len(one.methods) < 2:
            raise UserError(
                f"one method alone ({next(iter(one.methods))}) is given{_on(one.dataset)}; a gain is over another"
            )
    return found


def _seed_name(value: object) -> str:
    """Return a seed's name that sorts as its number does, 3 and 3.0 alike."""
    text = str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{int(number):09d}" if number.is_integer() and number >= 0 else text


def _named(values: pd.Series, name: Callable[[object], str] = _seed_name) -> pd.Series:
    """Return names of values, each different value named once; empty cells stay empty."""
    return values.map({value: name(value) for value in values.dropna().unique()})


def _by_image(dataset: str, frame: pd.DataFrame, logits: list[str]) -> Evidence:
    """Return who is right on which image, from predictions or the highest score."""
    run = ["method", "setting", "seed"]
    if (twice := frame.duplicated([*run, "image_id"])).any():
        row = frame[twice].iloc[0]
        raise UserError(f"{_name(row)} is given twice: image {row['image_id']} has two predictions")
    labels = frame.groupby("image_id")["label"].nunique()
    if (odd := labels[labels > 1]).size:
        raise UserError(f"image {odd.index[0]}{_on(dataset)} has different labels in different runs")
    if logits:
        scores = frame[logits].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        if not np.isfinite(scores).all():
            raise UserError(f"{int((~np.isfinite(scores)).any(axis=1).sum())} rows have scores that are no numbers")
        classes = np.array([name.removeprefix(LOGIT) for name in logits])
        predicted = _named(pd.Series(classes[scores.argmax(axis=1)], index=frame.index))
    else:
        predicted = _named(frame["prediction"])
    label = _named(frame["label"])
    right = predicted == label
    if not logits and not set(predicted) & set(label):
        raise UserError(f"no prediction{_on(dataset)} is any of the labels: are they the same classes, written alike?")
    table = frame.assign(right=100.0 * right).pivot_table(index=run, columns="image_id", values="right", sort=False)
    if table.isna().to_numpy().any():
        first = table.index[table.isna().any(axis=1)][0]
        lacking = int(table.loc[first].isna().sum())
        raise UserError(
            f"{first[0]}, seed {first[2].lstrip('0') or '0'} lacks {lacking} of {table.shape[1]} test images"
            f"{_on(dataset)}; compare methods on the same images"
        )
    table = table[sorted(table.columns)]
    persons = None
    if "group" in frame.columns:
        of_image = frame.drop_duplicates("image_id").set_index("image_id")["group"]
        persons = of_image.reindex(table.columns).map(str).to_numpy(dtype=str)
    methods = {
        str(name): _results(dataset, str(name), rows) for name, rows in table.groupby(level="method", sort=False)
    }
    return Evidence(dataset, "predictions", _same_settings(dataset, table, methods), table.shape[1], persons)


def _by_seed(dataset: str, frame: pd.DataFrame, _: list[str]) -> Evidence:
    """Return accuracies by seed; all at most 1 are fractions, all else percent."""
    values = pd.to_numeric(frame["accuracy"], errors="coerce")
    if values.isna().any() or not np.isfinite(values).all():
        bad = frame.loc[values.isna() | ~np.isfinite(values), "accuracy"].iloc[0]
        raise UserError(f"accuracy {bad!r} is no number")
    if (values < 0).any() or (values > 100).any():
        raise UserError(f"an accuracy lies between 0 and 100 %, got {values[(values < 0) | (values > 100)].iloc[0]:g}")
    fractions = bool((values <= 1).all())
    if not fractions and (values <= 1).any():
        raise UserError("fractions of 1 and percent are mixed in column 'accuracy'; write all of them in percent")
    run = ["method", "setting", "seed"]
    if (twice := frame.duplicated(run)).any():
        raise UserError(f"{_name(frame[twice].iloc[0])} is given twice")
    table = frame.assign(percent=values * (100 if fractions else 1)).set_index(run)[["percent"]]
    methods = {
        str(name): _results(dataset, str(name), rows) for name, rows in table.groupby(level="method", sort=False)
    }
    counts: list[float] = sorted(set(frame["images"].dropna())) if "images" in frame.columns else []
    note = f"accuracies{_on(dataset)} are read as {'fractions of 1' if fractions else 'percent'}"
    images = int(counts[0]) if len(counts) == 1 else None
    return Evidence(dataset, "accuracies", _same_settings(dataset, table, methods), images, notes=[note])


def _results(dataset: str, method: str, rows: pd.DataFrame) -> Results:
    """Average over settings, every one of which needs the same seeds."""
    by_setting = {
        name: part.droplevel(["method", "setting"]) for name, part in rows.groupby(level="setting", sort=False)
    }
    seeds = sorted(next(iter(by_setting.values())).index)
    for name, part in by_setting.items():
        if sorted(part.index) != seeds:
            raise UserError(
                f"{method}{_on(dataset)} has other seeds in setting {name} than in {next(iter(by_setting))}"
            )
    stacked = np.stack([part.loc[seeds].to_numpy(dtype=np.float64) for part in by_setting.values()])
    return Results(seeds, stacked.mean(axis=0))


def _same_settings(dataset: str, table: pd.DataFrame, methods: dict[str, Results]) -> dict[str, Results]:
    settings = {
        method: sorted(rows.index.unique("setting")) for method, rows in table.groupby(level="method", sort=False)
    }
    first, *others = settings
    for method in others:
        if settings[method] != settings[first]:
            raise UserError(
                f"{method}{_on(dataset)} has settings {', '.join(settings[method])}, {first} has "
                f"{', '.join(settings[first])}"
            )
    return methods


def _row(flags: pd.Series) -> int:
    return int(np.flatnonzero(flags.to_numpy())[0]) + 1


def _name(row: pd.Series) -> str:
    setting = f", setting {row['setting']}" if row["setting"] != ONE else ""
    return f"{row['method']}{setting}, seed {row['seed'].lstrip('0') or '0'}"


def _on(dataset: str) -> str:
    return "" if dataset == ONE else f" on {dataset}"
