"""A trained model on its own gives what the ledger keeps of its run."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.config import UserError
from benchmark.engine.experiment import Request, finished_runs
from benchmark.ledger import Ledger, load_ledger
from benchmark.trained import best_run, find_run, gather
from benchmark.training.inference import Predictor


@pytest.fixture
def ledger(request_: Request) -> Ledger:
    return load_ledger(request_.folder)


def run_id(ledger: Ledger, method: str | None) -> str:
    return next(record.run_id for record in ledger.records if record.method == method)


@pytest.mark.parametrize("method", [None, "late", "early", "early:features=cross-fitted", "joint"])
def test_a_model_gives_the_probabilities_of_its_ledger(
    method: str | None, ledger: Ledger, request_: Request, tmp_path: Path
) -> None:
    record = find_run(ledger, run_id(ledger, method))
    gather(ledger, record, (), tmp_path)
    frame = ledger.predictions(record.run_id).set_index("image_id")
    files = image_files(request_, list(frame.index[-20:]))
    logits = frame.filter(like="logit_").to_numpy(float)[-20:]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(Predictor(tmp_path).probabilities(files), expected, atol=1e-5)


def image_files(request: Request, names: list[str]) -> list[Path]:
    manifest = finished_runs(request)[1].manifest
    files = dict(zip(manifest.image_ids, manifest.files, strict=True))
    return [files[name] for name in names]


def test_bytes_and_base64_give_what_the_file_gives(ledger: Ledger, tmp_path: Path) -> None:
    gather(ledger, find_run(ledger, run_id(ledger, "early")), (), tmp_path)
    predictor = Predictor(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    contents = []
    for image in pixels:
        Image.fromarray(image).save(buffer := BytesIO(), "PNG")
        contents.append(buffer.getvalue())
    plain = predictor.predict(pd.DataFrame({"image": contents}))
    coded = predictor.predict(pd.DataFrame({"image": [base64.b64encode(content).decode() for content in contents]}))
    pd.testing.assert_frame_equal(plain, coded)
    assert list(plain.columns) == ledger.experiment["dataset"]["classes"]
    np.testing.assert_allclose(plain.sum(axis=1), 1, atol=1e-9)
    assert not np.allclose(plain.iloc[0], plain.iloc[1], atol=1e-6)


def test_what_cannot_be_used_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    shuffled = find_run(ledger, run_id(ledger, "early:partner=shuffled"))
    with pytest.raises(UserError, match="about one image alone"):
        gather(ledger, shuffled, (), tmp_path)
    with pytest.raises(UserError, match="holds no trained model"):
        Predictor(tmp_path)
    with pytest.raises(UserError, match="no run of experiment 'stages' begin with nothing"):
        find_run(ledger, "nothing")


def test_a_picture_that_cannot_be_read_is_one_line(ledger: Ledger, tmp_path: Path) -> None:
    gather(ledger, find_run(ledger, run_id(ledger, "late")), (), tmp_path / "model")
    predictor = Predictor(tmp_path / "model")
    (tmp_path / "text.jpg").write_text("no picture")
    faults = {"": "Is a directory", "none.jpg": "No such file", "text.jpg": "it is no image"}
    for name, reason in faults.items():
        with pytest.raises(UserError, match=rf"{tmp_path / name} cannot be read .*\({reason}.*; give") as caught:
            predictor.probabilities([tmp_path / name])
        assert "\n" not in str(caught.value)


def test_the_best_run_is_best_on_validation_and_never_a_control(ledger: Ledger) -> None:
    best = best_run(ledger)
    scores = {}
    for record in ledger.records:
        frame = ledger.predictions(record.run_id)
        part = frame[frame["split"] == "validation"]
        scores[record.run_id] = (part.filter(like="logit_").to_numpy().argmax(1) == part["label"]).mean()
    sound = [None, "late", "early", "early:features=cross-fitted", "late:features=cross-fitted", "joint"]
    kept = [r for r in ledger.records if r.kind != "fold" and r.method in [*sound, "attention-fusion:axis=spatial"]]
    assert scores[best.run_id] == max(scores[record.run_id] for record in kept)
    assert best in kept
