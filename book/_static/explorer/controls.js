// The form: native inputs, each number with a slider beside it, kept in step with the settings.

import { OPTION_OF, REFUSALS } from "./settings.js";
import { setCarbonText, significant } from "./wording.js";

const OWN = "own";
const STOPS = 400;
/** Digits of a number that the table of grids has in more. */
const SHOWN = 4;

/** Make the form show the settings and tell of every change; gives a function that shows other settings. */
export function connect(form, study, settings, changed) {
  const criterion = form.querySelector("#explorer-criterion");
  const grid = form.querySelector("#explorer-grid");
  criterion.append(...study.criteria.map(({ name, label }) => new Option(label, name)));
  const places = study.grids.map(({ code, name, g_per_kwh: grams }) => new Option(`${name}, ${significant(grams)} g/kWh`, code));
  grid.append(...places, new Option("a number of my own", OWN));

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
    for (const field of fields) {
      field.show(values[field.name]);
      field.hide(Object.values(OPTION_OF).includes(field.name) && OPTION_OF[now.criterion] !== field.name);
    }
    const { assumption } = study.criteria.find(({ name }) => name === now.criterion);
    form.querySelector("#explorer-assumption").textContent = `Assumes: ${assumption}`;
  };
  show(settings);
  return show;
}

/** The ends of each slider, whether it is logarithmic, what a key press moves, and what is said beneath. */
function ranges(study) {
  const { low, high } = study.grams;
  const [device] = study.devices;
  const grids = study.grids.map((grid) => grid.g_per_kwh);
  return {
    intensity: { low: 0, high: Math.ceil(Math.max(...grids) / 50) * 50, step: 1 },
    pue: { low: 1, high: 2.5, step: 0.01 },
    embodied: {
      low: 0,
      high: 40,
      step: 0.1,
      hint: () => `Making an ${device.name.split(" 80GB")[0]}, shared out over ${device.years} years: ${significant(device.g_per_h)} an hour.`,
    },
    budget: { low, high, log: true, hint: inGrams },
    margin: { low: 0, high: 0.1, step: 0.001 },
    weight: { low: 0, high: 1, step: 0.01 },
    price: { low: low / 100, high, log: true, hint: inGrams },
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
    return Number((range.low * (range.high / range.low) ** (stop / stops)).toPrecision(3));
  };
  const toStop = (value) => {
    if (!range.log) return (value - range.low) / range.step;
    return (stops * Math.log(Math.max(value, range.low) / range.low)) / Math.log(range.high / range.low);
  };
  let current = range.low;
  const say = (problem) => {
    number.setAttribute("aria-invalid", String(Boolean(problem)));
    box.classList.toggle("explorer-refused", Boolean(problem));
    said.textContent = problem || (range.hint ? range.hint(current) : "");
  };
  const place = (value) => {
    slider.value = String(Math.round(toStop(value)));
    slider.setAttribute("aria-valuetext", String(value));
  };
  slider.addEventListener("input", () => {
    current = fromStop(Number(slider.value));
    number.value = String(current);
    slider.setAttribute("aria-valuetext", number.value);
    say("");
    changed(current);
  });
  number.addEventListener("input", () => {
    const problem = REFUSALS[name](number.valueAsNumber);
    if (!problem) current = number.valueAsNumber;
    say(problem);
    if (problem) return;
    place(current);
    changed(current);
  });
  return {
    name,
    value: () => current,
    hide: (hidden) => box.toggleAttribute("hidden", hidden),
    show(value) {
      if (value === current && number.value !== "") return;
      current = value;
      number.value = String(Number(value.toPrecision(SHOWN)));
      place(value);
      say("");
    },
  };
}
