"""Write measurements down: as JSON knows them, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from stylenet.evaluation.measures import SizeResult


def as_dictionary(result: SizeResult) -> dict[str, object]:
    """Return a result as values that JSON knows."""
    return {**asdict(result), **({"equivalent_quartiles": result.quartiles} if result.equivalent else {})}


def as_table(results: Sequence[SizeResult]) -> str:
    """Return results as a table for people."""
    titles = (
        f"{'size':>5}{'photos':>8}{'objective':>11}{'style error':>13}{'content lost':>14}{'checkerboard':>14}{'border':>8}"
    )
    lines = [f"{titles}  iterations of Gatys' from the photo (quartiles)" if any(row.equivalent for row in results) else titles]
    for result in results:
        lines.append(
            f"{result.size:>5}{result.photos:>8}{result.objective:>11.4g}{result.style_error:>13.3f}{result.content_lost:>14.3f}"
            f"{result.checkerboard:>14.2f}{result.border:>8.3f}{_equivalent(result)}"
        )
    return "\n".join(lines)


def _equivalent(result: SizeResult) -> str:
    if not result.equivalent:
        return ""
    lower, median, upper = result.quartiles
    missed = f", not reached by {result.not_reached}" if result.not_reached else ""
    return f"  {median:g} ({lower:g} to {upper:g}{missed})"
