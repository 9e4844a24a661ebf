"""What the files of a ledger may hold, by this version or by another tool that follows docs/ledger.md."""

from __future__ import annotations

from math import nan
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMA = 1
SELECTIONS = ("validation_selected", "last_epoch", "best_test_epoch")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class MainFile(_Part):
    """The main comparison of an experiment."""

    backbones: list[str]
    methods: list[str]
    groups: list[list[str]]


class ImagesFile(_Part):
    """Numbers of images by class."""

    test: Annotated[list[int], Field(min_length=1)]


class DatasetFile(_Part):
    """The data of an experiment."""

    name: str
    title: str
    digest: str
    synthetic: bool
    classes: Annotated[list[str], Field(min_length=1)]
    images: ImagesFile


class SettingsFile(_Part):
    """The settings that every reader needs."""

    profile: str
    seeds: Annotated[int, Field(ge=1)]


class ExperimentFile(_Part):
    """What a reader needs of `experiment.json`; whatever else it holds is kept."""

    experiment: str
    main: MainFile
    settings: SettingsFile
    dataset: DatasetFile


class RecordFile(BaseModel):
    """One record; unknown fields are left out, those with a default may be."""

    model_config = ConfigDict(strict=True, extra="ignore")

    run_id: Annotated[str, Field(min_length=1)]
    kind: Literal["backbone", "fusion", "fold"]
    method: str | None
    backbones: Annotated[list[str], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)]
    dataset: str
    dataset_digest: str
    profile: str = ""
    hyperparameters: dict[str, Any] = {}
    parents: list[str] = []
    selected_epoch: int = 0
    metrics: dict[str, dict[str, float | None]]
    parameters: int = 0
    macs: int = 0
    seconds: float = 0.0
    device: str = "unknown"
    environment: dict[str, Any] = {}
    titles: dict[str, Any] = {}
    batch_dependent: bool = False
    milliseconds: float | None = None
    schema_: int = Field(SCHEMA, alias="schema")  # BaseModel has a method of that name
    digests: dict[str, str] = {}

    @field_validator("metrics")
    @classmethod
    def _accuracies(cls, metrics: dict[str, dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
        for rule in SELECTIONS:
            accuracy = metrics.get(rule, {}).get("accuracy")
            if accuracy is None or not 0 <= accuracy <= 1:
                raise ValueError(f"{rule} needs an accuracy between 0 and 1")
        return {
            rule: {name: nan if value is None else value for name, value in found.items()}
            for rule, found in metrics.items()
        }

    @model_validator(mode="after")
    def _titled(self) -> RecordFile:
        if self.kind == "fusion" and not self.method:
            raise ValueError("a fusion run names its method")
        titles = self.titles.get("backbones")
        if (
            not isinstance(titles, list)
            or len(titles) != len(self.backbones)
            or not all(isinstance(t, str) for t in titles)
        ):
            titles = list(self.backbones)
        title = self.titles.get("method")
        self.titles = {**self.titles, "backbones": titles, "method": title if isinstance(title, str) else self.method}
        return self
