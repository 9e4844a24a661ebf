"""Read a metric of the runs of any MLflow experiment, for the verdict on it."""

from __future__ import annotations

import pandas as pd
from mlflow.tracking import MlflowClient

from benchmark.config import UserError, nearest


def read_metric(experiment: str, metric: str, by: str) -> pd.DataFrame:
    """Return method, seed and accuracy of an experiment's finished runs.

    Where MLflow looks is its own choice: `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the working folder. The seed is
    the parameter `seed` or `random_seed`; runs without one are numbered within their method, and are then not paired.

    Args:
        metric: name of the metric, a fraction of 1 or percent.
        by: the parameter that names the method.

    Raises:
        UserError: no such experiment, or no run with the metric and the parameter.
    """
    client = MlflowClient()
    known = client.get_experiment_by_name(experiment)
    if known is None:
        names = [one.name for one in client.search_experiments()]
        raise UserError(f"MLflow has no experiment '{experiment}'; {nearest(experiment, names)}")
    rows: list[dict[str, object]] = []
    counts: dict[str, int] = {}
    token = None
    while True:
        page = client.search_runs([known.experiment_id], "attributes.status = 'FINISHED'", page_token=token)
        for run in page:
            if metric in run.data.metrics and by in run.data.params:
                method = run.data.params[by]
                seed = run.data.params.get("seed", run.data.params.get("random_seed"))
                counts[method] = counts.get(method, 0) + 1
                rows.append(
                    {
                        "method": method,
                        "seed": seed or f"{method} {counts[method]}",
                        "accuracy": run.data.metrics[metric],
                    }
                )
        token = page.token
        if not token:
            break
    if not rows:
        raise UserError(f"no finished run of '{experiment}' has metric '{metric}' and parameter '{by}'")
    return pd.DataFrame(rows)
