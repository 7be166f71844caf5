"""All speed tables, one after the other: python benchmarks/all.py [--quick] [--record] [NAME...].

About 50 minutes on two cores, with --quick 10 (fewer rounds and rows). With --record the tables are
kept in results/, from which `python compare.py results=true` writes RESULTS.md; a table that was taken
beside more than one busy core is refused, and the others go on.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLES: dict[str, tuple[str, str]] = {  # and what --quick adds
    "flows": ("flows.py threads=1 rounds=20", "rounds=5 rows=glow4,nice,plane"),
    "flows_compiled": (
        "flows.py threads=1 rounds=10 rows=glow4,nice,plane compile=both only=gdl,normflows,FrEIA",
        "rounds=5 rows=plane only=gdl,FrEIA",
    ),
    "autoregressive": ("autoregressive.py threads=1 rounds=10", "rounds=4 models=fvsbn,made,nade"),
    "text": ("text.py rounds=6", "rounds=3 threads=1 sizes=small"),
    "evaluation": ("evaluation.py rounds=10", "rounds=3 threads=1"),
    "overhead": ("overhead.py epochs=12", "epochs=5 threads=1"),
    "trainers": ("trainers.py", "rounds=1 threads=1"),
    "imports": ("imports.py rounds=7", "rounds=2"),
    "sweeps": ("sweep.py rounds=3", "rounds=1 launchers=basic,joblib"),
    "compare": ("compare.py runs=1000", "runs=200 rounds=1"),
    "folders": ("folders.py images=50000 rounds=3", "images=5000"),
}


def main() -> int:
    """Run the tables asked for; return the number of those that failed."""
    parser = argparse.ArgumentParser(description="All speed tables, one after the other.")
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows")
    parser.add_argument("--record", action="store_true", help="keep the tables in results/")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.tables if name not in TABLES]:
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    failed = 0
    for name in chosen.tables or TABLES:
        whole, quick = TABLES[name]
        script, *arguments = whole.split()
        arguments += quick.split() if chosen.quick else []
        arguments += [f"record={ROOT / 'results' / f'speed_{name}.json'}"] if chosen.record else []
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
        failed += subprocess.run(command, cwd=ROOT, check=False).returncode != 0
        print(f"== {name}: {time.perf_counter() - start:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
