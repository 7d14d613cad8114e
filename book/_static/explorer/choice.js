// Choosing: the largest utility, what else, and how often again on draws of the bootstrap, as
// carbon_midl/selection/choice.py.

import { CRITERIA, scoresOf } from "./criteria.js";
import { onFrontier } from "./frontier.js";
import { observedMeans, sampleOf } from "./sample.js";
import { without } from "./study.js";

const RELATIVE_TIE = 1e-12;

/** The chosen place (-1: none may be), what would be chosen without it (-1: nothing), the places tied with it. */
export function choose(study, factors, name, settings) {
  const sample = sampleOf(study, observedMeans(study), factors);
  const utility = CRITERIA[name].utility(sample, settings);
  const chosen = pick(utility, sample);
  const level = largest(utility);
  return {
    chosen,
    runnerUp: chosen < 0 ? -1 : runnerUpTo(chosen, study, factors, name, settings),
    tied: level.flatMap((is, place) => (is && place !== chosen ? [place] : [])),
    scores: scoresOf(name, sample, settings),
    sample,
  };
}

/** The place of the largest utility: of equals the cheapest, of these the best, of these the first; -1 for none. */
export function pick(utility, sample) {
  let among = largest(utility);
  for (const worse of [sample.cost, sample.performance.map((value) => -value)]) {
    const better = largest(worse.map((value, place) => (among[place] ? -value : -Infinity)));
    among = among.map((is, place) => is && better[place]);
  }
  return among.indexOf(true);
}

/** Of the draws: the share in which each width is chosen, and in which it is on the frontier. */
export function sharesOf(study, draws, factors, name, settings) {
  const chosen = study.widths.map(() => 0);
  const frontier = study.widths.map(() => 0);
  for (const draw of draws) {
    const sample = sampleOf(study, draw, factors);
    const place = pick(CRITERIA[name].utility(sample, settings), sample);
    if (place >= 0) chosen[place] += 1 / draws.length;
    onFrontier(sample.performance, sample.cost).forEach((is, at) => {
      if (is) frontier[at] += 1 / draws.length;
    });
  }
  return { chosen, frontier };
}

function runnerUpTo(chosen, study, factors, name, settings) {
  if (study.widths.length < 2) return -1;
  const rest = without(study, chosen);
  const sample = sampleOf(rest, observedMeans(rest), factors);
  const place = pick(CRITERIA[name].utility(sample, settings), sample);
  return place < 0 ? -1 : place + (place >= chosen ? 1 : 0);
}

function largest(values) {
  const top = Math.max(...values);
  const tolerance = Number.isFinite(top) ? Math.abs(top) * RELATIVE_TIE : 0;
  return values.map((value) => value >= top - tolerance && value > -Infinity);
}
