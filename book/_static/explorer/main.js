// The explorer: settings in, choice out, every time something moves.

import { choose, sharesOf } from "./choice.js";
import { connect } from "./controls.js";
import { carbonGrams, factorsOf, recordedFactors } from "./cost.js";
import { onFrontier } from "./frontier.js";
import { draw, pictureText } from "./picture.js";
import { drawnMeans, sampleOf } from "./sample.js";
import { answer } from "./sentences.js";
import { fromHash, toHash } from "./settings.js";
import { fillCriteria, fillWidths } from "./tables.js";

const DRAWS = 1000;
const SEED = 1;
/** How long nothing must move, in ms, before the answer is read aloud. */
const PAUSE = 500;

/** Everything that the picture, the sentence and the tables say of these settings. */
export function viewOf(study, draws, settings) {
  const factors = factorsOf(settings, study);
  const found = choose(study, factors, settings.criterion, settings);
  const costs = study.widths.map(({ trainings }) =>
    trainings.map((training) => carbonGrams(training.energy_kwh, training.duration_s, factors)),
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
    ghosts: sampleOf(study, found.sample, recordedFactors(study)).cost,
  };
}

function start(root) {
  const study = JSON.parse(document.getElementById("explorer-data").textContent);
  const draws = drawnMeans(study, DRAWS, SEED);
  const part = (name) => root.querySelector(`#explorer-${name}`);
  let settings = fromHash(location.hash, study);
  let view;
  let pause;

  const picture = () => draw(part("picture"), view, pictureText(view));
  const update = () => {
    view = viewOf(study, draws, settings);
    const said = part("answer");
    said.setAttribute("aria-busy", "true");
    said.textContent = answer(view);
    clearTimeout(pause);
    pause = setTimeout(() => said.removeAttribute("aria-busy"), PAUSE);
    root.dataset.chosen = view.chosen < 0 ? "" : study.widths[view.chosen].name;
    part("recorded").hidden = view.ghosts.every((cost, place) => cost === view.sample.cost[place]);
    picture();
    fillWidths(part("widths"), view);
    fillCriteria(part("criteria"), view);
  };
  const show = connect(part("controls"), study, settings, (change) => {
    settings = { ...settings, ...change };
    history.replaceState(null, "", toHash(settings, study) || location.pathname + location.search);
    show(settings);
    update();
  });
  addEventListener("hashchange", () => {
    settings = fromHash(location.hash, study);
    show(settings);
    update();
  });
  part("note").textContent = `${study.title}, ${study.n}; energy ${study.energy}. Points: widths F. Vertical bars: 95 % interval of Dice over patients and seeds; horizontal bars: range of carbon over seeds.`;
  root.hidden = false;
  update();
  new ResizeObserver(picture).observe(part("picture"));
}

start(document.getElementById("explorer"));
