"""Recall of each class: what an average over all images hides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from benchmark.ledger import Record
from benchmark.reporting.figures.source import Floats, Predicted, Source, by_seed
from benchmark.reporting.figures.style import Chart, drawn_alone, marks


@dataclass(frozen=True, eq=False)
class Recalls:
    """(S, C) recall in percent by seed and class, mean over groups; NaN for a class without test images of a seed."""

    title: str
    values: Floats

    @property
    def mean(self) -> Floats:
        """(C,) mean over the seeds that test on images of the class, NaN where none does."""
        return self._by_class(lambda seen: float(seen.mean()))

    @property
    def spread(self) -> Floats:
        """(C,) sample standard deviation over those seeds, NaN for fewer than two."""
        return self._by_class(lambda seen: float(seen.std(ddof=1)) if len(seen) > 1 else np.nan)

    def _by_class(self, summary: Callable[[Floats], float]) -> Floats:
        seen = [column[~np.isnan(column)] for column in self.values.T]
        return np.array([summary(column) if len(column) else np.nan for column in seen])


def recalls(source: Source) -> list[Recalls]:
    """Return the recalls of all networks alone, and of each method of the main comparison."""
    return [Recalls(title, _by_seed(source, runs)) for title, runs in source.kinds()]


def class_recall(predicted: Predicted, classes: int) -> Floats:
    """Return (C,) the share of each class's images that are taken for it, in percent."""
    found = [
        100 * predicted.right[predicted.label == c].mean() if (predicted.label == c).any() else np.nan
        for c in range(classes)
    ]
    return np.array(found)


def recall_chart(source: Source) -> Chart:
    """Return the dot plot, classes from the most frequent."""
    found = recalls(source)
    images = source.ledger.experiment["dataset"]["images"]["test"]
    order = sorted(range(len(images)), key=lambda c: -images[c])
    labels = [f"{source.classes[c]}\n{images[c]} images" for c in order]
    caption = (
        "Recall by true class, the most frequent at the top: mean over pairs and seeds; bars, ± sample standard "
        "deviation over seeds of the mean over pairs. Balanced accuracy is the mean over classes."
    )

    def draw(axes: Axes) -> None:
        draw_recalls(axes, found, order)
        axes.set_yticks(range(len(order)), labels)

    height = 1.1 + len(order) * max(0.3, 0.1 * len(found)) + 0.16 * (len(found) // 3)
    return Chart(caption, _summary(found, source.classes), drawn_alone(draw, (height, 3), source.about))


def draw_recalls(axes: Axes, found: Sequence[Recalls], order: Sequence[int]) -> None:
    """Draw each method beside the others within a class."""
    looks = marks([recall.title for recall in found])
    offsets = np.linspace(-0.36, 0.36, len(found)) if len(found) > 1 else np.zeros(1)
    for offset, recall in zip(offsets, found, strict=True):
        mark = looks[recall.title]
        axes.errorbar(
            recall.mean[list(order)],
            np.arange(len(order)) + offset,
            xerr=np.nan_to_num(recall.spread)[list(order)],
            fmt=mark.marker,
            color=mark.colour,
            markersize=4,
            elinewidth=0.9,
            label=recall.title,
        )
    for edge in range(1, len(order)):
        axes.axhline(edge - 0.5, color=axes.xaxis.get_gridlines()[0].get_color(), linewidth=0.5)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(right=102)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Recall (%)")
    axes.grid(axis="x")


def _by_seed(source: Source, runs: Sequence[Record]) -> Floats:
    return by_seed(runs, [class_recall(source.predicted(record), len(source.classes)) for record in runs])


def _summary(found: Sequence[Recalls], classes: Sequence[str]) -> str:
    texts = []
    for recall in found:
        mean = recall.mean
        low, high = int(np.nanargmin(mean)), int(np.nanargmax(mean))
        texts.append(f"{recall.title} from {mean[low]:.0f} % ({classes[low]}) to {mean[high]:.0f} % ({classes[high]})")
    return f"Lowest and highest recall: {'; '.join(texts)}."
