// The explorer's program: settings in, choice out, by the definitions of carbon_midl.selection, which a test holds it to.
// It stands inside its page, as browsers refuse modules that a page on a disk imports.

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The Pareto frontier and the prices of the steps along it, as carbon_midl/selection/frontier.py.

/** Performance that counts as a point. */
const POINT = 0.01;

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
function walk(performance, cost) {
  const frontier = onFrontier(performance, cost);
  return performance
    .map((_, place) => place)
    .filter((place) => frontier[place])
    .sort((one, other) => cost[one] - cost[other] || one - other)
    .filter((place, at, all) => at === 0 || cost[place] !== cost[all[at - 1]]);
}

/** Price of a point in the step to each corner of the frontier's upper hull: 0 for the first, NaN for the others. */
function stepPrices(performance, cost) {
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

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The criteria, as carbon_midl/selection/criteria.py: what each makes as large as possible, and what it shows a reader.
//
// A utility is minus infinity for what may not be chosen.

/** Of the one-sided limit of the non-inferiority. */
const CONFIDENCE = 0.95;
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
function scoresOf(name, sample, settings) {
  const { utility, score } = CRITERIA[name];
  if (score) return score(sample, settings);
  return utility(sample, settings).map((value) => (value === -Infinity ? NaN : value));
}

/** The place of the best Dice, the cheapest of equals. */
function bestPlace(sample) {
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

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// From energy and time to carbon, as carbon_midl/selection/candidates.py.

/** gCO2eq of training a width, by its energy before PUE and its hours, and of the energy of its uses. */
function carbonGrams(width, energyKwh, durationS, { gPerKwh, pue, embodied, uses }) {
  return (energyKwh + uses * width.use_kwh) * (pue * gPerKwh) + (embodied / 3600) * durationS;
}

/** The factors of the settings: a grid is a place of the table, or its intensity as a number. */
export function factorsOf(settings, study) {
  const place = study.grids.find((grid) => grid.code === settings.grid);
  const { pue, embodied, uses = 0 } = settings;
  return { gPerKwh: place ? place.g_per_kwh : Number(settings.grid), pue, embodied, uses };
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The study as it was recorded: the widths, each with its trainings and their Dice on the same test patients.

/** All widths but one. */
function without(study, place) {
  const rest = (values) => values.filter((_, other) => other !== place);
  return { ...study, widths: rest(study.widths), below: rest(study.below).map(rest) };
}

/** Arithmetic mean. */
function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// Means of all widths, as observed or on a draw of the bootstrap, as carbon_midl/measures.py.
//
// A draw takes the same patients for every width and, for each width, its own trainings, all with replacement.

/** Means as observed: Dice, energy and time. */
function observedMeans(study) {
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
  const cost = study.widths.map((width, place) =>
    carbonGrams(width, found.energyKwh[place], found.durationS[place], factors),
  );
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

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// Choosing: the largest utility, what else, and how often again on draws of the bootstrap, as
// carbon_midl/selection/choice.py.

const RELATIVE_TIE = 1e-12;

/** The chosen place (-1: none may be), what would be chosen without it (-1: nothing), the places tied with it. */
export function choose(study, factors, name, settings) {
  const sample = sampleOf(study, observedMeans(study), factors);
  const utility = CRITERIA[name].utility(sample, settings);
  const chosen = pick(utility, sample);
  const level = largest(utility);
  return {
    chosen,
    runnerUp: chosen < 0 || study.widths.length < 2 ? -1 : runnerUpTo(chosen, study, factors, name, settings),
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

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// What a reader can set, which values can be, and the address that keeps them.

/** The setting that each criterion has, if it has one. */
const OPTION_OF = { budget: "budget", noninferior: "margin", weighted: "weight", marginal: "price" };

/** What is wrong with a number, in a sentence; nothing where it can be. The library refuses the same. */
export const REFUSALS = {
  intensity: (value) => (value >= 0 && value < Infinity ? "" : "Carbon intensity is a number from 0."),
  pue: (value) => (value >= 1 && value < Infinity ? "" : "PUE is at least 1."),
  embodied: (value) => (value >= 0 && value < Infinity ? "" : "An embodied share is a number from 0."),
  budget: (value) => (value > 0 && value < Infinity ? "" : "A budget is a number above 0."),
  margin: (value) => (value >= 0 && value < 1 ? "" : "A margin is a number from 0 to below 1."),
  weight: (value) => (value >= 0 && value <= 1 ? "" : "A weight is a number from 0 to 1."),
  price: (value) => (value >= 0 && value < Infinity ? "" : "A price is a number from 0."),
  uses: (value) => (Number.isInteger(value) && value >= 0 ? "" : "Crops are a whole number from 0."),
};

/** Settings of an address's fragment; what it lacks, or what cannot be, is as at the start. */
export function fromHash(hash, study) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const settings = { ...study.start };
  for (const [name, text] of given) {
    const value = text.trim() === "" ? NaN : Number(text);
    if (name === "criterion") {
      if (study.criteria.some((criterion) => criterion.name === text)) settings.criterion = text;
    } else if (name === "grid") {
      const place = study.grids.find((grid) => grid.code.toLowerCase() === text.toLowerCase());
      if (place) settings.grid = place.code;
      else if (!REFUSALS.intensity(value)) settings.grid = String(value);
    } else if (name in settings && !REFUSALS[name](value)) settings[name] = value;
  }
  return settings;
}

/** The fragment of an address that brings these settings back; only what differs from the start. */
export function toHash(settings, study) {
  const changed = Object.entries(settings).filter(([name, value]) => value !== study.start[name]);
  return changed.length ? `#${new URLSearchParams(changed.map(([name, value]) => [name, String(value)]))}` : "";
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// Numbers as the book prints them.

const NBSP = "\u00a0";
const MINUS = "\u2212";

/** Three significant digits without an exponent, thousands separated. */
function significant(value, digits = 3) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  if (value === 0) return "0";
  const decimals = digits - 1 - Math.floor(Math.log10(Math.abs(value)));
  const unit = 10 ** -decimals;
  const rounded = decimals > 0 ? value : Math.round(value / unit) * unit;
  const places = Math.min(Math.max(decimals, 0), 20);
  const options = { minimumFractionDigits: places, maximumFractionDigits: places };
  return rounded.toLocaleString("en", options).replace("-", MINUS);
}

/** Grams of CO2 equivalent in mg, g, kg or t, whichever suits the largest of a column. */
function carbonText(grams, write = significant, largest = grams) {
  const units = [[1e6, "t"], [1e3, "kg"], [largest ? 1 : 0, "g"], [0, "mg"]];
  const [least, unit] = units.find(([from]) => Math.abs(largest) >= from);
  return `${write(grams / (least || (largest ? 1e-3 : 1)))}${NBSP}${unit}`;
}

/** Grams that were set, not computed: 50 mg, not 50.0 mg. */
function setCarbonText(grams) {
  return carbonText(grams, plainText);
}

/** Dice to three decimals. */
function diceText(value) {
  return value.toFixed(3).replace("-", MINUS);
}

/** A difference in Dice with its sign. */
function signedDice(value) {
  return `${value < 0 ? MINUS : "+"}${Math.abs(value).toFixed(3)}`;
}

/** A share in per cent, without decimals. */
function percentText(share) {
  return `${Math.round(100 * share)}${NBSP}%`;
}

/** A share of draws: no number of them shows that something always happens, or never. */
function shareText(share, [more, less] = ["more than", "less than"]) {
  if (share >= 0.995) return `${more} ${percentText(0.99)}`;
  return share < 0.005 ? `${less} ${percentText(0.01)}` : percentText(share);
}

/** The name of a width. */
function widthName(width) {
  return `F${NBSP}=${NBSP}${width.name}`;
}

/** A setting as it was set, at most so many digits. */
function plainText(value, digits = 3) {
  return String(Number(value.toPrecision(digits)));
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The form: native inputs, each number with a slider beside it, kept in step with the settings.

const OWN = "own";
const STOPS = 400;
/** Digits of a number that the table of grids has in more. */
const SHOWN = 4;

/** Make the form show the settings and tell of every change; gives a function that shows other settings. */
function connect(form, study, settings, changed) {
  const criterion = form.querySelector("#explorer-criterion");
  const grid = form.querySelector("#explorer-grid");
  criterion.append(...study.criteria.map(({ name, label }) => new Option(label, name)));
  const places = study.grids.map(({ code, name, g_per_kwh: grams }) => new Option(`${name}, ${significant(grams)} g/kWh`, code));
  const listed = [places.slice(0, study.common), [new Option("a number of my own", OWN)], places.slice(study.common)];
  grid.append(...["Often compared", "Another", "All countries"].map((label, at) => html("optgroup", { label }, ...listed[at])));

  const fields = Object.entries(ranges(study)).map(([name, range]) =>
    numberField(form.querySelector(`[data-setting="${name}"]`), name, range, (value) => {
      changed(name === "intensity" ? { grid: String(value) } : { [name]: value });
    }),
  );
  criterion.addEventListener("change", () => changed({ criterion: criterion.value }));
  grid.addEventListener("change", () => changed({ grid: grid.value === OWN ? String(fields[0].value()) : grid.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault(); // the inputs follow the settings, not their first values
    changed(study.start);
  });

  const show = (now) => {
    const place = study.grids.find(({ code }) => code === now.grid);
    criterion.value = now.criterion;
    grid.value = place ? now.grid : OWN;
    const values = { ...now, intensity: place ? place.g_per_kwh : Number(now.grid) };
    for (const { name, show: showValue, hide } of fields) {
      const elsewhere = Object.values(OPTION_OF).includes(name) && OPTION_OF[now.criterion] !== name;
      hide(elsewhere || !(name in values)); // without a record of use there are no uses
      if (name in values) showValue(values[name]);
    }
    for (const each of form.querySelectorAll("[data-criterion]")) each.hidden = each.dataset.criterion !== now.criterion;
  };
  show(settings);
  return show;
}

/** The ends of each slider, whether it is logarithmic, what a key press moves, and what is said beneath. */
function ranges(study) {
  const { device } = study;
  const { low, high } = study.grams;
  const grids = study.grids.map((grid) => grid.g_per_kwh);
  return {
    intensity: { low: 0, high: Math.ceil(Math.max(...grids) / 50) * 50, step: 1, unit: "g/kWh" },
    pue: { low: 1, high: 2.5, step: 0.01, unit: "times the energy" },
    embodied: {
      low: 0,
      high: 40,
      step: 0.1,
      unit: "g CO₂eq an hour",
      hint: () => `Making an ${device.name.split(" 80GB")[0]}, shared out over ${device.years} years: ${significant(device.g_per_h)} an hour.`,
    },
    budget: { low, high, log: true, unit: "g CO₂eq", hint: inGrams },
    margin: { low: 0, high: 0.1, step: 0.001, unit: "of Dice" },
    weight: { low: 0, high: 1, step: 0.01, unit: "for Dice, the rest for thrift" },
    price: { low: low / 100, high, log: true, unit: "g CO₂eq a point", hint: inGrams },
    // Logarithmic from one crop on, and none before it.
    uses: { low: 1, high: 1e9, log: true, whole: true, unit: "crops", hint: (value) => (value ? `${value.toLocaleString("en")}, each at its width's energy of use.` : "Training alone.") },
  };
}

/** What the book's unit makes of a number of grams, where that is not grams. */
function inGrams(value) {
  return value >= 1 && value < 1000 ? "" : `That is ${setCarbonText(value)}.`;
}

function numberField(box, name, range, changed) {
  const [number, slider] = box.querySelectorAll("input");
  const said = box.querySelector("small");
  const stops = range.log ? STOPS : Math.round((range.high - range.low) / range.step);
  Object.assign(slider, { min: 0, max: stops, step: 1 });
  number.step = range.step ?? "any";
  const fromStop = (stop) => {
    if (!range.log) return Number((range.low + stop * range.step).toPrecision(12));
    if (range.whole && stop === 0) return 0;
    const value = Number((range.low * (range.high / range.low) ** (stop / stops)).toPrecision(3));
    return range.whole ? Math.round(value) : value;
  };
  const toStop = (value) => {
    if (!range.log) return (value - range.low) / range.step;
    return (stops * Math.log(Math.max(value, range.low) / range.low)) / Math.log(range.high / range.low);
  };
  let current = range.low;
  /** Under the number what is wrong with it or what it means; with the slider, its value with the unit. */
  const say = (problem = "") => {
    number.setAttribute("aria-invalid", String(Boolean(problem)));
    box.classList.toggle("explorer-refused", Boolean(problem));
    said.textContent = problem || (range.hint ? range.hint(current) : "");
    slider.setAttribute("aria-valuetext", `${plainText(current, SHOWN)} ${range.unit}`);
  };
  slider.addEventListener("input", () => {
    current = fromStop(Number(slider.value));
    number.value = String(current);
    say();
    changed(current);
  });
  number.addEventListener("input", () => {
    const problem = REFUSALS[name](number.valueAsNumber);
    if (problem) return say(problem);
    current = number.valueAsNumber;
    slider.value = String(Math.round(toStop(current)));
    say();
    changed(current);
  });
  return {
    name,
    value: () => current,
    hide: (hidden) => box.toggleAttribute("hidden", hidden),
    show(value) {
      if (value === current && number.value !== "") return;
      current = value;
      number.value = plainText(value, SHOWN);
      slider.value = String(Math.round(toStop(value)));
      say();
    },
  };
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
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
function placeLabels(points, frame) {
  const taken = points.flatMap(({ x, y, across, down }) => [
    { left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS },
    { left: across[0], right: across[1], top: y - 1, bottom: y + 1 },
    { left: x - 1, right: x + 1, top: down[0], bottom: down[1] },
  ]);
  return points.map((point) => {
    const places = BESIDE.map(([across, down, anchor]) => ({ x: point.x + across, y: point.y + down, anchor }));
    const costs = places.map((place) => {
      const mine = box(place, point.words);
      const outside = overlap(mine, mine) - overlap(mine, frame);
      return taken.reduce((sum, other) => sum + overlap(mine, other), 100 * outside);
    });
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

function overlap(one, other) {
  const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  return Math.max(across, 0) * Math.max(down, 0);
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// From values to places on the page, and where the ticks are.

/** 1, 2 and 5 times every power of ten that carbon may have. */
const MARKS = Array.from({ length: 40 }, (_, place) => place - 20).flatMap((power) => [1, 2, 5].map((factor) => factor * 10 ** power));

/** A logarithmic axis from a mark to another, around all positive values. */
function logScale(values, from, to) {
  const positive = values.filter((value) => value > 0);
  const low = MARKS.findLast((mark) => mark <= Math.min(...positive) / 1.1);
  const high = MARKS.find((mark) => mark >= Math.max(...positive) * 1.1);
  const span = Math.log(high / low);
  return {
    ticks: MARKS.filter((mark) => mark >= low && mark <= high),
    // What costs nothing stands at the edge.
    place: (value) => from + (to - from) * (value > 0 ? Math.max(Math.log(value / low) / span, 0) : 0),
  };
}

/** A linear axis around all values, with round ticks. */
function linearScale(values, from, to, about = 5) {
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

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The picture: Dice against carbon, a point a width, as large as its place allows.

/** Below so many px, names are short. */
const NARROW = 520;
/** A tick's number and the space around it, px. */
const TICK_ROOM = 52;

/** Draw into `place`, which has its height from the style, what `view` holds. */
function draw(place, view) {
  const width = Math.max(place.clientWidth, 280);
  const height = Math.max(place.clientHeight, 150);
  const narrow = width < NARROW;
  const frame = { left: 54, right: width - 10, top: 20, bottom: height - 36 };
  const { sample, study } = view;
  const near = (value) => value > Math.min(...view.ghosts) / 30 && value < Math.max(...view.ghosts) * 30;
  const reachable = view.criterion === "budget" ? [view.settings.budget].filter(near) : [];
  const x = logScale([...view.ranges.flat(), ...view.ghosts, ...reachable], frame.left + 14, frame.right - 14);
  const y = linearScale(study.widths.flatMap(({ low, high }) => [low, high]).concat(sample.performance), frame.bottom, frame.top);
  const points = study.widths.map((each, at) => ({
    x: x.place(sample.cost[at]),
    y: y.place(sample.performance[at]),
    words: narrow ? each.name : widthName(each),
    across: view.ranges[at].map(x.place),
    down: [each.high, each.low].map(y.place),
  }));
  const labels = placeLabels(points, frame);
  const words = `Test Dice against carbon ${spentOn(view)} on a logarithmic axis, one point a width.`;
  const svg = element(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": words },
    ...axes(x, y, frame, narrow ? `CO₂eq ${spentOn(view)} (log)` : `Carbon ${spentOn(view)} (CO₂eq, log scale)`),
    ...limits(view, x, y, frame, reachable),
    ...ghosts(view, x, y),
    frontierLine(view, x, y),
    ...points.map((each, at) => point(view, at, each, labels[at], frame)),
  );
  const focused = [...place.querySelectorAll(".explorer-width")].indexOf(document.activeElement);
  place.replaceChildren(svg);
  if (focused >= 0) svg.querySelectorAll(".explorer-width")[focused].focus();
}

/** What the carbon is of. */
function spentOn({ factors }) {
  return factors.uses ? "of one training and its use" : "of one training";
}

/** A point in words: its name, Dice and carbon. */
function pointText({ study, sample }, at) {
  return `${widthName(study.widths[at])}: Dice ${diceText(sample.performance[at])}, ${carbonText(sample.cost[at])} CO₂eq`;
}

function axes(x, y, frame, title) {
  const parts = [];
  for (const value of thinned(x.ticks, (frame.right - frame.left) / TICK_ROOM)) {
    const at = x.place(value);
    parts.push(line(at, frame.top, at, frame.bottom, "explorer-grid"), text(at, frame.bottom + 14, setCarbonText(value), "middle"));
  }
  const decimals = Math.max(0, -Math.floor(Math.log10(y.step) + 1e-9));
  for (const value of y.ticks) {
    const at = y.place(value);
    parts.push(line(frame.left, at, frame.right, at, "explorer-grid"), text(frame.left - 6, at + 4, value.toFixed(decimals), "end"));
  }
  const middle = (frame.left + frame.right) / 2;
  parts.push(
    text(middle, frame.bottom + 30, title, "middle"),
    text(0, 0, "Test Dice", "middle", { transform: `translate(11 ${(frame.top + frame.bottom) / 2}) rotate(-90)` }),
  );
  return parts;
}

/** The powers of ten, where there is no room for all ticks. */
function thinned(ticks, most) {
  if (ticks.length <= most) return ticks;
  return ticks.filter((value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9);
}

/** What the criterion draws a line at. */
function limits(view, x, y, frame, budgets) {
  if (view.criterion === "noninferior") {
    const top = Math.max(...view.sample.performance);
    const below = Math.min(y.place(top - view.settings.margin), frame.bottom);
    const band = { x: frame.left, y: y.place(top), width: frame.right - frame.left, height: below - y.place(top) };
    return [element("rect", { ...band, class: "explorer-band" })];
  }
  return budgets.flatMap((value) => {
    const at = x.place(value);
    const beyond = { x: at, y: frame.top, width: Math.max(frame.right - at, 0), height: frame.bottom - frame.top };
    const anchor = at < frame.left + 70 ? "start" : at > frame.right - 70 ? "end" : "middle";
    return [
      element("rect", { ...beyond, class: "explorer-beyond" }),
      line(at, frame.top - 4, at, frame.bottom, "explorer-limit"),
      text(at, frame.top - 9, `budget ${setCarbonText(value)}`, anchor),
    ];
  });
}

function ghosts(view, x, y) {
  return view.ghosts.flatMap((cost, at) => {
    const here = x.place(view.sample.cost[at]);
    if (Math.abs(x.place(cost) - here) < 1) return [];
    const height = y.place(view.sample.performance[at]);
    return [element("circle", { cx: x.place(cost), cy: height, r: 4, class: "explorer-ghost" })];
  });
}

/** The staircase under which nothing better is to be had. */
function frontierLine(view, x, y) {
  const { performance, cost } = view.sample;
  const path = walk(performance, cost).map((place, at) => {
    const [across, up] = [x.place(cost[place]), y.place(performance[place])];
    return at ? `H${across} V${up}` : `M${across} ${up}`;
  });
  return element("path", { d: path.join(" "), class: "explorer-frontier" });
}

/** A point with its bars and name; its words show when a pointer or the keyboard is on it. */
function point(view, at, { x, y, words, across, down }, label, frame) {
  const is = at === view.chosen ? "explorer-chosen" : view.frontier[at] ? "explorer-point" : "explorer-off";
  const said = pointText(view, at);
  return element(
    "g",
    { class: `explorer-width ${is}`, tabindex: 0, role: "img", "aria-label": at === view.chosen ? `${said}, chosen` : said },
    line(x, down[0], x, down[1]),
    line(across[0], y, across[1], y),
    element("circle", { cx: x, cy: y, r: at === view.chosen ? 8 : 5.5 }),
    element("ellipse", { cx: x, cy: y, rx: 13, ry: 13, class: "explorer-near" }),
    text(label.x, label.y, words, label.anchor),
    text(frame.left + 6, frame.bottom - 6, said, "start", { class: "explorer-tip" }),
  );
}

function line(x1, y1, x2, y2, name) {
  return element("line", { x1, y1, x2, y2, ...(name ? { class: name } : {}) });
}

function text(x, y, words, anchor, more = {}) {
  return element("text", { x, y, "text-anchor": anchor, ...more }, words);
}

function element(name, attributes, ...content) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

function html(name, properties, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The answer in words: what is chosen, why, what else, and how sure that is.

/** What is chosen and why, then how often the choice repeats and what would be next. */
function answer(view) {
  const reason = REASONS[view.criterion](view);
  const rest = view.chosen < 0 ? [] : [level(view), otherwise(view)];
  return [reason, ...rest, byTheHour(view)].filter(Boolean).join(" ");
}

/** Which width an embodied share, which goes by the hour, takes off the frontier, and for which. */
function byTheHour({ study, sample, factors }) {
  const { performance, cost, durationS } = sample;
  const before = sampleOf(study, sample, { ...factors, embodied: 0 }).cost;
  const was = onFrontier(performance, before);
  const faster = (place) =>
    cost.findIndex((other, at) => before[at] > before[place] && other <= cost[place] && performance[at] >= performance[place]);
  const gone = cost.findIndex((_, place) => was[place] && faster(place) >= 0);
  if (gone < 0) return "";
  const [one, other] = [gone, faster(gone)].map((place) => ({ name: widthName(study.widths[place]), time: significant(durationS[place]) }));
  return `The embodied share takes ${one.name} off the frontier: its electricity emits less than that of ${other.name}, but it trains for longer, ${one.time} against ${other.time}${NBSP}s, and the share goes by the hour.`;
}

const REASONS = {
  best: (view) => `${name(view)} has the highest mean Dice, ${dice(view)}, and emits ${carbon(view)}.`,

  budget(view) {
    const { sample, settings } = view;
    const limit = setCarbonText(settings.budget);
    const within = sample.cost.filter((cost) => cost <= settings.budget).length;
    if (!within) return beyond(view, limit);
    const how = within > 1 ? `Of the ${within} widths within ${limit}, ${name(view)} performs best` : `Only ${name(view)} is within ${limit}`;
    return `${how}: Dice ${dice(view)} for ${carbon(view)}, ${percentText(sample.cost[view.chosen] / settings.budget)} of the budget.`;
  },

  noninferior(view) {
    const { sample, study, settings, chosen } = view;
    const best = bestPlace(sample);
    const margin = plainText(settings.margin);
    if (chosen === best) {
      return `${name(view)} performs best, Dice ${dice(view)} for ${carbon(view)}, and no cheaper width was shown to be within ${margin} of it.`;
    }
    const difference = signedDice(sample.performance[chosen] - sample.performance[best]);
    const limit = `a one-sided ${percentText(CONFIDENCE)} limit of ${signedDice(view.scores[chosen])}`;
    return `${name(view)} is the cheapest, ${carbon(view)}, that is not worse than the best, ${widthName(study.widths[best])}, by more than ${margin}: its difference in Dice is ${difference}, with ${limit}.`;
  },

  weighted: (view) => scoresMost(view, "weighted sum"),

  pepr: (view) => scoresMost(view, "PePR"),

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

function scoresMost(view, what) {
  return `${name(view)} has the largest ${what}, ${diceText(view.scores[view.chosen])}: Dice ${dice(view)} for ${carbon(view)}.`;
}

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
  const again = `On ${draws.length.toLocaleString("en")} other draws of the patients and seeds it is chosen in ${shareText(shares.chosen[chosen])}`;
  const none = 1 - shares.chosen.reduce((sum, share) => sum + share, 0);
  const others = none + shares.chosen[chosen] > 0.995 ? "the other " : "";
  const unfit = none > 0.005 ? `; in ${others}${percentText(none)} nothing fits` : "";
  return `${again}${unfit}${runnerUp < 0 ? "" : `; the runner-up is ${widthName(study.widths[runnerUp])}`}.`;
}

function name({ study, chosen }) {
  return chosen < 0 ? "nothing" : widthName(study.widths[chosen]);
}

function dice({ study, sample, chosen }) {
  const { low, high } = study.widths[chosen];
  return `${diceText(sample.performance[chosen])} (${diceText(low)} to ${diceText(high)})`;
}

function carbon({ sample, chosen }) {
  return `${carbonText(sample.cost[chosen])} CO₂eq`;
}

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The same in tables: every width, and every criterion with the present settings. Cells hold the exact number, too.

const SHORT = [">", "<"];
const OPTION_TEXT = { budget: setCarbonText, margin: plainText, weight: plainText, price: setCarbonText };

/** Fill the table of the widths. */
function fillWidths(table, view) {
  const { study, sample, shares, frontier, chosen, scores } = view;
  table.caption.textContent = `Every width with these settings (${study.n}): Dice with its 95${NBSP}% interval over patients and seeds, mean carbon ${spentOn(view)} (energy ${study.energy}), and the share of ${view.draws.length.toLocaleString("en")} draws of patients and seeds in which the width is on the frontier, and is chosen.`;
  const largest = Math.max(...sample.cost);
  const rows = study.widths.map((width, place) => {
    const cells = [
      ["th", [width.name]],
      ["td", [exact(sample.performance[place], diceText(sample.performance[place])), mark(`${diceText(width.low)}–${diceText(width.high)}`)]],
      ["td", [exact(sample.cost[place], carbonText(sample.cost[place], significant, largest))]],
      ["td", [frontier[place] ? "yes" : "no", mark(shareText(shares.frontier[place], SHORT))]],
      ["td", [exact(shares.chosen[place], shareText(shares.chosen[place], SHORT)), place === chosen ? mark("chosen") : ""]],
    ];
    const made = row(cells, place === chosen);
    Object.assign(made.dataset, { width: width.name, frontier: String(frontier[place]), score: String(scores[place]) });
    return made;
  });
  table.tBodies[0].replaceChildren(...rows);
}

/** Fill the table of the criteria. */
function fillCriteria(table, view) {
  const { study, factors, settings, draws } = view;
  table.caption.textContent = "Every criterion with these settings: the chosen width, its mean Dice and carbon, and the share of the draws in which it is chosen again.";
  const largest = Math.max(...view.sample.cost);
  const rows = study.criteria.map(({ name, label }) => {
    const here = name === view.criterion;
    const found = here ? view : choose(study, factors, name, settings);
    const option = OPTION_OF[name];
    const title = ["th", [label, option ? mark(OPTION_TEXT[option](settings[option])) : ""]];
    const place = found.chosen;
    if (place < 0) return row([title, ...["none", "–", "–", "–"].map((words) => ["td", [words]])], here);
    const again = (here ? view.shares : sharesOf(study, draws, factors, name, settings)).chosen[place];
    const [dice, carbon] = [found.sample.performance[place], found.sample.cost[place]];
    const numbers = [exact(dice, diceText(dice)), exact(carbon, carbonText(carbon, significant, largest)), exact(again, shareText(again, SHORT))];
    return row([title, ...[widthName(study.widths[place]), ...numbers].map((cell) => ["td", [cell]])], here);
  });
  table.tBodies[0].replaceChildren(...rows);
}

function row(cells, current) {
  const made = html("tr", {}, ...cells.map(([kind, content]) => html(kind, kind === "th" ? { scope: "row" } : {}, ...content)));
  if (current) made.setAttribute("aria-current", "true");
  return made;
}

const exact = (value, words) => html("data", { value: String(value) }, words);
const mark = (words) => html("small", {}, words);

// ──────────────────────────────────────────────────────────────────────────────────────────────────
// The explorer: settings in, choice out, every time something moves.

/** The grid on which a reader guesses what the start's budget buys. */
const GUESSED = "NO";
const DRAWS = 1000;
const SEED = 1;
/** How long nothing must move, in ms, before the answer is read aloud. */
const PAUSE = 500;

/** Everything that the picture, the sentence and the tables say of these settings. */
function viewOf(study, draws, settings) {
  const factors = factorsOf(settings, study);
  const recorded = { gPerKwh: study.recorded.g_per_kwh, pue: study.recorded.pue, embodied: 0, uses: 0 };
  const found = choose(study, factors, settings.criterion, settings);
  const costs = study.widths.map((width) =>
    width.trainings.map((training) => carbonGrams(width, training.energy_kwh, training.duration_s, factors)),
  );
  return {
    ...found,
    study,
    draws,
    settings,
    factors,
    criterion: settings.criterion,
    frontier: onFrontier(found.sample.performance, found.sample.cost),
    shares: sharesOf(study, draws, factors, settings.criterion, settings),
    ranges: costs.map((values) => [Math.min(...values), Math.max(...values)]),
    ghosts: sampleOf(study, found.sample, recorded).cost,
  };
}

function start(root) {
  const study = JSON.parse(document.getElementById("explorer-data").textContent);
  const draws = drawnMeans(study, DRAWS, SEED);
  const part = (name) => root.querySelector(`#explorer-${name}`);
  let settings = fromHash(location.hash, study);
  let view;
  let pause;

  const picture = () => draw(part("picture"), view);
  const update = () => {
    view = viewOf(study, draws, settings);
    const said = part("answer");
    said.setAttribute("aria-busy", "true");
    said.textContent = answer(view);
    part("short").textContent = view.chosen < 0 ? "No width fits" : pointText(view, view.chosen);
    part("guessed").textContent = "";
    clearTimeout(pause);
    pause = setTimeout(() => said.removeAttribute("aria-busy"), PAUSE);
    root.dataset.chosen = view.chosen < 0 ? "" : study.widths[view.chosen].name;
    part("recorded").hidden = view.ghosts.every((cost, place) => cost === view.sample.cost[place]);
    picture();
    fillWidths(part("widths"), view);
    fillCriteria(part("criteria"), view);
  };
  const change = (some) => {
    settings = { ...settings, ...some };
    history.replaceState(null, "", toHash(settings, study) || location.pathname + location.search);
    show(settings);
    update();
  };
  const show = connect(part("controls"), study, settings, change);
  addEventListener("hashchange", () => {
    settings = fromHash(location.hash, study);
    show(settings);
    update();
    root.scrollIntoView();
  });
  const before = viewOf(study, draws, study.start);
  for (const guess of study.widths) {
    const button = html("button", { type: "button" }, widthName(guess));
    button.addEventListener("click", () => {
      change({ ...study.start, grid: GUESSED });
      const right = guess === study.widths[view.chosen] ? "Yes" : `Not ${widthName(guess)}`;
      part("guessed").textContent = `${right}: there it buys ${name(view)}, and on the study's own grid ${name(before)}.`;
    });
    part("guesses").append(button);
  }
  part("note").textContent = `${study.title}, ${study.n}; energy ${study.energy}. Points: widths F. Vertical bars: 95${NBSP}% interval of Dice over patients and seeds; horizontal bars: range of carbon over seeds.`;
  root.hidden = false;
  update();
  new ResizeObserver(picture).observe(part("picture"));
}

const explorer = document.getElementById("explorer");
if (explorer) {
  start(explorer); // a test imports the functions into an empty page
}
