"""Results from anywhere: read, refused where they are wrong, and judged as a ledger with the same content."""

from __future__ import annotations

import doctest
import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import benchmark.analysis.judging
from benchmark.analysis.comparisons import all_contrasts, decide, protocol_of
from benchmark.analysis.evidence import read_evidence
from benchmark.analysis.judging import judge, judge_ledgers, judge_printed
from benchmark.analysis.outside import read_tables
from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.judged import answer, judgement_json, printed_answer, table_notes, write_judgement
from benchmark.statistics.comparison import compare_unpaired
from tests.reporting.drawn import Rule, write_packed

ROOT = Path(__file__).resolve().parents[2]
RULE = Rule(
    methods=("late", "early", "attention-fusion"), backbones=("resnet18", "vgg11", "vgg13"), seeds=6, images=200
)


def accuracies(seeds: int = 6, gain: float = 2.0, **more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        {"method": method, "seed": seed, "accuracy": 85 + shift + rng.normal(0, 0.3), **more}
        for seed in range(seeds)
        for method, shift in (("mine", gain), ("late", 0.0))
    ]
    return pd.DataFrame(rows)


def predictions(seeds: int = 6, images: int = 60, shares: dict[str, float] | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = [
        (method, seed, f"i{image:03d}", image % 3, image % 3 if rng.random() < share else (image + 1) % 3)
        for method, share in (shares or {"mine": 0.9, "late": 0.6}).items()
        for seed in range(seeds)
        for image in range(images)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "image_id", "label", "prediction"])


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return load_ledger(write_packed(tmp_path_factory.mktemp("judged") / "drawn", RULE))


def as_table(ledger: Ledger) -> pd.DataFrame:
    """The fusion runs' test predictions of a ledger, as another tool would write them."""
    parts = []
    for record in ledger.of_kind("fusion"):
        frame = ledger.predictions(record.run_id).query("split == 'test'")
        names = {"method": record.method, "seed": record.seed, "setting": "+".join(record.backbones)}
        predicted = frame.filter(like="logit_").to_numpy().argmax(axis=1)
        parts.append(frame[["image_id", "label"]].assign(prediction=predicted, **names))
    return pd.concat(parts)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_ledger_and_the_same_evidence_in_files_have_the_same_numbers(
    ledger: Ledger, tmp_path: Path, suffix: str
) -> None:
    frame, path = as_table(ledger), tmp_path / f"all.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    evidence = read_evidence(ledger)
    protocol = protocol_of(ledger)
    wanted = [c for c in all_contrasts(evidence) if c.family == "primary"]
    of_ledger = {one.contrast.baseline: one.test for one in decide(wanted, protocol, set())}
    assert set(of_ledger) == {"late", "early"}
    found = judge(read_tables([path]), "attention-fusion", ["late", "early"], looks=[6])
    assert [row.paired for row in found.rows] == [True, True]
    for row in found.rows:
        assert row.test is not None
        mine, its = asdict(row.test), asdict(of_ledger[row.baseline])
        assert mine["verdict"] == its["verdict"]
        for name in ("mean", "sd", "p_adjusted", "seeds_interval", "images_interval", "chance_above", "noise"):
            assert mine[name] == pytest.approx(its[name], rel=1e-9, abs=1e-12), name
    again = judge_ledgers([ledger], "attention-fusion", ["late", "early"])
    assert [row.test for row in again.rows] == [of_ledger["late"], of_ledger["early"]]


def test_scores_give_the_predicted_class(ledger: Ledger) -> None:
    frame = predictions(3)
    scores = pd.get_dummies(frame["prediction"]).astype(float)
    with_scores = frame.drop(columns="prediction").assign(**{f"logit_{c}": scores[c] for c in range(3)})
    one, other = judge(frame).rows[0], judge(with_scores).rows[0]
    assert one.test == other.test


def test_accuracies_by_seed_are_a_verdict_on_this_test_set() -> None:
    (row,) = judge(accuracies()).rows
    assert row.test is not None
    assert (row.method, row.baseline, row.test.verdict) == ("mine", "late", "better on this test set")
    fractions = accuracies().assign(accuracy=lambda one: one["accuracy"] / 100)
    (other,) = judge(fractions).rows
    assert other.test is not None
    assert other.test.seeds_interval == pytest.approx(row.test.seeds_interval)


def test_seeds_that_are_not_shared_are_compared_unpaired() -> None:
    frame = accuracies()
    frame.loc[frame["method"] == "late", "seed"] += 100
    found = judge(frame)
    (row,) = found.rows
    values = [frame.loc[frame["method"] == name, "accuracy"].to_numpy() for name in ("mine", "late")]
    assert not row.paired
    assert row.test == compare_unpaired(*values)
    assert "unpaired" in found.notes[-1]


def test_unpaired_runs_share_their_images() -> None:
    """The images' part of the variance is that of mean differences by image, as if they were paired there."""
    rng = np.random.default_rng(5)
    images = rng.normal(0, 20, size=300)
    scatter = [rng.normal(0, 1, size=(6, 300)) + rng.normal(0, 0.1, size=(6, 1)) for _ in range(2)]
    a, b = 91 + images + scatter[0], 90 + images + scatter[1]
    found = compare_unpaired(a, b)
    assert found.verdict == "better"
    low, high = found.images_interval
    assert high - low < 0.6  # 5.6 if the images of both were drawn apart
    assert found.seeds_interval == compare_unpaired(a.mean(axis=1), b.mean(axis=1)).seeds_interval


def test_one_run_of_each_is_about_two_trained_models() -> None:
    found = judge(predictions(1))
    (row,) = found.rows
    assert row.test is None
    assert row.models is not None
    assert row.models.p_value < 0.05
    assert "as a trained model" in answer(found)
    assert "not the methods" in found.notes[0]
    alone = judge(accuracies(1))
    assert alone.rows[0].models is None
    assert "nothing can be tested" in answer(alone)


def test_persons_widen_the_interval_over_images() -> None:
    frame = predictions(8, 90)
    persons = frame.assign(group=frame["image_id"].str[1:].astype(int) // 10)
    (plain,), (grouped,) = judge(frame).rows, judge(persons).rows
    assert plain.test is not None
    assert grouped.test is not None
    assert plain.test.mean == grouped.test.mean
    assert plain.test.images_interval != grouped.test.images_interval


def test_several_data_sets_each_have_a_verdict() -> None:
    frame = pd.concat([accuracies(8, 3.0, dataset="A"), accuracies(8, 0.0, dataset="B")])
    found = judge(frame)
    assert [row.dataset for row in found.rows] == ["A", "B"]
    assert found.over_sets == {"late": "some"}
    assert answer(found).endswith("Over the 2 data sets mine is better than late on some of them.")


def test_two_experiments_on_one_data_set_are_no_two_data_sets() -> None:
    root = Path(__file__).parents[2] / "results" / "reference"
    found = judge_ledgers([load_ledger(root / name) for name in ("open-faces-cpu", "open-faces-32px")])
    assert "Over the 2 experiments, on 1 data set, Attention fusion is better than" in answer(found)
    (note, *_) = table_notes(found)
    assert note.count("(planned looks 5) on ") == note.count("(planned looks 10) on ") == 1


def test_planned_looks_hold_back_a_verdict() -> None:
    assert (
        answer(judge(accuracies(6), looks=[10]))
        == "mine has no verdict yet against late (+2.00 points), 6 seeds being too few."
    )


def test_the_papers_own_table_as_printed_numbers() -> None:
    found = judge_printed("90.95", "86.66", 3068)
    assert found.attainable == ("no", "cut off")
    assert found.as_batches[0] != "no"
    assert found.difference == pytest.approx(4.29)
    assert found.interval == pytest.approx((2.72, 5.86), abs=0.005)
    assert 0.6 <= found.best_of_ten <= 1.0
    text = printed_answer(found)
    assert "90.95 % is NOT a share of 3068 images" in text
    assert "cannot explain it" in text
    assert "can explain it" in printed_answer(judge_printed("86.66", "86.35", 3068))


def test_the_report_holds_tables_and_a_figure(tmp_path: Path) -> None:
    found = judge(predictions(6))
    names = {path.name for path in write_judgement(found, tmp_path)}
    assert names == {"judge.md", "judge.tex", "judge.csv", "judge.json", "judge.svg", "judge.pdf", "judge.png"}
    values = json.loads((tmp_path / "judge.json").read_text())
    test = found.rows[0].test
    assert test is not None
    assert values["rows"][0]["mean"] == pytest.approx(test.mean, rel=1e-5)
    assert answer(found) in (tmp_path / "judge.md").read_text()
    assert json.dumps(judgement_json(found))


FRAME = predictions(3, 6)
BAD: dict[str, tuple[pd.DataFrame, str]] = {
    "no method": (FRAME.drop(columns="method"), "column 'method' is missing"),
    "no label": (FRAME.drop(columns="label"), "column 'label' is missing"),
    "no prediction": (FRAME.drop(columns="prediction"), "column 'prediction' is missing"),
    "no accuracy": (accuracies().drop(columns="accuracy"), "column 'accuracy' is missing"),
    "no seed": (accuracies().drop(columns="seed"), "column 'seed' is missing"),
    "one method": (FRAME[FRAME["method"] == "mine"], "one method alone"),
    "a seed twice": (pd.concat([accuracies(), accuracies().head(1)]), "mine, seed 0 is given twice"),
    "an image twice": (pd.concat([FRAME, FRAME.head(1)]), "image i000 has two predictions"),
    "an image lacking": (FRAME.drop(index=3), "lacks 1 of 6 test images"),
    "other images": (FRAME.assign(image_id=FRAME["method"] + FRAME["image_id"]), "lacks 6 of 12 test images"),
    "labels differ": (FRAME.assign(label=np.where(np.arange(len(FRAME)) == 2, 0, FRAME["label"])), "different labels"),
    "labels of other words": (FRAME.assign(label="class " + FRAME["label"].astype(str)), "same classes"),
    "an empty label": (FRAME.assign(label=FRAME["label"].where(FRAME.index != 2)), "'label' has 1 empty cells"),
    "an empty method": (accuracies().assign(method=[None, *["a", "b"] * 5, "a"]), "'method' has 1 empty cells"),
    "NaN": (accuracies().assign(accuracy=[math.nan, *[80.0] * 11]), "'accuracy' has 1 empty cells"),
    "a word": (accuracies().assign(accuracy=["good", *["80"] * 11]), "accuracy 'good' is no number"),
    "infinite": (accuracies().assign(accuracy=[math.inf, *[80.0] * 11]), "is no number"),
    "negative": (accuracies().assign(accuracy=[-3.0, *[80.0] * 11]), "between 0 and 100 %, got -3"),
    "above 100": (accuracies().assign(accuracy=[101.0, *[80.0] * 11]), "between 0 and 100 %, got 101"),
    "mixed": (accuracies().assign(accuracy=[0.86, *[80.0] * 11]), "fractions of 1 and percent are mixed"),
    "scores": (
        FRAME.drop(columns="prediction").assign(logit_0=0.0, logit_1=[math.inf, *[0.0] * 35]), "no numbers"
    ),
    "seeds by setting": (
        pd.concat([accuracies(setting="a"), accuracies(5, setting="b")]), "has other seeds in setting b than in a"
    ),
    "settings by method": (
        accuracies().assign(setting=np.where(accuracies()["method"] == "mine", "a", "b")), "has settings"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_one_line(name: str) -> None:
    frame, words = BAD[name]
    with pytest.raises(UserError) as fault:
        judge(frame.reset_index(drop=True))
    assert words in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "holds no rows"),
        ("a.csv", b"method,seed,accuracy\n", "holds no rows"),
        ("a.csv", b"method,seed,seed\na,1,2\n", "column 'seed' stands there twice"),
        ("a.csv", b"method,seed\n\xff\xfe\xfa,1\n", "cannot be read"),
        ("a.parquet", b"PAR1 no", "cannot be read"),
        ("a.jsonl", b"{no json}\n", "cannot be read"),
        ("a.xlsx", b"PK", "judge reads .csv"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_tables([tmp_path / name])
    with pytest.raises(UserError, match="is no file"):
        read_tables([tmp_path / "nowhere.csv"])


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_usual_forms_of_csv(tmp_path: Path, separator: str, encoding: str) -> None:
    text = "method;seed;accuracy\na;0;80\nb;0;81\n\n;;\n".replace(";", separator)
    (tmp_path / "a.csv").write_text(text, encoding=encoding)
    frame = read_tables([tmp_path / "a.csv"])
    assert list(frame.columns) == ["method", "seed", "accuracy"]
    assert frame["accuracy"].astype(float).tolist() == [80, 81]


def test_names_of_columns_are_given() -> None:
    with pytest.raises(UserError, match="there is no method 'mime'; did you mean mine"):
        judge(accuracies(), "mime")
    with pytest.raises(UserError, match="cannot be its own baseline"):
        judge(accuracies(), "mine", ["mine"])


def test_the_command_and_the_example_need_no_torch(tmp_path: Path) -> None:
    accuracies().rename(columns={"method": "model"}).to_csv(tmp_path / "a.csv", index=False)
    code = (
        "import sys\nfrom benchmark.cli import main\n"
        f"sys.argv = ['ferfuse', 'judge', {str(tmp_path / 'a.csv')!r}, '--columns', 'method=model']\n"
        "try:\n    main()\nexcept SystemExit as stopped:\n    assert not stopped.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(
        "mine is better than late (+2.00 points, 95 % interval +1.68 to +2.33) on this test set."
    )
    example = ROOT / "examples" / "judge_own_predictions.py"
    shown = subprocess.run(
        [sys.executable, example], cwd=ROOT, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert shown.stdout.startswith("mine is better than baseline: +")


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(benchmark.analysis.judging).failed == 0
