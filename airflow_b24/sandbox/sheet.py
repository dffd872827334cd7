"""What the console is drawn with: its style, tables and coloured words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

STYLE = """
:root{--ink:#1d2733;--soft:#667587;--line:#e3e8ee;--card:#fff;--page:#f4f6f9;--blue:#2067b0;
--good:#13794b;--good-bg:#e2f5ea;--warn:#8f5a00;--warn-bg:#fdf1d8;--bad:#b3261e;--bad-bg:#fce8e6;--idle-bg:#eaeff5}
@media(prefers-color-scheme:dark){:root{--ink:#e5ebf2;--soft:#93a1b1;--line:#2b3644;--card:#1a222c;--page:#11171e;
--blue:#6cb0f5;--good:#73d6a1;--good-bg:#173527;--warn:#f0c271;--warn-bg:#3a2d13;--bad:#f49a93;--bad-bg:#431f1d;
--idle-bg:#27323f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:0}h2{font-size:17px;margin:34px 0 4px}p{margin:4px 0 12px;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin-top:18px}
.card,.sheet{background:var(--card);border:1px solid var(--line);border-radius:12px}
.card{padding:14px 16px}.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:13px}
.sheet{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:9px 14px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}th{font-size:12px;font-weight:600;color:var(--soft);white-space:nowrap}
td.num,th.num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td.day{white-space:nowrap}
td.text{min-width:240px;overflow-wrap:anywhere}small{color:var(--soft)}
.pill{display:inline-block;padding:1px 10px;border-radius:99px;font-size:13px;white-space:nowrap}
.good{background:var(--good-bg);color:var(--good)}.warn{background:var(--warn-bg);color:var(--warn)}
.bad{background:var(--bad-bg);color:var(--bad)}.idle{background:var(--idle-bg);color:var(--ink)}
meter{width:100%;height:12px}
"""


def table(heads: Mapping[str, str], rows: Iterable[str], empty: str) -> str:
    """A table: each head with its style, rows as `row` writes them, and what to say where there are none."""
    cells = "".join(f'<th class="{style}">{escape(head)}</th>' for head, style in heads.items())
    body = "".join(rows) or f'<tr><td colspan="{len(heads)}"><small>{escape(empty)}</small></td></tr>'
    return f'<div class="sheet"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def row(*cells: tuple[str, str]) -> str:
    """One row of a table: each cell as escaped HTML, with its style."""
    return "<tr>" + "".join(f'<td class="{style}">{cell}</td>' for cell, style in cells) + "</tr>"


def pill(text: str, tone: str) -> str:
    """A word on a coloured ground; the tone is good, warn, bad or idle."""
    return f'<span class="pill {tone}">{escape(text)}</span>'
