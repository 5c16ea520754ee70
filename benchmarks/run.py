"""Runs every benchmark, one process each, then draws the figure and writes README.md."""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    "lyapunov",
    "granger",
    "training",
    "pipeline",
    "legcnet_mnist",
    "legcnet_large",
    "recorder",
    "lasso",
    "growth",
    "one_shot",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="initialisations per dataset in pipeline.py (200)")
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES, help="benchmarks (all)")
    arguments = parser.parse_args()
    for name in (*arguments.only, "plot"):
        command = [f"{name}.py", *([f"--seeds={arguments.seeds}"] if name == "pipeline" else [])]
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True)


if __name__ == "__main__":
    main()
