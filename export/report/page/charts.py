"""Charts: points in (`export.report.page.points`), Vega-Lite specs out, by Altair.

Colours are names of CSS variables: one picture serves light mode, dark mode and paper, and changes
between them without being drawn again. Series differ by shape or dash as well as by colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from export.formats.register import FORMATS, all_precisions
from pipeline.json_files import JsonObject, plain

if TYPE_CHECKING:
    import altair as alt

    from export.report.page.points import (
        Bar,
        Box,
        EpochPoint,
        FilePoint,
        ImagePoint,
        Limit,
        ReliabilityPoint,
        RocPoint,
        Share,
    )

SHAPES: Final = ("circle", "square", "triangle-up", "diamond")
DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2])
FONT: Final = "system-ui, sans-serif"
INK, FAINT, GRID = "var(--ink)", "var(--muted)", "var(--grid)"
NOTHING: Final = 1e-10  # replaces zero, which a log scale cannot show
_TEXT: Final = {"labelFont": FONT, "titleFont": FONT, "labelFontSize": 12, "titleFontSize": 12}
CONFIG: Final[JsonObject] = {
    "aria": False,  # the page describes the chart, and gives a table
    "background": None,
    "font": FONT,
    "view": {"stroke": GRID},
    "axis": {
        **_TEXT,
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "labelLimit": 165,
    },
    "legend": {
        **_TEXT,
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "orient": "bottom",
        "direction": "horizontal",
        "columns": 5,
        "layout": {"bottom": {"anchor": "start", "direction": "vertical"}},
        "symbolStrokeWidth": 2,
        "symbolBaseFillColor": INK,
        "symbolBaseStrokeColor": INK,
    },
    "point": {"size": 80, "filled": True, "opacity": 0.85},
    "line": {"strokeWidth": 2},
    "rule": {"color": INK},
    "text": {"color": INK, "font": FONT},
}


def agreement_chart(histogram: Sequence[Box], limits: Sequence[Limit]) -> JsonObject:
    """Images by |Δp|, a row of boxes per artifact, its largest |Δp|, and what is allowed."""
    import altair as alt

    boxes = [{**asdict(box), "from": max(box.low, NOTHING)} for box in histogram]
    told = [{**asdict(limit), "at": max(limit.largest, NOTHING)} for limit in limits]
    names = list(dict.fromkeys(limit.artifact for limit in limits))
    scale = alt.Scale(type="log", domain=[NOTHING, 1])
    x = alt.X("from:Q", scale=scale, title="largest |Δp| of an image", axis=_powers())
    y = alt.Y("artifact:N", sort=names, title=None)
    base = alt.Chart(_data(boxes)).mark_rect(color="var(--c1)", stroke="var(--paper)")
    rects = base.encode(
        x=x,
        x2="high:Q",
        y=y,
        opacity=alt.Opacity(
            "images:Q", scale=alt.Scale(type="sqrt", range=[0.15, 0.9]), legend=None
        ),
        tooltip=["artifact:N", "low:Q", "high:Q", "images:Q"],
    )
    tooltip = ["artifact:N", _exact("largest"), _exact("allowed")]
    points = (
        alt.Chart(_data(told))
        .mark_point(shape="circle", color=INK, size=45)
        .encode(x=alt.X("at:Q", scale=scale), y=y, tooltip=tooltip)
    )
    ticks = (
        alt.Chart(_data(told))
        .mark_tick(color="var(--bad)", thickness=3)
        .encode(x=alt.X("allowed:Q", scale=scale), y=y, tooltip=tooltip)
    )
    return _spec(alt.layer(rects, points, ticks), 24 * len(names) + 20)


def tradeoff_chart(points: Sequence[FilePoint], y: str, title: str, log: bool) -> JsonObject:
    """Size against the field `y`, a point per artifact: colour by precision, shape by format."""
    import altair as alt

    values = (
        alt.Scale(type="log", nice=False, padding=20)
        if log
        else alt.Scale(zero=False, nice=False, padding=20)
    )
    chart = (
        alt.Chart(_data(map(plain, points)))
        .mark_point()
        .encode(
            x=alt.X(
                "size_bytes:Q",
                scale=alt.Scale(type="log", nice=False, padding=20),
                title="bytes",
                axis=alt.Axis(format="~s", tickCount=5, labelOverlap="greedy", labelSeparation=10),
            ),
            y=alt.Y(f"{y}:Q", scale=values, title=title),
            tooltip=["artifact:N", alt.Tooltip("size_bytes:Q", format=","), f"{y}:Q"],
            **_by_precision_and_format(points),
        )
    )
    return _spec(chart, 280)


def curves_chart(
    points: Sequence[EpochPoint], title: str, unfrozen: float | None, zero: bool
) -> JsonObject:
    """A line per series over the epochs; `title` names the values."""
    import altair as alt

    series = list(dict.fromkeys(point.series for point in points))
    colours = [f"var(--c{i + 1})" for i in range(len(series))]
    lines = (
        alt.Chart(_data(map(plain, points)))
        .mark_line()
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=zero)),
            color=alt.Color("series:N", scale=alt.Scale(domain=series, range=colours), title=None),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=series, range=DASHES[: len(series)]), title=None
            ),
            tooltip=["series:N", "epoch:Q", "value:Q"],
        )
    )
    if unfrozen is None:
        return _spec(lines, 240)
    rule = alt.Chart(_data([{"at": unfrozen}])).mark_rule(strokeDash=[4, 4], color=FAINT)
    return _spec(alt.layer(lines, rule.encode(x="at:Q")), 240)


def roc_chart(points: Sequence[RocPoint]) -> JsonObject:
    """ROC curves."""
    import altair as alt

    lines = (
        alt.Chart(_data(map(plain, points)))
        .mark_line(interpolate="linear")
        .encode(
            x=alt.X("false_positive_rate:Q", title="false positive rate"),
            y=alt.Y("true_positive_rate:Q", title="true positive rate"),
            order="order:Q",
            detail="series:N",
            tooltip=["series:N", "false_positive_rate:Q", "true_positive_rate:Q"],
            **_by_precision(points),
        )
    )
    return _spec(alt.layer(_diagonal(), lines), 300)


def reliability_chart(points: Sequence[ReliabilityPoint]) -> JsonObject:
    """Reliability diagram."""
    import altair as alt

    base = alt.Chart(_data(map(plain, points))).encode(
        x=alt.X("mean_prob:Q", title="probability stated", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("share:Q", title="share that is correct", scale=alt.Scale(domain=[0, 1])),
        detail="series:N",
        tooltip=["series:N", "mean_prob:Q", "share:Q", "images:Q"],
        **_by_precision(points),
    )
    return _spec(alt.layer(_diagonal(), base.mark_line(), base.mark_point(size=40)), 300)


def worst_chart(points: Sequence[ImagePoint]) -> JsonObject:
    """|Δp| of every artifact on each image."""
    import altair as alt

    names = list(dict.fromkeys(point.image for point in points))
    told = [{**asdict(point), "at": max(point.diff, NOTHING)} for point in points]
    chart = (
        alt.Chart(_data(told))
        .mark_point()
        .encode(
            x=alt.X("at:Q", scale=alt.Scale(type="log"), title="|Δp|", axis=_powers()),
            y=alt.Y("image:N", sort=names, title=None),
            tooltip=["image:N", "artifact:N", _exact("diff")],
            **_by_precision_and_format(points),
        )
    )
    return _spec(chart, 28 * len(names) + 20)


def interval_chart(shares: Sequence[Share], title: str) -> JsonObject:
    """Shares with their intervals, and their limits if they have any."""
    import altair as alt

    names = [share.name for share in shares]
    y = alt.Y("name:N", sort=names, title=None)
    percents = alt.Axis(format="~%")
    tooltip = [
        "name:N",
        *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("value", "low", "high")),
    ]
    base = alt.Chart(_data(map(plain, shares)))
    rules = base.mark_rule(strokeWidth=2, color=FAINT).encode(
        x=alt.X("low:Q", title=title, axis=percents), x2="high:Q", y=y, tooltip=tooltip
    )
    points = base.mark_point(color="var(--c1)").encode(x="value:Q", y=y, tooltip=tooltip)
    limits = alt.Chart(_data(plain(s) for s in shares if s.limit is not None))
    ticks = limits.mark_tick(color="var(--bad)", thickness=3).encode(x="limit:Q", y=y)
    return _spec(alt.layer(rules, points, ticks), 24 * len(names) + 20)


def bars_chart(bars: Sequence[Bar], title: str) -> JsonObject:
    """A bar for each value."""
    import altair as alt

    names = [bar.name for bar in bars]
    groups = list(dict.fromkeys(bar.group for bar in bars))
    colours = [f"var(--c{i + 1})" for i in range(len(groups))]
    chart = (
        alt.Chart(_data(map(plain, bars)))
        .mark_bar(stroke=INK)
        .encode(
            x=alt.X("value:Q", title=title),
            y=alt.Y("name:N", sort=names, title=None),
            color=alt.Color(
                "group:N",
                scale=alt.Scale(domain=groups, range=colours),
                legend=alt.Legend(columns=1),
                title=None,
            ),
            tooltip=["name:N", "group:N", "value:Q"],
        )
    )
    return _spec(chart, 22 * len(names) + 20)


def _by_precision(
    points: Sequence[RocPoint | ReliabilityPoint],
) -> dict[str, Any]:
    """Colour and dash."""
    import altair as alt

    here = _in_order((point.precision for point in points), all_precisions())
    colours = [_colour(precision) for precision in here]
    dashes = [DASHES[i % len(DASHES)] for i in range(len(here))]
    return {
        "color": alt.Color(
            "precision:N", scale=alt.Scale(domain=here, range=colours), title="precision"
        ),
        "strokeDash": alt.StrokeDash(
            "precision:N", scale=alt.Scale(domain=here, range=dashes), title="precision"
        ),
    }


def _by_precision_and_format(
    points: Sequence[FilePoint | ImagePoint],
) -> dict[str, Any]:
    """Colour and shape."""
    import altair as alt

    precisions = _in_order((point.precision for point in points), all_precisions())
    formats = _in_order((point.format for point in points), tuple(FORMATS))
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(formats))]
    colours = [_colour(precision) for precision in precisions]
    return {
        "color": alt.Color(
            "precision:N", scale=alt.Scale(domain=precisions, range=colours), title="precision"
        ),
        "shape": alt.Shape(
            "format:N", scale=alt.Scale(domain=formats, range=shapes), title="format"
        ),
    }


def _in_order(found: Iterable[str], known: Sequence[str]) -> list[str]:
    there = dict.fromkeys(found)
    return [*(name for name in known if name in there), *(n for n in there if n not in known)]


def _colour(precision: str) -> str:
    known = all_precisions()
    place = known.index(precision) if precision in known else len(known)
    return f"var(--c{place + 1})"


def _diagonal() -> alt.Chart:
    import altair as alt

    ends = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    line = alt.Chart(_data(ends)).mark_line(strokeDash=[4, 4], color=FAINT, strokeWidth=1)
    diagonal: alt.Chart = line.encode(x="x:Q", y="y:Q")
    return diagonal


def _powers() -> alt.Axis:
    import altair as alt

    return alt.Axis(format=".0e", tickCount=5, labelOverlap="greedy", labelSeparation=10)


def _exact(name: str) -> alt.Tooltip:
    import altair as alt

    return alt.Tooltip(f"{name}:Q", format=".3e")


def _data(rows: Iterable[JsonObject]) -> alt.InlineData:
    import altair as alt

    return alt.InlineData(values=list(rows))


def _spec(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int) -> JsonObject:
    """The chart as JSON: as wide as its container, `height` in pixels without axes."""
    sized = chart.properties(width="container", height=height)
    spec: JsonObject = sized.to_dict()
    spec["config"] = CONFIG
    spec["padding"] = {"left": 5, "right": 15, "top": 5, "bottom": 5}  # half of a last tick's label
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec
