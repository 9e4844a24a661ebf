"""Commands that run experiments: reproduce, status, drop."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.application import app
from benchmark.cli.options import AsJson, Asked, ReportsDir, Which, show_table
from benchmark.config import UserError, nearest
from benchmark.ledger import again, artifact_folder, existing_experiment, load_ledger, run_folder
from benchmark.reporting.wording import counted
from benchmark.tuned import read_searches, read_tuned, select

if TYPE_CHECKING:
    from benchmark.engine.outcomes import Failure, Request, Summary

ENGINES = ("local", "ray", "slurm")


@dataclass(frozen=True, kw_only=True)
class How:
    """How runs are done."""

    engine: Annotated[str, typer.Option(help="local, ray (on RAY_ADDRESS where that is set), or slurm.")] = "local"
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (every GPU), or one as in cuda:1.")] = "auto"
    workers: Annotated[int, typer.Option(min=0, help="Processes side by side; 0 chooses.")] = 0
    workers_per_gpu: Annotated[int, typer.Option(min=1, help="Runs that share a GPU.")] = 1
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do runs again that failed before.")] = False
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits every time on a GPU too, at some cost in time.")
    ] = False
    compile: Annotated[
        str, typer.Option("--compile", help="on, off, or auto: torch.compile where it was measured to pay.")
    ] = "auto"
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Training time between two checkpoints of a run, at least.")
    ] = 20.0

    def checked(self) -> dict[str, Any]:
        """Return the options by name.

        Raises:
            UserError: there is no such engine, or no such way to compile.
        """
        from benchmark.engine.devices import COMPILE

        if self.engine not in ENGINES:
            raise UserError(f"no engine named '{self.engine}'; {nearest(self.engine, ENGINES)}")
        if self.compile not in COMPILE:
            raise UserError(f"--compile takes no '{self.compile}'; {nearest(self.compile, COMPILE)}")
        return vars(self)


@app.command()
def reproduce(
    asked: Asked,
    how: How,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Use what `ferfuse tune` chose; in an own experiment.")
    ] = False,
    track: Annotated[bool, typer.Option(help="Mirror the runs into MLflow.")] = True,
    system_metrics: Annotated[bool, typer.Option(help="Log the machine's load into MLflow; needs psutil.")] = False,
    reports_dir: ReportsDir = Path("reports"),
) -> None:
    """Run whatever is not finished yet, then print Tables 1 and 2.

    Example: ferfuse reproduce --profile demo --seeds 5 --methods late attention-fusion:axis=batch
    """
    from benchmark.engine.description import with_remembered_plugins
    from benchmark.engine.experiment import run_experiment
    from benchmark.engine.progress import TerminalProgress
    from benchmark.tracking.live import LiveMirror, MirrorOptions

    if system_metrics and find_spec("psutil") is None:
        raise UserError("--system-metrics needs psutil; install it: pip install 'ferfuse[system-metrics]'")
    request = asked.request(**how.checked(), command="ferfuse " + shlex.join(sys.argv[1:]))
    name, source = request.experiment, None
    if tuned:
        source, name = request.folder, f"{name}-tuned"
        chosen = select(read_tuned(source), [*request.settings.methods, *request.settings.backbones])
        settings = request.settings.model_copy(update={"tuned": chosen})
        request = replace(request, settings=settings, experiment=name, source=source)
    request = with_remembered_plugins(request)
    options = MirrorOptions(request.folder, reports_dir / name, request.plugins, system_metrics)
    with LiveMirror(options) as mirror:
        with TerminalProgress(request, mirror if track else None) as progress:
            summary = run_experiment(request, progress)
        _audit_batch_dependent(request)
        _tell_failures(summary, request.folder)
        _print_report(request.folder, reports_dir)
        if source is not None:
            _print_tuning(source, request.folder, reports_dir)
    if summary.done == 0 and not summary.failures and not summary.failed_before:
        typer.echo(f"All {summary.runs} runs of experiment '{name}' were finished already; nothing to do.")
    if summary.failures or summary.failed_before:
        raise typer.Exit(1)


@app.command()
def status(
    which: Which,
    every: Annotated[bool, typer.Option("--all", help="A line for every run that is not done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell how many runs are done, running, failed or waiting, and why.

    Example: ferfuse status --experiment demo
    """
    from benchmark.engine.overview import summary

    folder = which.folder
    found = summary(folder)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo(
        f"{found['experiment']}: {found['finished']} of {found['planned']} planned runs finished, "
        f"{found['running']} running, {found['failed']} failed, {found['waiting']} waiting"
    )
    for version in found["versions"]:
        typer.echo(
            f"{version['name']}: version {version['present']} of its plug-in; {counted(version['runs'], 'run')} of "
            f"earlier ones ({', '.join(version['earlier'])}) kept aside"
        )
    for line in _lines(found["runs"], every=every):
        typer.echo(line)
    if found["runs"] and not every:
        name = existing_experiment(folder)["experiment"]
        typer.echo(f"`ferfuse status --experiment {name} --all` has a line for each.")


def _lines(runs: list[dict[str, str]], *, every: bool) -> list[str]:
    """Return a line for every run, or for every state with its first run, for each reason where runs failed."""
    if every:
        return [f"{run['state']:<8} {run['label']}: {run['why']}" for run in runs]
    alike: dict[tuple[str, str], list[dict[str, str]]] = {}
    for run in runs:
        reason = run["why"].partition(" (")[0] if run["state"] == "failed" else ""
        alike.setdefault((run["state"], reason), []).append(run)
    return [
        f"{state:<8} {counted(len(some), 'run')}{', first' if len(some) > 1 else ':'} {some[0]['label']}: "
        f"{some[0]['why']}"
        for (state, _), some in alike.items()
    ]


@app.command()
def drop(
    method: Annotated[str, typer.Argument(help="A method of the experiment, with its settings or without.")],
    which: Which,
) -> None:
    """Take a method out of an experiment's tables, verdicts and plan; its finished runs are kept aside.

    `ferfuse reproduce --methods METHOD` brings it back.

    Example: ferfuse drop mine --experiment demo
    """
    from benchmark.engine.overview import drop_method

    for dropped in drop_method(which.folder, method):
        typer.echo(f"{dropped} is no method of experiment '{which.name}' any more; its runs are kept aside")


def _tell_failures(summary: Summary, experiment: Path) -> None:
    """Name the methods and networks whose runs failed, with the first of them, and say what to do."""
    name = existing_experiment(experiment)["experiment"]
    alike: dict[tuple[str | None, str], list[Failure]] = {}
    for failure in summary.failures:
        alike.setdefault((failure.run.method, failure.reason), []).append(failure)
    for (method, reason), failures in alike.items():
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        typer.echo(f"failed: {failures[0].run.label}{more}: {reason}", err=True)
        note = run_folder(experiment, failures[0].run.run_id) / "failure.json"
        if method and note.is_file():
            typer.echo(
                f"  traceback: {note}; `ferfuse drop {shlex.quote(method)} --experiment {name}` leaves it out", err=True
            )
    if summary.failed_before:
        typer.echo(
            f"{counted(summary.failed_before, 'run')} failed before and not tried again: "
            f"`ferfuse status --experiment {name}` says why, "
            f"`{again(existing_experiment(experiment), '--retry-failed')}` tries again",
            err=True,
        )


def _audit_batch_dependent(request: Request) -> None:
    """Audit the finished runs of methods that depend on their batch, each once, so that tables say what order gains."""
    ledger, folder = load_ledger(request.folder), request.folder
    known = {finding["run_id"] for finding in ledger.audit}
    new = {
        record.run_id
        for record in ledger.of_kind("fusion")
        if record.batch_dependent and record.run_id not in known and artifact_folder(folder, record.run_id).is_dir()
    }
    if new:
        from benchmark.audit.batch_dependence import audit_experiment, write_findings
        from benchmark.engine.experiment import finished_runs
        from benchmark.training.backbone import has_weights

        runs, workspace = finished_runs(request)
        there = [run for run in runs if run.run_id in new and all(has_weights(folder, one) for one in run.parents)]
        write_findings(folder, audit_experiment(there, None, workspace))


def _print_tuning(source: Path, folder: Path, reports_dir: Path) -> None:
    """Write and show default against tuned settings, where the defaults have been run."""
    from benchmark.reporting.tuning import write_tuning_table

    default, tuned = load_ledger(source), load_ledger(folder)
    if default.of_kind("fusion"):
        typer.echo(write_tuning_table(default, tuned, read_searches(source), reports_dir))
    else:
        typer.echo(f"`{again(default.experiment)}` first: then default and tuned settings are compared.")


def _print_report(folder: Path, reports_dir: Path) -> None:
    """Write the verdicts and the tables, show the answer and Tables 1 and 2."""
    from benchmark.reporting.report import current_verdicts, make_table, refresh_verdicts, write_tables

    ledger = load_ledger(folder)
    answer = refresh_verdicts(ledger, reports_dir)
    paths = write_tables(ledger, reports_dir)
    found = current_verdicts(ledger, reports_dir)
    typer.echo(f"{answer}\n")
    for number in (1, 2):
        show_table(make_table(number, ledger, found, "pairs"))
        typer.echo()
    typer.echo(
        f"Tables are in {paths[0].parent}, the ledger in {folder}; "
        f"`ferfuse report --experiment {ledger.name}` adds figures and a page, "
        f"`ferfuse ui --experiment {ledger.name}` opens the results in MLflow."
    )
