import base64
import gzip
import hashlib
import math
import re

import pytest

from medseg.report import pages
from medseg.report.niivue import NiiVue


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "∞"),
        (0.0, "0.000"),
        (1, "1.00"),
        (0.5292, "0.529"),
        (12.345, "12.3"),
        (-1234.5, "-1234"),
        (0.00001234, "1.23e-05"),
    ],
)
def test_numbers_are_short(value, shown):
    assert pages.short(value) == shown


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        ("dice", "Dice"),
        ("hd95_mm", "HD95, mm"),
        ("volume_difference_ml", "Volume difference, mL"),
        ("relative_volume_difference_percent", "Relative volume difference, %"),
        ("nsd", "NSD"),
    ],
)
def test_headings_are_words(column, shown):
    assert pages.heading(column) == shown


def test_a_viewer_is_packed_so_that_a_browser_unpacks_it():
    packed = pages.packed(NiiVue("1", "export{é}", "terms"))
    assert gzip.decompress(base64.b64decode(packed)).decode() == "export{é}"


def test_the_policy_names_each_script_by_its_hash_and_no_address(pages):
    content = (pages / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', content)[1]
    policy = policy.replace("&#39;", "'")
    script = re.search(r"<script>(.*?)</script>", content, flags=re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
