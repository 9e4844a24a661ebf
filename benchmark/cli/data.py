"""Commands about data sets on disk: check, synthesize."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.application import app
from benchmark.cli.options import AsJson, DataDir, DataRoot
from benchmark.config import UserError, load_config

data_app = typer.Typer(help="Data sets on disk.")
app.add_typer(data_app, name="data")


@data_app.command()
def check(
    dataset: Annotated[str, typer.Option(help="synthetic or raf-db.")] = "raf-db",
    data_root: DataRoot = None,
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Read a data set completely, labels and every image, and tell what it holds.

    Example: ferfuse data check --dataset raf-db --data-root /data/RAF-DB/basic
    """
    import numpy as np

    from benchmark.data.sources import open_dataset
    from benchmark.data.store import stored_images

    settings = load_config("demo", {"data.dataset": dataset, "data.root": data_root}).data
    manifest = open_dataset(settings, data_dir)
    stored_images(manifest, settings.image_size, data_dir)
    found: dict[str, Any] = {
        "dataset": manifest.dataset,
        "digest": manifest.content_digest(data_dir / "store"),
    }
    for name, rows in (("train", ~manifest.is_test), ("test", manifest.is_test)):
        counts = np.bincount(manifest.labels[rows], minlength=len(manifest.classes)).tolist()
        found[name] = dict(zip(manifest.classes, counts, strict=True))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(f"{manifest.title}: every image is readable; digest {found['digest']}")
    for name in ("train", "test"):
        counts_text = ", ".join(f"{label} {count}" for label, count in found[name].items())
        typer.echo(f"{name}: {sum(found[name].values())} images ({counts_text})")


@data_app.command()
def synthesize(
    target: Annotated[Path, typer.Argument(help="Folder to write; must not exist yet.")],
    train: Annotated[int, typer.Option(help="Number of training images.")] = 600,
    test: Annotated[int, typer.Option(help="Number of test images.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the drawing.")] = 0,
    label_noise: Annotated[float, typer.Option(help="Share of labels that are wrong.")] = 0.02,
) -> None:
    """Draw synthetic faces in RAF-DB's layout.

    Example: ferfuse data synthesize data/faces --train 2000 --test 500
    """
    from benchmark.data.synthetic import write_synthetic_faces

    if target.exists():
        raise UserError(f"{target} exists already; give a folder that does not")
    try:
        write_synthetic_faces(target, train=train, test=test, seed=seed, label_noise=label_noise)
    except ValueError as error:
        raise UserError(str(error)) from error
    typer.echo(f"drew {train} training and {test} test faces into {target}")
