"""The command line from end to end, on a few synthetic faces."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from benchmark.cli import main, spread_lists
from benchmark.cli.options import experiment_name
from benchmark.data.formats.raf_db import IMAGE_FOLDER, LABEL_FILE
from benchmark.data.vocabulary import SYNTHETIC_MARK
from benchmark.ledger import Ledger, load_ledger, write_json
from tests.conftest import NARROW, TINY
from tests.data.faults import plant_faults
from tools.bench.__main__ import app as bench

SMALL = {name: value for name, value in TINY.items() if name != "methods"}
SETTINGS = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items()]
OTHER_METHODS = [f"--set={name}={json.dumps(value)}" for name, value in SMALL.items()]
QUICK = [f"--set={name}={json.dumps(value)}" for name, value in {**SMALL, "backbones": NARROW}.items()]

Fault = Callable[..., str]


def ferfuse(*words: str | Path, folder: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder and compare its exit status."""
    command = [sys.executable, "-c", "from benchmark.cli import main; main()", *map(str, words)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Fault:
    """The one line that a command prints when it ends with status 2.

    It runs in this process: one of its own for every fault would take minutes to import torch.
    """

    def line_of(*words: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ferfuse", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr().err
        assert ended.value.code == 2, said
        assert len(said.splitlines()) == 1
        return said

    return line_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny experiment was run, by one process."""
    folder = tmp_path_factory.mktemp("finished")
    ferfuse("reproduce", *SETTINGS, "--workers", "1", folder=folder)
    return folder


@pytest.fixture
def ledger(finished: Path) -> Ledger:
    return load_ledger(finished / "results" / "demo")


def test_every_backbone_pair_and_method_is_there(ledger: Ledger) -> None:
    assert len(ledger.of_kind("backbone")) == 2
    assert {record.method for record in ledger.of_kind("fusion")} == {
        "late", "early", "joint", "attention-fusion", "attention-fusion-without-local",
    }  # fmt: skip


def test_metrics_are_those_of_the_predictions(ledger: Ledger) -> None:
    for record in ledger.records:
        frame = ledger.predictions(record.run_id)
        test = frame[frame["split"] == "test"]
        assert test["image_id"].nunique() == 56
        right = test.filter(like="logit_").to_numpy().argmax(1) == test["label"].to_numpy()
        assert record.metrics["validation_selected"]["accuracy"] == pytest.approx(right.mean())


def test_late_fusion_is_the_mean_of_its_parents(ledger: Ledger) -> None:
    late = next(record for record in ledger.records if record.method == "late")
    mean = sum(probabilities(ledger.predictions(parent)) for parent in late.parents) / 2
    pd.testing.assert_frame_equal(probabilities(ledger.predictions(late.run_id)), mean, atol=1e-6)


def probabilities(frame: pd.DataFrame) -> pd.DataFrame:
    powers = frame.set_index("image_id").filter(like="logit_").astype(float).transform("exp")
    return powers.div(powers.sum(axis=1), axis=0).sort_index()


def test_images_that_select_are_not_those_that_report(ledger: Ledger) -> None:
    frame = ledger.predictions(ledger.records[0].run_id)
    validation, test = (set(frame.loc[frame["split"] == split, "image_id"]) for split in ("validation", "test"))
    assert all(name.startswith("train_") for name in validation)
    assert all(name.startswith("test_") for name in test)


def test_selected_epoch_has_the_best_validation_accuracy(ledger: Ledger, finished: Path) -> None:
    for record in ledger.records:
        history = pd.read_csv(finished / "results" / "demo" / "runs" / record.run_id / "history.csv")
        best = history["validation_accuracy"].max()
        selected = history.loc[history["epoch"] == record.selected_epoch].iloc[0]
        assert selected["validation_accuracy"] == best
        assert record.metrics["validation_selected"]["accuracy"] == pytest.approx(selected["test_accuracy"])
        assert record.metrics["last_epoch"]["accuracy"] == pytest.approx(history["test_accuracy"].iloc[-1])
        assert record.metrics["best_test_epoch"]["accuracy"] == pytest.approx(history["test_accuracy"].max())


def test_a_second_time_nothing_is_done(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "results").rglob("*") if path.is_file()}
    done = ferfuse("reproduce", *SETTINGS, folder=finished)
    assert "All 7 runs of experiment 'demo' were finished already; nothing to do." in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_second_time_torch_is_not_imported(finished: Path) -> None:
    words = ["reproduce", *SETTINGS]
    code = f"""
import sys
sys.argv = ['ferfuse', *{words!r}]
from benchmark.cli import app, spread_lists
app(args=spread_lists(sys.argv[1:]), standalone_mode=False)
loaded = {{'torch', 'mlflow'}} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], cwd=finished, check=True, capture_output=True)


def test_tables_are_printed_and_written(finished: Path) -> None:
    done = ferfuse("table", "2", folder=finished)
    assert done.stdout == (finished / "reports" / "demo" / "table2.md").read_text()
    assert sum(line.startswith("|") for line in done.stdout.splitlines()) == 2 + 5
    latex = ferfuse("table", "1", "--format", "latex", folder=finished)
    assert latex.stdout == (finished / "reports" / "demo" / "table1.tex").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_mlflow_holds_a_parent_and_a_child_for_each_run(finished: Path, ledger: Ledger) -> None:
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{finished / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ferfuse demo synthetic")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    by_id = {run.data.tags["ferfuse.run_id"]: run for run in runs}
    assert set(by_id) == {"parent", *(record.run_id for record in ledger.records)}
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent = by_id.pop("parent")
    for record in ledger.records:
        run = by_id[record.run_id]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.metrics["test/accuracy"] == record.metrics["validation_selected"]["accuracy"]
        assert run.data.params["seed"] == "0"


def test_a_model_is_asked_and_the_mirror_is_complete(finished: Path, ledger: Ledger) -> None:
    image = next(finished.glob("data/synthetic/*/Image/aligned/test_0001_aligned.jpg"))
    early = next(record for record in ledger.records if record.method == "early")
    said = json.loads(ferfuse("predict", "--json", "--run", early.run_id[:12], image, folder=finished).stdout)
    (row,) = said["predictions"]
    expected = probabilities(ledger.predictions(early.run_id)).loc["test_0001.jpg"]
    classes = ledger.experiment["dataset"]["classes"]
    assert [row[name] for name in classes] == pytest.approx(expected.tolist(), abs=1e-5)
    assert said["synthetic"] is True
    counted = json.loads(ferfuse("track", "--json", folder=finished).stdout)
    assert (counted["held"], counted["runs"], counted["written"]) == (7, 7, 0)


@pytest.mark.slow
def test_tuned_settings_make_an_experiment_of_their_own(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    fault = ferfuse("reproduce", *SETTINGS, "--tuned", folder=folder, status=2)
    assert "run `ferfuse tune --experiment demo` first" in fault.stderr
    words = ["--method", "early", "late", "--trials", "3", "--studies", "2", "--workers", "1"]
    tuned = ferfuse("tune", *words, "--json", folder=folder)
    assert [row["trials"] for row in json.loads(tuned.stdout)] == [6]
    assert "late has nothing to tune" in tuned.stderr
    done = ferfuse("reproduce", *SETTINGS, "--tuned", "--workers", "1", "--no-track", folder=folder)
    assert "Default against tuned settings" in done.stdout
    assert "as are the settings (tuned)" in done.stdout
    records = load_ledger(folder / "results" / "demo-tuned").records
    default = {record.run_id for record in load_ledger(folder / "results" / "demo").records}
    assert {record.method for record in records if record.run_id not in default} <= {"early"}
    assert (folder / "reports" / "demo-tuned" / "tuning.md").is_file()


def readme_plugin() -> str:
    """The method of the user's own that the README shows."""
    blocks = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8").split("```")
    shown = [block.removeprefix("python\n") for block in blocks if block.startswith("python\n")]
    assert len(shown) == 1
    assert len(shown[0].splitlines()) < 40
    return shown[0]


def test_the_readmes_own_method_goes_through_runner_audit_and_tables(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    plugin = tmp_path / "difference.py"
    plugin.write_text(readme_plugin())
    words = ["--methods", "late", "difference:width=16", "--plugin", plugin]
    done = ferfuse("reproduce", *OTHER_METHODS, *words, "--workers", "2", "--no-track", folder=folder)
    assert "1 of 4 runs to do" in done.stderr
    assert "Feature difference (width=16)" in done.stdout
    assert "Joint fusion" in done.stdout
    assert re.search(r"with 1 seed: Feature difference \(width=16\) .* Late fusion .* Early fusion", done.stdout)
    audited = json.loads(ferfuse("audit", "--json", *words[:3], folder=folder).stdout)
    assert {row["method"]: row["verdict"] for row in audited} == {
        "late": "independent of the batch",
        "difference:width=16": "independent of the batch",
    }
    assert "Feature difference" in ferfuse("table", "5", folder=folder).stdout
    assert "difference" in ferfuse("list", "methods", "--plugin", plugin, folder=folder).stdout


def test_arms_run_beside_the_main_comparison(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    arm = {"runs": [{"methods": ["attention-fusion:axis=batch", "early:partner=shuffled"]}]}
    words = [*SETTINGS, f"--set=arms.extra={json.dumps(arm)}", "--arms", "extra", "--no-track", "--workers", "1"]
    done = ferfuse("reproduce", *words, folder=folder)
    assert "2 of 9 runs to do" in done.stderr
    assert "partner=shuffled" not in done.stdout
    assert "Early, shuffled" in ferfuse("table", "4", folder=folder).stdout
    by_itself = ferfuse("table", "3", folder=folder).stdout  # what depends on its batch is audited without being asked
    assert "| Attention fusion (axis=batch) † " in by_itself
    assert "| Attention fusion  " not in by_itself
    ferfuse("audit", "--methods", "attention-fusion", "attention-fusion:axis=batch", folder=folder)
    table = ferfuse("table", "3", folder=folder).stdout
    assert "| Attention fusion (axis=batch) † " in table
    assert table == (folder / "reports" / "demo" / "table3.md").read_text()


def test_two_workers_and_an_interruption_give_the_same_predictions(
    finished: Path, ledger: Ledger, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    results = folder / "results" / "demo"
    backbone = next(record for record in ledger.records if record.backbones == ["vgg11"])
    joint = next(record for record in ledger.records if record.method == "joint")
    shutil.rmtree(results / "artifacts")
    for record in (joint, backbone):
        shutil.rmtree(results / "runs" / record.run_id)
    ferfuse("reproduce", *SETTINGS, "--workers", "2", "--no-track", folder=folder)
    again = load_ledger(results)
    assert {record.run_id for record in again.records} == {record.run_id for record in ledger.records}
    for record in (joint, backbone):
        pd.testing.assert_frame_equal(
            again.predictions(record.run_id), ledger.predictions(record.run_id), check_exact=True
        )


def test_other_settings_do_not_mix_into_an_experiment(finished: Path) -> None:
    words = [*SETTINGS, "--set=backbone_stage.epochs=2"]
    done = ferfuse("reproduce", *words, folder=finished, status=2)
    assert "was run with other settings (backbone_stage)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_run_is_added_where_images_have_lost_their_names(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    description = folder / "results" / "demo" / "experiment.json"
    known = json.loads(description.read_text())
    known["dataset"]["unnamed"] = True
    write_json(description, known)
    done = ferfuse("reproduce", *SETTINGS, "--seeds", "3", folder=folder, status=2)
    assert "published without the names of its images" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_plan_and_status(finished: Path) -> None:
    found = json.loads(ferfuse("plan", *SETTINGS, "--json", folder=finished).stdout)
    assert len(found["runs"]) == 7
    assert all(row["finished"] for row in found["runs"])
    assert found["estimate"] is None
    more = ferfuse("plan", *SETTINGS, "--set=seeds=2", folder=finished).stdout.splitlines()
    more = more[more.index("14 runs: 7 finished, 7 to do") :]  # on a busy machine a line on savings follows
    assert more[1].startswith("verdicts at 2 seeds (statistics.looks); chance to show gains of 1 and 2 points ")
    size = r"about \d+(?: seconds|\.?\d* minutes), \d\.\d GB of memory and \d\.\d GB of disk with \d workers? on cpu"
    assert re.fullmatch(rf"{size}, an estimate: from finished runs like them", more[2])
    assert "7 of 7 planned runs finished" in ferfuse("status", folder=finished).stdout


def test_real_layout_by_name(faces: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(faces, tmp_path / "basic"))
    (root / SYNTHETIC_MARK).unlink()
    words = ["--dataset", "raf-db", "--data-root", root, "--methods", "late", "--workers", "1", "--no-track"]
    done = ferfuse("reproduce", *OTHER_METHODS[3:], *words, folder=tmp_path)
    assert "test accuracy on faces in RAF-DB's layout, not RAF-DB itself (56 test images)" in done.stdout
    assert "cannot be compared" in done.stdout
    assert load_ledger(tmp_path / "results" / "demo-raf-db").records[0].dataset == "raf-db-layout"


@pytest.mark.parametrize(
    ("profile", "dataset", "root", "name"),
    [
        ("demo", None, None, "demo"),
        ("demo", "raf-db", None, "demo-raf-db"),
        ("demo", "raf-db", "/data/basic", "demo-raf-db"),
        ("demo", None, "/data/our faces", "demo-our-faces"),
        ("demo", "folders", "/data/v1.2/", "demo-v1.2"),
        ("demo", "auto", "faces.zip", "demo-faces"),
        ("paper", None, "/data/basic", "paper"),
        ("own/quick.yaml", "fer2013", "/data/x", "quick-fer2013"),
    ],
)
def test_an_experiment_is_named_after_its_profile_and_its_data(
    profile: str, dataset: str | None, root: str | None, name: str
) -> None:
    assert experiment_name(profile, dataset, Path(root) if root else None) == name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reproduce", "--seeds", "0"], "greater than 0"),
        (["reproduce", "--methods", "late", "erly"], "nearest: early"),
        (["reproduce", "--backbones", "resnet18", "vgg12"], "nearest: vgg1"),
        (["reproduce", "--dataset", "raf-db"], "needs its folder"),
        (["reproduce", "--dataset", "raf-db", "--data-root", "nowhere"], "nowhere does not exist"),
        (["reproduce", "--dataset", "fer2014"], "data.dataset"),
        (["reproduce", "--profile", "demos"], "did you mean demo"),
        (["reproduce", "--set", "seed=1"], "unknown setting 'seed'"),
        (["reproduce", "--plugin", "nowhere.py"], "nowhere.py does not exist"),
        (["reproduce", "--engine", "rays"], "did you mean ray"),
        (["reproduce", "--set", "weights=nowhere.pth"], "or use weights=none"),
        (["table", "2", "--experiment", "nothing"], "no experiment at"),
        (["report", "--ledger", "nothing"], "no experiment at"),
        (["status", "--experiment", "nothing"], "no experiment at"),
        (["list", "method"], "did you mean methods"),
        (["audit", "--experiment", "nothing"], "no experiment at"),
        (["reproduce", "--seed", "3"], "No such option: --seed"),
        (["reproduce", "--seeds", "many"], "Invalid value for '--seeds'"),
        (["reproduces"], "No such command 'reproduces'"),
        (["table"], "Missing argument"),
        (["reproduce", "--arms", "control"], "did you mean controls"),
        (["table", "6", "--experiment", "nothing"], "no experiment at"),
        (["drop", "late", "--experiment", "nothing"], "no experiment at"),
        (["reproduce", "--against", "late"], "name its method by --question METHOD"),
        (["reproduce", "--question", "late", "--against", "late"], "cannot be compared with itself"),
    ],
)
def test_users_faults_are_one_line_and_status_2(words: list[str], message: str, tmp_path: Path, fault: Fault) -> None:
    assert message in fault(*words)
    assert not (tmp_path / "results").exists()


def test_faults_in_the_data_are_found_before_anything_runs(faces: Path, tmp_path: Path, fault: Fault) -> None:
    root = Path(shutil.copytree(faces, tmp_path / "basic"))
    words = ["reproduce", "--dataset", "raf-db", "--data-root", str(root)]
    (root / IMAGE_FOLDER / "train_00004_aligned.jpg").write_bytes(b"not an image")
    assert "unreadable: 1 file that cannot be decoded as images, first train_00004.jpg" in fault(*words)
    (root / IMAGE_FOLDER / "train_00004_aligned.jpg").unlink()
    assert "1 of 168 images" in fault(*words)
    label_file = root / LABEL_FILE
    label_file.write_text(label_file.read_text().replace("train_00001.jpg ", "train_00001.jpg 9"))
    assert "line 1: class '9" in fault(*words)
    assert not (tmp_path / "results").exists()


def test_every_command_has_help_with_an_example(tmp_path: Path) -> None:
    commands = ["reproduce", "plan", "status", "drop", "table", "report", "power", "audit", "list"]
    for words in [*([command] for command in commands), ["data", "check"], ["data", "synthesize"], ["data", "import"]]:
        assert f"Example: ferfuse {' '.join(words)}" in ferfuse(*words, "--help", folder=tmp_path).stdout


def test_data_commands(tmp_path: Path) -> None:
    words = ["data", "synthesize", "faces", "--train", "70", "--test", "40"]
    assert "drew 70 training and 40 test faces" in ferfuse(*words, folder=tmp_path).stdout
    assert "exists already" in ferfuse(*words, folder=tmp_path, status=2).stderr
    found = json.loads(ferfuse("data", "check", "--data-root", "faces", "--json", folder=tmp_path).stdout)
    assert sum(found["train"].values()) == 70
    assert sum(found["test"].values()) == 40
    assert found["mapping"]["5"] == "sadness"


def test_errors_in_the_data_stop_an_experiment_until_they_are_accepted(tmp_path: Path) -> None:
    words = ["data", "synthesize", "faces", "--train", "112", "--test", "56", "--share", "fear=0.1"]
    ferfuse(*words, folder=tmp_path)
    plant_faults(tmp_path / "faces", {"leaks": 2}, seed=0)
    checked = ferfuse("data", "check", "--data-root", "faces", folder=tmp_path, status=2)
    assert "error: identical-across: 2 identical pairs" in checked.stdout
    accepted = ferfuse("data", "check", "--data-root", "faces", "--accept", "identical-across", folder=tmp_path)
    assert "accepted: identical-across" in accepted.stdout
    words = ["reproduce", *QUICK, "--data-root", "faces", "--methods", "late", "--workers", "1", "--no-track"]
    stopped = ferfuse(*words, folder=tmp_path, status=2)
    assert "does not pass the gate" in stopped.stderr
    assert len(stopped.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()
    done = ferfuse(*words, "--accept", "identical-across", folder=tmp_path)
    assert "Accepted in the data (identical-across): 2 identical pairs" in done.stdout
    findings = load_ledger(tmp_path / "results" / "demo-faces").experiment["data"]["findings"]
    assert [one["accepted"] for one in findings if one["code"] == "identical-across"] == [True]


def test_an_imported_set_is_found_and_checked(tmp_path: Path) -> None:
    ferfuse("data", "synthesize", "faces", "--train", "30", "--test", "20", folder=tmp_path)
    assert (
        "wrote 50 images of synthetic faces"
        in ferfuse("data", "import", "copy", "--data-root", "faces", folder=tmp_path).stdout
    )
    first, second = (
        json.loads(ferfuse("data", "check", "--data-root", name, "--json", folder=tmp_path).stdout)["digest"]
        for name in ("faces", "copy")
    )
    assert first == second
    assert "give it by --data-root" in ferfuse("data", "import", "other", folder=tmp_path, status=2).stderr


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["ferfuse", "rep"], {"report", "reproduce"}),
        (
            ["ferfuse", "table", "--profile", "open-faces-"],
            {"open-faces-32px", "open-faces-cpu", "open-faces-pretrained"},
        ),
        (["ferfuse", "plan", "--dataset", "fer"], {"fer2013", "ferplus"}),
        (["ferfuse", "status", "--experiment", "reference/o"], {"reference/one"}),
    ],
)
def test_a_shell_completes_commands_and_names(typed: list[str], completed: set[str], tmp_path: Path) -> None:
    for name in ("reference/one", "two"):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "experiment.json").touch()
    asked = {"_FERFUSE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    code = "import sys; sys.argv = ['ferfuse']; from benchmark.cli import main; main()"
    environment = {**os.environ, **asked}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert set(done.stdout.split()) == completed


def test_lists_after_an_option_are_spread() -> None:
    assert spread_lists(["reproduce", "--methods", "late", "early", "--seeds", "3"]) == [
        "reproduce", "--methods", "late", "--methods", "early", "--seeds", "3",
    ]  # fmt: skip
    assert spread_lists(["plan", "--question", "joint", "--against", "late", "early"]) == [
        "plan", "--question", "joint", "--against", "late", "--against", "early",
    ]  # fmt: skip
    assert spread_lists(["table", "2"]) == ["table", "2"]
    assert spread_lists(["--plugin", "a.py", "--plugin", "b.py"]) == ["--plugin", "a.py", "--plugin", "b.py"]
    assert spread_lists(["speed", "--compiled", "vgg11", "resnet18"], bench) == [
        "speed", "--compiled", "vgg11", "--compiled", "resnet18",
    ]  # fmt: skip
