"""How many processes side by side this process may use."""

import joblib


def usable_cores() -> int:
    """Return the cores that the process may use: those it is bound to, and no more than a container's CPU quota."""
    return int(joblib.cpu_count())
