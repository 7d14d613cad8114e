// Means of all widths, as observed or on a draw of the bootstrap, as carbon_midl/measures.py.
//
// A draw takes the same patients for every width and, for each width, its own trainings, all with replacement.

import { carbonGrams } from "./cost.js";
import { mean } from "./study.js";

/** Means as observed: Dice, energy and time. */
export function observedMeans(study) {
  const patients = study.widths[0].trainings[0].dice.length;
  const all = study.widths.map((width) => width.trainings.map((_, place) => place));
  return means(study, new Array(patients).fill(1 / patients), all);
}

/** `count` draws of patients and trainings; equal seeds give equal draws. */
export function drawnMeans(study, count, seed) {
  const random = generator(seed);
  const below = (limit) => Math.floor(random() * limit);
  const patients = study.widths[0].trainings[0].dice.length;
  return Array.from({ length: count }, () => {
    const shares = new Array(patients).fill(0);
    for (let drawn = 0; drawn < patients; drawn += 1) shares[below(patients)] += 1 / patients;
    const taken = study.widths.map((width) => width.trainings.map(() => below(width.trainings.length)));
    return means(study, shares, taken);
  });
}

/** What a criterion looks at: the means, with the cost under these factors. */
export function sampleOf(study, found, factors) {
  const cost = found.energyKwh.map((energy, place) => carbonGrams(energy, found.durationS[place], factors));
  return { ...found, study, cost };
}

function means(study, shares, taken) {
  const over = (width, place, value) => mean(taken[place].map((training) => value(width.trainings[training])));
  const all = (value) => study.widths.map((width, place) => over(width, place, value));
  return {
    performance: all(({ dice }) => weighted(dice, shares)),
    energyKwh: all((training) => training.energy_kwh),
    durationS: all((training) => training.duration_s),
  };
}

function weighted(values, shares) {
  return values.reduce((sum, value, place) => sum + value * shares[place], 0);
}

/** Numbers from 0 to below 1 (mulberry32). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
