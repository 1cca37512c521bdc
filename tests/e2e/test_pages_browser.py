"""Every page in headless chromium: its main action, by keys too, and what axe-core says."""

import json
import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from celflow.images import open_image

from .test_browser import upload

pytestmark = pytest.mark.slow


@pytest.fixture
def new_pictures(stack, tmp_path) -> Path:
    """A folder of two pictures that nobody has sorted or labelled."""
    folder = tmp_path / "new"
    folder.mkdir()
    for number, file in enumerate(sorted((stack.folder / "data/clean/characters").rglob("*.png"))):
        if number in (0, 1):
            shutil.copyfile(file, folder / f"{number}.png")
    return folder


def _answering(stack) -> int:
    """The version of `colours` that answers."""
    return json.loads(stack.celflow("predict", "colours", stack.picture, "--json").stdout)[0][
        "version"
    ]


def check(page: Page) -> None:
    """In neither theme axe-core finds anything serious or critical."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        dark = theme == "dark"
        page.wait_for_function(
            "dark => getComputedStyle(document.querySelector('.stApp')).colorScheme"
            ".includes(dark ? 'dark' : 'light')",
            arg=dark,
        )
        page.wait_for_timeout(400)  # colours fade
        found = Axe().run(page).response["violations"]
        serious = [
            f"{one['id']}: {one['nodes'][0]['html']}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, (theme, serious)


def test_sort_applies_and_undoes(stack, page, new_pictures):
    page.goto(f"{stack.dashboard_url}/sort")
    page.get_by_label("Folder", exact=True).fill(str(new_pictures))
    page.get_by_role("button", name="Look through it").click()
    expect(page.locator(".st-key-sort-tiles img").first).to_be_visible()
    check(page)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text(re.compile(r"^\d in (cartoon|photo|unsure)"))).to_be_visible()
    out = new_pictures.with_name("new-sorted")
    assert len(list(out.rglob("*.png"))) == 2
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 files are back")).to_be_visible()
    assert not out.exists() and len(list(new_pictures.iterdir())) == 2


def test_label_by_keys(stack, page, new_pictures):
    page.goto(f"{stack.dashboard_url}/label")
    page.get_by_label("Folder of pictures").fill(str(new_pictures))
    page.get_by_role("button", name="Find the faces").click()
    try:
        expect(page.locator(".st-key-label-face img")).to_be_visible()
        check(page)
        page.keyboard.press("1")
        expect(page.get_by_text("1 labelled")).to_be_visible()
        assert len(list((stack.folder / "data/labelled/characters").rglob("*.png"))) == 1
        expect(page.get_by_role("button", name="Take back")).to_be_visible()
        page.wait_for_timeout(300)  # a key works once its button is mounted
        page.keyboard.press("z")
        expect(page.get_by_text("0 labelled")).to_be_visible()
        assert not list((stack.folder / "data/labelled/characters").rglob("*.png"))
    finally:
        shutil.rmtree(stack.folder / "data/labelled", ignore_errors=True)


def test_models_shows_versions_and_what_is_served(stack, page):
    page.goto(f"{stack.dashboard_url}/models")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="colours").click()
    expect(page.get_by_text("version 1 available")).to_be_visible()
    expect(page.get_by_role("region", name="Versions")).to_contain_text("champion")
    check(page)


def test_models_promotes_and_rolls_back(stack, page):
    """The gate's answer, a promotion that it holds back, and the champion before: all by clicks."""
    stack.reset()
    rows = page.get_by_role("region", name="Versions")
    page.goto(f"{stack.dashboard_url}/models")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="colours").click()
    expect(page.get_by_text("On the server: version")).to_be_visible()
    page.get_by_role("button", name="What does the gate say?").click()
    try:
        expect(page.get_by_text("The gate holds it back: worse")).to_be_visible()
        promote = page.get_by_role("button", name="Promote", exact=True)
        expect(promote).to_be_disabled()
        check(page)
        page.get_by_label("Reason, for those who look later").fill("a browser's click")
        page.get_by_text("Make version 2 the champion of colours, although").click()
        promote.click()
        expect(page.get_by_text("colours: version 2 is champion")).to_be_visible()
        expect(rows.get_by_role("row", name=re.compile(r"^2 champion"))).to_be_visible()
        assert "a browser's click" in stack.run("celflow", "history", "colours").stdout
        assert _answering(stack) == 2
        page.get_by_role("button", name="Roll back to the champion before").click()
        expect(page.get_by_text("colours: version 1 is champion")).to_be_visible()
        expect(rows.get_by_role("row", name=re.compile(r"^1 champion"))).to_be_visible()
        assert _answering(stack) == 1
    finally:
        stack.reset()


@pytest.mark.parametrize("path", ["", "compare"])
def test_a_phone_has_picture_and_answer_on_its_first_screen(stack, page, path):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{stack.dashboard_url}/{path}")
    upload(page, stack.picture)
    answers = [".verdict"] if path == "" else [".st-key-answer-a .bars", ".st-key-answer-b .bars"]
    for shown in (".st-key-picture img", ".verdict", *answers):
        expect(page.locator(shown)).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.querySelector('.stMain').scrollTop") == 0


def test_data_counts_the_pictures(stack, page):
    page.goto(f"{stack.dashboard_url}/data")
    expect(page.get_by_text("pictures by class and split")).to_be_visible()
    expect(page.get_by_role("region", name="Counts")).to_contain_text("cartoon")
    check(page)


def test_compare_has_no_serious_finding(stack, page):
    page.goto(f"{stack.dashboard_url}/compare")
    upload(page, stack.picture)
    expect(page.locator(".st-key-agreement")).to_be_visible()
    check(page)


def test_a_drawing_is_saved_in_full_size(stack, page, noise, encode, tmp_path):
    file = tmp_path / "large.png"
    file.write_bytes(encode(noise(24, 24).repeat(25, 0).repeat(40, 1)))  # 960 x 600
    page.goto(f"{stack.dashboard_url}/draw")
    upload(page, file)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save in full size (960 × 600)").first.click()
    assert open_image(Path(saved.value.path()).read_bytes()).pixels.shape == (600, 960, 3)
    check(page)


def test_try_it_by_keys_only(stack, page):
    """The address that is written down for it; then Tab and Enter to a sample's answer."""
    page.goto(f"{stack.dashboard_url}/try-it")
    sample = page.locator(".st-key-samples .stButton button").first
    expect(sample).to_be_attached()
    for _ in range(60):
        page.keyboard.press("Tab")
        if sample.evaluate("one => one === document.activeElement"):
            break
    else:
        raise AssertionError("Tab never reaches the samples")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-cartoon-or-photo")).to_contain_text("says so")
    expect(page.get_by_text("Page not found")).to_have_count(0)
    check(page)


def test_the_printed_address_of_mlflow_shows_training(stack, page):
    printed = (stack.folder / "up.log").read_text()
    address = re.search(r"http://\S+workflowType=machine_learning", printed)
    assert address, printed
    page.goto(address.group())
    expect(page.get_by_role("link", name="Model registry")).to_be_visible()
    expect(page.get_by_role("link", name="colours")).to_be_visible()
