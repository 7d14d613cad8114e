"""From a radiologist's outlines to masks, pixel by pixel as pylidc's `Annotation.boolean_mask` gives them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Contour, Nodule


class Window(NamedTuple):
    """A square of the scan's pixels: its first row and column, which may lie outside the image, and its size in px."""

    row: int
    column: int
    size: int


def window_around(nodule: Nodule, size: int) -> Window:
    """Return the window of `size` px whose middle is that of the box around all readers' outlines on all slices."""
    (first_row, last_row), (first_column, last_column), _ = nodule.bounding_box().tolist()
    return Window((first_row + last_row) // 2 - size // 2, (first_column + last_column) // 2 - size // 2, size)


def reader_masks(nodule: Nodule, window: Window) -> NDArray[np.bool_]:
    """Rasterise every reader's outlines on every slice of a nodule.

    Returns:
        bool ``(slices, 4, size, size)``, slices as in `nodule.slice_indices()`, readers in pylidc's order; empty
        where a reader did not outline the nodule or its outline does not reach the slice or the window.
    """
    return reader_masks_of([nodule], [window])[0]


def reader_masks_of(nodules: Sequence[Nodule], windows: Sequence[Window]) -> list[NDArray[np.bool_]]:
    """Rasterise several nodules at once, which is faster than one by one: most outlines have a few dozen pixels.

    Args:
        nodules: any number.
        windows: of each nodule.

    Returns:
        What `reader_masks` returns, of each nodule.
    """
    first_slices = [nodule.slice_indices() for nodule in nodules]
    counts = np.array([READERS * len(slices) for slices in first_slices], dtype=np.int64)
    corners = np.array([(window.row, window.column) for window in windows], dtype=np.int64).reshape(-1, 2)
    sizes = np.array([window.size for window in windows], dtype=np.int64)
    canvas = _Canvas(corners.repeat(counts, axis=0), sizes.repeat(counts))
    first_masks = np.cumsum(counts) - counts
    canvas.draw(
        [
            (first_mask + READERS * (contour.slice_index - slices.start) + reader, contour)
            for first_mask, slices, nodule in zip(first_masks.tolist(), first_slices, nodules, strict=True)
            for reader, reading in enumerate(nodule.readings)
            for contour in reading.contours
        ]
    )
    parts = np.split(canvas.pixels, np.cumsum(counts * sizes**2)[:-1])
    return [part.reshape(-1, READERS, window.size, window.size) for part, window in zip(parts, windows, strict=True)]


def rasterise(contours: Iterable[Contour], window: Window) -> NDArray[np.bool_]:
    """Return the bool mask ``(size, size)`` that one reader's contours on one slice enclose in a window.

    The contour's own points lie outside the nodule. Contours that cut holes take effect after the others.
    """
    canvas = _Canvas(np.array([(window.row, window.column)]), np.array([window.size]))
    canvas.draw([(0, contour) for contour in contours])
    return canvas.pixels.reshape(window.size, window.size)


class _Canvas:
    """Masks to draw into, one after the other in ``pixels``.

    Args:
        corners: first row and column of each mask, ``(n, 2)``.
        sizes: height and width of each mask, px.
    """

    def __init__(self, corners: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self._corners = corners
        self._sizes = sizes
        self._begins = np.cumsum(sizes**2) - sizes**2
        self.pixels: NDArray[np.bool_] = np.zeros(int((sizes**2).sum()), dtype=bool)

    def draw(self, contours: list[tuple[int, Contour]]) -> None:
        """Draw contours: pairs of a mask's number and a contour on it.

        All contours are drawn at once, but for a mask's second contour, which waits for the first, and so on.
        """
        waiting = sorted(contours, key=lambda contour: not contour[1].includes)
        while waiting:
            now = dict(reversed(waiting))
            waiting = [(mask, contour) for mask, contour in waiting if now[mask] is not contour]
            for includes in (True, False):
                chosen = [(mask, contour) for mask, contour in now.items() if contour.includes is includes]
                if chosen:
                    places = np.array([mask for mask, _ in chosen])
                    lengths = np.array([len(contour.points) for _, contour in chosen])
                    points = np.concatenate([contour.points for _, contour in chosen])
                    points = points - self._corners[places].repeat(lengths, axis=0)
                    number, row, column = _enclosed(points, lengths)
                    self._set(places[number], row, column, includes)
                    self._set(places.repeat(lengths), points[:, 0], points[:, 1], False)

    def _set(self, mask: NDArray[np.int64], row: NDArray[np.int64], column: NDArray[np.int64], value: bool) -> None:
        size = self._sizes[mask]
        place = self._begins[mask] + row * size + column
        inside = (np.minimum(row, column) >= 0) & (np.maximum(row, column) < size)
        self.pixels[place if inside.all() else place[inside]] = value


def _enclosed(
    points: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Which pixels polygons enclose: number of the polygon, row and column of each.

    A pixel lies inside where a ray from it crosses the polygon an odd number of times. Pixels that lie on an edge fall
    as in matplotlib's `contains_points`, which pylidc uses: along a column, an edge that runs to higher columns has
    the pixels up to and including it on its near side, and an edge that runs back has those before it. Each polygon
    has a strip for each column of its box, with a place for each row and one more. Crossings are put into the strips;
    a running sum over all of them gives the parity, since each strip has an even number.

    Args:
        points: ``(n, 2)`` row and column, of one polygon after the other.
        lengths: how many points each polygon has.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts
    first_row, first_column = np.minimum.reduceat(points, starts).T
    last_row, last_column = np.maximum.reduceat(points, starts).T
    strip = last_row - first_row + 2
    end_of_strips = np.cumsum(strip * (last_column - first_column + 1))
    start_of_strips = np.concatenate(([0], end_of_strips[:-1]))
    origin = start_of_strips - first_column * strip - first_row  # the place of row 0 in column 0

    row, column = points.T
    next_row, next_column = points[following].T
    steps = np.abs(next_column - column)
    edge = np.arange(len(points)).repeat(steps)
    polygon = np.arange(len(lengths)).repeat(lengths)[edge]
    # The columns that edges cross: of each, all but its lower end.
    crossed = (np.minimum(column, next_column) + steps + 1 - np.cumsum(steps))[edge] + np.arange(len(edge))
    run, fall = (column - next_column)[edge], (row - next_row)[edge]
    crossed_from_next = crossed - next_column[edge]
    last_before = next_row[edge] + (crossed_from_next * fall - (run > 0)) // run
    place = origin[polygon] + crossed * strip[polygon] + last_before + 1

    inside = np.flatnonzero(np.cumsum(np.bincount(place, minlength=end_of_strips[-1])) & 1)
    polygon = np.arange(len(lengths)).repeat(np.diff(np.searchsorted(inside, end_of_strips), prepend=0))
    column, row = np.divmod(inside - start_of_strips[polygon], strip[polygon])
    return polygon, row + first_row[polygon], column + first_column[polygon]
