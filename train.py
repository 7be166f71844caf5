"""Train a model on a data set: python train.py model=vae data=mnist trainer=gpu."""

from gdl.commands.train import main

if __name__ == "__main__":
    main()
