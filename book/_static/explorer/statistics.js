// Standard errors as carbon_midl/measures.py, and Student's t as the library takes it from scipy: the quantile, by the
// incomplete beta function.

import { mean } from "./study.js";

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** Logarithm of the gamma function for x > 0.5 (Lanczos 1964, g = 7). */
export function logGamma(x) {
  const base = x + 6.5;
  const series = LANCZOS.slice(1).reduce((sum, term, place) => sum + term / (x + place), LANCZOS[0]);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(base) - base + Math.log(series);
}

/** Regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method). */
export function incompleteBeta(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
  );
  const apart = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
  let c = 1;
  let d = 1 / apart(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 10000; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / apart(1 + even * d);
    c = apart(1 + even / c);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / apart(1 + odd * d);
    c = apart(1 + odd / c);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return (front * fraction) / a;
}

/**
 * The value that Student's t stays below with probability `confidence`, above 0.5; NaN without degrees of freedom.
 *
 * Newton's method from 0: the distribution function is concave there, so every step stays below the root.
 */
export function tQuantile(freedom, confidence) {
  if (!(freedom > 0)) return NaN;
  const scale =
    Math.exp(logGamma((freedom + 1) / 2) - logGamma(freedom / 2 + 1)) * (freedom / 2) / Math.sqrt(freedom * Math.PI);
  let t = 0;
  for (let step = 0; step < 200; step += 1) {
    const above = 0.5 * incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5);
    const density = scale * (1 + (t * t) / freedom) ** (-(freedom + 1) / 2);
    const change = (above - (1 - confidence)) / density;
    t += change;
    if (Math.abs(change) <= 1e-14 * Math.abs(t)) break;
  }
  return t;
}

/**
 * Standard error of each width's difference in Dice from a reference, and degrees of freedom.
 *
 * Variances between patients (paired) and between the trainings of both widths add up; what both hold, how a training
 * suits a patient, counts once. The freedom is Satterthwaite's. Where nothing varies the error is NaN.
 */
export function differenceErrors({ widths }, reference) {
  const there = trainingVariance(widths[reference]);
  return widths.map((width, place) => {
    const differences = width.byPatient.map((dice, patient) => dice - widths[reference].byPatient[patient]);
    const lesser = Math.max(differences.length - 1, 1);
    const between = squares(differences) / (differences.length * lesser);
    const own = trainingVariance(width);
    const variance = between + own.variance + there.variance;
    return {
      error: place === reference ? 0 : Math.sqrt(variance),
      freedom: variance ** 2 / (between ** 2 / lesser + own.squares + there.squares),
    };
  });
}

/** Variance of a width's mean from its trainings alone, and terms of its freedom. */
function trainingVariance({ trainings, byPatient }) {
  const [patients, count] = [byPatient.length, trainings.length];
  const lesser = Math.max(count - 1, 1);
  const degrees = lesser * Math.max(patients - 1, 1);
  const byTraining = trainings.map(({ dice }) => mean(dice));
  const residuals = trainings.flatMap(({ dice }, training) =>
    dice.map((value, patient) => value - byPatient[patient] - byTraining[training]),
  );
  const single = patients === 1 ? NaN : 1;
  const fromTrainings = squares(byTraining) / (count > 1 ? count * lesser : single);
  const fromBoth = squares(residuals) / (patients * count * degrees);
  return {
    variance: Math.max(fromTrainings - fromBoth, 0),
    squares: fromTrainings ** 2 / lesser + fromBoth ** 2 / degrees,
  };
}

/** Sum of squared deviations from the mean. */
function squares(values) {
  const centre = mean(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
}
