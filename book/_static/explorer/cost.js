// From energy and time to carbon, as carbon_midl/selection/candidates.py.

/** gCO2eq of energy before PUE and of the hours of use. */
export function carbonGrams(energyKwh, durationS, factors) {
  return energyKwh * (factors.pue * factors.gPerKwh) + (factors.embodied / 3600) * durationS;
}

/** The factors of the settings: a grid is a place of the table, or its intensity as a number. */
export function factorsOf(settings, study) {
  const place = study.grids.find((grid) => grid.code === settings.grid);
  return {
    gPerKwh: place ? place.g_per_kwh : Number(settings.grid),
    pue: settings.pue,
    embodied: settings.embodied,
  };
}

/** The factors under which the study was recorded. */
export function recordedFactors(study) {
  return { gPerKwh: study.recorded.g_per_kwh, pue: study.recorded.pue, embodied: 0 };
}
