"""The command that judges results from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.application import app
from benchmark.cli.options import AsJson, ResultsDir, show_table
from benchmark.config import UserError

if TYPE_CHECKING:
    from benchmark.analysis.judging import Judgement


@app.command()
def judge(
    files: Annotated[
        list[Path] | None, typer.Argument(help="CSV, Parquet or JSON lines; the columns tell what it is.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Whose gain is asked about; the first one given.")] = None,
    against: Annotated[list[str] | None, typer.Option(help="Baselines; all others when left out.")] = None,
    margin: Annotated[float, typer.Option(min=0.01, help="Largest difference in points that counts as none.")] = 0.5,
    looks: Annotated[list[int] | None, typer.Option(help="Planned numbers of seeds, such as 5 10 20.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="Other names of columns, such as method=model seed=run.")
    ] = None,
    experiments: Annotated[
        list[str] | None, typer.Option(help="Ledgers instead of files: a verdict over data sets.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(help="An MLflow experiment instead of files; needs --metric and --by.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The metric of its runs.")] = None,
    by: Annotated[str | None, typer.Option(help="The parameter that names the method of a run.")] = None,
    printed: Annotated[
        list[str] | None, typer.Option(help="Two printed accuracies in percent; needs --images.")
    ] = None,
    images: Annotated[int, typer.Option(help="Number of test images of the printed accuracies.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Folder for tables, JSON and the forest figure.")] = None,
    results_dir: ResultsDir = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Tell whether a gain is real: from predictions or accuracies of any code, from ledgers, MLflow or a paper.

    Predictions have the columns method, seed, image_id, label and prediction (or logit_0, logit_1, …), and setting,
    group and dataset where these are known; accuracies have method, seed and accuracy.

    Example: ferfuse judge predictions.csv --method mine --against late
    """
    given = [bool(files), bool(experiments), bool(mlflow), bool(printed)]
    if sum(given) != 1:
        raise UserError(
            "give FILES, --experiments, --mlflow or --printed, one of them; ferfuse judge --help has examples"
        )
    if printed:
        _judge_printed(printed, images, as_json)
        return
    from benchmark.reporting.judged import answer, judgement_json, judgement_table, write_judgement

    if experiments:
        found = _judge_experiments(experiments, results_dir, method, against)
    else:
        from benchmark.analysis.judging import judge as judge_frame
        from benchmark.analysis.outside import read_tables

        if mlflow:
            from benchmark.tracking.metrics import read_metric

            if not metric or not by:
                raise UserError("--mlflow needs --metric NAME and --by PARAM")
            frame = read_metric(mlflow, metric, by)
        else:
            frame = read_tables(files or [], _pairs(columns or []))
        found = judge_frame(frame, method, against, margin=margin, looks=looks)
    if report:
        for path in write_judgement(found, report):
            typer.echo(f"wrote {path}", err=True)
    if as_json:
        typer.echo(json.dumps(judgement_json(found), indent=1))
        return
    typer.echo(answer(found) + "\n")
    show_table(judgement_table(found))


def _judge_printed(printed: Sequence[str], images: int, as_json: bool) -> None:
    from benchmark.analysis.judging import judge_printed
    from benchmark.reporting.judged import printed_answer

    if len(printed) != 2:
        raise UserError("--printed takes two accuracies, such as 90.95 86.66")
    found = judge_printed(printed[0], printed[1], images)
    typer.echo(json.dumps(asdict(found), indent=1) if as_json else printed_answer(found))


def _judge_experiments(
    names: Sequence[str], results_dir: Path, method: str | None, against: Sequence[str] | None
) -> Judgement:
    from benchmark.analysis.judging import judge_ledgers
    from benchmark.ledger import experiment_folder, load_ledger

    ledgers = [load_ledger(experiment_folder(results_dir, name)) for name in names]
    return judge_ledgers(ledgers, method, against)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    if bad := [text for text in texts if "=" not in text.strip("=")]:
        raise UserError(f"--columns {bad[0]}: write it as KNOWN=YOURS, for example method=model")
    return dict(text.split("=", 1) for text in texts)
