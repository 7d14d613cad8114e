// The answer in words: what is chosen, why, what else, and how sure that is.

import { bestPlace, CONFIDENCE } from "./criteria.js";
import { carbonText, diceText, percentText, plainText, setCarbonText, signedDice, significant, widthName } from "./wording.js";

/** What is chosen and why, then what would be next and how often the choice repeats. */
export function answer(view) {
  const reason = REASONS[view.criterion](view);
  return view.chosen < 0 ? reason : [reason, level(view), otherwise(view)].filter(Boolean).join(" ");
}

const REASONS = {
  best: (view) => `${name(view)} has the highest mean Dice, ${dice(view)}, and emits ${carbon(view)}.`,

  budget(view) {
    const { sample, study, settings } = view;
    const limit = setCarbonText(settings.budget);
    const within = study.widths.filter((_, place) => sample.cost[place] <= settings.budget);
    if (!within.length) return beyond(view, limit);
    const widest = within.reduce((one, other) => (Number(other.name) > Number(one.name) ? other : one));
    const share = percentText(sample.cost[view.chosen] / settings.budget);
    const facts = `Dice ${dice(view)} for ${carbon(view)}, ${share} of the budget`;
    if (widest !== study.widths[view.chosen]) {
      return `At ${limit} the widest that fits is ${widthName(widest)}, but ${name(view)} performs better: ${facts}.`;
    }
    const how = within.length > 1 ? `, and it performs best of the ${within.length} that fit` : "";
    return `At ${limit} the widest that fits is ${name(view)}${how}: ${facts}.`;
  },

  noninferior(view) {
    const { sample, study, settings, chosen } = view;
    const best = bestPlace(sample);
    const margin = plainText(settings.margin);
    if (chosen === best) {
      if (sample.cost[chosen] <= Math.min(...sample.cost)) {
        return `${name(view)} performs best, Dice ${dice(view)}, and emits the least, ${carbon(view)}.`;
      }
      return `${name(view)} performs best, Dice ${dice(view)} for ${carbon(view)}, and no cheaper width was shown to be within ${margin} of it.`;
    }
    const difference = signedDice(sample.performance[chosen] - sample.performance[best]);
    return (
      `${name(view)} is the cheapest, ${carbon(view)}, that is not worse than the best, ${widthName(study.widths[best])}, ` +
      `by more than ${margin}: its difference in Dice is ${difference}, with a one-sided ${percentText(CONFIDENCE)} ` +
      `limit of ${signedDice(view.scores[chosen])}.`
    );
  },

  weighted: (view) =>
    `${name(view)} has the largest weighted sum, ${diceText(view.scores[view.chosen])}: Dice ${dice(view)} for ${carbon(view)}.`,

  pepr: (view) =>
    `${name(view)} has the largest PePR-C, ${diceText(view.scores[view.chosen])}: Dice ${dice(view)} for ${carbon(view)}.`,

  knee(view) {
    const points = view.scores.filter((score) => !Number.isNaN(score)).length;
    const facts = `Dice ${dice(view)} for ${carbon(view)}`;
    if (points === 1) return `${name(view)} is the only point of the frontier: ${facts}.`;
    if (view.scores[view.chosen] <= 0) return `The frontier has no knee; ${name(view)} is its cheapest point: ${facts}.`;
    return `${name(view)} is the knee, highest above the line from the cheapest to the best of ${points} points: ${facts}.`;
  },

  marginal(view) {
    const { scores, study, settings, chosen } = view;
    const here = scores[chosen];
    const later = scores.map((price, place) => (price > Math.max(here, 0) ? place : -1)).filter((place) => place >= 0);
    const next = later.sort((one, other) => scores[one] - scores[other])[0];
    const paid =
      here === 0 || Number.isNaN(here)
        ? `${name(view)} is the cheapest, ${carbon(view)}`
        : `${name(view)} is the last step that pays, ${carbon(view)}: a point of Dice costs ${carbonText(here)}`;
    if (next === undefined) return `${paid}; nothing performs better.`;
    return `${paid}; the next step, to ${widthName(study.widths[next])}, costs ${carbonText(scores[next])} a point, more than ${setCarbonText(settings.price)}.`;
  },
};

function beyond(view, limit) {
  const { sample, study, settings, factors } = view;
  const cheapest = sample.cost.indexOf(Math.min(...sample.cost));
  const cost = sample.cost[cheapest];
  const ratio = significant(cost / settings.budget);
  const text = `At ${limit} no width fits: the cheapest, ${widthName(study.widths[cheapest])}, emits ${carbonText(cost)}, ${ratio} times as much`;
  if (factors.embodied > 0) return `${text}.`;
  return `${text}. It would fit on a grid of at most ${significant((factors.gPerKwh * settings.budget) / cost)} g/kWh.`;
}

function level({ tied, study }) {
  if (!tied.length) return "";
  return `It is level with ${tied.map((place) => widthName(study.widths[place])).join(", ")}; of equals the cheapest is taken.`;
}

function otherwise({ shares, chosen, runnerUp, study, draws }) {
  const again = `On ${draws.length.toLocaleString("en")} other draws of the patients and seeds it is chosen in ${percentText(shares.chosen[chosen])}`;
  return runnerUp < 0 ? `${again}.` : `${again}; next would be ${widthName(study.widths[runnerUp])}.`;
}

function name({ study, chosen }) {
  return widthName(study.widths[chosen]);
}

function dice({ study, sample, chosen }) {
  const { low, high } = study.widths[chosen];
  return `${diceText(sample.performance[chosen])} (${diceText(low)} to ${diceText(high)})`;
}

function carbon({ sample, chosen }) {
  return `${carbonText(sample.cost[chosen])} CO₂eq`;
}
