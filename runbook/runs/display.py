"""What notebooks show: tables, figures, check trees, reviews. Plain HTML, styled by the report."""

from __future__ import annotations

import base64
import dataclasses
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runbook.stacks.explain import review_diff
from runbook.stacks.review import Review
from runbook.tables import plain, text_table

#: What stands right-aligned, also when it comes as text from a file.
_NUMBER = re.compile(r"^-?\d[\d.,]*(e-?\d+)?$")

#: Characters from which a cell is given room before its neighbours are squeezed.
_LONG = 24


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """An HTML table; numbers are aligned right, attention-seeking cells are marked."""
    # Where there is little room a name may be broken after an underscore, and nowhere else.
    names = (html.escape(str(name)).replace("_", "_<wbr>") for name in columns)
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    text = html.escape(plain(value))
    if _NUMBER.match(text):
        return f'<td class="number">{text}</td>'
    shouted = isinstance(value, str) and ("DELETED" in value or "REPLACED" in value)
    kind = "shout" if shouted else "long" if len(text) > _LONG else ""
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"


def facts(pairs: Mapping[str, Any]) -> str:
    """Names and values, one a line."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(plain(value))}</td></tr>"
        for name, value in pairs.items()
    )
    return f'<table class="facts">{rows}</table>'


def figure(png: bytes, caption: str) -> str:
    """A picture inside the page, its caption also for those who cannot see it."""
    data = base64.b64encode(png).decode()
    words = html.escape(caption, quote=True)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{words}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def text(content: str, caption: str) -> str:
    """Text as it is, such as a diff, under its caption."""
    return f"<p>{html.escape(caption)}</p><pre>{html.escape(content)}</pre>"


def folded(title: str, content: str) -> str:
    """Long text behind its title."""
    summary = f"<summary>{html.escape(title)}</summary>"
    return f"<details>{summary}<pre>{html.escape(content)}</pre></details>"


def tree(text: str) -> str:
    """A check tree, its marks coloured as well as written."""
    marked = html.escape(text)
    for mark in ("OK", "NG", "SKIP"):
        marked = marked.replace(f"[{mark}]", f'<b class="mark-{mark.lower()}">[{mark}]</b>')
    return f'<pre class="tree">{marked}</pre>'


def lines(items: Sequence[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"


def callout(level: str, text: str) -> str:
    """A finding: its level as a word and as a colour."""
    return (
        f'<p class="finding {html.escape(level)}"><b>{html.escape(level)}</b> '
        f"{html.escape(text)}</p>"
    )


def review_text(review: Review) -> str:
    """A review as text: layers, changes, warnings, digest."""
    if review.empty:
        return f"No layer would change. Digest {review.short_digest}"
    rows = review.rows()
    columns = list(rows[0]) if rows else []
    parts = [
        text_table(
            ["layer", "operation", "changes"],
            [[layer.layer, layer.operation, len(layer.changes)] for layer in review.layers],
        ),
        text_table(columns, [list(row.values()) for row in rows]),
        review_diff(review),
        *(f"!! {warning}" for warning in review.warnings()),
        f"Digest {review.short_digest}",
    ]
    return "\n\n".join(part for part in parts if part)


def review_html(review: Review) -> str:
    """A review for a page: a table of layers, and for each its changes and its diff, folded."""
    summary = table(
        ["layer", "stack", "operation", "changes"],
        [
            [layer.layer, layer.stack_name, layer.operation, len(layer.changes)]
            for layer in review.layers
        ],
    )
    warnings = "".join(callout("warning", warning) for warning in review.warnings())
    details = "".join(_layer_details(review, layer.layer) for layer in review.layers)
    digest = f'<p>Digest <code class="digest">{review.short_digest}</code></p>'
    return f"{warnings}{summary}{details}{digest}"


def _layer_details(review: Review, name: str) -> str:
    layer = review.layer(name)
    if layer is None or layer.empty:
        return ""
    rows = [row for row in review.rows() if row["layer"] == name]
    parts = []
    if rows:
        columns = [key for key in rows[0] if key != "layer"]
        parts.append(table(columns, [[row[key] for key in columns] for row in rows]))
    values = [
        [kind, change.name, change.before, change.after]
        for kind, changes in (("parameter", layer.diff.parameters), ("tag", layer.diff.tags))
        for change in changes
    ]
    if values:
        parts.append(table(["what", "name", "before", "after"], values))
    if layer.diff.template and layer.operation == "update":
        parts.append(f"<pre>{html.escape(layer.diff.template)}</pre>")
    opened = " open" if any(change.destructive for change in layer.changes) else ""
    return (
        f"<details{opened}><summary>{html.escape(name)}: {layer.operation}, "
        f"{len(layer.changes)} changes</summary>{''.join(parts)}</details>"
    )


def verdict(name: str, next_step: str) -> str:
    """A verdict as a badge, and the command that comes next."""
    follow = f"<p>Next: <code>{html.escape(next_step)}</code></p>" if next_step else ""
    return f'<p><span class="badge {name}">{name}</span></p>{follow}'


def grid(what: Any) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of a data frame, a dict, or a list of dicts or dataclasses."""
    if hasattr(what, "itertuples"):
        return [str(name) for name in what.columns], [
            [item.item() if hasattr(item, "item") else item for item in row]
            for row in what.itertuples(index=False)
        ]
    if isinstance(what, Mapping):
        return ["name", "value"], [[key, value] for key, value in what.items()]
    rows = [row if isinstance(row, Mapping) else dataclasses.asdict(row) for row in what]
    columns = list(rows[0]) if rows else ["nothing"]
    return columns, [[row[key] for key in columns] for row in rows]
