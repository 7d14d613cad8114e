// From values to places on the page, and where the ticks are.

/** A logarithmic axis from 1, 2 or 5 times a power of ten to another, around all positive values. */
export function logScale(values, from, to) {
  const positive = values.filter((value) => value > 0);
  const low = decadeStep(Math.min(...positive) / 1.1, Math.floor);
  const high = decadeStep(Math.max(...positive) * 1.1, Math.ceil);
  const span = Math.log(high / low);
  const ticks = steps(low, high);
  return {
    ticks,
    // What costs nothing stands at the edge.
    place: (value) => from + (to - from) * (value > 0 ? Math.max(Math.log(value / low) / span, 0) : 0),
  };
}

/** A linear axis around all values, with round ticks. */
export function linearScale(values, from, to, about = 5) {
  const lowest = Math.min(...values);
  const room = (Math.max(...values) - lowest || 0.1) * 0.06;
  const low = lowest - room;
  const high = Math.max(...values) + room;
  const rough = (high - low) / about;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const first = Math.ceil(low / step);
  const ticks = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, place) => (first + place) * step);
  return { ticks, step, place: (value) => from + ((to - from) * (value - low)) / (high - low) };
}

/** The nearest of 1, 2 and 5 times a power of ten, below (floor) or above (ceil). */
function decadeStep(value, side) {
  const power = 10 ** Math.floor(Math.log10(value));
  const factors = side === Math.floor ? [5, 2, 1] : [1, 2, 5, 10];
  const fits = (factor) => (side === Math.floor ? factor * power <= value : factor * power >= value);
  return power * (factors.find(fits) ?? (side === Math.floor ? 1 : 10));
}

function steps(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of [1, 2, 5]) {
      const value = factor * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found;
}
