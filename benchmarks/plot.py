"""The picture of a benchmark run: latency by row, a bar per thread count."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.results import R, Results


def plot_latency(
    results: Results[R],
    title: Callable[[R], str] = lambda row: row.name,
    is_ours: Callable[[R], bool] | None = None,
) -> bytes:
    """A PNG: median as a bar, 90th percentile as a tick; logarithmic, since ratios matter.

    Next to peers the fastest comes first and ours are in bold.

    Args:
        results: rows without figures are left out.
        title: of a row.
        is_ours: distinguishes ours from peers; None: there are no peers.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no window: benchmarks also run where there is no screen
    from matplotlib import pyplot as plt

    done = [row for row in results.rows if row.status == "done"]
    if is_ours:
        done.sort(key=lambda row: (row.threads, row.median_ms or 0))
    names = list(dict.fromkeys(title(row) for row in done))
    threads = sorted({row.threads for row in done})
    height = 0.8 / max(1, len(threads))
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.7 * len(names)), layout="constrained")
    for i, count in enumerate(threads):
        rows = [row for row in done if row.threads == count]
        places = [names.index(title(row)) + i * height for row in rows]
        medians = [row.median_ms or 0 for row in rows]
        bars = axes.barh(places, medians, height, label=f"{count} thread{'s' if count > 1 else ''}")
        axes.plot([row.p90_ms or 0 for row in rows], places, "k|", ms=8)
        axes.bar_label(bars, [f"{m:.1f}" for m in medians], label_type="center", color="white")
    axes.set_yticks([n + (len(threads) - 1) * height / 2 for n in range(len(names))], names)
    if is_ours:
        ours = {title(row) for row in done if is_ours(row)}
        for label in axes.get_yticklabels():
            label.set_fontweight("bold" if label.get_text() in ours else "normal")
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.2)
    what = ", ours in bold" if is_ours else ""
    axes.set_xlabel(f"one inference in ms: median (bar), 90th percentile (tick){what}")
    axes.set_title(f"{results.machine.processor}, {results.machine.system}", fontsize=9)
    axes.legend()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    plt.close(figure)
    return content.getvalue()
