"""The class names that every data set is mapped onto, and the counts that are published of some."""

from __future__ import annotations

RAF_DB_CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
CLASSES = (*RAF_DB_CLASSES, "contempt")

OFFICIAL_COUNTS = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}  # images of each class in RAF-DB basic

SYNTHETIC_MARK = "SYNTHETIC"  # a file of this name beside the label file's folder says that the images are drawn

_OTHER_NAMES = {
    "surprised": "surprise",
    "surprize": "surprise",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "disgusted": "disgust",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "neutrality": "neutral",
    "contemptuous": "contempt",
}


def class_named(text: str) -> str | None:
    """Return the class that a data set's own word stands for, None where it stands for none."""
    word = text.strip().lower()
    return word if word in CLASSES else _OTHER_NAMES.get(word)


def known_words() -> list[str]:
    """Return every word that is understood as a class."""
    return [*CLASSES, *_OTHER_NAMES]
