"""The page as a visitor sees it, in headless chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow


def upload(page: Page, file: Path) -> None:
    page.locator("input[type=file]").set_input_files(str(file))


def test_try_it_upload_and_promotion(stack, page):
    stack.reset()
    page.goto(stack.dashboard_url)
    expect(page.get_by_text("Model server: up")).to_be_visible()
    upload(page, stack.picture)
    answers = page.locator(".st-key-cartoon-or-photo")
    expect(answers.get_by_text("photo_compact says so")).to_be_visible()
    answers.locator("summary").click()  # the other models
    expect(answers.get_by_text("colours", exact=True)).to_be_visible()
    expect(answers.get_by_text("version 1 ·").first).to_be_visible()
    before = answers.inner_text()
    assert "photo" in before and "%" in before

    stack.promote("colours", 2)
    try:
        page.locator(".st-key-again button").click()
        expect(answers.get_by_text("version 2 ·").first).to_be_visible()
        lines = answers.inner_text().split("colours")[-1].split("xception")[0].split()
        assert lines[lines.index("photo") + 1].startswith(("9", "8", "7", "6", "5", "100"))
    finally:
        stack.celflow("rollback", "colours")


def test_who_is_it(stack, page):
    folder = stack.folder / "data/clean/characters"
    picture = sorted(next(path for path in sorted(folder.iterdir())).glob("*.png"))[0]
    page.goto(stack.dashboard_url)
    upload(page, picture)
    who = page.locator(".st-key-who-is-it")
    expect(who.get_by_text("Who is it?")).to_be_visible()
    expect(
        who.get_by_text("Face 1").or_(who.get_by_text("No face was found")).first
    ).to_be_visible()


def test_compare_two_versions(stack, page):
    page.goto(f"{stack.dashboard_url}/compare")
    upload(page, stack.picture)
    expect(page.locator(".st-key-answer-a")).to_contain_text("%")
    expect(page.locator(".st-key-answer-b")).to_contain_text("ms")
    expect(page.locator(".st-key-agreement")).to_be_visible()


def test_rubbish_is_called_so(stack, page, tmp_path):
    rubbish = tmp_path / "rubbish.png"
    rubbish.write_bytes(b"this is no picture")
    page.goto(stack.dashboard_url)
    upload(page, rubbish)
    expect(page.get_by_text("is no usable picture")).to_be_visible()
    assert "Traceback" not in page.content()


def test_draw(stack, page):
    photo = next((stack.folder / "data/clean/cartoon_or_photo/photo").glob("*"))
    page.goto(f"{stack.dashboard_url}/draw")
    upload(page, photo)
    for model in ("cartoonizer", "sketchify"):
        drawn = page.locator(f".st-key-drawn-{model}")
        expect(drawn.locator("img")).to_be_visible()
        expect(drawn).to_contain_text("version 1")
    expect(page.locator(".st-key-white-box img")).to_have_count(3)


def test_draw_command(stack, tmp_path):
    photo = next((stack.folder / "data/clean/cartoon_or_photo/photo").glob("*"))
    stack.celflow("draw", "cartoonizer", photo, "--out", tmp_path, "--abstraction", "0.5")
    assert (tmp_path / f"{photo.stem}.png").read_bytes().startswith(b"\x89PNG")
