"""The plots of the report, one function each: from a run's `bench` records to an SVG, or None if the run has nothing to show."""

import io
import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: E402
from records import interval, key_text  # noqa: E402

plt.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "volley", "font.family": "sans-serif", "font.size": 10, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.8, "axes.axisbelow": True,
    "axes.edgecolor": "#888888", "xtick.color": "#444444", "ytick.color": "#444444", "axes.labelcolor": "#222222",
    "legend.frameon": False, "figure.constrained_layout.use": True, "axes.titlesize": 10, "axes.titleweight": "bold",
})
# Told apart without colour vision too: colour, marker and dash change together (colours: Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a6d3b")
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":")
PHASES = {"change": "#b3cde3", "targets": "#6497b1", "post": "#e69f00", "flush here": "#009e73", "wait": "#d55e00",
          "release": "#999999"}


class Styles:
    """A style for each policy, the same in every plot of the page."""

    def __init__(self, names):
        self.of = {}
        for i, name in enumerate(sorted(names)):
            self.of[name] = dict(color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
                                 linestyle=DASHES[i // len(COLOURS) % len(DASHES)], markersize=4.5, linewidth=1.5)

    def line(self, name):
        return self.of[name]

    def colour(self, name):
        return self.of[name]["color"]


def number(value, _=None):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def svg(figure):
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = out.getvalue()
    text = text[text.index("<svg"):]
    # Sizes to the page; ids are of this plot alone, because several stand in one page.
    svg.count += 1
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>f{svg.count}", text)
    return re.sub(r'<svg [^>]*?width="([\d.]+)pt"', lambda m: m.group(0).replace(f'width="{m.group(1)}pt"', 'width="100%"')
                  .replace(' height=', ' data-height='), text, count=1)


svg.count = 0


def pick(run, **wanted):
    """Records that match; a tuple allows several values."""
    return [r for r in run.bench.values()
            if all(r.get(k) in (v if isinstance(v, tuple) else (v,)) for k, v in wanted.items())]


def values(records, name):
    return sorted({r[name] for r in records if r.get(name) is not None})


# Cells that differ in one of these are of different experiments: never points of one curve.
VARIANT = ("delivery", "flush", "opt", "responders", "initiator", "fanout", "cost")


def by_variant(records):
    """[(what tells them from the others, "" if there are none, and their records)], the commonest first."""
    found = {}
    for r in records:
        found.setdefault(tuple(r.get(name) for name in VARIANT), []).append(r)
    differ = [i for i in range(len(VARIANT)) if len({key[i] for key in found}) > 1]
    usual = {"initiator": "initiator inside", "opt": "no opt", "flush": "flush as usual"}
    return [(", ".join(usual.get(VARIANT[i], "") if key[i] is None else f"{VARIANT[i]} {key[i]}" for i in differ), cells)
            for key, cells in sorted(found.items(), key=lambda item: -len(item[1]))]


def under(title, variant):
    return f"{title}\n{variant}" if variant else title


def curve(ax, records, x, style, label):
    records = sorted(records, key=lambda r: r[x])
    at = [r[x] for r in records]
    ax.plot(at, [r["p50"] for r in records], label=label, **style)
    ends = [interval(r) for r in records]
    ax.fill_between(at, [low for low, _ in ends], [high for _, high in ends], color=style["color"], alpha=0.15, linewidth=0)


def axes(n, width=4.6, height=3.2, columns=3):
    columns = min(n, columns)
    rows = -(-n // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    flat = [ax for row in grid for ax in row]
    for ax in flat[n:]:
        ax.axis("off")
    return figure, flat[:n]


def legend_below(figure, ax):
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=min(6, len(labels)))


def ticks_at(axis, at, log=True):
    if log:
        axis.set_minor_locator(NullLocator())
    axis.set_ticks(at)
    axis.set_major_formatter(FuncFormatter(number))


def against_pages(run, styles):
    """Initiator's median against pages, on all CPUs, one panel for each operation."""
    records = pick(run, bench="shootdown", metric="initiator")
    if not records or len(values(records, "pages")) < 2:
        return None
    most = max(values(records, "cpus"))
    records = [r for r in records if r["cpus"] == most]
    parts = [(op, *part) for op in values(records, "op") for part in by_variant([r for r in records if r["op"] == op])]
    figure, panels = axes(len(parts))
    for ax, (op, variant, part) in zip(panels, parts):
        for policy in values(part, "policy"):
            curve(ax, [r for r in part if r["policy"] == policy], "pages", styles.line(policy), policy)
        ax.set(xscale="log", yscale="log", title=under(f"{op}, {most} CPUs", variant), xlabel="pages", ylabel="ticks, initiator (p50)")
        ticks_at(ax.xaxis, values(records, "pages"))
        ax.yaxis.set_major_formatter(FuncFormatter(number))
    legend_below(figure, panels[0])
    return svg(figure)


def against_cpus(run, styles):
    """The same against CPUs, both sides: what the initiator waits for, and what each responder loses."""
    records = pick(run, bench="scaling", op="unmap") or pick(run, bench="shootdown", op="unmap", pages=1)
    sides = [("initiator", "ticks, initiator (p50)"), ("responder", "ticks, one responder (p50)")]
    parts = [(metric, label, variant, [r for r in part if r["metric"] == metric]) for variant, part in by_variant(records) for metric, label in sides]
    parts = [p for p in parts if len(values(p[3], "cpus")) > 1]
    if not parts:
        return None
    figure, panels = axes(len(parts), columns=2)
    for ax, (_, label, variant, cells) in zip(panels, parts):
        for policy in values(cells, "policy"):
            curve(ax, [r for r in cells if r["policy"] == policy], "cpus", styles.line(policy), policy)
        ax.set(title=under("unmap of one page", variant), xlabel="CPUs, initiator included", ylabel=label)
        ax.set_ylim(bottom=0)
        if len(values(cells, "cpus")) <= 17:
            ticks_at(ax.xaxis, values(cells, "cpus"), log=False)
        ax.yaxis.set_major_formatter(FuncFormatter(number))
    legend_below(figure, panels[0])
    return svg(figure)


def stack(cell):
    """Steps one after the other, of phases that overlap: what each adds until the whole has ended."""
    post, local, wait = (cell.get(f"phase.{n}", 0) for n in ("post", "local", "wait"))
    steps = [("change", cell.get("phase.change", 0)), ("targets", cell.get("phase.targets", 0))]
    first, second = (("post", post), ("flush here", local)) if post <= local else (("flush here", local), ("post", post))
    steps += [first, (second[0], second[1] - first[1]), ("wait", max(0, wait - second[1]))]
    return steps + [("release", cell.get("phase.release", 0))]


def phases(run, styles):
    """Where the time goes, on both sides: the initiator's steps stacked, a responder's interruption below it."""
    records = [r for r in pick(run, bench="shootdown", op="unmap") if r["cpus"] == max(r["cpus"] for r in pick(run, bench="shootdown"))]
    cells = {}
    for variant, part in by_variant(records):
        for r in part:
            cells.setdefault((variant, r["pages"], r["policy"]), {})[r["metric"]] = r["p50"]
    cells = {k: c for k, c in cells.items() if "phase.wait" in c}
    if not cells:
        return None
    sizes = sorted({k[1] for k in cells})
    sizes = [sizes[0], sizes[-1]] if len(sizes) > 1 else sizes
    parts = [(variant, pages) for variant in dict.fromkeys(k[0] for k in cells) for pages in sizes]
    policies = sorted({k[2] for k in cells})
    figure, panels = axes(len(parts), width=6.6, height=0.9 + 0.52 * len(policies), columns=2)
    for ax, (variant, pages) in zip(panels, parts):
        for row, policy in enumerate(reversed(policies)):
            cell = cells.get((variant, pages, policy))
            if not cell:
                continue
            left = 0
            for name, ticks in stack(cell):
                ax.barh(row + 0.17, ticks, 0.34, left=left, color=PHASES[name], label=name)
                left += ticks
            ax.barh(row - 0.2, cell.get("responder", 0), 0.24, color="#56b4e9", label="responder, entry to IRET")
        ax.set_yticks(range(len(policies)), reversed(policies))
        ax.grid(axis="y", visible=False)
        ax.set(title=under(f"unmap of {pages} page{'s' if pages > 1 else ''}, {records[0]['cpus']} CPUs", variant), xlabel="ticks (p50 of each step)")
        ax.xaxis.set_major_formatter(FuncFormatter(number))
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    order = [n for n in [*PHASES, "responder, entry to IRET"] if n in unique]
    figure.legend([unique[n] for n in order], order, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=7)
    return svg(figure)


PERCENTILES = (("min", 0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1))


def distributions(run, styles):
    """One page taken away from all CPUs: every sample where there are raw ones, else the percentiles of the record."""
    records = pick(run, bench=("shootdown", "scaling", "seed"), metric=("initiator", "turn"), op="unmap", pages=1)
    if not records:
        return None
    most = max(values(records, "cpus"))
    records = [r for r in records if r["cpus"] == most]
    parts = [(bench, *part) for bench in values(records, "bench") for part in by_variant([r for r in records if r["bench"] == bench])]
    figure, panels = axes(len(parts), columns=2, width=5.6)
    for ax, (bench, variant, part) in zip(panels, parts):
        for r in sorted(part, key=lambda r: r["policy"]):
            style = dict(styles.line(r["policy"]))
            samples = sorted(run.samples(r) or [])
            if samples:
                style["marker"] = None
                ax.plot(samples, [(i + 1) / len(samples) for i in range(len(samples))], label=r["policy"], drawstyle="steps-post", **style)
            else:
                known = [(r[name], share) for name, share in PERCENTILES if name in r]  # records of photos have few
                ax.plot([value for value, _ in known], [share for _, share in known], label=r["policy"], **style)
        ax.set(title=under(f"{bench}: unmap of one page, {most} CPUs", variant), xlabel="ticks", ylabel="share of samples not above")
        lowest, highest = min(r["min"] for r in records), max(r.get("max", r["p50"]) for r in records)
        if highest > 8 * max(1, lowest):
            ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(number))
    legend_below(figure, panels[0])
    return svg(figure)


def crossover(run, styles):
    """Ranged against full, refill included."""
    parts = by_variant(pick(run, bench="ceiling"))
    if not parts:
        return None
    figure, panels = axes(len(parts), width=6.4, height=3.6, columns=2)
    for ax, (variant, records) in zip(panels, parts):
        for i, (metric, label) in enumerate((("ranged", "page by page"), ("full", "everything"))):
            curve(ax, [r for r in records if r["metric"] == metric], "pages",
                  dict(color=COLOURS[i], marker=MARKERS[i], linewidth=1.6, markersize=4.5), label)
        ranged = {r["pages"]: r["p50"] for r in records if r["metric"] == "ranged"}
        full = {r["pages"]: r["p50"] for r in records if r["metric"] == "full"}
        first = next((p for p in sorted(ranged) if p in full and full[p] <= ranged[p]), None)
        if first:
            ax.axvline(first, color="#666666", linestyle=":", linewidth=1.2)
            ax.annotate(f"everything is no dearer\nfrom {first} pages on", (first, ax.get_ylim()[1]), xytext=(-6, -4),
                        textcoords="offset points", va="top", ha="right", fontsize=9, color="#444444")
        ax.set(xscale="log", xlabel="pages forgotten", ylabel="ticks, flush and refill (p50)", title=under("512 pages in use", variant))
        ax.set_ylim(bottom=0)
        ticks_at(ax.xaxis, [1, 2, 4, 8, 16, 33, 64, 128, 256, 512])
        ax.yaxis.set_major_formatter(FuncFormatter(number))
        ax.legend(loc="center left")
    return svg(figure)


def bars(run, styles):
    """storm and interference: one bar for each policy, with the interval of the median."""
    wanted = (("storm", "throughput", "unmaps in 10⁹ ticks, all CPUs (more is better)"),
              ("storm", "fairness", "Jain's index, ‰ (1000: all the same)"),
              ("interference", "stolen", "ticks of work lost by a CPU to a shootdown"))
    parts = [(f"{bench}, {cpus} CPUs", label, *part) for bench, metric, label in wanted
             for cpus in values(pick(run, bench=bench, metric=metric), "cpus")
             for part in by_variant(pick(run, bench=bench, metric=metric, cpus=cpus))]
    if not parts:
        return None
    figure, panels = axes(len(parts), width=4.6, height=1.2 + 0.28 * max(len(cells) for *_, cells in parts))
    for ax, (title, label, variant, cells) in zip(panels, parts):
        cells = sorted(cells, key=lambda r: r["policy"], reverse=True)
        for row, r in enumerate(cells):
            low, high = interval(r)
            ax.barh(row, r["p50"], 0.6, color=styles.colour(r["policy"]), alpha=0.85)
            ax.errorbar(r["p50"], row, xerr=[[max(0, r["p50"] - low)], [max(0, high - r["p50"])]], color="#222222", capsize=3, linewidth=1)
        ax.set_yticks(range(len(cells)), [r["policy"] for r in cells])
        ax.grid(axis="y", visible=False)
        ax.set(title=under(title, variant), xlabel=label)
        ax.xaxis.set_major_formatter(FuncFormatter(number))
    return svg(figure)


def threads_of(seed_record):
    """Older records are all of kernel threads."""
    return seed_record.get("responders", "kernel")


def seed(run, styles):
    """Time against base, here and as published."""
    cells = [r for r in run.seed if r["cpus"] > 1]
    if not cells:
        return None
    kinds = sorted({(threads_of(r), r["cpus"]) for r in cells}, key=lambda k: (k[0] != "ring3", k[1]))
    parts = [(kind, *part) for kind in kinds for part in by_variant([r for r in cells if (threads_of(r), r["cpus"]) == kind])]
    figure, panels = axes(len(parts), width=5.2, height=3.0, columns=2)
    for ax, (kind, variant, rows) in zip(panels, parts):
        for i, r in enumerate(reversed(rows)):
            ax.plot([r["published_permille"] / 10, r["permille"] / 10], [i, i], color="#bbbbbb", linewidth=2, zorder=1)
            ax.scatter(r["published_permille"] / 10, i, s=46, facecolors="white", edgecolors="#222222", zorder=2,
                       label="published" if not i else None)
            ax.scatter(r["permille"] / 10, i, s=46, color="#d55e00", zorder=3, label="here" if not i else None)
        ax.set_yticks(range(len(rows)), [r["published_as"] for r in reversed(rows)])
        ax.margins(y=0.2)
        ax.set(title=under(f"{kind[1]} threads ({kind[0]})", variant), xlabel="time of a turn against base, %")
    panels[0].legend()
    return svg(figure)


def before_after(a, b, limit=28):
    """Ratio of medians of two runs with the intervals' ratios, for the cells that moved most."""
    cells = []
    for key, before in a.bench.items():
        after = b.bench.get(key)
        if after and before["p50"] and after["p50"] and not before["metric"].startswith("phase."):
            (a_low, a_high), (b_low, b_high) = interval(before), interval(after)
            cells.append((after["p50"] / before["p50"], b_low / max(1, a_high), b_high / max(1, a_low), before))
    if not cells:
        return None, []
    cells.sort(key=lambda c: -abs(c[0] - 1))
    shown = sorted(cells[:limit], key=lambda c: c[0])
    figure, (ax,) = axes(1, width=9.5, height=0.9 + 0.24 * len(shown))
    for row, (ratio, low, high, record) in enumerate(shown):
        more = record.get("better") == "more"
        clear = low > 1 or high < 1
        good = (ratio > 1) == more
        colour = "#999999" if not clear else "#009e73" if good else "#d55e00"
        ax.plot([low, high], [row, row], color=colour, linewidth=2)
        ax.plot(ratio, row, "o", color=colour, markersize=5)
    ax.axvline(1, color="#444444", linewidth=1)
    ax.set_yticks(range(len(shown)), [key_text(c[3]) for c in shown], fontsize=8)
    ax.set(xlabel="second run / first run: median and 95 % interval; green better, red worse, grey not to be told apart")
    ax.margins(y=0.02)
    return svg(figure), cells
