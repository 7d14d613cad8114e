// Means of all widths, as observed or on a draw of the bootstrap, as carbon_midl/selection/sample.py and trainings.py.
//
// A draw takes the same patients for every width and, for each width, its own trainings, all with replacement.

import { carbonGrams } from "./cost.js";
import { mean } from "./study.js";

/** Means as observed: Dice, energy, time, the trainings' own variance, and equal shares of the patients. */
export function observedMeans(study) {
  const patients = study.widths[0].byPatient.length;
  const all = study.widths.map((width) => width.trainings.map((_, place) => place));
  return means(study, new Array(patients).fill(1 / patients), all);
}

/** `count` draws of patients and trainings; equal seeds give equal draws. */
export function drawnMeans(study, count, seed) {
  const random = generator(seed);
  const below = (limit) => Math.floor(random() * limit);
  const patients = study.widths[0].byPatient.length;
  return Array.from({ length: count }, () => {
    const shares = new Array(patients).fill(0);
    for (let drawn = 0; drawn < patients; drawn += 1) shares[below(patients)] += 1 / patients;
    const taken = study.widths.map((width) => width.trainings.map(() => below(width.trainings.length)));
    return means(study, shares, taken);
  });
}

/** What a criterion looks at: the means, with the cost under these factors. `limits` stays that of the means. */
export function sampleOf(study, found, factors) {
  const cost = found.energyKwh.map((energy, place) => carbonGrams(energy, found.durationS[place], factors));
  return { ...found, study, cost };
}

/**
 * Standard error of each width's difference in Dice from a reference, and degrees of freedom.
 *
 * Variances between patients (paired) and between the trainings of both widths add up; the freedom is Welch and
 * Satterthwaite's. A single patient tells nothing: NaN.
 */
export function differenceErrors(sample, reference) {
  const { widths } = sample.study;
  const patients = sample.shares.length;
  const there = sample.ownVariance[reference];
  return widths.map((width, place) => {
    const between = pairedVariance(width.byPatient, widths[reference].byPatient, sample.shares);
    const own = sample.ownVariance[place];
    const variance = between + own + there;
    const squares =
      between ** 2 / Math.max(patients - 1, 1) +
      own ** 2 / Math.max(width.trainings.length - 1, 1) +
      there ** 2 / Math.max(widths[reference].trainings.length - 1, 1);
    return {
      error: place === reference ? 0 : Math.sqrt(variance),
      freedom: squares > 0 ? variance ** 2 / squares : patients - 1,
    };
  });
}

function means(study, shares, taken) {
  const performance = [];
  const energyKwh = [];
  const durationS = [];
  const ownVariance = [];
  study.widths.forEach((width, place) => {
    const byTraining = width.trainings.map((training) => weighted(training.dice, shares));
    const values = taken[place].map((training) => byTraining[training]);
    const centre = mean(values);
    const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
    performance.push(centre);
    energyKwh.push(mean(taken[place].map((training) => width.trainings[training].energy_kwh)));
    durationS.push(mean(taken[place].map((training) => width.trainings[training].duration_s)));
    ownVariance.push(values.length > 1 ? squares / (values.length * (values.length - 1)) : 0);
  });
  return { performance, energyKwh, durationS, ownVariance, shares, limits: new Map() };
}

function pairedVariance(values, reference, shares) {
  if (values.length < 2) return NaN;
  let sum = 0;
  let squares = 0;
  shares.forEach((share, patient) => {
    const difference = values[patient] - reference[patient];
    sum += share * difference;
    squares += share * difference ** 2;
  });
  return Math.max(squares - sum ** 2, 0) / (values.length - 1);
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
