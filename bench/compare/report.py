"""Writes docs/performance.md and its plots from the results of bench/run. Only what was measured is written."""
from pathlib import Path
from xml.sax.saxutils import escape

TITLES = {
    "small-queries-f32": "Small, one query at a time, f32",
    "small-queries-auto": "Small, one query at a time, `auto`",
    "small-queries-int8": "Small, one query at a time, int8",
    "small-passages-f32": "Small, passages, f32",
    "small-passages-auto": "Small, passages, `auto`",
    "small-passages-int8": "Small, passages, int8",
    "small-long": "Small, texts of about 500 tokens",
    "small-doc8k": "Small, documents of about 8,000 tokens",
    "large-queries-f32": "Large, one query at a time, f32",
    "large-queries-torch": "Large, one query at a time, beside PyTorch",
    "large-queries-auto": "Large, one query at a time, `auto`",
    "large-queries-int8": "Large, one query at a time, int8",
    "large-passages-f32": "Large, passages, f32",
    "large-passages-torch": "Large, passages, beside PyTorch",
    "large-passages-auto": "Large, passages, `auto`",
    "large-passages-int8": "Large, passages, int8",
}
STARTS = {"small-starts": "Small, from the program's start to the first vector",
          "large-starts": "Large, from the program's start to the first vector"}
ACCURACY = {"small-accuracy": "Small with random weights: cosine to f32", "demo-accuracy": "The demo model: cosine to f32"}
# What follows this line in the page was measured in other runs, whose commands it names, and stays.
KEPT = "<!-- What follows is not from the run above: each part names its command. -->"
NAMES = {"torch": "PyTorch", "ort": "ONNX Runtime", "ov": "OpenVINO"}

HEAD = """## How it was measured

Full-size checkpoints with random weights (`tools/make_full_checkpoint.py`; speed does not depend on the weights' values), the workloads of
`bench/workloads`, every side of a table loaded at once and timed in turn (A B C, A B C, …), medians over the turns, whose number stands below the
table. The last column is the median of the ratios turn by turn: how many times faster the first row is. Tokens are real ones; padding, which the
peers compute too, is not counted. Absolute figures move from machine to machine; the ratios are what counts. Before each turn a side embeds one text
that is not timed, so that what the system took from a waiting process is back. Weights are mapped from the disk's cache, so rows of the embedding
table that no text needed take no memory, and the peak can lie below the weights' size. Operations counted are those of the products with the weights
and of attention's two; the issue limit is a loop in registers with the instruction of those kernels, timed in the first milliseconds after each turn of
its row, when the processor still has the clock of the work, and again ("rested") when that has risen after 50 ms; a share is the median over the turns.

Measured on {processor}, {cores} cores, kernels {kernels}, with

```sh
make bench        # or, one table: bench/run small-passages-f32 --report
```
"""


def label(side):
    kind, *rest = side.split(":")
    if kind == "ours":
        precision, _, kernels = rest[0].partition("@")
        return f"**stella.cpp {precision}**" + (", without AMX" if kernels == "no-amx" else f", {kernels}" if kernels else "")
    library, precision = kind.split("-")
    return f"{NAMES[library]} {precision}" + (f", batch {rest[0]}" if rest[0] != "1" else ", one at a time")


def table(rows):
    share = any("share_of_limit" in row for row in rows)
    head = ["", "tokens/s", "ms per text", *(["of the issue limit"] if share else []), "weights", "peak memory", "first row is faster by"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for i, row in enumerate(rows):
        cells = [label(row["side"]), f"{row['tokens_per_s']:,.0f}", f"{row['ms_per_text']:,.1f}"]
        if share:
            cells.append(f"{100 * row['share_of_limit']:.0f} % of {row['issue_limit']:,.0f} GFLOP/s (rested: {100 * row['share_of_rested']:.0f} %)"
                         if "share_of_limit" in row else "")
        cells += [f"{row['weight_bytes'] / 2**20:,.0f} MB", f"{row['peak_mb']:,} MB"] if "weight_bytes" in row else ["", ""]
        cells.append(f"{row['first_side_is_faster_by']:.2f}×" if i else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def turns(rows):
    count = len(rows[0]["turns"])
    return "One turn." if count == 1 else f"{count} turns."


def starts_table(rows):
    lines = ["| precision | first start: packs, calibrates | peak | later starts | peak | packed weights on disk |", "|---|---|---|---|---|---|"]
    lines += [f"| {row['precision']} | {row['first_s']:.1f} s | {row['first_peak_mb']:,} MB | {row['second_s']:.2f} s | {row['second_peak_mb']:,} MB "
              f"| {row['packed_mb']:,} MB |" for row in rows]
    return "\n".join(lines)


def accuracy_table(rows):
    lines = ["| precision | head | texts | mean | least |", "|---|---|---|---|---|"]
    lines += [f"| {row['precision']} | {row['dimension']} | {row['texts']} | {row['mean']:.6f} | {row['least']:.6f} |" for row in rows]
    return "\n".join(lines)


def plot(rows, title):
    """A horizontal bar for each side, as SVG; longer is faster."""
    most, width, step = max(row["tokens_per_s"] for row in rows), 420, 28
    height = step * len(rows) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" font-family="sans-serif" font-size="13">',
             f'<rect width="760" height="{height}" fill="#fff"/>',
             f'<text x="8" y="20" font-weight="bold">{escape(title.replace("`", ""))}: tokens per second</text>']
    for i, row in enumerate(rows):
        y, bar = 34 + step * i, width * row["tokens_per_s"] / most
        colour = "#1f6feb" if row["side"].startswith("ours") else "#9aa4b2"
        parts += [f'<text x="230" y="{y + 15}" text-anchor="end">{escape(label(row["side"]).replace("*", ""))}</text>',
                  f'<rect x="240" y="{y}" width="{bar:.1f}" height="20" fill="{colour}"/>',
                  f'<text x="{246 + bar:.1f}" y="{y + 15}">{row["tokens_per_s"]:,.0f}</text>']
    return "\n".join([*parts, "</svg>", ""])


def write(results, docs):
    machine = results["machine"]
    parts = [HEAD.format(processor=machine["processor"], cores=machine["cores"],
                         kernels=machine["stella"].get("kernels", "?"))]
    plots = Path(docs, "performance")
    plots.mkdir(exist_ok=True)
    for name, title in TITLES.items():
        if name in results:
            rows = results[name]
            (plots / f"{name}.svg").write_text(plot(rows, title))
            parts.append(f"## {title}\n\n{table(rows)}\n\n{turns(rows)}\n\n![{title.replace('`', '')}](performance/{name}.svg)\n")
    for titles, write_table in ((STARTS, starts_table), (ACCURACY, accuracy_table)):
        parts += [f"## {title}\n\n{write_table(results[name])}\n" for name, title in titles.items() if name in results]
    page = Path(docs, "performance.md")
    old = page.read_text() if page.exists() else "# Performance\n\n"
    summary = old.partition("## How it was measured\n")[0]  # by hand: from several runs
    kept = old.partition(KEPT)[2]
    page.write_text(summary + "\n".join(parts) + (f"\n{KEPT}\n{kept.lstrip()}" if kept else ""))
