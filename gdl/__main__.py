"""gdl train|sample|evaluate|explore|export|check|... ARGUMENTS, also as python -m gdl."""

import difflib
import importlib
import importlib.util
import sys

from gdl.process import run_as_process

COMMANDS = {
    "train": "train a model on a data set: gdl train model=vae data=mnist",
    "sample": "make pictures with a trained model: gdl sample run=latest task=interpolate",
    "evaluate": "measure a trained model: gdl evaluate run=latest measure=iwae",
    "explore": "a page that decodes in a browser: gdl explore run=latest",
    "export": "weights that other programs read: gdl export run=latest format=safetensors",
    "check": "check that a model is the density it says it is: gdl check model=made",
    "compare": "put many runs side by side: gdl compare outputs data=digits",
    "compress": "images or texts to a small file, exactly: gdl compress run=latest out=test.gdlz",
    "decompress": "and back: gdl decompress test.gdlz out=images run=latest",
}


def main() -> None:
    """Run the command that the first argument names, on the arguments after it."""
    name, *args = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print("usage: gdl COMMAND [KEY=VALUE ...]\n")
        for command, what in COMMANDS.items():
            print(f"  {command:<10} {what}")
        print(
            "\ngdl COMMAND --help lists the keys of a command; gdl --version prints the version."
        )
        return
    if name == "--version":
        from gdl.version import __version__

        print(f"gdl {__version__}")
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f": did you mean {near[0]}?" if near else "."
        print(
            f"error: There is no command {name!r}{hint} The commands are {', '.join(COMMANDS)}.",
            file=sys.stderr,
        )
        sys.exit(1)
    module = f"gdl.commands.{name}"
    sys.argv[1:] = args
    # Lightning starts the module named here again for each further process of a run
    sys.modules["__main__"].__spec__ = importlib.util.find_spec(module)
    importlib.import_module(module).main()


def command() -> None:
    """Run what was typed, as all that this process does."""
    run_as_process(main)


if __name__ == "__main__":
    command()
