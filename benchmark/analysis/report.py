"""The report of a ledger, typed: what `significance.json` holds. Its fields are explained in docs/statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from benchmark.config import Question


def rounded(value: Any) -> Any:
    """Keep six digits of every number, since what is beyond differs between processors; what is none becomes null."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{round(value, 9):.6g}") + 0.0 if isfinite(value) else None
    return value


Number = Annotated[float, BeforeValidator(rounded)]
Maybe = Annotated[float | None, BeforeValidator(rounded)]  # None where it cannot be computed
Interval = tuple[Maybe, Maybe]
Networks = tuple[str, ...]


class Part(BaseModel):
    """Base of all parts: frozen, and unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Advice(Part):
    """What would bring a verdict on an open comparison; see `statistics.power.Advice`."""

    effect: Number
    seeds: tuple[int | None, ...]
    images: int | None


class Noise(Part):
    """Shares in the variance of a mean difference; None where one seed tells none."""

    seeds: Maybe
    images: Maybe
    rest: Maybe

    @property
    def shares(self) -> list[float]:
        """Those of seeds, images and the rest; empty where one seed tells none."""
        return [share for share in (self.seeds, self.images, self.rest) if share is not None]


class Compared(Part):
    """A method against a baseline, in points; `pair` is None for the mean over pairs. See `statistics.comparison`."""

    family: str
    method: str
    baseline: str
    pair: Networks | None
    baseline_pair: Networks | None
    n_seeds: int
    difference: Number
    difference_all_seeds: Number
    sd: Maybe
    seeds_interval: Interval
    images_interval: Interval
    p_adjusted: Maybe
    family_size: int
    gain_excluded_above: Maybe
    loss_excluded_below: Maybe
    relative_error_reduction: Maybe
    detectable_difference: Maybe
    advice: Advice | None
    noise: Noise
    chance_above: Maybe
    chance_gain: Maybe
    batch_dependent: bool
    verdict: str


class Top(Part):
    """The highest arm of a pair, and those that do not differ significantly from it."""

    pair: Networks | None
    top: list[str]


class Standing(Part):
    """Arms that were compared under one correction, and the top of each pair."""

    compared: list[str]
    comparisons: int
    groups: list[Top]


class Interaction(Part):
    """Whether the differences between methods depend on the pair; `refused` says why it was not tested."""

    methods: list[str]
    p_value: Maybe
    refused: str | None


class Claim(Part):
    """A claim of the paper; `size` in points where it has one, `not_run` is what it needs and was not run."""

    id: str
    statement: str
    method: str
    verdict: str
    size: float | None
    not_run: list[str]


class Ours(Part):
    """Our accuracy beside a printed number, in percent, with the interval that one more run falls into."""

    ours: Maybe
    n_seeds: int
    prediction_interval: Interval
    verdict: str


class BesidePrinted(Ours):
    """The same under one selection rule and reading."""

    method: str | None
    selection: str


class PrintedNumber(Ours):
    """A number that the paper prints, what it can be, and ours; `method` is None for a network alone."""

    table: int | str
    method: str | None
    backbones: Networks | None
    printed: str
    wilson: Interval
    attainable: str
    attainable_as_batch_average: str
    otherwise: list[BesidePrinted]


class ProtocolChoice(Part):
    """The first question's comparisons, by baseline, under another choice.

    `changed` names the baselines whose verdict is not that of the first choice.
    """

    choice: str
    differences: dict[str, Number]
    verdicts: dict[str, str]
    changed: list[str]


class Optimism(Part):
    """What choosing the epoch on the test images adds, in points, with its spread over seeds."""

    difference: Number
    sd: Maybe
    n_seeds: int


class SingleModels(Part):
    """McNemar's test between two trained models: images that only one of them gets right."""

    method: str
    baseline: str
    pair: Networks
    seed: int
    only_method: int
    only_baseline: int
    p_value: Number
    variant: str


class UsedProtocol(Part):
    """Level and margin; `test_share` only where every seed tests on its own part of the images."""

    alpha: Number
    margin: Number
    test_share: Number | None = None


class LookTaken(Part):
    """Where an experiment stands in its plan of looks, in seeds; `alpha` is the level of the current one."""

    planned: list[int]
    current: int
    alpha: Number
    reached: bool
    next: int | None


class PrintedElsewhere(Part):
    """A line of `--beside`: an accuracy as others printed it, and where."""

    method: str
    networks: str
    accuracy: str
    source: str


class Report(Part):
    """Everything that is computed from a ledger. Accuracies are in percent, differences in points.

    Attributes:
        same_data_as_paper: whether data set and number of test images are those of the paper's numbers.
        missing: methods that are left out, with how many runs they lack of how many.
        earlier_versions: how many versions of a plug-in were tested before the present one.
        readings: methods of the attention family beside its default.
        accuracy: mean over pairs and seeds, by method.
        best: the highest of them whose predictions do not depend on the batch.
        standings: of "backbones", of "methods" on the mean over pairs, and "per_pair".
        ledger: a key of what the verdicts depend on; `ledger_digest` is that of the published ledger.
        beside: printed numbers of others, for Table 2.
        answer: the answer in words; empty until `reporting` has written it.
    """

    format: int
    experiment: str
    profile: str
    dataset: str
    dataset_title: str
    synthetic: bool
    same_data_as_paper: bool
    n_images: int
    n_seeds: int
    selection: str
    questions: list[Question]
    missing: dict[str, tuple[int, int]]
    earlier_versions: dict[str, int]
    methods: list[str]
    readings: list[str]
    pairs: list[Networks]
    accuracy: dict[str, Number]
    best: str | None
    batch_dependent: list[str]
    titles: dict[str, str]
    protocol: UsedProtocol
    looks: LookTaken
    ledger: str
    ledger_digest: str | None
    comparisons: list[Compared]
    standings: dict[str, Standing]
    interaction: Interaction | None
    claims: list[Claim]
    printed: list[PrintedNumber]
    protocol_choices: list[ProtocolChoice]
    selection_optimism: dict[str, Optimism]
    single_models: list[SingleModels]
    beside: Sequence[PrintedElsewhere] = ()
    answer: str = ""

    def rows(self, *families: str, method: str | None = None) -> list[Compared]:
        """Return the comparisons of some families, in the order of the report; of one method where it is named."""
        return [row for row in self.comparisons if row.family in families and method in (None, row.method)]

    def to_json(self) -> dict[str, Any]:
        """Return what `significance.json` holds; fields that were not set are left out."""
        return self.model_dump(mode="json", exclude_unset=True)
