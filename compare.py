"""Compare runs: python compare.py outputs/ data=digits model=nice,glow_tiny."""

from gdl.commands.compare import main
from gdl.process import run_as_process

if __name__ == "__main__":
    run_as_process(main)
