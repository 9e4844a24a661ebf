"""Pairs of images that look alike, found by perceptual hash and confirmed on their pixels.

Zauner's hash (64 signs of low frequencies of a 32 × 32 image) finds candidates that differ in few bits; faces of one
pose share many, so that the correlation of the two 32 × 32 images decides. The limits were set by looking at the pairs
of 4468 photographs (open-faces): all ten within them show one photograph twice or one scene; a correlation of 0.88,
or 0.91 where one is mirrored, already pairs two persons.
"""

from __future__ import annotations

import numpy as np

from benchmark.data.gate.images import LEAST_SPREAD
from benchmark.data.scan import THUMBNAIL

MOST_BITS = 8
LEAST_CORRELATION = 0.9
LEAST_MIRRORED = 0.95  # correlation with the other image mirrored
_TILE = (64, 4096)


def near_pairs(facts: np.ndarray) -> np.ndarray:
    """Return the pairs of images that look alike, as they are or one of them mirrored, (K, 2) with first < second.

    Images of identical pixels are no near pairs and are looked at once.

    Args:
        facts: (N,) of scan.FACTS.
    """
    usable = np.flatnonzero((facts["fault"] == "") & (facts["spread"] >= LEAST_SPREAD))
    _, first = np.unique(facts["pixels"][usable], return_index=True)
    rows = usable[np.sort(first)]
    hashes, grey = facts["hash"][rows], facts["grey"][rows]
    straight = _confirmed(hash_pairs(hashes, hashes), grey, grey, LEAST_CORRELATION)
    turned = _confirmed(hash_pairs(hashes, facts["mirrored"][rows]), grey, grey[:, :, ::-1], LEAST_MIRRORED)
    return rows[np.unique(np.concatenate([straight, turned]), axis=0)]


def hash_pairs(first: np.ndarray, second: np.ndarray, most_bits: int = MOST_BITS) -> np.ndarray:
    """Return (K, 2) numbers i < j where first[i] and second[j], (N,) of uint64, differ in few bits.

    All pairs are compared, in tiles that fit the processor's cache: 40 000 images take some seconds.
    """
    found = [np.zeros((0, 2), np.int64)]
    for top in range(0, len(first), _TILE[0]):
        for left in range(top, len(first), _TILE[1]):
            few = (
                np.bitwise_count(first[top : top + _TILE[0], None] ^ second[None, left : left + _TILE[1]]) <= most_bits
            )
            if few.any():
                i, j = np.nonzero(few)
                pairs = np.column_stack([i + top, j + left])
                found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _confirmed(pairs: np.ndarray, first: np.ndarray, second: np.ndarray, least: float) -> np.ndarray:
    """Keep the pairs whose 32 × 32 images correlate."""
    kept = [
        part[_correlation(first[part[:, 0]], second[part[:, 1]]) >= least]
        for part in np.array_split(pairs, len(pairs) // 10_000 + 1)
    ]
    return np.concatenate(kept)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate images (K, 32, 32) pair by pair, (K,)."""
    x, y = (images.reshape(len(images), THUMBNAIL**2).astype(np.float32) for images in (first, second))
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.asarray((x * y).sum(axis=1) / np.maximum(norms, 1))  # two flat images have no correlation
