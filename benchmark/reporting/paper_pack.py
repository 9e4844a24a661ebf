"""A paper's pack: tables, figures, a checklist's answers, compute, the data in Croissant, citations."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.analysis.paper import read_paper
from benchmark.analysis.report import Report
from benchmark.config import UserError, base_name
from benchmark.ledger import Ledger, Record, write_text
from benchmark.reporting.accuracy import data_name
from benchmark.reporting.formats import TEMPLATES
from benchmark.reporting.page.provenance import flat_settings, provenance
from benchmark.reporting.page.write import write_page
from benchmark.reporting.report import available_tables, current_verdicts, write_report
from benchmark.reporting.wording import counted, names_of

CROISSANT = "http://mlcommons.org/croissant/1.0"
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/", "conformsTo": "dct:conformsTo",
    "column": "cr:column", "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "extract": "cr:extract",
    "field": "cr:field", "fileObject": "cr:fileObject", "recordSet": "cr:recordSet", "source": "cr:source",
}  # fmt: skip
IMAGES = "test-images.csv"


@dataclass(frozen=True)
class About:
    """What the ledger does not hold.

    Attributes:
        references: method or network, by its base name -> the publication.
        labels_stay: whether the terms of the data forbid that labels are passed on.
    """

    references: Mapping[str, str]
    labels_stay: bool


def write_pack(ledger: Ledger, reports_dir: Path, target: Path, about: About) -> list[Path]:
    """Write all that a paper about an experiment needs into a folder, from the ledger alone, and return the files.

    Raises:
        UserError: the folder holds files already, or the ledger's runs are incomplete; nothing is written then.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already and not empty; give another folder")
    write_report(ledger, reports_dir)
    write_page(ledger, reports_dir)
    report = reports_dir / ledger.name
    found = current_verdicts(ledger, reports_dir)
    assert found is not None, "they were just written"
    for folder, names in {
        "tables": [f"table{number}.{suffix}" for number in available_tables(ledger) for suffix in ("tex", "md")],
        "figures": [f"figures/{path.name}" for path in sorted((report / "figures").glob("*.pdf"))],
    }.items():
        (target / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(report / name, target / folder / Path(name).name)
    images = _test_images(ledger, labelled=not about.labels_stay)
    write_text(target / "checklist.md", _checklist(ledger, found, about))
    write_text(target / "compute.md", _compute(ledger))
    write_text(target / IMAGES, images)
    write_text(target / "croissant.json", json.dumps(_croissant(ledger, images, about), indent=1) + "\n")
    write_text(target / "references.bib", _references(ledger, about))
    return sorted(path for path in target.rglob("*") if path.is_file())


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        undefined=StrictUndefined,
    )
    return environment.get_template(template).render(values)


def _checklist(ledger: Ledger, found: Report, about: About) -> str:
    known, data = ledger.experiment, ledger.experiment.get("data", {})
    settings, main = known["settings"], known["main"]
    findings = data.get("findings", [])
    commit = known.get("commit")
    missing = {name: pair for name, pair in found.missing.items() if pair[0]}
    share = settings.get("data", {}).get("validation_fraction")
    repeated = {one["verdict"] for one in ledger.repetitions}
    return _render(
        "checklist.md",
        title=data_name(ledger),
        experiment=ledger.name,
        digest=known.get("digest") or found.ledger_digest,
        data=data_name(ledger),
        data_digest=known["dataset"]["digest"],
        terms=data.get("terms", "their terms are not in the ledger: **to be answered by the authors**."),
        images=[(part, sum(counts)) for part, counts in known["dataset"]["images"].items()],
        parts=data.get("parts", "how the parts were made is not in the ledger"),
        validation=f"{100 * share:g} % of the training images, drawn by class from the seed" if share else "not told",
        left_out=_left_out(data, findings),
        findings="; ".join(f"{one['count']} {one['message']} ({one['code']})" for one in findings),
        networks=names_of(found, main["backbones"]),
        methods=names_of(found, main["methods"]),
        weights={"none": "Random ones."}.get(str(settings.get("weights")), f"weights={settings.get('weights')}."),
        chosen="Some were tuned on validation by the tuning of ferfuse." if settings.get("tuned") else _UNTUNED,
        tried="See the study's trials." if settings.get("tuned") else "One configuration is in the ledger.",
        seeds=found.n_seeds,
        runs=len(ledger.records) + len(ledger.aside),
        missing=f"; not finished: {', '.join(missing)}" if missing else "",
        alpha=found.protocol.alpha,
        looks=", ".join(map(str, found.looks.planned)),
        margin=found.protocol.margin,
        answer=found.answer,
        dependent=f"Yes, those of {names_of(found, found.batch_dependent)}." if found.batch_dependent else "No.",
        version=known.get("versions", {}).get("ferfuse", "of an unknown version"),
        commit=f", commit {commit['id']}{' with changes' if commit['modified'] else ''}" if commit else "",
        command=known.get("command", ""),
        plugins=", ".join(f"{name} {one['digest']}" for name, one in known.get("plugins", {}).items()) or "none",
        hours=_hours(_all(ledger)),
        repeated=f"{counted(len(ledger.repetitions), 'run')} done again: {', '.join(sorted(repeated))}."
        if repeated
        else "No run was done again; the determinism audit repeats a sample.",
        names=", with codes for the names of images" if about.labels_stay else "",
        settings=list(flat_settings(_of_interest(settings, synthetic=known["dataset"]["synthetic"]))),
    )


_UNTUNED = (
    "None was tuned within this experiment; how the values were found before is **to be answered by the authors**."
)


def _of_interest(settings: dict[str, Any], *, synthetic: bool) -> dict[str, Any]:
    """Return settings without those of arms, and of drawn faces where there are none."""
    data = {name: value for name, value in settings.get("data", {}).items() if synthetic or name != "synthetic"}
    return {**{name: value for name, value in settings.items() if name != "arms"}, "data": data}


def _left_out(data: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> str:
    accepted = [f"{one['code']} was accepted ({one['count']} {one['message']})" for one in findings if one["accepted"]]
    return "; ".join([*data.get("notes", []), *accepted])


def _all(ledger: Ledger) -> list[Record]:
    return [*ledger.records, *ledger.aside]


def _hours(records: Sequence[Record]) -> str:
    return f"{sum(record.seconds for record in records) / 3600:.2f}"


def _compute(ledger: Ledger) -> str:
    kinds: dict[str, list[Record]] = {}
    for record in _all(ledger):
        title = record.titles["method"] or record.titles["backbones"][0]
        kinds.setdefault(f"{title}{'' if record.method else ', alone'}", []).append(record)
    rows = [
        (name, len(some), f"{sum(record.seconds for record in some) / len(some):.2f}", _hours(some))
        for name, some in kinds.items()
    ]
    facts = [
        (term, value) for term, value in provenance(ledger) if term in ("Versions", "Commit", "Planned on", "Begun")
    ]
    devices = dict.fromkeys(
        ", ".join([record.device, *(f"{name} {value}" for name, value in record.environment.items())])
        for record in _all(ledger)
    )
    title, runs, hours = data_name(ledger), len(_all(ledger)), _hours(_all(ledger))
    return _render("compute.md", title=title, runs=runs, hours=hours, rows=rows, devices=list(devices), facts=facts)


def _test_images(ledger: Ledger, *, labelled: bool) -> str:
    """Return the test images as CSV: their names, and their classes unless these must not be passed on."""
    classes = ledger.experiment["dataset"]["classes"]
    found: dict[str, str] = {}
    for record in ledger.of_kind("backbone"):  # without a test set of its own, each seed has another part
        shown = ledger.classified(record.run_id)
        for name, label, is_test in zip(shown.image_ids.to_pylist(), shown.labels, shown.is_test, strict=True):
            if is_test:
                found[name] = classes[int(label)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "label"] if labelled else ["image_id"])
    writer.writerows([name, label] if labelled else [name] for name, label in sorted(found.items()))
    return text.getvalue()


def _croissant(ledger: Ledger, images: str, about: About) -> dict[str, Any]:
    """Describe the data by MLCommons' Croissant 1.0: the test images' names and classes, no image."""
    known, data = ledger.experiment["dataset"], ledger.experiment.get("data", {})
    names = ["image_id"] if about.labels_stay else ["image_id", "label"]
    counts = "; ".join(
        f"{part}: " + ", ".join(f"{name} {n}" for name, n in zip(known["classes"], row, strict=True))
        for part, row in known["images"].items()
    )
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"test-images/{name}",
            "name": name,
            "description": {"image_id": "The name of an image.", "label": "Its class."}[name],
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": IMAGES}, "extract": {"column": name}},
        }
        for name in names
    ]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CROISSANT,
        "name": re.sub("[^A-Za-z0-9-]+", "-", known["title"]).strip("-"),
        "description": f"{data_name(ledger)}: names of the test images of experiment {ledger.name}, not the images. "
        f"Images of each class: {counts}. Digest of names, labels, parts and every file's bytes: {known['digest']}.",
        "license": data.get("terms", "unknown"),
        "datePublished": str(ledger.experiment.get("created", ""))[:10],
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": IMAGES,
                "name": IMAGES,
                "contentUrl": IMAGES,
                "encodingFormat": "text/csv",
                "sha256": hashlib.sha256(images.encode()).hexdigest(),
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "test-images", "name": "test-images", "field": fields}],
    }


def _references(ledger: Ledger, about: About) -> str:
    """Return BibTeX: ferfuse, the paper whose protocol it follows, each method's publication as it was registered."""
    version = ledger.experiment.get("versions", {}).get("ferfuse", "")
    entries = [
        f"@software{{ferfuse,\n  title = {{ferfuse: a reproducible benchmark and ablation suite for fusion methods in "
        f"facial expression recognition}},\n  author = {{{{The ferfuse authors}}}},\n  version = {{{version}}},\n}}",
        f"@misc{{fusion-attention-network,\n  title = {{{read_paper().title}}},\n}}",
    ]
    used = dict.fromkeys(base_name(name) for r in _all(ledger) for name in filter(None, [r.method, *r.backbones]))
    for name in used:
        reference = about.references.get(name.partition("#")[0], "not registered here: to be given by the authors")
        entries.append(f"@misc{{{name},\n  title = {{{{{name}}}}},\n  note = {{{reference}}},\n}}")
    return "\n\n".join(entries) + "\n"
