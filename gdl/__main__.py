"""gdl train|sample|evaluate|compare ARGUMENTS, also as python -m gdl."""

import importlib
import importlib.util
import sys

COMMANDS = {
    "train": "train a model on a data set",
    "sample": "make pictures with a trained model",
    "evaluate": "measure a trained model",
    "compare": "put many runs side by side",
}


def main() -> None:
    """Run the command that the first argument names, on the arguments after it."""
    name, *args = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print("usage: gdl COMMAND ARGUMENTS\n")
        for command, what in COMMANDS.items():
            print(f"  gdl {command:<9} {what}")
        print("\ngdl COMMAND --help lists the arguments of a command.")
        return
    if name == "--version":
        from gdl import __version__

        print(f"gdl {__version__}")
        return
    if name not in COMMANDS:
        sys.exit(f"error: there is no command {name!r}: use one of {', '.join(COMMANDS)}.")
    module = f"gdl.commands.{name}"
    sys.argv[1:] = args
    # Lightning starts the module named here again for each further process of a run
    sys.modules["__main__"].__spec__ = importlib.util.find_spec(module)
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
