// The study as it was recorded: the widths, each with its trainings and their Dice on the same test patients.

/** The recorded study, with each patient's Dice averaged over the trainings of a width; `below` as in criteria.js. */
export function readStudy(json) {
  const widths = json.widths.map((width) => ({ ...width, byPatient: patientMeans(width.trainings) }));
  return { ...json, widths, below: [] };
}

/** All widths but one. */
export function without(study, place) {
  return { ...study, widths: study.widths.filter((_, other) => other !== place), below: [] };
}

/** Arithmetic mean. */
export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function patientMeans(trainings) {
  return trainings[0].dice.map((_, patient) => mean(trainings.map((training) => training.dice[patient])));
}
