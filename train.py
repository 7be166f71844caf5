"""Train a model on a data set: python train.py model=vae data=mnist trainer=gpu."""

from gdl.commands.train import main
from gdl.process import run_as_process

if __name__ == "__main__":
    run_as_process(main)
