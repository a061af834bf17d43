"""How good a prediction is: regions compared with a reference, case by case."""
