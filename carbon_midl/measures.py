"""How sure means and their differences are: scores that vary with the patient and with the training.

Scores have the shape (candidates, patients, trainings). Patients are the same for all candidates; trainings are each
candidate's own, and NaN fills up where it has fewer. Replicates that all candidates share, as folds, count as patients
with one training each; replicates that they do not share, as seeds, as trainings scored on a single patient.
"""

import numpy as np


def difference_errors(scores: np.ndarray, reference: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of each candidate's difference in mean from one of them, and its degrees of freedom.

    Three things vary: how a patient suits a candidate, how well a training goes, and how a training suits a patient.
    The third, the interaction, is in the variance between trainings and in that of the paired differences between
    patients, so it is subtracted once: the ANOVA estimator of crossed random effects, with Satterthwaite's degrees of
    freedom. With one training each this is the paired t test, with one patient Welch's.

    In 20,000 simulated studies with the variances of ``results/lidc`` (138 patients, 5 trainings), the 95 % t interval
    covers the true difference in 95.6 % (97.2 % were the interaction counted twice).

    Returns:
        Two arrays of shape (candidates,). The error is 0 for the reference and NaN where nothing varies.
    """
    by_patient, own, squares = _variances(scores)
    patient_freedom = max(scores.shape[1] - 1, 1)
    between = (by_patient - by_patient[reference]).var(axis=1) / patient_freedom
    variance = between + own + own[reference]
    variance[reference] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / (between**2 / patient_freedom + squares + squares[reference])
    return np.sqrt(variance), np.where(variance > 0, freedom, np.inf)


def could_be_best(scores: np.ndarray, confidence: float = 0.95, draws: int = 10_000, seed: int = 0) -> np.ndarray:
    """Which candidates could have the largest mean; the one that truly has it is among them with this confidence.

    Multiple comparisons with the best (Hsu 1984, "Constrained simultaneous confidence intervals for multiple
    comparisons with the best", Annals of Statistics 12(3):1136-1144). Each candidate is tested against all others at
    once, and left out where one of them is shown to be better. The tests are one-sided t tests, each with its own
    degrees of freedom; their joint level follows from ``draws`` of normal means, correlated as the observed ones.

    Where all means are equal, the hardest case, the best is kept in 95.6 % of 5,000 studies simulated as for
    `difference_errors`.

    Returns:
        True or False, shape (candidates,). Without a standard error nothing is shown, and all are True.
    """
    from scipy.special import ndtri, stdtr

    by_patient, own, _ = _variances(scores)
    count, patients = by_patient.shape
    means = by_patient.mean(axis=1)
    centred = by_patient - means[:, None]
    covariance = centred @ centred.T / (patients * max(patients - 1, 1)) + np.diag(np.nan_to_num(own))
    drawn = np.random.default_rng(seed).multivariate_normal(np.zeros(count), covariance, draws).T
    could = np.ones(count, dtype=bool)
    for place in range(count):
        error, freedom = difference_errors(scores, place)
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.nan_to_num(stdtr(freedom, (means - means[place]) / error)).max()
        # The joint level is lower than that of a single test, by no more than Bonferroni says.
        if confidence < level < 1 - (1 - confidence) / (count - 1):
            leads = (drawn - drawn[place]) / np.where(error > 0, error, np.inf)[:, None]
            level = (leads.max(axis=0) < ndtri(level)).mean()
        could[place] = level <= confidence
    return could


def _variances(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means by patient, (candidates, patients); variance of each mean from trainings alone; terms of its freedom."""
    patients, trainings = scores.shape[1], np.isfinite(scores[:, 0]).sum(axis=1)
    by_patient, by_training = np.nanmean(scores, axis=2), scores.mean(axis=1)
    grand = by_patient.mean(axis=1)[:, None]
    residuals = scores - by_patient[:, :, None] - by_training[:, None] + grand[:, None]
    training_freedom = np.maximum(trainings - 1, 1)
    interaction_freedom = training_freedom * max(patients - 1, 1)
    # A single training tells nothing of others; beside several patients that is left out, alone it is all there is.
    unknown = np.nan if patients == 1 else 0.0
    between = np.nansum((by_training - grand) ** 2, axis=1) / (trainings * training_freedom)
    between = np.where(trainings > 1, between, unknown)
    interaction = np.nansum(residuals**2, axis=(1, 2)) / (patients * trainings * interaction_freedom)
    squares = between**2 / training_freedom + interaction**2 / interaction_freedom
    return by_patient, np.maximum(between - interaction, 0), squares
