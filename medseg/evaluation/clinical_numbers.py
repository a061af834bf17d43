"""Clinical numbers of predictions beside those of the references, and how well they agree.

Source: Bland, Altman 1986, https://doi.org/10.1016/S0140-6736(86)90837-8
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from medseg.errors import UsageError
from medseg.evaluation import clinical
from medseg.evaluation.clinical import Number, VolumesMl
from medseg.evaluation.pair import Status
from medseg.evaluation.score import Score, Scores
from medseg.task import Task

_LIMITS: Final = 1.96
"""Standard deviations on either side that hold 95 % of normal differences."""


@dataclass(frozen=True)
class Measured:
    """One quantity of one subject in the reference and in the prediction.

    Attributes:
        subject: The case or patient.
        quantity: What was measured.
        unit: Its unit.
        reference: NaN where it is not defined.
        prediction: Counts as 0 where it is not defined but the reference is.
    """

    subject: str
    quantity: str
    unit: str
    reference: float
    prediction: float

    @property
    def status(self) -> Status | None:
        """Which of the two sides are not 0; None if the reference does not define it."""
        if math.isnan(self.error):
            return None
        return Status.of(reference=self.reference != 0, prediction=self.prediction != 0)

    @property
    def error(self) -> float:
        """Prediction minus reference, in the quantity's unit."""
        return self.prediction - self.reference

    @property
    def error_percent(self) -> float:
        """The error in percent of the reference; NaN if that is 0."""
        return 100 * self.error / self.reference if self.reference else math.nan


@dataclass(frozen=True)
class Agreement:
    """One quantity over all subjects; NaN where too few are defined.

    Attributes:
        quantity: What was measured.
        unit: Of all that follows, where nothing else is said.
        subjects: How many are defined on both sides.
        undefined: How many are not, and are left out of all that follows.
        missed: How many of the subjects are 0 in the prediction alone.
        false_alarm: How many are 0 in the reference alone.
        absent: How many are 0 in both, and hence without error.
        reference: Mean of the references.
        prediction: Mean of the predictions.
        error: Mean of prediction minus reference: the bias.
        limits: The 95 % limits of agreement: the bias less and plus 1.96 standard deviations of
            the error.
        absolute_error: Mean size of the error.
        absolute_error_percent: Mean size of the error in percent of the reference, over the
            subjects whose reference is not 0.
        correlation: Pearson's.
    """

    quantity: str
    unit: str
    subjects: int
    undefined: int
    missed: int
    false_alarm: int
    absent: int
    reference: float
    prediction: float
    error: float
    limits: tuple[float, float]
    absolute_error: float
    absolute_error_percent: float
    correlation: float


@dataclass(frozen=True)
class ClinicalNumbers:
    """The clinical numbers of a cohort.

    Attributes:
        rows: By subject and quantity.
        left_out: What the task defines but could not be computed for want of the data set's files.
    """

    rows: tuple[Measured, ...] = ()
    left_out: tuple[str, ...] = ()

    def agreements(self) -> list[Agreement]:
        """Return how well each quantity agrees, in the order they were measured."""
        by_quantity: dict[str, list[Measured]] = {}
        for row in self.rows:
            by_quantity.setdefault(row.quantity, []).append(row)
        return [_agreement(rows) for rows in by_quantity.values()]

    def summary(self) -> dict[str, Any]:
        """Return the agreement by quantity, ready for JSON; null stands for what is not defined."""
        return {each.quantity: _document(each) for each in self.agreements()}

    def table(self) -> str:
        """Return every number as CSV, with its error: signed, absolute, in percent."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            [
                *("subject", "quantity", "unit", "reference", "prediction"),
                *("error", "absolute_error", "error_percent"),
            ]
        )
        for row in self.rows:
            errors = (row.error, abs(row.error), row.error_percent)
            values = map(repr, (row.reference, row.prediction, *errors))
            writer.writerow([row.subject, row.quantity, row.unit, *values])
        return text.getvalue()


NOTHING: Final = ClinicalNumbers()
"""What there is where nothing was measured."""


def needs_data(task: Task) -> bool:
    """Tell whether a clinical number of `task` is computed from the data set's own files.

    Raises:
        UsageError: The task names clinical numbers that do not exist or lacks their regions.
    """
    return any(_chosen(name, task).NEEDS_DATA for name in task.clinical)


def require_data(task: Task, cases: Sequence[str], data: Path | None) -> None:
    """Check before anything is scored that `measure` will find what it needs.

    Args:
        task: Its `clinical` names what applies.
        cases: That will be scored.
        data: The folder of the data set's own files, if one was given.

    Raises:
        UsageError: The task names clinical numbers that do not exist or lacks their regions, or
            `data` is given but the task makes no use of it.
        DataError: The data set's files are incomplete.
    """
    chosen = [_chosen(name, task) for name in task.clinical]
    needing = [each for each in chosen if each.NEEDS_DATA]
    if data is not None and not needing:
        raise UsageError(
            f"task {task.name} makes no use of the data set's own files", remedy="Leave out --data"
        )
    if data is not None:
        empty = {case: dict.fromkeys(task.region_names, 0.0) for case in cases}
        for each in needing:
            each.compute(empty, data)


def measure(scores: Scores, task: Task, data: Path | None = None) -> ClinicalNumbers:
    """Compute all that the task defines, of references and predictions.

    Args:
        scores: Of all cases, by any convention.
        task: Its `clinical` names what applies.
        data: The folder of the data set's own files; what needs it is left out without.

    Raises:
        UsageError: The task names clinical numbers that do not exist, or lacks their regions.
        DataError: The data set's files are incomplete.
    """
    rows: list[Measured] = []
    left_out = []
    for name in task.clinical:
        chosen = _chosen(name, task)
        if chosen.NEEDS_DATA and data is None:
            left_out.append(name)
            continue
        known = chosen.compute(_volumes_ml(scores.rows, 0), data)
        found = chosen.compute(_volumes_ml(scores.rows, 1), data)
        rows += [
            Measured(one.subject, one.quantity, one.unit, one.value, _counted(one, other))
            for one, other in zip(known, found, strict=True)
        ]
    return ClinicalNumbers(tuple(rows), tuple(left_out))


def measure_predictions(
    volumes_ml: VolumesMl, task: Task, data: Path | None = None
) -> ClinicalNumbers:
    """Compute all that the task defines where no reference is known; that side is NaN.

    Args:
        volumes_ml: Of every region of the task, by case.
        task: Its `clinical` names what applies.
        data: The folder of the data set's own files; what needs it is left out without.

    Raises:
        UsageError: The task names clinical numbers that do not exist, or lacks their regions.
        DataError: The data set's files are incomplete.
    """
    chosen = {name: _chosen(name, task) for name in task.clinical}
    left_out = [name for name, each in chosen.items() if each.NEEDS_DATA and data is None]
    rows = [
        Measured(one.subject, one.quantity, one.unit, math.nan, one.value)
        for name, each in chosen.items()
        if name not in left_out
        for one in each.compute(volumes_ml, data)
    ]
    return ClinicalNumbers(tuple(rows), tuple(left_out))


def _chosen(name: str, task: Task) -> clinical.Clinical:
    if name not in clinical.names():
        raise UsageError(
            f"task {task.name} names the clinical numbers {name!r}, which do not exist",
            remedy=f"Choose from {', '.join(clinical.names())}",
        )
    chosen = clinical.load(name)
    lacking = [region for region in chosen.REGIONS if region not in task.region_names]
    if lacking:
        raise UsageError(
            f"task {task.name} lacks regions that {name} is computed from: {', '.join(lacking)}",
            remedy=f"Name its regions so, or take {name} out of the task",
        )
    return chosen


def _counted(known: Number, found: Number) -> float:
    """Return a prediction's value: 0, if a missed structure leaves it undefined.

    Else the mean error would be smaller for it.
    """
    return 0.0 if math.isnan(found.value) and not math.isnan(known.value) else found.value


def _volumes_ml(rows: Sequence[Score], side: int) -> VolumesMl:
    volumes: dict[str, dict[str, float]] = {}
    for row in rows:
        volumes.setdefault(row.case, {})[row.region] = row.volumes_ml[side]
    return volumes


def _agreement(rows: Sequence[Measured]) -> Agreement:
    known = [row for row in rows if not math.isnan(row.error)]
    counts = Counter(row.status for row in known)
    errors = np.array([row.error for row in known])
    percents = [row.error_percent for row in known if not math.isnan(row.error_percent)]
    bias = _mean(errors)
    half = _LIMITS * float(errors.std(ddof=1)) if len(known) > 1 else math.nan
    return Agreement(
        quantity=rows[0].quantity,
        unit=rows[0].unit,
        subjects=len(known),
        undefined=len(rows) - len(known),
        missed=counts[Status.MISSED],
        false_alarm=counts[Status.FALSE_ALARM],
        absent=counts[Status.ABSENT],
        reference=_mean([row.reference for row in known]),
        prediction=_mean([row.prediction for row in known]),
        error=bias,
        limits=(bias - half, bias + half),
        absolute_error=_mean(np.abs(errors)),
        absolute_error_percent=_mean(np.abs(percents)),
        correlation=_correlation(known),
    )


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _correlation(rows: Sequence[Measured]) -> float:
    """Return Pearson's correlation; NaN if one side does not vary."""
    both = np.array([(row.reference, row.prediction) for row in rows]).reshape(-1, 2)
    if len(both) < 2 or (np.ptp(both, axis=0) == 0).any():
        return math.nan
    return float(np.corrcoef(both.T)[0, 1])


def _document(agreement: Agreement) -> dict[str, Any]:
    numbers = {
        "mean_reference": agreement.reference,
        "mean_prediction": agreement.prediction,
        "mean_error": agreement.error,
        "mean_absolute_error": agreement.absolute_error,
        "mean_absolute_error_percent": agreement.absolute_error_percent,
        "correlation": agreement.correlation,
    }
    limits = None if math.isnan(agreement.limits[0]) else list(agreement.limits)
    return {
        "unit": agreement.unit,
        "subjects": agreement.subjects,
        "undefined": agreement.undefined,
        "missed": agreement.missed,
        "false_alarm": agreement.false_alarm,
        "absent": agreement.absent,
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        "limits_of_agreement": limits,
    }
