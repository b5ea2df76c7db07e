"""Draws scenes of shapes on textured backgrounds, with the class of every pixel.

The tiny model is fitted and tested on them. All lengths are relative to the shorter side of the
picture, since that is what the model's test pipeline scales to a fixed size.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("background", "circle", "square", "triangle", "star", "ring", "cross")
PALETTE = (
    (90, 90, 90),
    (230, 60, 60),
    (60, 120, 230),
    (60, 190, 90),
    (245, 200, 50),
    (170, 80, 210),
    (40, 200, 210),
)
"""RGB, one colour for each class."""

OTHER_CLASSES = ("background", "hexagon", "heart", "crescent", "arrow")
OTHER_PALETTE = ((90, 90, 90), (240, 150, 40), (220, 50, 120), (80, 110, 200), (110, 180, 60))
"""Shapes that the tiny model never saw, for fine-tuning it."""

RADIUS = (0.14, 0.28)
"""Smallest and largest radius of a shape's outer circle."""

SHAPES_PER_SQUARE = (3, 6)
"""Fewest and most shapes on a square scene; longer scenes have more in proportion."""

CLOSEST = 0.7
"""Least distance of two shapes' centres, in sums of their radii: below 1 they may overlap."""

CROWDED_SHAPES_PER_SQUARE, CROWDED_CLOSEST = (7, 10), 0.65
"""The same where a scene is crowded: more to learn from in as many pixels."""

SUPERSAMPLING = 4
"""Shapes are drawn this many times larger and reduced, for smooth edges."""

FloatMap = NDArray[np.float32]
Colour = NDArray[np.float32]
Texture = Callable[[np.random.Generator, FloatMap, FloatMap], FloatMap]
"""Maps coordinates y and x, `(H, W)` with the shorter side from 0 to 1, to values from 0 to 1."""


def flat(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """One value everywhere."""
    return np.full_like(y, rng.random())


def gradient(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """A linear ramp in a random direction."""
    return _stretch(_along(rng, y, x))


def noise(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Independent pixels."""
    return rng.random(y.shape, dtype=np.float32)


def clouds(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Smooth noise with patches of 1/3 to 1/12 of the shorter side."""
    cells = rng.uniform(3, 12)
    size = (int(y.max() * cells) + 2, int(x.max() * cells) + 2)
    coarse = rng.random(size, dtype=np.float32)
    return _stretch(cv2.resize(coarse, y.shape[::-1], interpolation=cv2.INTER_CUBIC))


def blobs(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Irregular spots: clouds with two levels."""
    return (clouds(rng, y, x) > 0.5).astype(np.float32)


def stripes(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Sharp parallel stripes in a random direction."""
    return (_phase(rng, _along(rng, y, x)) < 0.5).astype(np.float32)


def checker(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """A chessboard in a random direction."""
    angle, cells = rng.uniform(0, np.pi), rng.uniform(5, 16)
    rows = np.floor(cells * (np.cos(angle) * y + np.sin(angle) * x))
    columns = np.floor(cells * (np.cos(angle) * x - np.sin(angle) * y))
    return ((rows + columns) % 2).astype(np.float32)


def speckles(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Rare pixels of the second colour."""
    return (rng.random(y.shape) < rng.uniform(0.02, 0.2)).astype(np.float32)


def waves(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Soft stripes that are bent."""
    bent = _along(rng, y, x) + 0.05 * np.sin(rng.uniform(5, 12) * _along(rng, y, x))
    return np.float32(0.5) + np.float32(0.5) * np.sin(2 * np.pi * _phase(rng, bent))


def plaid(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """Two crossing sets of stripes."""
    return (stripes(rng, y, x) + stripes(rng, y, x)) / 2


def bricks(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """A wall of bricks with thin joints, each row shifted by half a brick."""
    rows = y * rng.uniform(6, 14)
    columns = x * rng.uniform(3, 7) + (np.floor(rows) % 2) / 2
    return ((rows % 1 < 0.15) | (columns % 1 < 0.08)).astype(np.float32)


FITTING_TEXTURES: tuple[Texture, ...] = (
    flat,
    gradient,
    noise,
    clouds,
    blobs,
    stripes,
    checker,
    speckles,
)
"""What the tiny model is fitted on."""

HELD_OUT_TEXTURES: tuple[Texture, ...] = (waves, plaid, bricks)
"""What it never sees before it is tested."""


def draw_scene(
    rng: np.random.Generator,
    height: int,
    width: int,
    textures: Sequence[Texture] = FITTING_TEXTURES,
    *,
    classes: Sequence[str] = CLASSES,
    crowded: bool = False,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws a scene; equal generators give equal scenes.

    Args:
        rng: source of everything random.
        height: of the scene, in pixels, at least 32.
        width: of the scene, in pixels, at least 32.
        textures: the background's is one of them.
        classes: names of shapes that `_outline` knows, after the background's.
        crowded: draw about twice as many shapes, which cover each other more.

    Returns:
        The picture `(H, W, 3) uint8 BGR` and the class ids `(H, W) uint8`, indexes into `classes`.
    """
    first, second = _background_colours(rng)
    image = _paint(rng, textures, first, second, (height, width))
    labels = np.zeros((height, width), np.uint8)
    for x, y, radius in _places(rng, height, width, crowded):
        class_id = int(rng.integers(1, len(classes)))
        corners = _outline(classes[class_id], float(rng.uniform(0, 2 * np.pi)))
        placed = [radius * contour + np.array([x, y]) for contour in corners]
        cover = _coverage(placed, height, width)
        colour = _colour_apart(rng, (first, second))
        shade = _paint(rng, (flat, gradient, noise), colour, colour * 0.85, (height, width))
        image += cover[..., None] * (shade - image)
        labels[cover >= 0.5] = class_id
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


def _background_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours that differ, but less than a shape's from both."""
    first = rng.uniform(0, 255, 3).astype(np.float32)
    second = np.clip(first + rng.uniform(-70, 70, 3), 0, 255).astype(np.float32)
    return first, second


def _colour_apart(rng: np.random.Generator, others: Sequence[Colour]) -> Colour:
    """A colour at least 100 from all of `others` (their cube has a side of 255)."""
    while True:
        colour = rng.uniform(0, 255, 3).astype(np.float32)
        if all(np.linalg.norm(colour - other) >= 100 for other in others):
            return colour


def _paint(
    rng: np.random.Generator,
    textures: Sequence[Texture],
    first: Colour,
    second: Colour,
    size: tuple[int, int],
) -> FloatMap:
    """A picture `(H, W, 3)` in which a texture mixes two colours."""
    shorter = min(size)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32) / np.float32(shorter)
    texture = textures[int(rng.integers(len(textures)))]
    mix = texture(rng, y, x)[..., None]
    return (first + mix * (second - first)).astype(np.float32)


def _places(
    rng: np.random.Generator, height: int, width: int, crowded: bool
) -> list[tuple[float, float, float]]:
    """Centres and radii `(x, y, radius)` in pixels, of which some overlap a little."""
    shorter = min(height, width)
    fewest, most = CROWDED_SHAPES_PER_SQUARE if crowded else SHAPES_PER_SQUARE
    closest = CROWDED_CLOSEST if crowded else CLOSEST
    wanted = round(rng.integers(fewest, most + 1) * height * width)
    places: list[tuple[float, float, float]] = []
    for _ in range(20 * round(wanted / shorter**2)):
        radius = shorter * float(rng.uniform(*RADIUS))
        margin = radius / 2
        x = float(rng.uniform(margin, width - margin))
        y = float(rng.uniform(margin, height - margin))
        if all(np.hypot(x - u, y - v) >= closest * (radius + r) for u, v, r in places):
            places.append((x, y, radius))
        if len(places) * shorter**2 >= wanted:
            break
    return places


def _outline(shape: str, turn: float) -> list[NDArray[np.float64]]:
    """Contours `(N, 2)` of a shape with an outer radius of 1, turned by `turn` radians.

    Where contours lie inside each other, the space between them is the shape.
    """
    radii = {
        "circle": [np.ones(64)],
        "square": [np.ones(4)],
        "triangle": [np.ones(3)],
        "star": [np.where(np.arange(10) % 2, 0.45, 1.0)],
        "ring": [np.ones(64), np.full(64, 0.55)],
        "hexagon": [np.ones(6)],
    }
    if shape in CURVES:
        return [CURVES[shape]() @ _turned(np.eye(2), turn)]
    if shape == "cross":
        arm = np.array([[1, -0.33], [1, 0.33], [0.33, 0.33]]) / np.hypot(1, 0.33)
        return [np.concatenate([_turned(arm, turn + k * np.pi / 2) for k in range(4)])]
    contours = []
    for contour in radii[shape]:
        angles = np.linspace(0, 2 * np.pi, len(contour), endpoint=False) + turn
        contours.append(contour[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return contours


def _heart() -> NDArray[np.float64]:
    """The contour of a heart, `(N, 2)`."""
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, y + 2.5], axis=1) / 17


def _crescent() -> NDArray[np.float64]:
    """The contour of a crescent, `(N, 2)`: a disc without a smaller one at its edge."""
    outer = np.linspace(0.3 * np.pi, 1.7 * np.pi, 48)
    start = np.array([np.cos(outer[-1]), np.sin(outer[-1])])
    centre, radius = 0.55, float(np.hypot(start[0] - 0.55, start[1]))
    bite = np.arctan2(start[1], start[0] - centre) % (2 * np.pi)
    inner = np.linspace(bite, 2 * np.pi - bite, 48)
    inside = np.stack([centre + radius * np.cos(inner), radius * np.sin(inner)], axis=1)
    return np.concatenate([np.stack([np.cos(outer), np.sin(outer)], axis=1), inside])


def _arrow() -> NDArray[np.float64]:
    """The contour of an arrow, `(7, 2)`."""
    half = [(1.0, 0.0), (0.1, 0.8), (0.1, 0.3), (-0.95, 0.3)]
    return np.array(half + [(x, -y) for x, y in reversed(half[1:])])


CURVES = {"heart": _heart, "crescent": _crescent, "arrow": _arrow}
"""Shapes that have no centre of symmetry, by name."""


def _turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Points `(N, 2)` turned about the origin by `angle` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _coverage(contours: Sequence[NDArray[np.float64]], height: int, width: int) -> FloatMap:
    """How much of each pixel lies inside the contours, `(H, W)` from 0 to 1."""
    points = np.concatenate(contours)
    left, top = np.clip(np.floor(points.min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 2, 0, (width, height))
    cover = np.zeros((height, width), np.float32)
    if right > left and bottom > top:  # only where they are: drawing all of a scene takes longer
        shift = np.array([left, top]) * SUPERSAMPLING
        scaled = [np.rint(contour * SUPERSAMPLING).astype(np.int32) - shift for contour in contours]
        size = (bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING
        large = np.zeros(size, np.float32)
        cv2.fillPoly(large, [np.asarray(one, np.int32) for one in scaled], 1.0)
        cover[top:bottom, left:right] = cv2.resize(
            large, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_AREA
        )
    return cover


def _along(rng: np.random.Generator, y: FloatMap, x: FloatMap) -> FloatMap:
    """The coordinate along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    return (np.cos(angle) * y + np.sin(angle) * x).astype(np.float32)


def _phase(rng: np.random.Generator, distance: FloatMap) -> FloatMap:
    """Where in its period each place lies, from 0 to 1, for 4 to 16 periods per unit."""
    return (distance * rng.uniform(4, 16) + rng.random()).astype(np.float32) % 1


def _stretch(values: FloatMap) -> FloatMap:
    """Values spread over 0 to 1."""
    low, high = values.min(), values.max()
    return (values - low) / max(high - low, np.float32(1e-6))
