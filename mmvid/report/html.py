"""Parts of a page that needs nothing but itself: no network, no scripts unless asked for; light colours, tables, bars.

Every function takes plain text and escapes it.
"""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

import numpy as np

_STYLE = """
:root { --ink: #1d2733; --soft: #66727f; --line: #e3e8ee; --wash: #f5f7fa; --bar: #4a7fb5; --good: #2e7d4f;
        --bad: #b3412e; }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: var(--ink);
       background: #fff; max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px }
h1 { font-size: 25px; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 17px; margin: 36px 0 10px }
p { margin: 6px 0 }
.soft { color: var(--soft) } .num { text-align: right; font-variant-numeric: tabular-nums }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace }
code { overflow-wrap: anywhere }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; overflow-x: auto }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 }
.tile { background: var(--wash); border-radius: 10px; padding: 12px 16px }
.tile b { display: block; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums }
.note { border-left: 4px solid var(--line); padding: 4px 14px; margin: 8px 0; overflow-wrap: anywhere }
.good { border-color: var(--good) } .bad { border-color: var(--bad) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line); padding: 6px 0;
     white-space: nowrap }
th.num { text-align: right }
td { border-bottom: 1px solid var(--line); padding: 6px 0; vertical-align: middle; white-space: nowrap }
th, td { padding-right: 18px } th:last-child, td:last-child { padding-right: 0; min-width: 140px }
td.word { max-width: 260px; overflow-wrap: anywhere; white-space: normal; min-width: 110px }
td.word:first-child { min-width: 220px }
summary { cursor: pointer; color: var(--soft); margin: 8px 0 }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 0 40px }
.share { display: block; height: 12px; border-radius: 3px; background: var(--bar); min-width: 1px }
img { display: block; max-width: 100%; image-rendering: pixelated }
svg { display: block; overflow: visible } rect { fill: var(--bar) } rect:hover { fill: #2c5a88 }
text { fill: var(--soft); font-size: 11px }
"""


class Markup(str):
    """Text that is HTML already, as the functions here return it."""


def page(title: str, parts: Sequence[Markup], scripts: bool = False) -> str:
    """A whole document.

    Args:
        scripts: whether scripts inside it run; nothing is ever loaded from elsewhere.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:"
    if scripts:  # plotly compiles what it draws with WebGL
        policy += "; script-src 'unsafe-inline' 'unsafe-eval'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def element(name: str, content: str | Sequence[str] = "", kind: str = "") -> Markup:
    """An element; its content is escaped unless it is `Markup`, or a sequence of such.

    Args:
        kind: its class.
    """
    inner = _text(content) if isinstance(content, str) else "".join(map(_text, content))
    given = f' class="{kind}"' if kind else ""
    return Markup(f"<{name}{given}>{inner}</{name}>")


def link(text: str, address: str) -> Markup:
    """A link that opens beside the page; only the text where there is no address."""
    if not address:
        return _text(text)
    return Markup(f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(text)}</a>')


def image(title: str, content: bytes) -> Markup:
    """A picture that lies inside the page; `content` is a PNG file."""
    told = escape(title)
    return Markup(f'<img alt="{told}" title="{told}" src="data:image/png;base64,{b64encode(content).decode("ascii")}">')


def prose(text: str) -> list[Markup]:
    """Text in which what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an unpaired backtick is only a character
        return [_text(text)]
    return [element("code", part) if place % 2 else _text(part) for place, part in enumerate(parts)]


def tiles(figures: Sequence[tuple[str, str]]) -> Markup:
    """Large figures, each with a word below it."""
    return element("div", [element("div", [element("b", each), word], "tile") for each, word in figures], "tiles")


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str | float]],
    words: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> Markup:
    """A table; columns of numbers, and those named in `numbers`, are set to the right, those in `words` may wrap."""
    right = [
        name in numbers or (bool(rows) and all(not isinstance(row[i], str) for row in rows))
        for i, name in enumerate(header)
    ]
    kinds = ["num" if flush else "word" if name in words else "" for name, flush in zip(header, right, strict=True)]

    def line(name: str, cells: Sequence[str | float]) -> Markup:
        shown = [cell if isinstance(cell, str) else f"{cell:,}" for cell in cells]
        return element("tr", [element(name, cell, kind) for cell, kind in zip(shown, kinds, strict=True)])

    body = [line("td", row) for row in rows]
    return element("div", element("table", [line("th", header), *body]), "scroll")


def share_bar(share: float) -> Markup:
    """A horizontal bar, `share` of its cell wide."""
    return Markup(f'<span class="share" style="width:{100 * share:.1f}%"></span>')


def histogram(bins: Sequence[tuple[str, int]], unit: str, width: int = 480, height: int = 150) -> Markup:
    """Columns, one a bin, labelled below where there is room; hovering one tells its count."""
    most = max((count for _, count in bins), default=0)
    if not most:
        return Markup("")
    step, parts = width / len(bins), []
    every = -(-len(bins) * max(len(label) for label, _ in bins) * 8 // width)  # labels must not touch
    for number, (label, count) in enumerate(bins):
        x, tall = number * step, count / most * (height - 34)
        parts.append(_column(x + 1, height - 18 - tall, max(step - 2, 1), tall, f"{label}: {count:,} {unit}"))
        if number % every == 0:
            parts.append(f'<text x="{x + step / 2:.1f}" y="{height - 4}" text-anchor="middle">{escape(label)}</text>')
    parts.append(f'<text x="{width}" y="10" text-anchor="end">highest: {most:,}</text>')
    return Markup(_svg(width, height, parts, "100%"))


def spark(counts: np.ndarray, width: int = 120, height: int = 26) -> Markup:
    """A histogram the size of a word."""
    if not len(counts) or not counts.max():
        return Markup("")
    step, tall = width / len(counts), counts / counts.max() * height
    columns = [_column(i * step, height - each, max(step - 0.5, 0.5), each, "") for i, each in enumerate(tall.tolist())]
    return Markup(_svg(width, height, columns, f"{width}"))


def _column(x: float, y: float, width: float, height: float, title: str) -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">{told}</rect>'


def _svg(width: int, height: int, parts: Sequence[str], shown: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{shown}" role="img">{"".join(parts)}</svg>'


def _text(content: str) -> Markup:
    return content if isinstance(content, Markup) else Markup(escape(content))
