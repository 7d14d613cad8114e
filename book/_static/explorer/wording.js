// Numbers as the book prints them.

const NBSP = "\u00a0";
const MINUS = "\u2212";

/** Three significant digits without an exponent, thousands separated. */
export function significant(value, digits = 3) {
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

/** Grams of CO2 equivalent in mg, g or kg. */
export function carbonText(grams, write = significant) {
  if (Math.abs(grams) < 1 && grams !== 0) return `${write(grams * 1e3)}${NBSP}mg`;
  if (Math.abs(grams) >= 1e3) return `${write(grams / 1e3)}${NBSP}kg`;
  return `${write(grams)}${NBSP}g`;
}

/** Grams that were set, not computed: 50 mg, not 50.0 mg. */
export function setCarbonText(grams) {
  return carbonText(grams, plainText);
}

/** Dice to three decimals. */
export function diceText(value) {
  return value.toFixed(3).replace("-", MINUS);
}

/** A difference in Dice with its sign. */
export function signedDice(value) {
  return `${value < 0 ? MINUS : "+"}${Math.abs(value).toFixed(3)}`;
}

/** A share in per cent, without decimals. */
export function percentText(share) {
  return `${Math.round(100 * share)}${NBSP}%`;
}

/** The name of a width. */
export function widthName(width) {
  return `F${NBSP}=${NBSP}${width.name}`;
}

/** A setting as it was set, at most three digits. */
export function plainText(value) {
  return String(Number(value.toPrecision(3)));
}
