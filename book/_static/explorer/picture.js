// The picture: Dice against carbon, a point a width, as large as its place allows.

import { walk } from "./frontier.js";
import { placeLabels } from "./labels.js";
import { linearScale, logScale } from "./scales.js";
import { carbonText, diceText, setCarbonText, widthName } from "./wording.js";

/** Below so many px, names are short. */
const NARROW = 520;
/** A tick's number and the space around it, px. */
const TICK_ROOM = 52;

/** Draw into `place` what `view` holds; the text for those who cannot see it is `label`. */
export function draw(place, view, label) {
  const width = Math.max(place.clientWidth, 280);
  const height = Math.round(Math.min(Math.max(width * 0.56, 250), 380));
  const frame = { left: 54, right: width - 10, top: 24, bottom: height - 44 };
  const narrow = width < NARROW;
  const { sample, study } = view;
  const lines = view.criterion === "budget" ? [view.settings.budget] : [];
  const reachable = lines.filter((value) => value > Math.min(...view.ghosts) / 30 && value < Math.max(...view.ghosts) * 30);
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
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  svg.append(
    ...axes(x, y, frame, narrow),
    ...limits(view, x, y, frame, reachable),
    ...ghosts(view, x, y),
    frontierLine(view, x, y),
    ...points.map((each, at) => point(view, at, each, labels[at])),
  );
  place.replaceChildren(svg);
}

/** The picture in words. */
export function pictureText(view) {
  const { sample, study, chosen } = view;
  const points = study.widths.map(
    (width, at) => `${widthName(width)} at ${carbonText(sample.cost[at])} and Dice ${diceText(sample.performance[at])}`,
  );
  const last = chosen < 0 ? "None is chosen." : `${widthName(study.widths[chosen])} is chosen.`;
  return `Test Dice against carbon of one training on a logarithmic axis, one point a width: ${points.join("; ")}. ${last}`;
}

function axes(x, y, frame, narrow) {
  const parts = [];
  for (const value of thinned(x.ticks, (frame.right - frame.left) / TICK_ROOM)) {
    const at = x.place(value);
    parts.push(line(at, frame.top, at, frame.bottom, "explorer-grid"), text(at, frame.bottom + 17, setCarbonText(value), "middle"));
  }
  const decimals = Math.max(0, -Math.floor(Math.log10(y.step) + 1e-9));
  for (const value of y.ticks) {
    const at = y.place(value);
    parts.push(line(frame.left, at, frame.right, at, "explorer-grid"), text(frame.left - 6, at + 4, value.toFixed(decimals), "end"));
  }
  const middle = (frame.left + frame.right) / 2;
  parts.push(
    text(middle, frame.bottom + 36, narrow ? "Carbon of one training (CO₂eq, log)" : "Carbon footprint of one training (CO₂eq, log scale)", "middle"),
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

function point(view, at, { x, y, words, across, down }, label) {
  const is = at === view.chosen ? "explorer-chosen" : view.frontier[at] ? "explorer-point" : "explorer-off";
  const group = element("g", { class: `explorer-width ${is}` });
  group.append(
    line(x, down[0], x, down[1]),
    line(across[0], y, across[1], y),
    element("circle", { cx: x, cy: y, r: at === view.chosen ? 8 : 5.5 }),
    text(label.x, label.y, words, label.anchor),
  );
  return group;
}

function line(x1, y1, x2, y2, name) {
  return element("line", { x1, y1, x2, y2, ...(name ? { class: name } : {}) });
}

function text(x, y, words, anchor, more = {}) {
  const made = element("text", { x, y, "text-anchor": anchor, ...more });
  made.textContent = words;
  return made;
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
