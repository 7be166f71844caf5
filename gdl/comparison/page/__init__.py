"""The comparison as one HTML file for a browser."""

from gdl.comparison.page.page import write_page

__all__ = ["write_page"]
