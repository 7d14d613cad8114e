// Where the points' names go, so that they cover neither each other nor a point.

const HEIGHT = 14;
const CHARACTER = 7.4;
const RADIUS = 8;
/** Places beside a point, the preferred first: shift across and down, and which end of the text is there. */
const BESIDE = [
  [9, 18, "start"],
  [9, -9, "start"],
  [-9, -9, "end"],
  [-9, 18, "end"],
  [0, 32, "middle"],
  [0, -22, "middle"],
];

/**
 * For each point with `x`, `y`, its bars `across` and `down` and its name `words`: `x`, `y` and `anchor` of the name,
 * inside the frame where that can be.
 */
export function placeLabels(points, frame) {
  const taken = points.flatMap(({ x, y, across, down }) => [
    { left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS },
    { left: across[0], right: across[1], top: y - 1, bottom: y + 1 },
    { left: x - 1, right: x + 1, top: down[0], bottom: down[1] },
  ]);
  return points.map((point) => {
    const places = BESIDE.map(([across, down, anchor]) => ({ x: point.x + across, y: point.y + down, anchor }));
    const costs = places.map((place) => covered(box(place, point.words), taken, frame));
    const best = places[costs.indexOf(Math.min(...costs))];
    taken.push(box(best, point.words));
    return best;
  });
}

function box({ x, y, anchor }, words) {
  const width = words.length * CHARACTER;
  const left = x - { start: 0, middle: width / 2, end: width }[anchor];
  return { left, right: left + width, top: y - HEIGHT, bottom: y + 3 };
}

function covered(mine, taken, frame) {
  const outside = mine.left < frame.left || mine.right > frame.right || mine.top < frame.top || mine.bottom > frame.bottom;
  return taken.reduce((sum, other) => sum + overlap(mine, other), outside ? 1e4 : 0);
}

function overlap(one, other) {
  const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  return Math.max(across, 0) * Math.max(down, 0);
}
