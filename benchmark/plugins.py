"""Plug-ins, methods and backbones from outside the package: their files, the digest of their source, how they load.

Importing this module imports no torch.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import sys
import sysconfig
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from benchmark.config import UserError, base_name

if TYPE_CHECKING:
    from backbones.specs import Source

LONGEST_REASON = 500  # characters
GROUP = "ferfuse.fusion_methods"
INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
OWN = ("backbones", "fusion_methods", "benchmark")
SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
BLOCKS = {tokenize.INDENT: "{", tokenize.DEDENT: "}"}


def load_plugins(files: Sequence[Path]) -> None:
    """Register what installed packages and the user's own files bring, with the digest of the source that was loaded.

    Raises:
        UserError: one of them fails, or imports another module than the one beside it.
    """
    from backbones import BACKBONES
    from backbones.specs import Source
    from fusion_methods import FUSION_METHODS, load_plugin

    loads: list[tuple[Path, bool, Callable[[], None]]] = [
        (file, True, partial(_load_entry, entry)) for entry, file in _installed()
    ]
    loads += [(file.resolve(), False, partial(load_plugin, file)) for file in files]
    for file, installed, load in loads:
        if not file.is_file():
            raise UserError(f"plug-in {file} does not exist; give its path by --plugin, or drop what it brought")
        before = {registry: set(registry.names()) for registry in (FUSION_METHODS, BACKBONES)}
        try:
            load()
        except ValueError as error:
            raise UserError(str(error)) from error
        for registry, known in before.items():
            if new := set(registry.names()) - known:
                _refuse_other_modules(file)
                registry.sources.update(dict.fromkeys(new, Source(source_digest(file), file, installed)))


def loaded_sources() -> dict[str, Source]:
    """Return where every method and backbone of a plug-in comes from, as far as this process has loaded them."""
    from backbones import BACKBONES
    from fusion_methods import FUSION_METHODS

    return {**BACKBONES.sources, **FUSION_METHODS.sources}


def blamed(error: BaseException) -> str:
    """Return an error in one line, after the last line of a plug-in that led to it: `mine.py:14: ValueError: …`."""
    return _line_at_fault(error) + " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]


@contextmanager
def blaming(what: str, *, outside: bool = False) -> Iterator[None]:
    """Turn what a plug-in raises, which is its author's to mend, into one line with the plug-in's own line in it.

    Args:
        what: the line's first words.
        outside: whether all that is done here is a plug-in's; else an error that none of its lines led to passes.

    Raises:
        UserError: a plug-in is at fault.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not outside and not _line_at_fault(error):
            raise
        raise UserError(f"{what}: {blamed(error)}; mend it, or leave it out") from error


def _line_at_fault(error: BaseException) -> str:
    files = {str(path) for source in loaded_sources().values() for path in source_files(source.file).values()}
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in files]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""


def _load_entry(entry: EntryPoint) -> None:
    try:
        entry.load()
    except Exception as error:  # whatever the package raises is its author's to mend
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"plug-in {entry.value} of an installed package fails: {reason}") from error


def _installed() -> Iterator[tuple[EntryPoint, Path]]:
    """Yield what installed packages offer, and the file of each module."""
    for entry in entry_points(group=GROUP):
        spec = find_spec(entry.module)
        if spec is not None and spec.origin is not None:
            yield entry, Path(spec.origin)


def _refuse_other_modules(file: Path) -> None:
    """Refuse a module that was imported under the name of one beside the plug-in: the digest would be of another."""
    for name, beside in source_files(file).items():
        loaded = getattr(sys.modules.get(name), "__file__", None)
        if loaded is not None and Path(loaded).read_bytes() != beside.read_bytes():
            raise UserError(f"plug-in {file} imports {name}, and {loaded} has that name too; rename {beside}")


def remembered_plugins(experiment: Mapping[str, Any], specs: Iterable[str], given: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files given, and those that brought the methods and backbones of an experiment before.

    Args:
        experiment: what `experiment.json` says; its `plugins` name the file that each came from, or none.
        specs: of the methods and backbones that are needed now.
    """
    needed, known = {base_name(spec) for spec in specs}, experiment.get("plugins", {})
    files = [Path(plugin["file"]) for name, plugin in known.items() if name in needed and plugin["file"]]
    told = {file.name for file in given}  # a file that was moved is the one that is given
    return (*given, *(file for file in dict.fromkeys(files) if file.name not in told))


def carried_files(file: Path) -> dict[str, Path]:
    """Return a plug-in's files by where they have to lie to each other elsewhere; its own comes first."""
    files = list(source_files(file).values())
    root = os.path.commonpath([path.parent for path in files])
    return {path.relative_to(root).as_posix(): path for path in files}


def all_digests(files: Sequence[Path]) -> list[str]:
    """Return the digests of the installed plug-ins and of these files, without loading any."""
    return [source_digest(file) for file in [*(file for _, file in _installed()), *files] if file.is_file()]


def source_digest(file: Path) -> str:
    """Hash what a plug-in computes: its source and that of the modules beside it that it imports, at any depth.

    What changes no number changes no digest: comments, blank lines, spacing, docstrings, the name of the file itself.
    The digest is the same in every version of Python, as `ast.dump` is not, and on every machine.
    """
    found = hashlib.sha256()
    for name, path in source_files(file).items():
        found.update(f"{name}\n{meaning(path.read_bytes())}\n".encode())
    return found.hexdigest()[:16]


def source_files(file: Path) -> dict[str, Path]:
    """Return a plug-in's file, under the empty name, and the modules beside it that it imports, by name.

    Beside it is what lies in its folder, or in its package where it is part of one. Imports are read, not executed: a
    module whose name is put together at run time is not seen.
    """
    main = file.resolve()
    package, top = _package(main)
    places = {main.parent: ""} if main.parent not in INSTALLED else {}
    if package:
        places[top] = package.partition(".")[0]
    found = {"": main}
    left = [(f"{package}.{main.stem}", main)]
    while left:
        for wanted in _imported(*left.pop()):
            for name, path in _beside(wanted, places):
                if path not in found.values():
                    found[name] = path
                    left.append((name, path))
    return dict(sorted(found.items()))


def _package(file: Path) -> tuple[str, Path]:
    """Return the dotted name of the package that a file is part of, empty for none, and the folder that holds it."""
    folder, names = file.parent, []
    while (folder / "__init__.py").is_file():
        names.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(names)), folder


def _imported(name: str, file: Path) -> Iterator[str]:
    """Yield the absolute names that a module may import; of `from a import b` both a and a.b."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:  # loading it names the line
        return
    package = (name if file.name == "__init__.py" else name.rpartition(".")[0]).split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(filter(None, [*above, node.module]))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _beside(name: str, places: Mapping[Path, str]) -> Iterator[tuple[str, Path]]:
    """Yield the file of a module and of each package around it, as far as they lie in one of the places.

    Args:
        places: folders, each with the only first name that is looked for in it, or none.
    """
    parts = name.split(".")
    if parts[0] in OWN:
        return
    for place in (place for place, only in places.items() if only in ("", parts[0])):
        for count in range(1, len(parts) + 1):
            stem = place.joinpath(*parts[:count])
            for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
                if path.is_file():
                    yield ".".join(parts[:count]), path.resolve()


def meaning(source: bytes) -> str:
    """Return a source without what changes no number: comments, blank lines, spacing, strings that stand alone.

    One that cannot be read stays as it is.
    """
    text = "\n".join(source.decode(errors="replace").splitlines()) + "\n"
    statements: list[str] = []
    words: list[str] = []
    try:
        for kind, word in _words(text):
            if kind in BLOCKS:
                statements.append(BLOCKS[kind])
            elif kind == tokenize.NEWLINE:
                if not all(word.lstrip("rRuUbB").startswith(("'", '"')) for word in words):
                    statements.append(" ".join(words))
                words = []
            else:
                words.append(word)
    except (tokenize.TokenError, SyntaxError):
        return text
    return "\n".join(statements)


def _words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the kind and text of every token but comments, an f-string as one token, as before Python 3.12."""
    lines = text.splitlines(keepends=True)
    depth, start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            start = token.start if depth == 0 else start
            depth += 1
        elif name.endswith("STRING_END"):
            depth -= 1
            if depth == 0:
                yield tokenize.STRING, _between(lines, start, token.end)
        elif depth == 0 and token.type not in SILENT:
            yield token.type, token.string


def _between(lines: Sequence[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text between two places, each a row, counted from one, and a column."""
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])
