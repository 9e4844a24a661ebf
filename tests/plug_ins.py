"""What tests of plug-ins share: a process that has loaded some is made to forget them, as a new one would have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from backbones import BACKBONES
from fusion_methods import FUSION_METHODS


@contextmanager
def forgotten() -> Iterator[None]:
    """Forget what is registered and imported while the block lasts; `sys.path` is as before."""
    registries = [(one, dict(one._entries), dict(one.sources)) for one in (FUSION_METHODS, BACKBONES)]
    modules, paths = set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        for registry, entries, sources in registries:
            registry._entries, registry.sources = entries, sources
        folders = set(sys.path) - set(paths)
        for name in set(sys.modules) - modules:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if name.startswith("ferfuse_plugin_") or any(origin.startswith(folder) for folder in folders):
                del sys.modules[name]
        sys.path[:] = paths
