"""Measure a run on its test images: python evaluate.py run=latest measure=iwae."""

from gdl.commands.evaluate import main

if __name__ == "__main__":
    main()
