// The criteria, as carbon_midl/selection/criteria.py: what each makes as large as possible, and what it shows a reader.
//
// A utility is minus infinity for what may not be chosen.

import { onFrontier, POINT, stepPrices } from "./frontier.js";

/** Of the one-sided limit of the non-inferiority. */
export const CONFIDENCE = 0.95;
const ROUNDING = 1e-12;

/** By name: utility and, where it differs, score. Both take a sample and the settings and give a number a width. */
export const CRITERIA = {
  best: { utility: (sample) => sample.performance },

  budget: {
    utility: (sample, { budget }) =>
      sample.performance.map((value, place) => (sample.cost[place] <= budget ? value : -Infinity)),
  },

  noninferior: {
    utility: (sample, { margin }) =>
      lowerLimits(sample).map((limit, place) => (limit >= -margin - ROUNDING ? -sample.cost[place] : -Infinity)),
    score: lowerLimits,
  },

  weighted: {
    utility: (sample, { weight }) => {
      const performance = scaled(sample.performance);
      return scaled(sample.cost).map((cost, place) => weight * performance[place] + (1 - weight) * (1 - cost));
    },
  },

  pepr: {
    utility: (sample) => scaled(sample.cost).map((resource, place) => sample.performance[place] / (1 + resource)),
  },

  knee: {
    utility: (sample) => {
      const frontier = onFrontier(sample.performance, sample.cost);
      const performance = scaled(sample.performance, frontier);
      const cost = scaled(sample.cost, frontier);
      return frontier.map((is, place) => (is ? performance[place] - cost[place] : -Infinity));
    },
  },

  marginal: {
    utility: (sample, { price }) =>
      sample.performance.map((value, place) => (price * value) / POINT - sample.cost[place]),
    score: (sample) => stepPrices(sample.performance, sample.cost),
  },
};

/** What a reader is shown: the utility, and NaN for what may not be chosen. */
export function scoresOf(name, sample, settings) {
  const { utility, score } = CRITERIA[name];
  if (score) return score(sample, settings);
  return utility(sample, settings).map((value) => (value === -Infinity ? NaN : value));
}

/** The place of the best Dice, the cheapest of equals. */
export function bestPlace(sample) {
  const top = Math.max(...sample.performance);
  const cost = sample.cost.map((value, place) => (sample.performance[place] >= top - ROUNDING ? value : Infinity));
  return cost.indexOf(Math.min(...cost));
}

/** Lower limit of each difference from the best Dice; the library has computed how far below the difference it lies. */
function lowerLimits(sample) {
  const best = bestPlace(sample);
  const below = sample.study.below[best];
  return sample.performance.map((value, place) => value - sample.performance[best] - below[place]);
}

/** From the smallest to the largest of those marked to 0–1; 0 where all are equal. */
function scaled(values, among = values.map(() => true)) {
  const marked = values.filter((_, place) => among[place]);
  const low = Math.min(...marked);
  const span = Math.max(...marked) - low;
  return values.map((value) => (value - low) / (span > 0 ? span : 1));
}
