"""What an experiment asks: one method against others. Data alone decides it: settings, plug-ins, the paper's file."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from benchmark.analysis.paper import read_paper
from benchmark.config import Question, base_name

PRIMARY, PAPER = "primary", "paper"  # families of comparisons: the questions, and the paper's where it is none of them


def papers_family(questions: list[Question]) -> str:
    """Return the family that the paper's own question is compared in."""
    return PRIMARY if questions == [read_paper().question] else PAPER


def questions_of(experiment: Mapping[str, Any]) -> list[Question]:
    """Return what was asked; else each plug-in against the run's built-in methods; without plug-ins the paper's.

    Args:
        experiment: what `experiment.json` says.
    """
    plugins, methods = experiment.get("plugins", {}), experiment["main"]["methods"]
    own = [method for method in methods if base_name(method) in plugins]
    built_in = [method for method in methods if method not in own]
    asked = [Question(**values) for values in experiment["settings"].get("questions", [])]
    questions = asked or [Question(method=method) for method in own] or [read_paper().question]
    return [_with_baselines(question, built_in) for question in questions]


def exploratory(questions: list[Question]) -> list[Question]:
    """Return the methods that are asked about against each other, where no question sets one against the other."""
    asked = {frozenset((one.method, baseline)) for one in questions for baseline in one.against}
    methods = dict.fromkeys(one.method for one in questions)
    pairs = [pair for pair in combinations(methods, 2) if frozenset(pair) not in asked]
    return [Question(method=first, against=[second]) for first, second in pairs]


def _with_baselines(question: Question, built_in: list[str]) -> Question:
    against = question.against or [method for method in built_in if method != question.method]
    return Question(method=question.method, against=against)
