"""Compare runs: python compare.py outputs/ data=digits model=nice,glow_tiny."""

from gdl.commands.compare import main

if __name__ == "__main__":
    main()
