"""Draw the parts of the project and their imports: ``python scripts/draw_parts.py`` writes docs/architecture.svg.

The boxes are groups of neighbouring layers of the import contracts in pyproject.toml. An arrow is drawn from a box to
a box that it imports directly, unless other arrows already lead there (a transitive reduction). Function-level imports
count; imports of a module by its name in a string do not.
"""

from pathlib import Path

import grimp

PICTURE = Path(__file__).parents[1] / "docs" / "architecture.svg"
#: For each box (package and name): its parts, their content, and its left edge, top edge and width in pixels.
BOXES = {
    "replication.pages": ("cli course reporting figures", "commands that need a clone, pages, pictures", 30, 60, 440),
    "replication.papers": ("beyond null diagnostics legcnet causal", "the papers' runs and verdicts", 30, 180, 290),
    "replication.data": ("networks data answers", "what is trained, and on what; checks", 30, 300, 290),
    "replication.runner": ("runner", "runs notebooks", 340, 300, 130),
    "replication.ledger": ("ledger", "results, raw runs, units, tables", 30, 420, 440),
    "ccprune.interface": ("cli comparison _api _pilot trainers criteria", "what users call", 550, 60, 430),
    "ccprune.scores": ("scores export distributed online", "scores and what uses masks", 550, 180, 430),
    "ccprune.model": (
        "recording lasso flatness measure training mask",
        "one model, recorded and pruned",
        550,
        300,
        430,
    ),
    "ccprune.numbers": ("lyapunov granger stats _util", "time series and statistics", 550, 420, 430),
}
HEIGHT = 56
#: Left edge, top edge, width and height of the frame around a package's boxes.
FRAMES = {"replication": (15, 15, 470, 480), "ccprune": (535, 15, 460, 480)}


def imports() -> set[tuple[str, str]]:
    """Return the arrows as pairs of boxes, importer first.

    Raises
    ------
    ValueError
        If a part is in no box, or boxes import each other in a circle.
    """
    box_of = {f"{box.split('.')[0]}.{part}": box for box, (parts, *_) in BOXES.items() for part in parts.split()}
    graph = grimp.build_graph(*FRAMES, cache_dir=None)
    unlisted = set().union(*map(graph.find_children, FRAMES)) ^ box_of.keys()
    if unlisted:
        raise ValueError(f"BOXES in scripts/draw_parts.py must list every part, got a difference in {sorted(unlisted)}")
    direct = set()
    for module in graph.modules - FRAMES.keys():
        for imported in graph.find_modules_directly_imported_by(module) - FRAMES.keys():
            importer, target = (box_of[".".join(name.split(".")[:2])] for name in (module, imported))
            direct |= {(importer, target)} if importer != target else set()
    reached = set(direct)
    for middle in BOXES:
        reached |= {(a, d) for a, b in reached for c, d in reached if b == middle == c}
    circles = sorted(a for a, b in reached if a == b)
    if circles:
        raise ValueError(f"boxes must not import each other in a circle, got {', '.join(circles)}")
    return {(a, c) for a, c in direct if not any((a, b) in reached and (b, c) in reached for b in BOXES)}


def draw() -> str:
    """Return the picture as SVG; the same imports give the same text."""
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1010 510" font-family="sans-serif" text-anchor="middle">',
        "<title>Parts of the project; an arrow points from a part to one that it imports</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#333"/></marker></defs>',
        '<rect width="1010" height="510" fill="#fff"/>',
    ]
    for package, (x, y, width, height) in FRAMES.items():
        lines.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#f3f4f6" stroke="#777"/>')
        lines.append(f'<text x="{x + width / 2:g}" y="{y + 29}" font-size="18" font-weight="bold">{package}/</text>')
    for parts, holds, x, y, width in BOXES.values():
        lines.append(f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="5" fill="#dbe7f5" stroke="#456"/>')
        for text, down, weight in ((", ".join(parts.split()), 24, "bold"), (holds, 44, "normal")):
            place = f'x="{x + width / 2:g}" y="{y + down}"'
            lines.append(f'<text {place} font-size="13" font-weight="{weight}">{text}</text>')
    arrows = set()
    for importer, target in imports():
        packages = importer.split(".")[0], target.split(".")[0]
        if packages[0] == packages[1]:  # a vertical arrow within the common width of both boxes
            (*_, x, y, width), (*_, to_x, to_y, to_width) = BOXES[importer], BOXES[target]
            middle = (max(x, to_x) + min(x + width, to_x + to_width)) / 2
            arrows.add((middle, y + HEIGHT, middle, to_y))
        else:  # a single arrow between the frames, for any number of imports between their boxes
            (x, y, width, height), (to_x, *_) = (FRAMES[package] for package in packages)
            arrows.add((x + width, y + height / 2, to_x, y + height / 2))
    lines += [
        f'<path d="M{x:g} {y:g} {to_x:g} {to_y:g}" stroke="#333" stroke-width="1.5" marker-end="url(#head)"/>'
        for x, y, to_x, to_y in sorted(arrows)
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
