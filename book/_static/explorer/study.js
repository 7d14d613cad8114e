// The study as it was recorded: the widths, each with its trainings and their Dice on the same test patients.

/** All widths but one. */
export function without(study, place) {
  const rest = (values) => values.filter((_, other) => other !== place);
  return { ...study, widths: rest(study.widths), below: rest(study.below).map(rest) };
}

/** Arithmetic mean. */
export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
