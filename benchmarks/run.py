"""Runs every benchmark, one process each, then draws the figure and writes README.md."""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="initialisations per dataset in pipeline.py (200)")
    arguments = parser.parse_args()
    pipeline = ["pipeline", f"--seeds={arguments.seeds}"]
    for command in (["lyapunov"], ["granger"], ["training"], pipeline, ["legcnet_mnist"], ["recorder"], ["plot"]):
        print(f"== {command[0]}", flush=True)
        subprocess.run([sys.executable, str(HERE / f"{command[0]}.py"), *command[1:]], check=True)


if __name__ == "__main__":
    main()
