"""The pages in a real browser: they load, show, answer to mouse and keys, and keep nobody out."""

import io
import os
import shutil
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.fake_results import NASTY, SHAPE, bodies

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SOFTWARE_GRAPHICS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
COLOURS = {"rim": (0x40, 0xA0, 0x60), "mantle": (0x40, 0x60, 0xD0), "inner": (0xD0, 0x40, 0x40)}
VALUES = {"rim": 1, "mantle": 2, "inner": 4}
READY = "body[data-viewer=ready]"
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("MEDSEG_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("there is no Chromium; install the package 'chromium', or set MEDSEG_CHROMIUM")
    from playwright.sync_api import sync_playwright

    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        arguments = [*SOFTWARE_GRAPHICS, *sandbox, "--disable-dev-shm-usage"]
        opened = playwright.chromium.launch(executable_path=found, args=arguments)
        yield opened
        opened.close()


def address_of(path):
    return "file://" + quote(str(path))


@pytest.fixture(scope="module")
def opened(browser, pages):
    """A case's page with its viewer, and all that it asked for and complained of."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(address_of(pages / f"{NASTY}.html"))
    page.wait_for_selector(READY)
    yield page
    page.close()


@pytest.fixture
def viewer(opened):
    """The opened page, its controls as they were at first but for what hides the overlay."""
    opened.emulate_media(media="screen", color_scheme="light")
    opened.set_viewport_size({"width": 1200, "height": 900})
    for box in opened.query_selector_all("input.label"):
        box.set_checked(True)
    opened.set_checked("#crosshair", False)
    opened.select_option("#plane", label="Axial")
    slide(opened, "opacity", 1)
    slide(opened, "place-2", 10)
    return opened


def slide(page, name, value):
    page.eval_on_selector(
        f"#{name}",
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def seen(page, selector="#slices"):
    """Return what is on the screen, as rows of colours."""
    shot = page.locator(selector).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def where(picture, label, tolerance=12):
    return (abs(picture - COLOURS[label]) <= tolerance).all(axis=-1)


def value_of(page, name):
    return float(page.eval_on_selector(f"#{name}", "slider => slider.value"))


def test_a_page_loads_without_errors_and_asks_nobody(opened):
    assert opened.complaints == []
    assert {address.split(":")[0] for address in opened.asked} <= {"file", "blob", "data"}
    assert [address for address in opened.asked if address.startswith("file")] == [opened.url]


def test_no_address_is_allowed_and_no_other_script(browser, pages):
    page = browser.new_page()
    page.goto(address_of(pages / "index.html"))
    blocked = page.evaluate(
        """async () => {
          const told = [];
          const tell = (event) => told.push(event.effectiveDirective);
          document.addEventListener("securitypolicyviolation", tell);
          const picture = Object.assign(new Image(), { src: "https://example.invalid/a.png" });
          document.body.append(picture);
          const script = document.createElement("script");
          script.textContent = "window.hacked = 3";
          document.body.append(script);
          await fetch("https://example.invalid/").catch(() => {});
          await new Promise((done) => setTimeout(done, 100));
          return told.sort();
        }"""
    )
    assert blocked == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.hacked") is None
    page.close()


def test_a_name_that_looks_like_a_script_is_shown_and_not_run(opened, browser, pages):
    assert opened.inner_text("h1") == NASTY
    assert opened.title().startswith(NASTY)
    assert opened.evaluate("window.hacked") is None
    index = browser.new_page()
    index.goto(address_of(pages / "index.html"))
    assert index.evaluate("window.hacked") is None
    index.get_by_role("link", name=NASTY, exact=True).click()
    assert index.inner_text("h1") == NASTY
    index.close()


def test_the_overlay_lies_where_the_labels_are(viewer):
    picture = seen(viewer)
    plane = bodies(2)[:, :, 10]
    areas = {label: where(picture, label).sum() for label in COLOURS}
    for label, value in VALUES.items():
        share = (plane == value).sum() / (plane > 0).sum()
        assert areas[label] / sum(areas.values()) == pytest.approx(share, rel=0.15)
    columns = {label: np.nonzero(where(picture, label))[1].mean() for label in COLOURS}
    # the innermost part lies towards low i, which is the patient's right: left on the screen
    assert columns["inner"] < columns["mantle"] < columns["rim"]


def test_voxels_have_their_shape(viewer):
    rows, columns = np.nonzero(np.any([where(seen(viewer), label) for label in COLOURS], axis=0))
    i, j = np.nonzero(bodies(2)[:, :, 10])
    wide_mm, high_mm = np.ptp(i) + 1, (np.ptp(j) + 1) * 1.5
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(wide_mm / high_mm, rel=0.08)


def test_a_label_is_switched_off_and_on(viewer):
    box = viewer.get_by_label("Inner part", exact=True)
    box.uncheck()
    hidden = seen(viewer)
    assert where(hidden, "inner").sum() == 0
    assert where(hidden, "rim").sum() > 500
    assert reddish(viewer) == 0
    box.check()
    assert where(seen(viewer), "inner").sum() > 100
    assert reddish(viewer) > 100


def reddish(page):
    picture = seen(page, "#solid")
    return (picture[..., 0] > picture[..., 1] + 30).sum()


def test_opacity_fades_the_overlay_until_the_scan_alone_is_left(viewer):
    slide(viewer, "opacity", 0)
    grey = seen(viewer)
    assert all(where(grey, label).sum() == 0 for label in COLOURS)
    letters = np.ptp(grey, axis=-1) > 20
    assert letters.mean() < 0.02
    assert grey.max() > 100


def test_keys_and_the_wheel_go_through_the_slices(viewer):
    viewer.focus("#slices")
    viewer.keyboard.press("PageUp")
    viewer.keyboard.press("PageUp")
    assert value_of(viewer, "place-2") == 12
    assert where(seen(viewer), "inner").sum() < where_at(viewer, 10, "inner")
    viewer.focus("#slices")
    before = value_of(viewer, "place-0"), value_of(viewer, "place-1")
    viewer.keyboard.press("ArrowLeft")
    viewer.keyboard.press("ArrowDown")
    assert (value_of(viewer, "place-0"), value_of(viewer, "place-1")) == (
        before[0] + 1,
        before[1] - 1,
    )
    viewer.hover("#slices")
    viewer.mouse.wheel(0, 120)
    assert value_of(viewer, "place-2") != 10


def where_at(page, place, label):
    slide(page, "place-2", place)
    return where(seen(page), label).sum()


def test_every_control_can_be_reached_and_moved_by_keys(viewer):
    viewer.focus("#opacity")
    viewer.keyboard.press("Home")
    assert value_of(viewer, "opacity") == 0
    assert where(seen(viewer), "rim").sum() == 0
    viewer.focus("#place-2")
    viewer.keyboard.press("ArrowRight")
    assert "mm" in viewer.inner_text("#readout")
    names = viewer.eval_on_selector_all(
        "#viewer-body :is(input, select, button, canvas)", "all => all.map((one) => one.tabIndex)"
    )
    assert len(names) > 10
    assert set(names) == {0}


def test_the_crosshair_is_where_the_readout_says(viewer):
    slide(viewer, "place-0", SHAPE[0] - 1 - 14)  # the page counts from the left; i runs there
    slide(viewer, "place-1", 18)
    assert viewer.inner_text("#readout").endswith("Inner part")
    slide(viewer, "place-1", 0)
    assert viewer.inner_text("#readout").endswith("no label")


def test_the_window_makes_the_scan_darker_and_brighter(viewer):
    slide(viewer, "opacity", 0)
    middle = seen(viewer).mean()
    level = value_of(viewer, "level")
    slide(viewer, "level", level + 60)
    assert seen(viewer).mean() < middle - 5
    slide(viewer, "level", level - 60)
    assert seen(viewer).mean() > middle + 5
    viewer.click("#reset")
    assert seen(viewer).mean() == pytest.approx(middle, abs=1)


def test_the_reference_and_the_other_channel_can_be_shown(viewer):
    found = where(seen(viewer), "inner")
    viewer.select_option("#role", "reference")
    known = wait_for_change(viewer, found)
    assert np.nonzero(known)[1].mean() < np.nonzero(found)[1].mean()  # two voxels farther right
    viewer.select_option("#role", "result")
    wait_for_change(viewer, known)
    viewer.select_option("#channel", "second")
    viewer.locator("#readout", has_text="second").wait_for()
    viewer.select_option("#channel", "first")


def wait_for_change(page, mask):
    for _ in range(50):
        page.wait_for_timeout(50)
        now = where(seen(page), "inner")
        if now.any() and (now != mask).any():
            return now
    raise AssertionError("nothing changed")


def test_the_surfaces_are_shown_and_turned_by_keys(viewer):
    before = seen(viewer, "#solid")
    coloured = np.ptp(before, axis=-1) > 20
    assert coloured.mean() > 0.05
    viewer.focus("#solid")
    viewer.keyboard.press("ArrowRight")
    viewer.keyboard.press("ArrowUp")
    assert (seen(viewer, "#solid") != before).any()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(viewer, browser, pages, scheme):
    from axe_playwright_python.sync_playwright import Axe

    index = browser.new_page()
    index.goto(address_of(pages / "index.html"))
    for page in (viewer, index):
        page.emulate_media(color_scheme=scheme)
        report = Axe().run(page)
        assert report.response["violations"] == [], report.generate_report()
    index.close()


def test_dark_is_dark_and_paper_is_white(viewer):
    viewer.emulate_media(color_scheme="dark")
    assert page_colour(viewer).mean() < 60
    viewer.emulate_media(color_scheme="light")
    assert page_colour(viewer).mean() > 240
    viewer.emulate_media(media="print", color_scheme="dark")
    assert page_colour(viewer).mean() > 240
    assert not viewer.is_visible("#slices")
    drawn = seen(viewer, ".figures svg >> nth=0")
    assert all(where(drawn, label, 40).any() for label in COLOURS)
    assert viewer.pdf()[:5] == b"%PDF-"


def page_colour(page):
    page.evaluate("scrollTo(0, 0)")
    shot = Image.open(io.BytesIO(page.screenshot(clip={"x": 2, "y": 2, "width": 8, "height": 8})))
    return np.asarray(shot.convert("RGB"))


def test_a_phone_shows_a_page_without_scrolling_sideways(viewer, browser, pages):
    index = browser.new_page()
    index.goto(address_of(pages / "index.html"))
    for page in (viewer, index):
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    index.close()


def test_a_heading_sorts_the_table_by_mouse_and_by_keys(browser, pages):
    page = browser.new_page()
    page.goto(address_of(pages / "index.html"))
    names = "rows => rows.map((row) => row.cells[0].textContent)"

    def order():
        return page.eval_on_selector_all("table.sortable tbody tr", names)

    page.get_by_role("button", name="Case").click()
    assert order() == sorted(order(), key=str.casefold)
    page.get_by_role("button", name="Mean Dice").focus()
    page.keyboard.press("Enter")
    assert order() == ["empty", NASTY, "right"]
    page.keyboard.press("Enter")
    assert order() == ["right", NASTY, "empty"]
    assert page.get_by_role("columnheader", name="Mean Dice").get_attribute("aria-sort") == (
        "descending"
    )
    page.close()


def test_a_browser_without_webgl_still_shows_the_pictures(browser, pages):
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(address_of(pages / "right.html"))
    page.locator("#viewer-state", has_text="WebGL").wait_for()
    assert not page.is_visible("#viewer-body")
    assert page.locator(".figures svg").count() == 3
    page.close()
