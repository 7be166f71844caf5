"""Fixtures of the explorer's tests: pages of small models in a browser."""

import pytest

OWN = ("file:", "data:", "blob:")


@pytest.fixture
def open_page(chromium):
    """A function that opens a page from file:// and waits until it has decoded.

    After the test no console error, no violation of the content security policy and no request but for
    the file itself may have come.
    """
    wrong, tabs = [], []

    def open_page(path, **options):
        tab = chromium.new_page(**options)
        tabs.append(tab)
        tab.on(
            "console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None
        )
        tab.on("pageerror", lambda e: wrong.append(str(e)))
        tab.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(OWN) else None)
        tab.goto(f"file://{path}", timeout=120_000)
        tab.wait_for_selector("html[data-ready]", timeout=120_000)
        return tab

    yield open_page
    for tab in tabs:
        tab.close()
    # tests read canvases, which a page does not
    assert [text for text in wrong if "willReadFrequently" not in text] == []
