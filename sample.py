"""Make pictures with a trained model: python sample.py run=latest task=interpolate."""

from gdl.commands.sample import main
from gdl.process import run_as_process

if __name__ == "__main__":
    run_as_process(main)
