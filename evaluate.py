"""Measure a run on its test images: python evaluate.py run=latest measure=iwae."""

from gdl.commands.evaluate import main
from gdl.process import run_as_process

if __name__ == "__main__":
    run_as_process(main)
