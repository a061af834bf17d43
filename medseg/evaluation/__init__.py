"""How good a prediction is: regions compared with a reference, case by case."""

from medseg.evaluation.arrays import score_arrays, score_masks

__all__ = ["score_arrays", "score_masks"]
