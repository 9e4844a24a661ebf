"""Write what published ledgers show into docs/ and README: `python -m tools.findings EXPERIMENT`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.application import application, main
from benchmark.cli.options import ReportsDir, ResultsDir
from benchmark.ledger import experiment_folder, load_ledger

app = application("findings", "Write what a published ledger shows.")


@app.command()
def write(
    experiment: Annotated[str, typer.Argument(help="Name of a packed ledger, such as reference/open-faces.")],
    results_dir: ResultsDir = Path("results"),
    reports_dir: ReportsDir = Path("reports"),
    root: Annotated[Path, typer.Option(help="Holds README.md and docs/.")] = Path("."),
) -> None:
    """Write docs/findings.md and README's marked part from a published ledger whose report is written.

    docs/references.md is written from all of them.

    Measured times come from RESULTS_DIR/reference/measured.json. Example: make findings EXPERIMENT=reference/demo
    """
    from tools.findings.references import write_references
    from tools.findings.write import write_findings

    ledger = load_ledger(experiment_folder(results_dir, experiment))
    for path in [
        *write_findings(ledger, results_dir, reports_dir, root),
        *write_references(results_dir, reports_dir, root),
    ]:
        typer.echo(f"wrote {path}")


if __name__ == "__main__":
    main(app)
