"""Rows of text and numbers as a Markdown table, which terminals and MLflow's pages both show well."""

from collections.abc import Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A table with aligned columns; floats are shown with four digits and set to the right.

    Args:
        header: the columns' names.
        rows: one sequence a row, as long as the header.
    """
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(header))]
    widths = [max(3, len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(header)]

    def line(words: Sequence[str]) -> str:
        aligned = [
            word.rjust(width) if flush else word.ljust(width)
            for word, width, flush in zip(words, widths, right, strict=True)
        ]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * (width - 1) + (":" if flush else "-") for width, flush in zip(widths, right, strict=True)]
    return "\n".join([line(header), line(rule), *(line(row) for row in cells)]) + "\n"
