// The same in tables: every width, and every criterion with the present settings. Cells hold the exact number, too.

import { choose, sharesOf } from "./choice.js";
import { OPTION_OF } from "./settings.js";
import { carbonText, diceText, percentText, plainText, setCarbonText } from "./wording.js";

const OPTION_TEXT = { budget: setCarbonText, margin: plainText, weight: plainText, price: setCarbonText };

/** Fill the table of the widths. */
export function fillWidths(table, view) {
  const { study, sample, shares, frontier, chosen, scores } = view;
  table.caption.textContent = `Every width with these settings (${study.n}): Dice with its 95 % interval over patients and seeds, mean carbon of one training (energy ${study.energy}), and the share of ${view.draws.length.toLocaleString("en")} draws of patients and seeds in which the width is on the frontier, and is chosen.`;
  const rows = study.widths.map((width, place) => {
    const cells = [
      ["th", [width.name]],
      ["td", [exact(sample.performance[place], diceText(sample.performance[place])), mark(`${diceText(width.low)}–${diceText(width.high)}`)]],
      ["td", [exact(sample.cost[place], carbonText(sample.cost[place]))]],
      ["td", [frontier[place] ? "yes" : "no", mark(percentText(shares.frontier[place]))]],
      ["td", [exact(shares.chosen[place], percentText(shares.chosen[place])), place === chosen ? mark("chosen") : ""]],
    ];
    const made = row(cells, place === chosen);
    Object.assign(made.dataset, { width: width.name, frontier: String(frontier[place]), score: String(scores[place]) });
    return made;
  });
  table.tBodies[0].replaceChildren(...rows);
}

/** Fill the table of the criteria. */
export function fillCriteria(table, view) {
  const { study, factors, settings, draws } = view;
  table.caption.textContent = "Every criterion with these settings: the chosen width, its mean Dice and carbon, and the share of the draws in which it is chosen again.";
  const rows = study.criteria.map(({ name, label }) => {
    const here = name === view.criterion;
    const found = here ? view : choose(study, factors, name, settings);
    const option = OPTION_OF[name];
    const title = ["th", [label, option ? mark(OPTION_TEXT[option](settings[option])) : ""]];
    if (found.chosen < 0) return row([title, ["td", ["none"]], ["td", ["–"]], ["td", ["–"]], ["td", ["–"]]], here);
    const again = (here ? view.shares : sharesOf(study, draws, factors, name, settings)).chosen[found.chosen];
    const { performance, cost } = found.sample;
    return row(
      [
        title,
        ["td", [`F\u00a0=\u00a0${study.widths[found.chosen].name}`]],
        ["td", [exact(performance[found.chosen], diceText(performance[found.chosen]))]],
        ["td", [exact(cost[found.chosen], carbonText(cost[found.chosen]))]],
        ["td", [exact(again, percentText(again))]],
      ],
      here,
    );
  });
  table.tBodies[0].replaceChildren(...rows);
}

function row(cells, current) {
  const made = document.createElement("tr");
  if (current) made.setAttribute("aria-current", "true");
  for (const [kind, content] of cells) {
    const cell = document.createElement(kind);
    if (kind === "th") cell.scope = "row";
    cell.append(...content);
    made.append(cell);
  }
  return made;
}

function exact(value, words) {
  const made = document.createElement("data");
  made.value = String(value);
  made.textContent = words;
  return made;
}

function mark(words) {
  const made = document.createElement("small");
  made.textContent = words;
  return made;
}
