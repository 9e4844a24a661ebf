"""Decide at which numbers of seeds verdicts are given, and at which level, so that looking again stays honest."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise

PLANNED_SHARE = 0.8
LATER_SHARE = 0.1  # of the first look after the plan; each further one has half of the one before


@dataclass(frozen=True)
class Look:
    """One number of seeds at which verdicts are given, and the share of alpha that it may spend."""

    n_seeds: int
    alpha: float


@dataclass(frozen=True)
class Looks:
    """Where an experiment stands in its plan.

    Attributes:
        current: the last look that its seeds reach; the first planned one where they reach none.
        reached: whether they reach it.
        following: the next look.
    """

    current: Look
    reached: bool
    following: Look


def looks(plan: Sequence[int], n_seeds: int, *, alpha: float = 0.05) -> Looks:
    """Return the look in force with `n_seeds`, and the next one.

    The planned looks share .8 alpha equally. After them a look falls at each doubling of the last planned number and
    spends .1 alpha, .05 alpha, .025 alpha, … so that all looks ever spend alpha together (Bonferroni over looks).

    Args:
        plan: planned numbers of seeds, ascending.
        n_seeds: S, the seeds at hand.
        alpha: chance of a false verdict over all looks.

    Raises:
        ValueError: a plan that is empty, not ascending or below 1.

    Source: alpha spending, Jennison and Turnbull 2000, Group Sequential Methods.
    """
    if not plan or plan[0] < 1 or any(later <= earlier for earlier, later in pairwise(plan)):
        raise ValueError(f"planned looks are ascending numbers of seeds such as 5, 10, 20; got {list(plan)}")
    share = PLANNED_SHARE * alpha / len(plan)
    known = [Look(number, share) for number in plan]
    for step in count():
        later = Look(plan[-1] * 2 ** (step + 1), LATER_SHARE * alpha / 2**step)
        known.append(later)
        if later.n_seeds > n_seeds:
            break
    reached = [look for look in known if look.n_seeds <= n_seeds]
    if not reached:
        return Looks(known[0], False, known[0])
    return Looks(reached[-1], True, known[len(reached)])
