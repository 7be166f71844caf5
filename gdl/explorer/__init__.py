"""The explorer: one HTML file in which a browser decodes and encodes, without a server or a network."""

from gdl.explorer.subject import Subject
from gdl.explorer.writer import write_page

__all__ = ["Subject", "write_page"]
