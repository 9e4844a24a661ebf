"""A hook of the site: links that lead out of docs/ become plain words, since the site holds docs/ alone."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"!?\[([^\]]*)\]\(\.\./[^)]*\)")
PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text without links to files beside docs/ and without pictures that lie there."""
    return OUTSIDE.sub(r"\1", PICTURE.sub("", markdown))
