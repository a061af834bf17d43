"""Photograph a page of a report in a headless Chromium: the picture in the README.

Usage: python docs/draw_report.py PAGE.html -o PICTURE.png
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

SOFTWARE_GRAPHICS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
COLOURS = 256


def main() -> None:
    """Open the page, wait for its viewer, and keep the part from the top to the controls."""
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*SOFTWARE_GRAPHICS, "--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.goto(given.page.resolve().as_uri())
        page.wait_for_selector("body[data-viewer=ready]", timeout=120_000)
        page.wait_for_timeout(500)
        end = page.locator(".controls").bounding_box()
        high = end["y"] + end["height"] + 12 if end else 900
        clip = {"x": 0, "y": 0, "width": 1000, "height": high}
        page.screenshot(path=given.output, clip=clip, full_page=True)
        browser.close()
    whole = Image.open(given.output).convert("RGB")
    whole.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(given.output, optimize=True)


if __name__ == "__main__":
    main()
