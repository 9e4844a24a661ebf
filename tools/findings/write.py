"""Write what a published ledger shows: `findings.json` beside its report, docs/findings.md, README's marked part."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmark.analysis.paper import read_paper
from benchmark.analysis.report import Report
from benchmark.config import UserError, load_config
from benchmark.ledger import Ledger, experiment_folder, load_ledger, write_json, write_text
from benchmark.reporting.figures.titles import SUMMARIES, summary_file
from benchmark.reporting.formats import TEMPLATES, escape_markdown, to_markdown
from benchmark.reporting.page.provenance import provenance
from benchmark.reporting.pages import verdict_tables
from benchmark.reporting.report import available_tables, current_verdicts, make_table
from benchmark.reporting.scope import WEIGHTS, scope_sentences
from benchmark.reporting.wording import brief_answer, counted, group_of, names_of, title_of
from tools.findings.contrasts import Answer
from tools.findings.measured import Measured, fill_measured, read_measured
from tools.findings.sentences import (
    claim_words,
    comparison_sentence,
    contrast_sentence,
    independent_sentence,
    optimism_sentence,
    order_sentence,
    repetition_sentence,
)
from tools.findings.values import Findings, claim_evidence, findings_of

PAGE, README = Path("docs/findings.md"), Path("README.md")
MARKED = re.compile(r"<!-- findings(?:: (\S+))? -->.*?<!-- /findings -->", re.DOTALL)
PAPERS_PROFILE = "paper"
SHOWN_COLUMNS = ("accuracy", "interval", "n")


def write_findings(ledger: Ledger, results_dir: Path, reports_dir: Path, root: Path) -> list[Path]:
    """Write all of it and return the paths; the same ledger, report and measured figures give the same bytes.

    Args:
        results_dir: holds `reference/`, the ledgers whose answers README tells, and `measured.json`.
        root: of the documents; links are relative to it.

    Raises:
        UserError: the report of this ledger or of another of them is not of it, or README has no marked part.
    """
    found = written_verdicts(ledger, reports_dir)
    values = findings_of(ledger, found)
    measured = read_measured(results_dir / "reference")
    others = [written_verdicts(one, reports_dir) for one in reference_ledgers(results_dir)]
    elsewhere = [one for one in others if one.dataset_title != found.dataset_title]
    render = _renderer(ledger, found, values, measured, elsewhere, reports_dir)
    readme = root / README
    texts = {
        root / PAGE: render("findings.md"),
        readme: fill_readme(readme.read_text(encoding="utf-8"), ledger.name, render("readme.md"), measured),
    }
    path = reports_dir / ledger.name / "findings.json"
    write_json(path, values.model_dump(mode="json"))
    for target, text in texts.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
    return [path, *texts]


def reference_ledgers(results_dir: Path) -> list[Ledger]:
    """Return every ledger below `results_dir/reference`, by name."""
    names = sorted(
        path.parent.relative_to(results_dir).as_posix() for path in results_dir.glob("reference/*/experiment.json")
    )
    return [load_ledger(experiment_folder(results_dir, name)) for name in names]


def short_name(found: Report) -> str:
    """Return what an experiment is called below `reference/`."""
    return found.experiment.removeprefix("reference/")


def written_verdicts(ledger: Ledger, reports_dir: Path) -> Report:
    """Return the report of a ledger.

    Raises:
        UserError: there is no report of this very ledger.
    """
    found = current_verdicts(ledger, reports_dir)
    if found is None:
        raise UserError(f"no report of this ledger in {reports_dir}; run `ferfuse report --experiment {ledger.name}`")
    return found


def fill_readme(text: str, name: str, block: str, measured: dict[str, Measured]) -> str:
    """Return README with its marked part, and every measured figure, written anew.

    Raises:
        UserError: it has no such part, or more than one.
    """
    if len(MARKED.findall(text)) != 1:
        raise UserError(f"{README} needs one part between <!-- findings --> and <!-- /findings -->")
    marked = f"<!-- findings: {name} -->\n{block.strip()}\n<!-- /findings -->"
    return fill_measured(MARKED.sub(lambda _: marked, text), measured)


def _renderer(
    ledger: Ledger,
    found: Report,
    values: Findings,
    measured: dict[str, Measured],
    elsewhere: Sequence[Report],
    reports_dir: Path,
) -> Callable[[str], str]:
    """Return what fills in a template; paths in it are as seen from the root of the documents."""
    environment = documents_environment()
    numbers = available_tables(ledger)
    verdicts = verdict_tables(found)
    report = f"reports/{ledger.name}"
    figures = reports_dir / ledger.name / "figures"
    context = {
        "found": found,
        "values": values,
        "measured": measured,
        "report": report,
        "ledger_folder": f"results/{ledger.name}",
        "scope": scope_sentences(ledger),
        "elsewhere": [(short_name(one), f"reports/{one.experiment}", brief_answer(one)) for one in elsewhere],
        "has_figure": all(summary_file(figures, name, dark).is_file() for name in SUMMARIES for dark in (False, True)),
        "claims": _claims(found),
        "tables": {number: to_markdown(make_table(number, ledger, found)) for number in numbers if number > 2},
        "accuracies": [
            to_markdown(make_table(1, ledger, found).choose(SHOWN_COLUMNS)),
            to_markdown(make_table(2, ledger, found, "pairs")),
        ],
        "primary": to_markdown(verdicts["primary"]) if "primary" in verdicts else "",
        "file_order": file_order(ledger),
        "batch": batch_sentences(found, values),
        "independent": independent_sentence(values.orders, found),
        "readings": [contrast_sentence(_in_order(row)) for row in values.reading_contrasts],
        "singles": [comparison_sentence(found, row) for row in found.rows("best-single")],
        "controls": [contrast_sentence(row) for row in values.control_contrasts],
        "optimism": optimism_sentence(found),
        "repeated": repetition_sentence(values.repetitions),
        "provenance": provenance(ledger),
        "command": ledger.experiment.get("command", ""),
        "methods": names_of(found, found.methods),
        "pairs": [" + ".join(title_of(found, name) for name in pair) for pair in found.pairs],
        "counted": counted,
        "paper": _papers_protocol(),
    }
    return lambda template: environment.get_template(template).render(**context)


def documents_environment() -> Environment:
    """Return what reads the templates of documents; its filter `md` writes words as Markdown."""
    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent, TEMPLATES]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        undefined=StrictUndefined,
    )
    environment.filters["md"] = escape_markdown
    return environment


def batch_sentences(found: Report, values: Findings) -> list[str]:
    """Return a sentence for every reading whose predictions depend on the batch, the first of them the paper's own."""
    return [
        order_sentence(row, values.order_contrasts, title_of(found, row.method)) for row in values.orders if row.depends
    ]


def file_order(ledger: Ledger) -> list[str]:
    """Return what the data check found about the order of the test images."""
    findings = ledger.experiment.get("data", {}).get("findings", [])
    return [f"{one['count']} {one['message']}" for one in findings if one["code"] == "file-order"]


def _in_order(row: Answer) -> Answer:
    where = {"file_order": "in file order", "shuffled": "on shuffled images"}[row.about]
    return row.model_copy(update={"first": f"{where[0].upper()}{where[1:]}, {row.first}"})


def _claims(found: Report) -> list[dict[str, Any]]:
    rows = []
    for claim in found.claims:
        evidence = claim_evidence(found, claim.id)
        rows.append(
            {
                **claim.model_dump(),
                "words": claim_words(claim, bool(evidence)),
                "evidence": [comparison_sentence(found, row) for row in evidence],
                "missing": [group_of(found, name.split(" + ")) for name in claim.not_run],
            }
        )
    return rows


def _papers_protocol() -> dict[str, Any]:
    """Return the size of the paper's protocol, as its profile and its printed tables have it."""
    settings, paper = load_config(PAPERS_PROFILE), read_paper()
    weights = settings.weights_of(settings.backbones[0])
    groups: Sequence[Sequence[str]] = settings.branch_groups()
    return {
        "n_test": paper.n_test,
        "image_size": settings.data.image_size,
        "epochs": settings.backbone_stage.epochs,
        "weights": WEIGHTS.get(weights, weights),
        "seeds": settings.seeds,
        "networks": settings.seeds * len(settings.backbones),
        "fusions": settings.seeds * len(settings.methods) * len(groups),
    }
