"""The class names that every data set is mapped onto, and the counts that are published of some."""

from __future__ import annotations

RAF_DB_CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
CLASSES = (*RAF_DB_CLASSES, "contempt")

OFFICIAL_COUNTS = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}  # images of each class in RAF-DB basic
OPEN_FACES_COUNTS = {
    "train": (236, 15, 173, 1400, 167, 184, 1400),
    "test": (70, 2, 34, 350, 56, 31, 350),
}  # of each class in open-faces, which is passed on in RAF-DB's layout
OPEN_FACES_TERMS = (
    "The labels are Apache-2.0 (muxspace/facial_expressions); the photographs, most of them from Labeled Faces in the "
    "Wild, belong to others: for research, and not to be passed on as one's own."
)

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
