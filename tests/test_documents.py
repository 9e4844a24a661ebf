"""README, docs/ and every committed report are what the committed ledgers give, to the byte and to the number."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmark.ledger import load_ledger
from benchmark.ledger.packing import publish
from benchmark.reporting.page.write import write_page
from benchmark.reporting.report import write_report
from tests.documents import ledgers_numbers, numbers, papers_numbers, protocols_numbers, unfounded, written_by_hand
from tools.findings.measured import MARKED as FIGURES
from tools.findings.measured import read_measured
from tools.findings.references import write_references
from tools.findings.write import MARKED, write_findings

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "ledger"
RESULTS, REPORTS = ROOT / "results", ROOT / "reports"
REFERENCES = sorted(path.parent.relative_to(RESULTS).as_posix() for path in RESULTS.glob("reference/*/experiment.json"))
REPORTED = sorted(path.parent.relative_to(REPORTS).as_posix() for path in REPORTS.glob("reference/*/significance.json"))
WRITTEN = {
    "references.md": "it is written from all ledgers",
    "findings.md": "it is written from the ledger as a whole",
    "statistics.md": "its figures are those of tests/statistics/test_procedure.py, which compares them",
}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = ("md", "tex", "csv", "json", "html", "svg")
OF_THE_PAGE = re.compile(r"index\.html|figures/|findings\.json")
ELSEWHERE = re.compile(r"- \[([\w-]+)\]\(reports/reference/")
MOST_BYTES = 20_000_000
PRIVATE = re.compile(rb"/(?:home|root|tmp|work|Users|mnt|scratch)/\w")


def each_reference() -> pytest.MarkDecorator:
    """Run a test for every committed ledger; skipped where there is none, which a test of its own holds to be true."""
    found = REFERENCES or [
        pytest.param("", marks=pytest.mark.skip(reason="no reference ledger is committed yet (results/reference/)"))
    ]
    return pytest.mark.parametrize("name", found)


def named_in_readme() -> str | None:
    """The ledger that README's marked part is written from."""
    found = MARKED.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) == 1
    return found[0] or None


def texts(folder: Path) -> dict[str, bytes]:
    """All text files below a folder."""
    found = (path for path in folder.rglob("*") if path.suffix[1:] in TEXTS)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_what_is_shown_is_committed() -> None:
    assert REFERENCES == REPORTED
    assert named_in_readme() in (REFERENCES or [None])
    assert (ROOT / "docs" / "findings.md").is_file() == bool(REFERENCES)


@each_reference()
def test_committed_tables_and_verdicts_are_what_their_ledger_gives(name: str, tmp_path: Path) -> None:
    ledger = load_ledger(RESULTS / name)
    assert ledger.name == name
    write_report(ledger, tmp_path)
    committed = {path: text for path, text in texts(REPORTS / name).items() if not OF_THE_PAGE.match(path)}
    assert committed == texts(tmp_path / name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == named_in_readme() else pytest.mark.slow) for name in REFERENCES]
)
def test_a_committed_page_is_what_its_ledger_gives(name: str, tmp_path: Path) -> None:
    committed = texts(REPORTS / name)
    (tmp_path / name).mkdir(parents=True)
    shutil.copy(REPORTS / name / "significance.json", tmp_path / name)
    write_page(load_ledger(RESULTS / name), tmp_path)
    again = texts(tmp_path / name)
    assert {path for path in committed if OF_THE_PAGE.match(path)} - {"findings.json"} < again.keys()
    assert [path for path in again if committed[path] != again[path]] == []


@each_reference()
def test_documents_are_what_the_ledger_gives(name: str, tmp_path: Path) -> None:
    if name != named_in_readme():
        pytest.skip("documents are about another of the committed ledgers")
    shutil.copy(ROOT / "README.md", tmp_path)
    reports = shutil.copytree(REPORTS, tmp_path / "reports")
    for path in write_findings(load_ledger(RESULTS / name), RESULTS, reports, tmp_path):
        assert path.read_text(encoding="utf-8") == (ROOT / path.relative_to(tmp_path)).read_text(encoding="utf-8")


def test_references_are_what_all_ledgers_give(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    reports = shutil.copytree(REPORTS, tmp_path / "reports")
    for path in write_references(RESULTS, reports, tmp_path):
        assert path.read_text(encoding="utf-8") == (ROOT / path.relative_to(tmp_path)).read_text(encoding="utf-8")


@each_reference()
def test_a_committed_ledger_is_small_and_public(name: str) -> None:
    files = [path for folder in (RESULTS / name, REPORTS / name) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in (RESULTS / name).iterdir()) < MOST_BYTES
    content = {path: path.read_bytes() for path in files}
    assert not [path for path in files if PRIVATE.search(content[path])]
    pictures = re.compile(rb"<image|data:image")
    assert not [path for path in files if path.suffix in (".svg", ".html", ".md") and pictures.search(content[path])]


@each_reference()
def test_numbers_of_the_written_parts_are_the_ledgers(name: str) -> None:
    if name != named_in_readme():
        pytest.skip("documents are about another of the committed ledgers")
    measured = read_measured(RESULTS / "reference")
    allowed = ledgers_numbers(load_ledger(RESULTS / name), REPORTS / name) | papers_numbers() | protocols_numbers()
    allowed |= {
        number for one in measured.values() for number in numbers(f"{one} {one.hardware} {one.date} {one.note}")
    }
    block = MARKED.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert block is not None
    own, others = [], {}
    for line in block[0].splitlines():
        told = ELSEWHERE.match(line)  # what another ledger answers
        if told:
            others[told[1]] = line
        else:
            own.append(line)
    for text in ("\n".join(own), (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")):
        assert [number for number in numbers(text) if number not in allowed] == []
    for other, line in others.items():
        answer = (REPORTS / "reference" / other / "significance.md").read_text(encoding="utf-8").splitlines()[0]
        assert set(numbers(line.replace(other, ""))) <= set(numbers(answer))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_numbers_written_by_hand_are_measured_or_of_a_known_kind(path: Path) -> None:
    if path.name in WRITTEN:
        pytest.skip(WRITTEN[path.name])
    measured = read_measured(RESULTS / "reference")
    text = written_by_hand(path.read_text(encoding="utf-8"))
    assert unfounded(text) == []
    assert {name: shown for _, name, shown, _ in FIGURES.findall(text)} == {
        name: str(measured[name]) for _, name, _, _ in FIGURES.findall(text)
    }


def test_an_invented_number_is_found() -> None:
    text = "Table 2 says 73.4 %, within ±0.5 points (`--x 9`), of 4 points. <!-- 12 -->\n```sh\nmake 99\n```\n"
    assert unfounded(text) == ["73.4"]
    assert unfounded("takes <!-- measured: run -->7 minutes<!-- /measured --> or 8") == ["8"]


def test_a_published_ledger_goes_all_the_way(tmp_path: Path) -> None:
    """The golden ledger is packed, reported and told of; then one number of the telling is changed."""
    name = "reference/golden"
    folder = publish(load_ledger(GOLDEN), tmp_path / "results", name)
    ledger = load_ledger(folder)
    write_report(ledger, tmp_path / "reports")
    (tmp_path / "README.md").write_text("# x\n\n<!-- findings -->\nold\n<!-- /findings -->\n\nend\n")
    paths = write_findings(ledger, tmp_path / "results", tmp_path / "reports", tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "reports/reference/golden/findings.json", "docs/findings.md", "README.md",
    ]  # fmt: skip
    allowed = ledgers_numbers(ledger, tmp_path / "reports" / name) | papers_numbers() | protocols_numbers()
    for path in paths[1:]:
        found = numbers(path.read_text(encoding="utf-8"))
        assert len(found) > 3
        assert [number for number in found if number not in allowed] == []
    first = {path: path.read_bytes() for path in paths}
    write_findings(ledger, tmp_path / "results", tmp_path / "reports", tmp_path)
    assert first == {path: path.read_bytes() for path in paths}
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith("# x\n\n<!-- findings: reference/golden -->\n**On synthetic faces")
    assert readme.endswith("<!-- /findings -->\n\nend\n")
    spoilt = readme.replace("+3.54", "+3.55")
    assert spoilt != readme
    assert "+3.55" not in allowed
