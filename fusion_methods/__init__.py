"""Fusion methods: branch outputs -> class scores. One mechanism per file; every file here registers itself.

A file from outside comes in by `load_plugin`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb

from fusion_methods._registry import (
    FUSION_METHODS,
    FusionMethod,
    FusionSpec,
    build_fusion,
    build_method,
    register_fusion,
    resolve_fusion,
)

__all__ = [
    "FUSION_METHODS",
    "FusionMethod",
    "FusionSpec",
    "build_fusion",
    "build_method",
    "load_plugin",
    "register_fusion",
    "resolve_fusion",
]

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")


def load_plugin(path: Path) -> None:
    """Run a Python file that registers fusion methods; loading the same file twice does nothing.

    Modules beside it can be imported: its folder comes last on `sys.path`, so that it hides nobody else's modules.

    Raises:
        ValueError: no such file, or it fails; the message names the line.
    """
    path = path.resolve()
    name = f"ferfuse_plugin_{path.stem}_{sha256(bytes(path)).hexdigest()[:8]}"
    if name in sys.modules:
        return
    if not path.is_file():
        raise ValueError(f"plug-in {path} does not exist; give the path of a Python file")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"plug-in {path} is not a Python file; its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises is the user's to mend
        del sys.modules[name]
        line = _line_at_fault(error, path)
        where = f" at line {line}" if line else ""
        raise ValueError(f"plug-in {path} fails{where}: {type(error).__name__}: {error}") from error


def _line_at_fault(error: Exception, path: Path) -> int | None:
    """Return the last line of the file itself that led to the error, not that of a library which it called."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None
