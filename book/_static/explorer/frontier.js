// The Pareto frontier and the prices of the steps along it, as carbon_midl/selection/frontier.py.

/** Performance that counts as a point. */
export const POINT = 0.01;

/** Which widths no other beats: at least as good and at most as dear, one of the two strictly. */
export function onFrontier(performance, cost) {
  return performance.map((mine, place) =>
    performance.every(
      (theirs, other) =>
        theirs < mine || cost[other] > cost[place] || (theirs === mine && cost[other] === cost[place]),
    ),
  );
}

/** Places of the frontier from cheap to dear; of equals, the first. */
export function walk(performance, cost) {
  const frontier = onFrontier(performance, cost);
  return performance
    .map((_, place) => place)
    .filter((place) => frontier[place])
    .sort((one, other) => cost[one] - cost[other] || one - other)
    .filter((place, at, all) => at === 0 || cost[place] !== cost[all[at - 1]]);
}

/** Price of a point in the step to each corner of the frontier's upper hull: 0 for the first, NaN for the others. */
export function stepPrices(performance, cost) {
  const prices = performance.map(() => NaN);
  const corners = [];
  for (const place of walk(performance, cost)) {
    let price = 0;
    while (corners.length) {
      const last = corners[corners.length - 1];
      price = ((cost[place] - cost[last]) * POINT) / (performance[place] - performance[last]);
      if (corners.length === 1 || price > prices[last]) break;
      prices[corners.pop()] = NaN;
    }
    prices[place] = price;
    corners.push(place);
  }
  return prices;
}
