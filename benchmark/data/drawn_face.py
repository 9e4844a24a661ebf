"""One drawn face: who it is, what it expresses, and how it was photographed, all of it random but the expression.

A face is drawn from a random identity (proportions, skin, hair, glasses); its expression moves brows, lids,
nose and mouth by facial action units (AU, Ekman and Friesen 1978) of random intensity; then come pose, light,
occlusion, blur and sensor noise.

Coordinates: the face's centre is the origin, x points right, y down, and the undisturbed frame spans [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmark.data.vocabulary import RAF_DB_CLASSES

Array = NDArray[np.float64]
Colour = NDArray[np.float64]

_SUPERSAMPLING = 3
_USUAL_SCALE = 1.225

# 1 inner brow raiser, 2 outer brow raiser, 4 brow lowerer, 5 upper lid raiser, 6 cheek raiser,
# 7 lid tightener, 9 nose wrinkler, 10 upper lip raiser, 12 lip corner puller, 15 lip corner depressor,
# 20 lip stretcher, 23 lip tightener, 25 lips part, 26 jaw drop, 43 eye closure.
_ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 20, 23, 25, 26, 43)
_EXPRESSIONS: dict[str, dict[int, float]] = {
    "surprise": {1: 1.0, 2: 1.0, 5: 1.0, 26: 1.0},
    "fear": {1: 1.0, 2: 0.4, 4: 0.5, 5: 0.9, 20: 1.0, 25: 0.8},
    "disgust": {4: 0.6, 6: 0.4, 7: 0.5, 9: 1.0, 10: 1.0, 15: 0.4},
    "happiness": {6: 0.9, 12: 1.0, 25: 0.8},
    "sadness": {1: 1.0, 4: 0.3, 15: 1.0, 43: 0.7},
    "anger": {4: 1.0, 5: 0.3, 7: 0.5, 23: 1.0},
    "neutral": {},
}

_SKINS = np.array([[92, 60, 44], [141, 95, 66], [190, 138, 102], [224, 178, 145], [246, 214, 190]], dtype=float)
_HAIRS = np.array(
    [[22, 18, 18], [58, 38, 26], [106, 68, 40], [200, 160, 96], [150, 66, 34], [176, 174, 170]], dtype=float
)
_TEETH = np.array([236.0, 232.0, 222.0])
_MOUTH_INSIDE = np.array([48.0, 14.0, 18.0])
_SCLERA = np.array([238.0, 236.0, 232.0])
_IRISES = np.array([[52, 32, 20], [84, 56, 30], [62, 96, 60], [70, 110, 150]], dtype=float)


def render_face(
    label: int, rng: np.random.Generator, size: int = 100, pose: float = 1.0, disturbance: float = 1.0
) -> NDArray[np.uint8]:
    """Draw one face of expression `label`, an index into RAF_DB_CLASSES, all else random: (size, size, 3).

    `pose` scales what is random in how the head is turned and framed, `disturbance` what is random in how the picture
    was taken, with the chance of something in front of the face; every other trait stays as it is.
    """
    if not 0 <= label < len(RAF_DB_CLASSES):
        raise ValueError(f"label is {label}; give 0 to {len(RAF_DB_CLASSES) - 1}, an index into RAF_DB_CLASSES")
    face = _Face.random(rng)
    au = _action_units(label, rng)
    canvas = _Canvas(size, face, rng, pose)
    _draw_head(canvas, face, au)
    _draw_wrinkles(canvas, face, au)
    _draw_nose(canvas, face, au)
    for side in (-1, 1):
        _draw_eye(canvas, face, au, side)
        _draw_brow(canvas, face, au, side)
    _draw_mouth(canvas, face, au)
    _draw_fringe(canvas, face)
    if face.glasses:
        _draw_glasses(canvas, face)
    if disturbance:
        _draw_occlusion(canvas, face, rng, disturbance)
    return _photograph(canvas.image, size, rng, disturbance)


@dataclass(frozen=True)
class _Face:
    """Who is drawn: proportions in face coordinates, colours as RGB (3,) in 0..255."""

    width: float
    height: float
    jaw: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    brow_gap: float
    brow_thickness: float
    brow_arch: float
    nose_width: float
    nose_y: float
    mouth_y: float
    mouth_width: float
    lip: float
    mouth_bend: float
    fringe: float
    glasses: bool
    skin: Colour
    hair: Colour
    brow: Colour
    lips: Colour
    iris: Colour
    background: Colour

    @staticmethod
    def random(rng: np.random.Generator) -> _Face:
        def about(mean: float, spread: float) -> float:
            return mean + spread * float(rng.uniform(-1, 1))

        skin = np.clip(_between(_SKINS, rng) + rng.normal(0, 6, 3), 30, 250)
        hair = np.clip(_HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.7, 1.2) + rng.normal(0, 6, 3), 5, 235)
        return _Face(
            width=about(0.78, 0.07),
            height=about(1.0, 0.06),
            jaw=about(0.22, 0.12),
            eye_x=about(0.36, 0.03),
            eye_y=about(-0.2, 0.03),
            eye_width=about(0.2, 0.02),
            eye_height=about(0.085, 0.015),
            brow_gap=about(0.25, 0.03),
            brow_thickness=about(0.065, 0.015),
            brow_arch=about(0.05, 0.03),
            nose_width=about(0.13, 0.035),
            nose_y=about(0.2, 0.03),
            mouth_y=about(0.53, 0.03),
            mouth_width=about(0.31, 0.03),
            lip=about(0.06, 0.015),
            mouth_bend=about(0.0, 0.02),
            fringe=about(0.12, 0.16),
            glasses=rng.random() < 0.12,
            skin=skin,
            hair=hair,
            brow=_contrasting(hair * 0.7, skin, rng),
            lips=_lip_colour(skin, rng),
            iris=np.clip(_IRISES[rng.integers(len(_IRISES))] * rng.uniform(0.7, 1.3), 10, 220),
            background=rng.uniform(15, 240) + rng.uniform(-30, 30, 3),
        )


def _between(colours: Array, rng: np.random.Generator) -> Colour:
    """A random colour on the polyline through `colours` (K, 3)."""
    place = rng.uniform(0, len(colours) - 1)
    first = int(place)
    share = place - first
    return (1 - share) * colours[first] + share * colours[first + 1]


def _contrasting(colour: Colour, skin: Colour, rng: np.random.Generator) -> Colour:
    """The brows' colour, pushed away from the skin's: as a rule darker, at times lighter (grey, bleached)."""
    if skin.mean() < 150 and rng.random() < 0.3:
        return np.clip(skin + rng.uniform(70, 110), 0, 250)
    return np.minimum(colour, skin * rng.uniform(0.3, 0.5))


def _lip_colour(skin: Colour, rng: np.random.Generator) -> Colour:
    """Lips: the skin's colour turned red and darker, or lighter than the skin on some darker faces."""
    if skin.mean() < 150 and rng.random() < 0.4:
        return np.clip(skin * 1.3 + np.array([60.0, 20.0, 35.0]), 0, 250)
    return skin * np.array([0.85, 0.5, 0.52]) * rng.uniform(0.75, 1.05)


def _action_units(label: int, rng: np.random.Generator) -> dict[int, float]:
    """Intensity of each action unit: the expression's own, scaled at random, over traces of all others."""
    strength = rng.uniform(0.6, 1.25)
    au = {number: abs(float(rng.normal(0, 0.05))) for number in _ACTION_UNITS}
    for number, intensity in _EXPRESSIONS[RAF_DB_CLASSES[label]].items():
        au[number] += intensity * strength * rng.uniform(0.75, 1.2)
    if rng.random() < 0.2:
        au[25] += rng.uniform(0.1, 0.5)
    return au


class _Canvas:
    """An image drawn on in face coordinates: points go over the head's depth, pose and frame to pixels."""

    def __init__(self, size: int, face: _Face, rng: np.random.Generator, pose: float) -> None:
        self.pixels = size * _SUPERSAMPLING
        self.image = Image.new("RGB", (self.pixels, self.pixels), _rgb(face.background))
        self.draw = ImageDraw.Draw(self.image)
        self.yaw, self.pitch = pose * rng.uniform(-0.35, 0.35), pose * rng.uniform(-0.15, 0.15)
        self.roll = pose * np.deg2rad(np.clip(rng.normal(0, 9), -15, 15))
        self.scale = pose * rng.uniform(1.1, 1.35) + (1 - pose) * _USUAL_SCALE
        self.shift = pose * rng.uniform(-0.15, 0.15, 2) - np.array([0.0, 0.08])
        self.extent = np.array([face.width, face.height])

    def to_pixels(self, points: Array, relief: float = 1.0) -> Array:
        """Points (K, 2) on the face to pixels (K, 2); `relief` 0 puts them in the plane of its outline."""
        depth = relief * 0.55 * np.sqrt(np.clip(1 - ((points / self.extent) ** 2).sum(axis=1), 0, None))
        turned = np.stack(
            [
                points[:, 0] * np.cos(self.yaw) + depth * np.sin(self.yaw),
                points[:, 1] * np.cos(self.pitch) + depth * np.sin(self.pitch),
            ],
            axis=1,
        )
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        placed = self.scale * turned @ np.array([[cosine, sine], [-sine, cosine]]) + self.shift
        return (placed + 1) / 2 * self.pixels

    def fill(self, points: Array, colour: Colour, relief: float = 1.0) -> None:
        """Fill the polygon through `points` (K, 2)."""
        self.draw.polygon(self.to_pixels(points, relief).ravel().tolist(), fill=_rgb(colour))

    def stroke(self, line: Array, thickness: Array | float, colour: Colour) -> None:
        """Draw `line` (K, 2), ordered in x or y, `thickness` (K,) or one number to either side of it."""
        extent = np.ptp(line, axis=0)
        across = np.array([0.0, 1.0]) if extent[0] >= extent[1] else np.array([1.0, 0.0])
        offset = np.broadcast_to(thickness, len(line))[:, None] * across
        self.fill(np.concatenate([line - offset, (line + offset)[::-1]]), colour)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in np.clip(colour, 0, 255))
    return red, green, blue


def _ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Array:
    angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)


def _curve(start: tuple[float, float], control: tuple[float, float], end: tuple[float, float]) -> Array:
    """A quadratic Bézier curve as points (K, 2)."""
    t = np.linspace(0, 1, 14)[:, None]
    return (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)


def _draw_head(canvas: _Canvas, face: _Face, au: dict[int, float]) -> None:
    """Hair behind, ears, and the head's outline, whose chin sinks as the jaw drops."""
    canvas.fill(_ellipse((0, -0.12), (face.width * 1.2, face.height * 1.12)), face.hair, relief=0)
    for side in (-1, 1):
        canvas.fill(_ellipse((side * face.width, -0.05), (0.1, 0.2)), face.skin * 0.88, relief=0)
    outline = _ellipse((0, 0), (face.width, face.height))
    below = np.clip(outline[:, 1], 0, None)
    outline[:, 0] *= 1 - face.jaw * below**2
    outline[:, 1] += 0.1 * au[26] * below
    canvas.fill(outline, face.skin, relief=0)


def _draw_wrinkles(canvas: _Canvas, face: _Face, au: dict[int, float]) -> None:
    """Cheeks, and the lines that action units leave in the skin, wider and darker with their intensity."""

    def wrinkle(line: Array, thickness: float, intensity: float) -> None:
        shown = min(intensity, 1.0)
        canvas.stroke(line, thickness * shown, face.skin * (1 - 0.4 * shown))

    for side in (-1, 1):
        cheek = 0.03 * au[6]
        canvas.fill(_ellipse((side * 0.42, 0.22 - cheek), (0.2, 0.15)), face.skin * np.array([1.0, 0.93, 0.92]))
        fold = _curve((side * 0.17, 0.2), (side * 0.37, 0.24), (side * 0.43, 0.42))
        wrinkle(fold, 0.013, max(au[12], au[10], au[9]))
    for y in (-0.72, -0.64):
        wrinkle(_curve((-0.3, y), (0, y - 0.05), (0.3, y)), 0.012, au[1])
    for x in (-0.05, 0.05):
        wrinkle(_curve((x, -0.46), (x * 0.6, -0.38), (x, -0.3)), 0.015, au[4])
    for y in (-0.2, -0.12, -0.04):
        wrinkle(_curve((-0.13, y + 0.03), (0, y - 0.05), (0.13, y + 0.03)), 0.016, au[9])


def _draw_nose(canvas: _Canvas, face: _Face, au: dict[int, float]) -> None:
    """Bridge, wings and nostrils; the nose wrinkler (AU9) shortens it and widens the wings."""
    y, width = face.nose_y - 0.07 * au[9], face.nose_width * (1 + 0.25 * au[9])
    bridge = np.array([[-0.03, face.eye_y], [0.06, face.eye_y], [width * 0.9, y], [-width * 0.3, y]])
    canvas.fill(bridge, face.skin * 0.93)
    canvas.fill(_ellipse((0, y), (width, 0.07)), face.skin * 0.86)
    for side in (-1, 1):
        canvas.fill(_ellipse((side * width * 0.5, y + 0.035), (width * 0.24, 0.025)), face.skin * 0.4)


def _draw_eye(canvas: _Canvas, face: _Face, au: dict[int, float], side: int) -> None:
    """One eye: sclera, iris and pupil between two lids, opened by AU5 and narrowed by AU6, 7, 9 and 43."""
    upper = face.eye_height * max(0.15, 1 + 1.0 * au[5] - 0.5 * au[7] - 0.35 * au[6] - 0.75 * au[43] - 0.3 * au[9])
    lower = face.eye_height * max(0.15, 0.8 + 0.35 * au[5] - 0.4 * au[7] - 0.55 * au[6] - 0.35 * au[9])
    tilt = 0.03 * au[43]
    t = np.linspace(-1, 1, 15)
    x = side * (face.eye_x + face.eye_width * t)
    axis = face.eye_y + tilt * t
    arch = (1 - t**2) ** 0.7
    top, bottom = axis - upper * arch, axis + lower * arch
    opening = np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])
    canvas.fill(opening, _SCLERA * min(1.0, 0.45 + face.skin.mean() / 300))
    for radius, colour in ((0.085, face.iris), (0.042, np.full(3, 12.0))):
        disc = _ellipse((side * face.eye_x, face.eye_y - 0.01), (radius, radius))
        order = np.argsort(x)
        lid_top, lid_bottom = (np.interp(disc[:, 0], x[order], lid[order]) for lid in (top, bottom))
        disc[:, 1] = np.clip(disc[:, 1], lid_top, lid_bottom)
        canvas.fill(disc, colour)
    canvas.stroke(np.stack([x, top], 1), 0.022, face.skin * 0.3)
    canvas.stroke(np.stack([x, bottom], 1), 0.01, face.skin * 0.6)


def _draw_brow(canvas: _Canvas, face: _Face, au: dict[int, float], side: int) -> None:
    """One brow: AU1 lifts its inner end, AU2 its outer end, AU4 lowers and draws the inner ends together."""
    inner_x = 0.16 - 0.07 * min(au[4], 1.0)
    base = face.eye_y - face.brow_gap
    inner = base - 0.17 * au[1] + 0.17 * au[4] + 0.06 * au[9]
    middle = base - face.brow_arch - 0.11 * au[1] - 0.15 * au[2] + 0.08 * au[4] + 0.05 * au[9]
    outer = base + 0.05 * au[1] * (1 - min(au[2], 1.0)) - 0.14 * au[2] - 0.04 * au[4]
    line = _curve((side * inner_x, inner), (side * 0.36, 2 * middle - (inner + outer) / 2), (side * 0.6, outer))
    taper = np.linspace(1.15, 0.55, len(line))
    canvas.stroke(line, face.brow_thickness * taper, face.brow)


def _draw_mouth(canvas: _Canvas, face: _Face, au: dict[int, float]) -> None:
    """Lips around an opening with teeth.

    AU12 and AU15 bend the corners up and down, AU20 stretches, AU23 thins the lips, AU10 raises the upper
    lip, AU25 parts the lips and AU26 drops the jaw, which also rounds the mouth.
    """
    jaw = min(au[26], 1.2)
    half_width = face.mouth_width * (1 + 0.35 * au[12] + 0.4 * au[20] - 0.3 * jaw - 0.12 * au[23])
    bend = face.mouth_bend - 0.2 * au[12] + 0.19 * au[15]
    t = np.linspace(-1, 1, 25)
    x = half_width * t
    middle = face.mouth_y + 0.02 * jaw - 0.05 * au[10] + bend * (t**2 - 0.45)
    square = 0.5 - 0.22 * min(1.0, max(au[20], au[10]))
    round_ = (1 - t**2) ** square
    up = (0.008 + 0.09 * jaw + 0.1 * au[10] + 0.04 * au[25] * (1 - min(au[12], 1.0))) * round_
    down = (0.008 + 0.2 * jaw + 0.13 * au[25] + 0.03 * au[10]) * round_
    lip = face.lip * max(0.25, 1 - 0.7 * au[23] - 0.25 * au[12])
    rim = (1 - t**2) ** 0.4
    lips = (middle - up - lip * rim, middle + down + 1.25 * lip * rim)
    canvas.fill(_band(x, *lips), face.lips)
    canvas.fill(_band(x, middle - up, middle + down), _MOUTH_INSIDE)
    teeth = np.minimum(0.75 * (up + down), 0.11)
    if (up + down).max() > 0.06:
        canvas.fill(_band(x[2:-2], (middle - up)[2:-2], (middle - up + teeth * (1 - 0.6 * jaw))[2:-2]), _TEETH)
    for corner in (-1, 1):
        canvas.fill(_ellipse((corner * half_width, middle[-1]), (0.025, 0.02)), face.skin * 0.5)


def _band(x: Array, top: Array, bottom: Array) -> Array:
    """The polygon (2K, 2) between two curves over the same x (K,)."""
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])


def _draw_fringe(canvas: _Canvas, face: _Face) -> None:
    """Hair over the top of the forehead."""
    line = -face.height * 0.82 + face.fringe * 0.5
    x = np.linspace(-face.width * 1.04, face.width * 1.04, 15)
    edge = line + 0.45 * (x / face.width) ** 2
    top = -face.height * (0.35 + 0.8 * np.sqrt(1 - (x / (face.width * 1.05)) ** 2))
    canvas.fill(_band(x, np.minimum(top, edge), edge), face.hair, relief=0.25)


def _draw_glasses(canvas: _Canvas, face: _Face) -> None:
    """Two rims and a bridge."""
    width = max(2, round(canvas.pixels * 0.012))
    for side in (-1, 1):
        rim = canvas.to_pixels(_ellipse((side * face.eye_x, face.eye_y + 0.02), (0.27, 0.2)))
        canvas.draw.line([*rim.ravel().tolist(), *rim[0].tolist()], fill=_rgb(face.hair * 0.6), width=width)
    bridge = canvas.to_pixels(np.array([[-0.1, face.eye_y], [0.1, face.eye_y]]))
    canvas.draw.line(bridge.ravel().tolist(), fill=_rgb(face.hair * 0.6), width=width)


def _draw_occlusion(canvas: _Canvas, face: _Face, rng: np.random.Generator, disturbance: float) -> None:
    """In one image of five, or fewer: fingers from below, a strand of hair, or a patch over part of the face."""
    kind = rng.random() / disturbance
    if kind < 0.06:
        x, lean = rng.choice([-1, 1]) * rng.uniform(0.3, 0.7), rng.uniform(-0.2, 0.2)
        for finger in range(3):
            start = x + 0.13 * finger - 0.13
            line = _curve((start, 0.55 + 0.05 * abs(finger - 1)), (start + lean / 2, 0.9), (start + lean, 1.4))
            canvas.stroke(line, 0.062, face.skin * (0.82 + 0.05 * finger))
    elif kind < 0.12:
        x = rng.uniform(-0.6, 0.6)
        line = _curve((x, -1.2), (x + rng.uniform(-0.3, 0.3), -0.5), (x + rng.uniform(-0.3, 0.3), 0.2))
        canvas.stroke(line, np.linspace(0.14, 0.02, len(line)), face.hair)
    elif kind < 0.2:
        centre, half = rng.uniform(-0.9, 0.9, 2), rng.uniform(0.12, 0.24, 2)
        corners = centre + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        canvas.fill(corners, rng.uniform(0, 255, 3), relief=0)


def _photograph(drawing: Image.Image, size: int, rng: np.random.Generator, disturbance: float) -> NDArray[np.uint8]:
    """Light from a random side, exposure, contrast, colour cast, blur and sensor noise: (size, size, 3)."""
    small = drawing.reduce(_SUPERSAMPLING).filter(ImageFilter.GaussianBlur(disturbance * rng.uniform(0.0, 1.1)))
    pixels = np.asarray(small, dtype=np.float32) / 255
    angle, strength = rng.uniform(0, 2 * np.pi), disturbance * rng.uniform(0, 0.5)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + strength * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
    usual = 1 - disturbance
    exposure, contrast = disturbance * rng.uniform(0.7, 1.2) + usual, disturbance * rng.uniform(0.75, 1.2) + usual
    cast = (disturbance * rng.uniform(0.88, 1.12, 3) + usual).astype(np.float32)
    lit = (pixels * light[..., None] - 0.5) * contrast + 0.5
    lit = lit * exposure * cast
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * (disturbance * rng.uniform(0.005, 0.03))
    return (np.clip(lit + noise, 0, 1) * 255).astype(np.uint8)
