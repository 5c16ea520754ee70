"""Draw speed.png and write README.md from the files in results/."""

from pathlib import Path

from replication.reporting.benchmarks import PAGE, PICTURE, draw, read, readme

HERE = Path(__file__).parent


def main() -> None:
    """Write the picture and the page."""
    contents = read(HERE)
    (HERE / PICTURE).write_bytes(draw(contents))
    (HERE / PAGE).write_text(readme(contents), encoding="utf-8")
    print("run `ccprune report`, which renews the manifest and the pages that show these results")


if __name__ == "__main__":
    main()
