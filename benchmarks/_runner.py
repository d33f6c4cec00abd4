"""Runs benchmark groups and prints one table; see scripts/bench.

A group is a module of this folder with ``run(report)`` (plain or async). It calls
``report(bench, ours, unit, peers={}, limit=None)`` once for each row: ``ours`` in ``unit``; ``peers`` the same work
done by other programs in this very run; ``limit`` what the project promises (a floor for rates, ``.../s``; a ceiling
for everything else).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    bench: str
    ours: float
    unit: str
    peers: dict[str, float] = field(default_factory=dict)
    limit: float | None = None

    @property
    def higher_is_better(self) -> bool:
        return self.unit.endswith("/s")

    @property
    def within_limit(self) -> bool:
        if self.limit is None:
            return True
        return self.ours >= self.limit if self.higher_is_better else self.ours <= self.limit


def groups() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def run_group(name: str, rows: list[Row], console: Console) -> None:
    def report(
        bench: str, ours: float, unit: str, peers: dict[str, float] | None = None, limit: float | None = None
    ) -> None:
        row = Row(f"{name}: {bench}", ours, unit, dict(peers or {}), limit)
        rows.append(row)
        console.print(f"  {row.bench}: {number(ours)} {unit}", highlight=False)

    outcome = importlib.import_module(name).run(report)
    if inspect.isawaitable(outcome):

        async def wait() -> None:
            await outcome

        asyncio.run(wait())


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def render(rows: list[Row]) -> Table:
    table = Table(title=f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    for heading in ("bench", "ours", "unit", "limit", "", "peers (ours : peer)"):
        table.add_column(heading, justify="right" if heading in ("ours", "limit") else "left")
    for row in rows:
        table.add_row(
            row.bench,
            number(row.ours),
            row.unit,
            "" if row.limit is None else number(row.limit),
            "" if row.limit is None else ("ok" if row.within_limit else "[red]missed[/red]"),
            ", ".join(f"{peer} {number(value)} ({ratio(row, value)}x)" for peer, value in row.peers.items()),
        )
    return table


def ratio(row: Row, peer: float) -> str:
    if not peer or not row.ours:
        return "?"
    return f"{row.ours / peer if row.higher_is_better else peer / row.ours:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/bench", description="Run the benchmarks beside the peers.")
    parser.add_argument("group", nargs="*", help=f"one or more of: {', '.join(groups())} (all when none is named)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows to FILE")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.group) - set(groups()))
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)} (there are {', '.join(groups())})")
    sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
    console = Console()
    rows: list[Row] = []
    for name in arguments.group or groups():
        console.print(f"[bold]{name}[/bold]")
        run_group(name, rows, console)
    console.print(render(rows))
    if arguments.json:
        arguments.json.write_text("[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
