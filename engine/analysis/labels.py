"""Where a plot's direct labels go so that they hide neither points nor one another."""

from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""

CHARACTER_WIDTH, LINE_HEIGHT, POINT_RADIUS, GAP = 6.4, 15.0, 7.0, 9.0


@dataclass(frozen=True)
class Placement:
    """A label's place: offset of its centre from the point in pixels, upwards positive."""

    index: int
    dx: float
    dy: float


def place_labels(
    positions: Sequence[tuple[float, float]], texts: Sequence[str], obstacles: Sequence[Box], size: tuple[float, float]
) -> list[Placement]:
    """Place each label at the first free spot around its point, or leave it out.

    Args:
        positions: the labelled points, in pixels from the bottom left corner.
        texts: one label for each.
        obstacles: what may not be covered, such as other points and interval bars.
        size: width and height of the plot in pixels; a label stays inside.
    """
    taken = [_around(position) for position in positions] + list(obstacles)
    placed = []
    for index, (position, text) in enumerate(zip(positions, texts, strict=True)):
        half_width, half_height = len(text) * CHARACTER_WIDTH / 2, LINE_HEIGHT / 2
        for dx, dy in _spots(half_width, half_height):
            x, y = position[0] + dx, position[1] + dy
            box = (x - half_width, y - half_height, x + half_width, y + half_height)
            if _inside(box, size) and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append(Placement(index, dx, dy))
                break
    return placed


def _spots(half_width: float, half_height: float) -> list[tuple[float, float]]:
    side, lift = half_width + GAP, half_height + GAP
    return [(-side, lift), (0, lift), (-side, 0), (side, lift), (side, -lift), (0, -lift), (side, 0), (-side, -lift)]


def _around(position: tuple[float, float]) -> Box:
    x, y = position
    return (x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS)


def _inside(box: Box, size: tuple[float, float]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@dataclass(frozen=True)
class Stretch:
    """One axis: from a value to pixels; Plotly pads both ends by about 6 %."""

    low: float
    span: float
    pixels: float

    @classmethod
    def over(cls, values: Sequence[float], pixels: float) -> "Stretch":
        low, high = min(values, default=0.0), max(values, default=0.0)
        return cls(low, high - low, pixels)

    @property
    def padded(self) -> tuple[float, float]:
        """The ends of the axis with the padding at both of them."""
        pad = 0.07 * self.span or 0.1
        return self.low - pad, self.low + self.span + pad

    def __call__(self, value: float) -> float:
        share = 0.5 if not self.span else 0.06 + 0.88 * (value - self.low) / self.span
        return share * self.pixels
