"""What every measurement here is told with: a table of ratios, and percentiles."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


class Report:
    """The table as it grows."""

    def __init__(self) -> None:
        self.console = Console()
        self.table = Table(title="Ours against its reference, in one run", title_justify="left")
        for name in ("", "reference", "ours", "ratio", "aim"):
            self.table.add_column(name, justify="left" if not name else "right")

    def add(self, what: str, theirs: float, mine: float, unit: str, aim: str) -> None:
        ratio = f"{mine / theirs:.2f}x" if theirs else ""
        shown = f"{theirs:,.2f} {unit}" if theirs else ""
        self.table.add_row(what, shown, f"{mine:,.2f} {unit}", ratio, aim)
        self.console.print(f"  {what}: {shown or '-'} | {mine:,.2f} {unit} | {ratio} (aim {aim})")


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
