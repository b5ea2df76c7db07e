"""What a run says: a line a minute, and the tables at its end."""

import platform
import sys

from tests.fuzz.lines import LOADER, READER, share


def status_line(tally, seconds):
    """Where a run is."""
    parts = [f"{tally.total(name):.0f} {name}" for name in ("tried", "loaded", "refused")]
    return f"{seconds / 60:5.1f} min: {', '.join(parts)}, {len(tally.failures)} distinct failures"


def tables(tally):
    """The figures of a run as two tables in Markdown, and its failures."""
    rows = [
        "| kind of input | tried | loaded | refused | failed | longest, s | most memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, counts in tally.counts.items():
        rows.append(_row(kind, counts))
    names = ("tried", "loaded", "refused", "failed")
    total = {name: tally.total(name) for name in names}
    for name in ("seconds", "grown"):
        total[name] = max((counts.get(name, 0) for counts in tally.counts.values()), default=0)
    rows += [
        _row("all", total),
        "",
        f"{tally.seconds / 60:.1f} minutes, {tally.workers} processes.",
    ]
    lines = tally.lines
    if lines:
        rows += ["", "| file | lines | reached | per cent |", "|---|---|---|---|"]
        for name, (count, reached) in lines.items():
            rows.append(f"| {name} | {count} | {reached} | {100 * reached / max(1, count):.0f} |")
        for part, words in ((READER, "config reader"), (LOADER, "checkpoint loader")):
            rows.append(f"| {words} | | | {share(lines, part):.1f} |")
    rows += ["", f"{len(tally.failures)} distinct failures."]
    for failure in tally.failures:
        rows.append(f"- {failure['kind']}: {failure['signature']} ({failure['directory']})")
    return "\n".join(rows)


def _row(kind, counts):
    names = ("tried", "loaded", "refused", "failed")
    cells = [f"{counts.get(name, 0):.0f}" for name in names]
    cells += [f"{counts.get('seconds', 0):.2f}", f"{counts.get('grown', 0) / 2**20:.0f}"]
    return f"| {kind} | {' | '.join(cells)} |"


def as_json(tally, seed):
    """The figures of a run, for a file."""
    return {
        "seed": seed,
        "python": platform.python_version(),
        "platform": sys.platform,
        "minutes": tally.seconds / 60,
        "processes": tally.workers,
        "kinds": tally.counts,
        "failures": tally.failures,
        "lines": {name: list(counts) for name, counts in tally.lines.items()},
        "reader_per_cent": share(tally.lines, READER),
        "loader_per_cent": share(tally.lines, LOADER),
    }
