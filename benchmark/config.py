"""Validated settings: a profile file, overridden by dotted names, becomes one `Settings` object."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PROFILES = Path(__file__).parent / "profiles"
DATASETS = (
    "synthetic",
    "auto",
    "raf-db",
    "fer2013",
    "ferplus",
    "affectnet",
    "jaffe",
    "kdef",
    "ck+",
    "expw",
    "folders",
    "csv",
    "open-faces",
)
STAGES = ("backbone_stage", "fusion_stage", "joint_stage")
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class UserError(ValueError):
    """A fault in what the user gave; the message is one line: what is wrong and what to do."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticSettings(_Section):
    """How many synthetic faces are drawn, from which seed, how far from aligned, and how far from well taken.

    `pose` and `disturbance` are shares, 1 as in snapshots, 0 not at all.
    """

    train: PositiveInt = 600
    test: PositiveInt = 300
    seed: int = 0
    label_noise: Fraction = 0.02
    pose: Fraction = 1.0
    disturbance: Fraction = 1.0


class DataSettings(_Section):
    """Which images, at which size (pixels), and what is learnt from, selected by and tested on.

    `split` names the test images: the data set's own (`official`), or one of `test_folds` parts, drawn by class
    (`kfold`) or by person too (`groups`): seed s is tested on part s modulo `test_folds`. `leave_out` names classes
    that are not used, `group_pattern` is a regular expression that finds the person in a file's name, `accept` lists
    findings of `ferfuse data check` that stop nothing. `labels` is what training learns of an image: the majority's
    class, or the distribution of its raters' votes (Barsoum et al. 2016), by cross entropy either way; what selects
    and is reported counts the majority's class. `duplicates` leaves training and validation images out that equal a
    test image (`leave-out`), or look like one too (`leave-out-near`): the rest is another data set, with a digest of
    its own.
    """

    dataset: str = "synthetic"
    root: Path | None = None
    image_size: PositiveInt = 32
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split: Literal["official", "kfold", "groups"] = "official"
    test_folds: Annotated[int, Field(ge=2)] = 5
    leave_out: list[str] = []
    group_pattern: str | None = None
    labels: Literal["majority", "votes"] = "majority"
    accept: list[str] = []
    duplicates: Literal["keep", "leave-out", "leave-out-near"] = "keep"
    synthetic: SyntheticSettings = SyntheticSettings()

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        if name not in DATASETS:
            raise ValueError(f"no such data set; {nearest(name, DATASETS)}")
        return name

    @field_validator("group_pattern")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return pattern

    def beyond_default(self) -> dict[str, Any]:
        """Return how test parts are drawn and what is learnt, where it is not the official split and the class."""
        drawn = {} if self.split == "official" else {"split": self.split, "test_folds": self.test_folds}
        return drawn if self.labels == "majority" else {**drawn, "labels": self.labels}


class AugmentationSettings(_Section):
    """Random changes of a training image.

    `flip` is the probability of a left-right flip, `rotate` the largest angle in degrees, `remove_saturation`
    the range from which the removed share of colour is drawn (0 keeps the colour, 1 leaves grey).
    """

    flip: Fraction = 0.5
    rotate: Annotated[float, Field(ge=0, le=180)] = 30.0
    remove_saturation: tuple[Fraction, Fraction] = (0.0, 1.0)


class StageSettings(_Section):
    """The optimisation of one stage: Adam (AdamW where `weight_decay` > 0) in mini-batches.

    `warmup` is the number of epochs (fractions allowed) over which the rate rises linearly from zero;
    `schedule` is what follows: a constant rate, or a cosine down to zero.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0)] = 0.0


class TunedValues(_Section):
    """What tuning chose for one method or backbone: its own settings, and those of its optimisation."""

    settings: dict[str, bool | int | float | str] = {}
    stage: dict[str, int | float] = {}


class ArmRuns(_Section):
    """Fusion methods, and the groups of backbones that they are run on."""

    methods: list[str]
    groups: Literal["pairs"] | list[list[str]] = "pairs"


class Arm(_Section):
    """Runs beside the main comparison that explain it: readings of a formula, or controls; done when asked for."""

    backbones: list[str] = []
    runs: list[ArmRuns] = []


class Question(_Section):
    """Is `method` better than each of `against`? Without names: than each of the run's own built-in methods."""

    method: str
    against: list[str] = []

    @model_validator(mode="after")
    def _of_two(self) -> Question:
        if self.method in self.against:
            raise ValueError(f"{self.method} cannot be compared with itself; name other methods by --against")
        return self


class StatisticsSettings(_Section):
    """What is decided before any number is looked at, kept in `experiment.json` when it is made.

    `looks` are the numbers of seeds at which verdicts are given (empty: the experiment's seeds), `margin` the largest
    difference, in percentage points, that counts as none.
    """

    looks: list[Annotated[int, Field(ge=3)]] = []
    margin: Annotated[float, Field(gt=0)] = 0.5

    @field_validator("looks")
    @classmethod
    def _ascending(cls, looks: list[int]) -> list[int]:
        if looks != sorted(set(looks)):
            raise ValueError("list looks in ascending order, each once, such as [5, 10, 20]")
        return looks


class Settings(_Section):
    """Everything that a profile says; see `profiles/*.yaml`.

    `folds` is the number of parts that `features=cross-fitted` cuts the training images into. `arms` names further
    sets of runs, `with_arms` those that are done. `precision` is that of the backbones' arithmetic: bfloat16 is what a
    GPU is fast at, float32 gives the reference numbers. `tuned` overrides settings of single methods and backbones.
    `weights` is where backbones start (`none`, `imagenet`, a file), one for all or by name; `default` names the others.
    `questions` are what the report answers, the first of them in its first sentence; they share one error rate. Without
    any, each plug-in is compared with the run's built-in methods, and without plug-ins the paper's question is asked.
    """

    profile: str
    data: DataSettings
    augmentation: AugmentationSettings
    backbones: list[str] = Field(min_length=1)
    weights: str | dict[str, str] = "none"
    groups: Literal["pairs"] | list[list[str]] = "pairs"
    methods: list[str]
    seeds: PositiveInt
    backbone_stage: StageSettings
    fusion_stage: StageSettings
    joint_stage: StageSettings
    folds: Annotated[int, Field(ge=2)] = 2
    precision: Literal["float32", "bfloat16"] = "float32"
    arms: dict[str, Arm] = {}
    with_arms: list[str] = []
    tuned: dict[str, TunedValues] = {}
    questions: list[Question] = []
    statistics: StatisticsSettings = StatisticsSettings()

    @field_validator("backbones", "methods")
    @classmethod
    def _no_repeats(cls, names: list[str]) -> list[str]:
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is listed twice; list each name once")
        return names

    @model_validator(mode="after")
    def _groups_of_known_backbones(self) -> Settings:
        if unknown := [name for name in self.with_arms if name not in self.arms]:
            raise ValueError(
                f"profile {self.profile} has no arm '{unknown[0]}'; {nearest(unknown[0], list(self.arms))}"
            )
        known = self.all_backbones()
        for group, _ in self.fusion_grid():
            if len(group) < 2:
                raise ValueError(f"group {list(group)} has fewer than two branches")
            if missing := [name for name in group if name not in known]:
                raise ValueError(f"group {list(group)} names {missing[0]}, which is not among the backbones")
        return self

    def branch_groups(self) -> list[tuple[str, ...]]:
        """Return the fused groups; `pairs` is every pair, the backbone listed earlier first (it is Q)."""
        return self._expand(self.groups)

    def all_backbones(self) -> list[str]:
        """Return the backbones of the main comparison and of the arms that are done."""
        arms = [name for arm in self.with_arms for name in self.arms[arm].backbones]
        return list(dict.fromkeys([*self.backbones, *arms]))

    def fusion_grid(self) -> list[tuple[tuple[str, ...], str]]:
        """Return every (group, method) that is run, each once."""
        cells = [(group, method) for group in self.branch_groups() for method in self.methods]
        for runs in (runs for arm in self.with_arms for runs in self.arms[arm].runs):
            cells += [(group, method) for group in self._expand(runs.groups) for method in runs.methods]
        return list(dict.fromkeys(cells))

    def weights_of(self, backbone: str) -> str:
        """Return where a backbone starts, given its registered name.

        Raises:
            UserError: weights are given by name, and nothing for this one.
        """
        if isinstance(self.weights, str):
            return self.weights
        source = self.weights.get(backbone, self.weights.get("default"))
        if source is None:
            raise UserError(f"setting 'weights' says nothing of {backbone}; add it or 'default' (none: random weights)")
        return source

    def _expand(self, groups: Literal["pairs"] | list[list[str]]) -> list[tuple[str, ...]]:
        if groups == "pairs":
            names = self.backbones
            return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        return [tuple(group) for group in groups]

    def shared(self, dataset_digest: str) -> dict[str, Any]:
        """Return the settings that every run depends on, whatever its stage."""
        return {
            "dataset_digest": dataset_digest,
            "image_size": self.data.image_size,
            "validation_fraction": self.data.validation_fraction,
            "augmentation": self.augmentation.model_dump(mode="json"),
            "precision": self.precision,
            **self.data.beyond_default(),
        }

    def context(self, dataset_digest: str) -> dict[str, Any]:
        """Return what all runs of one experiment have in common; runs of two contexts make no table."""
        stages = {name: getattr(self, name).model_dump() for name in STAGES}
        tuned = {"tuned": {name: values.model_dump() for name, values in self.tuned.items()}} if self.tuned else {}
        return {**self.shared(dataset_digest), **stages, "weights": self.weights, **tuned}


def base_name(text: str) -> str:
    """Return the registered name in the spec of a method or backbone: `mine` of `mine:width=8` and of `mine#2`."""
    return text.partition("#")[0].partition(":")[0]


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the words that name what the user may have meant by an unknown `name`."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"


def profile_names() -> list[str]:
    """Return the names of the profiles that come with ferfuse."""
    return sorted(file.stem for file in PROFILES.glob("*.yaml"))


def profile_path(profile: str) -> Path:
    """Return the file of a profile, given its name or the path of a YAML file."""
    if profile.endswith((".yaml", ".yml")):
        path = Path(profile)
        if not path.is_file():
            raise UserError(f"profile file {profile} does not exist; give the path of a YAML file")
        return path
    if profile not in profile_names():
        raise UserError(f"no profile named '{profile}'; {nearest(profile, profile_names())}")
    return PROFILES / f"{profile}.yaml"


def load_config(profile: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read a profile and lay `overrides` over it.

    Args:
        profile: a name in `benchmark/profiles`, or the path of a YAML file.
        overrides: dotted setting name to value, as in `{"backbone_stage.epochs": 3}`.

    Raises:
        UserError: unknown profile or setting, or a value that a setting cannot take.
    """
    path = profile_path(profile)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings; start from a profile in {PROFILES.name}/")
    values.setdefault("profile", path.stem)
    for name, value in (overrides or {}).items():
        _set_dotted(values, name, value)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UserError(_first_fault(error)) from error


def restore_settings(values: Mapping[str, Any], where: Path) -> Settings:
    """Return the settings that an experiment was run with.

    Raises:
        UserError: they were written by a version that had other settings.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UserError(
            f"{where} was run by a version with other settings ({_first_fault(error)}); "
            "choose another --experiment NAME"
        ) from error


def _set_dotted(values: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, name = dotted.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UserError(f"setting {dotted}: '{section}' is a single value, not a section")
        values = inner
    values[name] = value


def _first_fault(error: ValidationError) -> str:
    """Turn pydantic's report into one line about its first entry."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    if first["type"] == "extra_forbidden":
        return f"unknown setting '{name}'; {nearest(name, setting_names())}"
    if first["type"] == "missing":
        return f"setting '{name}' is missing from the profile; add it"
    message = first["msg"].removeprefix("Value error, ")
    given = f" (given: {first['input']!r})" if name and not isinstance(first["input"], dict) else ""
    return f"setting '{name}': {message}{given}" if name else message


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return the dotted name of every setting."""
    names = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += setting_names(inner, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names
