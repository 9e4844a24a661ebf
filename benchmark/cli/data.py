"""Commands about data sets on disk: check, import, synthesize."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.application import app, application
from benchmark.cli.options import Accept, AsJson, Assignments, DataDir, DataRoot, settings_of
from benchmark.config import DataSettings, UserError
from benchmark.reporting.wording import counted

if TYPE_CHECKING:
    from benchmark.data.gate import Report
    from benchmark.data.manifest import Manifest

data_app = application("data", "Check, import or draw data sets on disk.")
app.add_typer(data_app, name="data")

DatasetName = Annotated[str, typer.Option(help="See `ferfuse list datasets`; auto finds out.")]


@data_app.command()
def check(
    dataset: DatasetName = "auto",
    data_root: DataRoot = None,
    accept: Accept = None,
    assignments: Assignments = None,
    profile: Annotated[str, typer.Option(help="Whose image size the decoded images are stored at.")] = "demo",
    data_dir: DataDir = Path("data"),
    as_json: AsJson = False,
) -> None:
    """Read a data set completely, labels and every image, and tell what it holds and what is wrong with it.

    Errors that are not accepted end with exit status 2.

    Example: ferfuse data check --data-root /data/RAF-DB/basic --accept identical-across
    """
    from benchmark.data.gate import check_data
    from benchmark.data.sources import find_dataset

    settings = _settings(dataset, data_root, assignments, profile, accept)
    manifest = find_dataset(settings, data_dir)
    report = check_data(manifest, settings, data_dir)
    found = _contents(manifest, report, data_dir)
    typer.echo(json.dumps(found, indent=1) if as_json else _page(found))
    if report.stopping:
        raise typer.Exit(2)


@data_app.command(name="import")
def import_data(
    target: Annotated[Path, typer.Argument(help="Folder to write; must not exist yet.")],
    data_root: DataRoot = None,
    dataset: DatasetName = "auto",
    assignments: Assignments = None,
    data_dir: DataDir = Path("data"),
) -> None:
    """Write a data set of any known form in RAF-DB's layout; JPEG files are copied as they are.

    Example: ferfuse data import data/affectnet7 --data-root /data/AffectNet --set data.leave_out=[contempt]
    """
    from benchmark.data.export import write_raf_db_layout
    from benchmark.data.sources import find_dataset

    if data_root is None:
        raise UserError("data import needs the folder or zip of the data; give it by --data-root")
    _refuse_existing(target)
    manifest = find_dataset(_settings(dataset, data_root, assignments, "demo"), data_dir)
    write_raf_db_layout(manifest, target)
    typer.echo(f"wrote {len(manifest)} images of {manifest.title} into {target}")
    typer.echo(manifest.origin.terms)


@data_app.command()
def synthesize(
    target: Annotated[Path, typer.Argument(help="Folder to write; must not exist yet.")],
    train: Annotated[int, typer.Option(help="Number of training images.")] = 600,
    test: Annotated[int, typer.Option(help="Number of test images.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the drawing.")] = 0,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=16)] = 100,
    label_noise: Annotated[float, typer.Option(help="Share of labels that are wrong.")] = 0.02,
    pose: Annotated[float, typer.Option(help="How far faces are from aligned: 0 not at all, 1 loosely framed.")] = 1.0,
    disturbance: Annotated[float, typer.Option(help="How far pictures are from well taken: 0 to 1.")] = 1.0,
    share: Annotated[
        list[str] | None, typer.Option(help="Share of a class, as happiness=0.5; the others keep theirs.")
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Without RAF-DB's blocks of a class in the file order.")
    ] = False,
) -> None:
    """Draw synthetic faces in RAF-DB's layout.

    Example: ferfuse data synthesize data/faces --train 2000 --test 500 --mixed
    """
    from benchmark.data.synthetic import mix_order, write_synthetic_faces

    _refuse_existing(target)
    shares = dict(map(_share, share or []))
    try:
        write_synthetic_faces(
            target,
            train=train,
            test=test,
            seed=seed,
            size=size,
            label_noise=label_noise,
            pose=pose,
            disturbance=disturbance,
            shares=shares,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    if mixed:
        mix_order(target, seed)
    typer.echo(f"drew {train} training and {test} test faces into {target}")


def _settings(
    dataset: str, data_root: Path | None, assignments: list[str] | None, profile: str, accept: list[str] | None = None
) -> DataSettings:
    drawn = dataset == "auto" and data_root is None
    given = {"data.dataset": "synthetic" if drawn else dataset, "data.root": data_root, "data.accept": accept or []}
    return settings_of(profile, given, assignments).data


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise UserError(f"{target} exists already; give a folder that does not")


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise UserError(f"--share {name}={value}: write it as NAME=NUMBER") from error


def _contents(manifest: Manifest, report: Report, data_dir: Path) -> dict[str, Any]:
    """Return what the check found, as JSON says it."""
    origin = manifest.origin
    parts = manifest.parts.items()
    return {
        "dataset": manifest.dataset,
        "title": manifest.title,
        "format": origin.format,
        "synthetic": manifest.synthetic,
        "digest": manifest.content_digest(data_dir / "store"),
        **{name: dict(zip(manifest.classes, manifest.counts(rows), strict=True)) for name, rows in parts},
        "parts": origin.parts,
        "mapping": origin.mapping,
        "persons": None if manifest.groups is None else len(set(manifest.groups.tolist())),
        "agreement": None if manifest.votes is None else float(manifest.votes.max(axis=1).mean()),
        "notes": list(origin.notes),
        "terms": origin.terms,
        "findings": report.to_json(),
    }


def _page(found: dict[str, Any]) -> str:
    """Write the same for people."""
    lines = [f"{found['title']} (format {found['format']}), digest {found['digest']}"]
    for name in ("train", "validation", "test"):
        if name in found:
            counts = ", ".join(f"{label} {count}" for label, count in found[name].items())
            lines.append(f"{name}: {sum(found[name].values())} images ({counts})")
    lines.append("classes: " + ", ".join(f"{word} is {name}" for word, name in found["mapping"].items()))
    lines.append(f"split: {found['parts']}")
    if found["persons"]:
        lines.append(f"persons: {found['persons']}")
    if found["agreement"]:
        lines.append(f"votes: the majority has {100 * found['agreement']:.0f} % of them on average")
    lines += [f"note: {note}" for note in found["notes"]]
    lines.append(f"terms: {found['terms']}")
    for one in found["findings"]:
        word = "accepted" if one["accepted"] else one["severity"]
        lines.append(f"{word}: {one['code']}: {one['count']} {one['message']}")
        lines += [f"    {example}" for example in one["examples"]]
        lines.append(f"    to do: {one['remedy']}")
    errors = sum(one["severity"] == "error" and not one["accepted"] for one in found["findings"])
    warnings = sum(one["severity"] == "warning" for one in found["findings"])
    lines.append(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        if found["findings"]
        else "no findings: every image is readable"
    )
    return "\n".join(lines)
