"""Make pictures with a trained model: python sample.py run=latest task=interpolate."""

from gdl.commands.sample import main

if __name__ == "__main__":
    main()
