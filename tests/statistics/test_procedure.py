"""What a report, and a user who obeys it, does over the life of an experiment, simulated.

Each cell draws the sufficient statistics of K comparisons that share one method: d_s = effect + seed_s + image, and the
variance that the images leave. Verdicts are given at the looks that the plan allows, whenever the user
looks. Counted are false verdicts over the whole life, for any of the K, and true ones for each. `pytest -s` prints the
figures; docs/statistics.md holds them.
"""

from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchmark.statistics.comparison import Protocol, compare_differences
from benchmark.statistics.crossed import crossed
from benchmark.statistics.looks import looks

Floats = NDArray[np.float64]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"
MARGIN, IMAGES, REPLICATIONS = 0.5, 900, 10_000
SEEDS, IMAGE, BOTH = (1.0, 0.0), (0.2, 8.0), (0.5, 15.0)  # standard deviations of seeds and of single images, in points
EVERY, OBEY = "a look after every seed", "obeying the advice"


@dataclass(frozen=True)
class Cell:
    """One case. `most` bounds false verdicts ("better", "worse" or equality), `least` the true ones; both in percent.

    Attributes:
        before: the first edition's figure, in percent, where it was measured.
    """

    name: str
    effect: float
    n_seeds: int
    plan: tuple[int, ...] = ()
    noise: tuple[float, float] = SEEDS
    comparisons: int = 4
    user: str = ""
    most: float | None = None
    least: float | None = None
    before: str = ""
    looks: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "looks", self.plan or (self.n_seeds,))


CELLS = [
    Cell("no effect, seeds decide, 5 seeds", 0, 5, most=5),
    Cell("no effect, seeds decide, 10 seeds", 0, 10, most=5),
    Cell("no effect, seeds decide, 20 seeds", 0, 20, most=5),
    Cell("no effect, images decide, 5 seeds", 0, 5, noise=IMAGE, most=5),
    Cell("no effect, images decide, 10 seeds", 0, 10, noise=IMAGE, most=5, before="13"),
    Cell("no effect, both, 5 seeds", 0, 5, noise=BOTH, most=6),
    Cell("no effect, both, 10 seeds", 0, 10, noise=BOTH, most=5),
    Cell("no effect, 1 baseline", 0, 10, comparisons=1, most=5),
    Cell("no effect, 15 baselines", 0, 10, comparisons=15, most=5),
    Cell("no effect, planned looks 5, 10, 20", 0, 20, (5, 10, 20), most=5),
    Cell("no effect, every seed from 5 to 20, one look planned at 5", 0, 20, (5,), user=EVERY, most=5, before="19"),
    Cell("no effect, every seed from 3 to 20, one look planned at 3", 0, 20, (3,), user=EVERY, most=5, before="24"),
    Cell("no effect, obeying the advice up to 40 seeds", 0, 40, (5,), user=OBEY, most=5, before="9 to 13"),
    Cell("no effect, images decide, every seed", 0, 20, (5,), noise=IMAGE, user=EVERY, most=5),
    Cell("+0.3, 10 seeds", 0.3, 10, most=5),
    Cell("at the margin, images decide", MARGIN, 10, noise=IMAGE, comparisons=1, most=5, before="16"),
    Cell("at the margin, images decide, 4 baselines", MARGIN, 10, noise=IMAGE, most=5, before="37"),
    Cell("at the margin, seeds decide, sd 0.3", MARGIN, 20, noise=(0.3, 0.0), most=5),
    Cell("+1, 10 seeds, one look", 1, 10, least=49),
    Cell("+1, 20 seeds, one look", 1, 20, least=91),
    Cell("+1, planned looks, 10 seeds", 1, 10, (5, 10, 20), least=30),
    Cell("+1, planned looks, 20 seeds", 1, 20, (5, 10, 20), least=83),
    Cell("+4, 5 seeds, one look", 4, 5, least=98),
    Cell("+4, both, 10 seeds", 4, 10, noise=BOTH, least=90),
]
OPEN, BETTER, WORSE, EQUAL = 0, 1, -1, 2


def verdicts(d: Floats, v_images: Floats, v_rest: Floats, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the verdicts over seeds and over seeds and images, (R, K) each, of (R, K, S) differences; NumPy's way."""
    n = d.shape[2]
    mean, v_seeds = d.mean(axis=2), d.var(axis=2, ddof=1) / n
    variance = np.maximum(v_seeds + v_images - v_rest, np.maximum(v_seeds, v_images))
    spread = v_seeds**2 / (n - 1) + v_images**2 / (IMAGES - 1) + v_rest**2 / ((n - 1) * (IMAGES - 1))
    nu = np.maximum(variance**2 / spread, n - 1)
    found = []
    for images in (False, True):
        words = np.full(mean.shape, OPEN)
        for wider in (2, 1):
            reach = stdtrit(n - 1, 1 - wider * level / 2) * np.sqrt(v_seeds)
            if images:
                reach = np.maximum(reach, stdtrit(nu, 1 - wider * level / 2) * np.sqrt(variance))
            low, high = mean - reach, mean + reach
            side = np.where(low > 0, BETTER, np.where(high < 0, WORSE, OPEN))
            words = (
                np.where((low > -MARGIN) & (high < MARGIN), EQUAL, OPEN)
                if wider == 2
                else np.where(words == EQUAL, EQUAL, side)
            )
        found.append(words)
    return found[0], found[1]


def draw(cell: Cell, n_replications: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return (R, K, S) differences of one method against K baselines, and (R, K) what the images add to all seeds."""
    seed_sd, image_sd = cell.noise
    arms = generator.normal(size=(n_replications, cell.comparisons + 1, cell.n_seeds))
    shown = generator.normal(size=(n_replications, cell.comparisons + 1))
    by_seed = seed_sd * (arms[:, :1] - arms[:, 1:]) / sqrt(2)
    images = image_sd * (shown[:, :1] - shown[:, 1:]) / sqrt(2 * IMAGES)
    return cell.effect + images[:, :, None] + by_seed, images


def simulate(cell: Cell) -> tuple[float, float]:
    """Return the percentage of experiments with a false verdict ever, and of comparisons found at the last look."""
    generator = np.random.default_rng([21, CELLS.index(cell)])
    d, _ = draw(cell, REPLICATIONS, generator)
    false = np.zeros(REPLICATIONS, bool)
    found = np.zeros(d.shape[:2], bool)
    open_still = np.ones(REPLICATIONS, bool)
    numbers = range(3, cell.n_seeds + 1) if cell.user else sorted({*cell.looks, cell.n_seeds})
    before = 0
    for n_seeds in numbers:
        at = looks(cell.looks, n_seeds)
        if not at.reached or at.current.n_seeds == before:
            continue
        before = at.current.n_seeds
        v_images = cell.noise[1] ** 2 / IMAGES * generator.chisquare(IMAGES - 1, found.shape) / (IMAGES - 1)
        here, anywhere = verdicts(
            d[:, :, :before], v_images, np.zeros(found.shape), at.current.alpha / cell.comparisons
        )
        found = np.where(here == EQUAL, False, here == BETTER) if cell.effect > 0 else here == BETTER
        if cell.effect >= MARGIN:
            wrong = (anywhere == WORSE) | ((anywhere == EQUAL) & (cell.effect == MARGIN))
        else:
            wrong = (anywhere == WORSE) if cell.effect > 0 else np.isin(anywhere, (BETTER, WORSE))
        false |= open_still & wrong.any(axis=1)
        if cell.user == OBEY:  # who has an answer for every baseline stops
            open_still &= (here == OPEN).any(axis=1)
    return 100 * float(false.mean()), 100 * float(found.mean())


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_promises_of_the_protocol(cell: Cell) -> None:
    """Each bound is kept, give or take two Monte Carlo errors."""
    false, found = simulate(cell)
    line = f"| {cell.name} | {cell.before} | {false:.1f} | {found:.1f} |"
    print(f"\n{line}")
    assert line in DOCUMENT.read_text(encoding="utf-8")
    for bound, value, sign in ((cell.most, false, 1), (cell.least, found, -1)):
        if bound is not None:
            error = 2 * 100 * sqrt(bound / 100 * (1 - bound / 100) / REPLICATIONS)
            assert sign * value <= sign * bound + error


def test_the_simulated_verdicts_are_those_of_the_package() -> None:
    """The same draws with every image, through the functions that reports use."""
    rng = np.random.default_rng(3)
    words = {"open": OPEN, "better": BETTER, "worse": WORSE, "practically equal": EQUAL}
    compared = 0
    for _ in range(150):
        effect, seed_sd, image_sd = rng.choice([0, 0.2, 1]), rng.choice([0.05, 1.0]), rng.choice([0.5, 8.0])
        images = rng.normal(scale=image_sd, size=IMAGES)
        delta = effect + rng.normal(scale=seed_sd, size=(8, 1)) + images + rng.normal(scale=0.1, size=(8, IMAGES))
        found, parts = compare_differences(delta, Protocol(looks=(8,)), comparisons=3), crossed(delta)
        level = looks((8,), 8).current.alpha / 3
        here, anywhere = verdicts(
            delta.mean(axis=1)[None, None], np.array([[parts.images]]), np.array([[parts.rest]]), level
        )
        if "," in found.verdict:  # better or worse by less than the margin: equality to the simulation
            assert EQUAL in (int(here[0, 0]), int(anywhere[0, 0]))
            continue
        on_this_set = found.verdict.endswith("test set")
        word = words[found.verdict.removesuffix(" on this test set")]
        assert (int(here[0, 0]) if on_this_set else int(anywhere[0, 0])) == word
        compared += 1
    assert compared > 100
