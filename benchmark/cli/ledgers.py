"""Commands that keep ledgers: verify, merge, export."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import ReportsDir, ResultsDir, Which, WhichLedger
from benchmark.config import UserError
from benchmark.ledger import Ledger, load_ledger
from benchmark.reporting.wording import counted


@app.command()
def verify(
    which: WhichLedger,
) -> None:
    """Hold a ledger against what its runs left: seals, predictions, histories, metrics, labels; status 1 if it is not.

    Example: ferfuse verify --experiment reference/open-faces-cpu
    """
    from benchmark.analysis.verify import verify_ledger

    begun = time.perf_counter()
    folder = which.folder
    runs, faults = verify_ledger(folder)
    for fault in faults:
        typer.echo(fault)
    took = time.perf_counter() - begun
    amount = counted(len(faults), "fault") if faults else "no faults"
    typer.echo(f"{folder}: {counted(runs, 'run')} checked in {took:.1f} s, {amount}")
    raise typer.Exit(int(bool(faults)))


@app.command()
def merge(
    experiments: Annotated[list[str], typer.Argument(help="Experiments, or folders of ledgers, packed or not.")],
    name: Annotated[str, typer.Option(help="Of the packed ledger that is written; `reproduce` can go on from it.")],
    results_dir: ResultsDir = Path("results"),
) -> None:
    """Join ledgers of one experiment (two machines, two sittings) into one.

    Example: ferfuse merge demo-monday demo-tuesday --name demo-all
    """
    from benchmark.ledger.packing import merge_ledgers

    if len(experiments) < 2:
        raise UserError("name two ledgers or more")
    folders = [Path(text) if (Path(text) / "experiment.json").is_file() else results_dir / text for text in experiments]
    target = merge_ledgers([load_ledger(folder) for folder in folders], results_dir, name)
    typer.echo(f"wrote {target}: {counted(len(load_ledger(target).records), 'run')}")


@app.command()
def export(
    which: Which,
    name: Annotated[str | None, typer.Option(help="Of the packed ledger; reference/EXPERIMENT when left out.")] = None,
    title: Annotated[str | None, typer.Option(help="What the data are called, in place of their layout.")] = None,
    test_only: Annotated[
        bool,
        typer.Option("--test-only", help="Of fusion runs, the test predictions alone, which is all that tables read."),
    ] = False,
    paper: Annotated[
        Path | None, typer.Option(help="Write a paper's pack into this folder instead: tables, figures, checklist.")
    ] = None,
    reports_dir: ReportsDir = Path("reports"),
) -> None:
    """Pack a finished experiment and its audit into a few files that can be published, without paths of this machine.

    The ledger is verified before. Of data whose labels must not be passed on, RAF-DB among them, images get codes for
    names. With --paper, what a paper needs is written instead.

    Example: ferfuse export --experiment demo-raf-db --name reference/mine
    """
    from benchmark.analysis.verify import verify_ledger
    from benchmark.data.formats import labels_stay
    from benchmark.ledger.packing import publish

    source = which.name
    packed = name or f"reference/{source}"
    _, faults = verify_ledger(which.folder)
    if broken := [fault for fault in faults if "have no seal" not in fault]:
        raise UserError(
            f"{broken[0]}; `ferfuse verify --experiment {source}` lists all {len(broken)}; nothing is published"
        )
    ledger = load_ledger(which.folder)
    unnamed = labels_stay(ledger.experiment["dataset"]["name"])
    if paper is not None:
        _write_pack(ledger, reports_dir, paper, labels_stay=unnamed)
        return
    target = publish(ledger, which.results_dir, packed, title, unnamed=unnamed, test_only=test_only)
    size = sum(path.stat().st_size for path in target.iterdir())
    typer.echo(f"wrote {target}: {size / 1e6:.2f} MB; `ferfuse report --experiment {packed}` writes its report")


def _write_pack(ledger: Ledger, reports_dir: Path, folder: Path, *, labels_stay: bool) -> None:
    from benchmark.engine.registered import registered
    from benchmark.reporting.paper_pack import About, write_pack

    references = {row["name"]: row["reference"] for what in ("methods", "backbones") for row in registered(what)}
    for path in write_pack(ledger, reports_dir, folder, About(references, labels_stay)):
        typer.echo(f"wrote {path}")
