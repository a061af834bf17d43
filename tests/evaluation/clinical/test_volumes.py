from medseg.evaluation.clinical import Number, volumes


def test_every_region_of_every_case_has_a_volume():
    given = {"a": {"whole": 12.5, "core": 0.0}, "b": {"whole": 3.0, "core": 1.0}}
    assert volumes.compute(given) == [
        Number("a", "whole volume", "mL", 12.5),
        Number("a", "core volume", "mL", 0.0),
        Number("b", "whole volume", "mL", 3.0),
        Number("b", "core volume", "mL", 1.0),
    ]
