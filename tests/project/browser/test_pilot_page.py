"""The page of a pilot in a browser: both languages at the sizes of a laptop and a phone, with every glyph."""

import shutil

import pytest

import ccprune

SIZES = [(1366, 768), (390, 844)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One pilot, whose page is written in both languages from the stored networks."""
    datasets = pytest.importorskip("sklearn.datasets")
    folder = tmp_path_factory.mktemp("pilot")
    table = datasets.load_iris(as_frame=True).frame
    for language in ("ja", "en"):
        ccprune.pilot(
            train=table,
            target="target",
            criteria=("magnitude", "random"),
            sparsities=(0.5, 0.9),
            schedules=("one_shot",),
            seeds=2,
            before=2,
            recorded=1,
            after=1,
            language=language,
            folder=folder / "page",
            progress=False,
        )
        shutil.copytree(folder / "page", folder / language)
    return folder


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_and_every_picture_has_words(browser, folder, language, size):
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / language / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("document.documentElement.lang") == language
    pictures = page.evaluate("[...document.images].map(one => [one.complete && one.naturalWidth > 0, one.alt])")
    assert len(pictures) == 2 and all(shown and words for shown, words in pictures)
    fonts = _fonts(page)
    assert fonts and not any("LastResort" in name for name in fonts)
    assert not errors
    page.close()


def _fonts(page) -> set[str]:
    """Return the fonts whose glyphs the page shows."""
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument", {"depth": 1})["root"]["nodeId"]
    body = session.send("DOM.querySelector", {"nodeId": root, "selector": "body"})["nodeId"]
    return {font["familyName"] for font in session.send("CSS.getPlatformFontsForNode", {"nodeId": body})["fonts"]}
