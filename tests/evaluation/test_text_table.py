import math

from medseg.evaluation.text_table import TextTable, escaped, number, signed


def test_words_stand_left_and_numbers_right_in_markdown():
    table = TextTable("Scores", ("case", "dice"), (("a|b", "0.5"),), words=1)
    assert table.markdown() == "| case | dice |\n| --- | ---: |\n| a\\|b | 0.5 |"


def test_numbers_have_four_decimals_and_nan_is_a_dash():
    assert [number(0.25), number(math.nan), number(math.inf)] == ["0.2500", "-", "inf"]
    assert [signed(0.25), signed(-1), signed(math.nan)] == ["+0.2500", "-1.0000", "-"]


def test_a_backslash_and_a_bar_are_escaped():
    assert escaped("a\\b|c") == "a\\\\b\\|c"
