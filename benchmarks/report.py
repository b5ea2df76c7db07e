"""From measurements to figures, and from figures to tables."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.worker import BUILTIN, OURS

FLOAT32 = f"{OURS} float32"

SHARED_MASKS = "builtin masks"
"""The built-in model, compared with a pass whose queries look where the built-in model's do."""

REFERENCES = (
    (BUILTIN, "the built-in model"),
    (SHARED_MASKS, "the built-in model with its attention masks"),
    (FLOAT32, "float32"),
)

Row = Sequence[str]


def summarise(results: dict[str, Any]) -> dict[str, Any]:
    """The figures of each side.

    Args:
        results: what `comparison.compare` has collected.

    Returns:
        By side: seconds (`_s`), bytes, counts and ratios; None where something wasn't measured.
    """
    summary = {name: _side_figures(name, results) for name in results["sides"]}
    for name, figures in summary.items():
        for other, ratio in ((BUILTIN, "speed_ratio"), (FLOAT32, "speed_to_float32")):
            if other in summary and name not in (BUILTIN, other):
                figures[ratio] = summary[other]["picture_s"] / figures["picture_s"]
    if "loading" in results:
        summary["loading"] = _loading_figures(results)
    return summary


def _side_figures(name: str, results: dict[str, Any]) -> dict[str, Any]:
    side = results["sides"][name]
    load, first, pictures = side["load"], side["first"], side["pictures"]

    def median(key: str) -> float:
        return statistics.median(picture[key] for picture in pictures)

    figures = {
        "import_s": side["import"]["wall_s"],
        "load_s": load["wall_s"],
        "first_picture_s": first["wall_s"],
        "start_to_first_result_s": side["import"]["wall_s"] + load["wall_s"] + first["wall_s"],
        "picture_s": median("wall_s"),
        "fastest_s": min(picture["wall_s"] for picture in pictures),
        "slowest_s": max(picture["wall_s"] for picture in pictures),
        "user_s": median("user_s"),
        "system_s": median("system_s"),
        "page_faults": median("page_faults"),
        "peak_bytes": pictures[-1]["peak_bytes"],
        "peak_after_load_bytes": load["peak_bytes"],
        "classes": first["classes"],
    }
    weights = results["model"]["weight_bytes"]
    figures["peak_beyond_weights_bytes"] = figures["peak_bytes"] - weights
    dtype = name.split()[-1]
    if name != BUILTIN and "roofline" in results:
        floor = sum(results["roofline"][dtype]["floor_s"].values())
        figures["roofline_s"], figures["roofline_share"] = floor, floor / figures["picture_s"]
    return figures


def _loading_figures(results: dict[str, Any]) -> dict[str, Any]:
    loading = results["loading"]
    fresh, reused = (
        statistics.median(read[key] for read in loading["reads"]) for key in ("fresh_s", "reused_s")
    )
    checkpoint, whole = (
        statistics.median(load[key]["wall_s"] for load in loading["loads"])
        for key in ("checkpoint", "load")
    )
    weights = results["model"]["weight_bytes"]
    return {
        "read_fresh_s": fresh,
        "read_reused_s": reused,
        "checkpoint_s": checkpoint,
        "pipeline_s": whole,
        "checkpoint_to_fresh": checkpoint / fresh,
        "checkpoint_to_reused": checkpoint / reused,
        "pipeline_to_fresh": whole / fresh,
        "peak_beyond_weights_bytes": max(
            load["load"]["peak_bytes"] - weights for load in loading["loads"]
        ),
        "import_alone_s": loading["import_alone_s"],
    }


ROWS = (
    ("import of the libraries, s", "import_s", "{:.2f}", 1),
    ("load: `pipeline(...)`, s", "load_s", "{:.2f}", 1),
    ("first picture, s", "first_picture_s", "{:.2f}", 1),
    ("start to first result, s", "start_to_first_result_s", "{:.2f}", 1),
    ("**time per picture, median, s**", "picture_s", "{:.2f}", 1),
    ("fastest, s", "fastest_s", "{:.2f}", 1),
    ("slowest, s", "slowest_s", "{:.2f}", 1),
    ("processor time per picture, user, s", "user_s", "{:.2f}", 1),
    ("processor time per picture, system, s", "system_s", "{:.2f}", 1),
    ("page faults per picture", "page_faults", "{:.0f}", 1),
    ("**peak memory, GB**", "peak_bytes", "{:.2f}", 1e9),
    ("peak memory beyond the weights, GB", "peak_beyond_weights_bytes", "{:.2f}", 1e9),
    ("peak memory right after load, GB", "peak_after_load_bytes", "{:.2f}", 1e9),
    ("**speed, times the built-in model's**", "speed_ratio", "{:.2f}", 1),
    ("speed, times float32's", "speed_to_float32", "{:.2f}", 1),
    ("classes in the answer", "classes", "{:.0f}", 1),
    ("time at the roofline, s", "roofline_s", "{:.2f}", 1),
    ("**share of the roofline**", "roofline_share", "{:.1%}", 1),
)
"""Label, key in a side's figures, format, unit."""


def tables(results: dict[str, Any]) -> str:
    """All figures as Markdown tables that can be read as plain text."""
    parts = [_heading(results), _main_table(results)]
    if "loading" in results:
        parts.append(_loading_table(results))
    if "roofline" in results:
        parts.append(_roofline_table(results))
    if "profile" in results:
        parts.append(_profile_table(results))
    return "\n\n".join(parts)


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table, its columns aligned; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Row) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])


def _heading(results: dict[str, Any]) -> str:
    return f"{machine_line(results)}\n{_settings_line(results)}"


def machine_line(results: dict[str, Any]) -> str:
    """The machine in a sentence."""
    machine = results["machine"]
    memory = machine["memory_bytes"]
    load = machine["load_average"]
    facts = (
        machine["date"],
        f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores",
        "memory unknown" if memory is None else f"{memory / 2**30:.0f} GiB",
        f"{machine['system']}, Python {machine['python']}, PyTorch {machine['torch']}",
        f"package {machine['package']} at {machine['commit'] or 'no commit'}",
        "load unknown" if load is None else f"load average at the start {load:.2f}",
    )
    return "; ".join(facts)


def _settings_line(results: dict[str, Any]) -> str:
    settings, model = results["settings"], results["model"]
    text = (
        f"{settings['size']} model, weights {model['weight_bytes'] / 1e9:.2f} GB, checkpoint "
        f"{model['checkpoint_bytes'] / 1e9:.2f} GB; {settings['threads']} threads; "
        f"{settings['pictures']} pictures each, alternating ({settings['alternation']}); picture: "
        f"{settings['picture']}"
    )
    if BUILTIN in results["sides"]:
        side = results["sides"][BUILTIN]
        text += f"; built-in model under Python {side['python']}, PyTorch {side['torch']}"
    return text


def _main_table(results: dict[str, Any]) -> str:
    names = sorted(results["sides"], key=lambda name: name != BUILTIN)
    rows: list[Row] = [("figure", *("built-in" if name == BUILTIN else name for name in names))]
    for label, key, form, unit in ROWS:
        values = [results["summary"][name].get(key) for name in names]
        if any(value is not None for value in values):
            cells = ("" if value is None else form.format(value / unit) for value in values)
            rows.append((label, *cells))
    for other, whose in REFERENCES:
        pairs = [results["agreement"].get(name, {}).get(other) for name in names]
        if not any(pairs):
            continue
        for kind in ("class", "mask"):
            for key, label in (("largest", "largest difference"), ("relative_l2", "relative L2")):
                cells = ("" if pair is None else f"{pair[kind][key]:.1e}" for pair in pairs)
                rows.append((f"{kind} logits against {whose}, {label}", *cells))
        cells = ("" if pair is None else f"{pair['equal_pixels']:.4%}" for pair in pairs)
        rows.append((f"pixels equal to {whose}", *cells))
        cells = (
            "" if pair is None else f"{pair['flipped']} of {pair['mask_entries']}" for pair in pairs
        )
        rows.append((f"attention-mask entries other than those of {whose}", *cells))
    return markdown(rows)


def _loading_table(results: dict[str, Any]) -> str:
    figures = results["summary"]["loading"]
    rows: list[Row] = [
        ("loading, medians", "figure"),
        ("used bytes read into fresh memory, s", f"{figures['read_fresh_s']:.2f}"),
        ("used bytes read into one buffer, s", f"{figures['read_reused_s']:.2f}"),
        ("checkpoint into the network, s", f"{figures['checkpoint_s']:.2f}"),
        ("**times the reading into fresh memory**", f"{figures['checkpoint_to_fresh']:.2f}"),
        ("times the reading into one buffer", f"{figures['checkpoint_to_reused']:.2f}"),
        ("`pipeline(...)`, imports done, s", f"{figures['pipeline_s']:.2f}"),
        ("times the reading into fresh memory", f"{figures['pipeline_to_fresh']:.2f}"),
        (
            "peak beyond the weights, libraries included, GB",
            f"{figures['peak_beyond_weights_bytes'] / 1e9:.2f}",
        ),
        ("`import modelscope_vitadapter` alone, ms", f"{figures['import_alone_s'] * 1e3:.0f}"),
    ]
    return markdown(rows)


def _roofline_table(results: dict[str, Any]) -> str:
    roofline = results["roofline"]
    dtypes = [dtype for dtype in results["settings"]["dtypes"] if dtype in roofline]
    head = ["roofline", "TFLOP per picture"]
    for dtype in dtypes:
        head += [f"{dtype}, GFLOP/s", "way", "floor, s"]
    rows: list[Row] = [head]
    for kind, operations in roofline["operations"].items():
        row = [kind, f"{operations / 1e12:.3f}"]
        for dtype in dtypes:
            best, floor = roofline[dtype]["rates"][kind], roofline[dtype]["floor_s"][kind]
            row += [f"{best['rate'] / 1e9:.0f}", best["way"], f"{floor:.2f}"]
        rows.append(row)
    total = ["all", f"{sum(roofline['operations'].values()) / 1e12:.3f}"]
    for dtype in dtypes:
        total += ["", "", f"{sum(roofline[dtype]['floor_s'].values()):.2f}"]
    return markdown([*rows, total])


def _profile_table(results: dict[str, Any]) -> str:
    profiles = results["profile"]
    stages = list(dict.fromkeys(name for one in profiles.values() for name in one["stages"]))
    rows: list[Row] = [("stage, s", *profiles)]
    for stage in stages:
        cells = (f"{one['stages'].get(stage, 0.0):.2f}" for one in profiles.values())
        rows.append((stage, *cells))
    for label, key, form in (
        ("the rest", "rest", "{:.2f}"),
        ("all", "wall_s", "{:.2f}"),
        ("of it processor time in the system", "system_s", "{:.2f}"),
        ("page faults", "page_faults", "{:.0f}"),
    ):
        rows.append((label, *(form.format(one[key]) for one in profiles.values())))
    return markdown(rows)
