// What a reader can set, which values can be, and the address that keeps them.

/** The setting that each criterion has, if it has one. */
export const OPTION_OF = { budget: "budget", noninferior: "margin", weighted: "weight", marginal: "price" };

/** What is wrong with a number, in a sentence; nothing where it can be. The library refuses the same. */
export const REFUSALS = {
  intensity: (value) => (value >= 0 && value < Infinity ? "" : "Carbon intensity is a number from 0."),
  pue: (value) => (value >= 1 && value < Infinity ? "" : "PUE is at least 1."),
  embodied: (value) => (value >= 0 && value < Infinity ? "" : "An embodied share is a number from 0."),
  budget: (value) => (value > 0 && value < Infinity ? "" : "A budget is a number above 0."),
  margin: (value) => (value >= 0 && value < 1 ? "" : "A margin is a number from 0 to below 1."),
  weight: (value) => (value >= 0 && value <= 1 ? "" : "A weight is a number from 0 to 1."),
  price: (value) => (value >= 0 && value < Infinity ? "" : "A price is a number from 0."),
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
