"""The tables of `docs/pictures.md`, which the tests hold to what the code does."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "pictures.md"
OUTCOMES = ("answer", "refusal")


def rows(section):
    """Form and outcome of each row of the table below a heading."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")
    text = rest.partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[1] in OUTCOMES:
            assert cells[0] not in found, f"{cells[0]!r} stands twice in {section!r}"
            assert len(cells) == 3, line
            assert cells[2], f"{cells[0]!r} has no explanation"
            found[cells[0]] = cells[1]
    assert found, f"no table below {section!r}"
    return found
