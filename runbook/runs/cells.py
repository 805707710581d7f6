"""An executed notebook's cells as HTML: prose, outputs, and code folded away."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from nbconvert.filters.ansi import ansi2html, strip_ansi
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from runbook.runs.display import figure

#: Cells that the report shows in another place.
_LEFT_OUT = {"parameters", "injected-parameters"}
#: The richest form of an output that is shown, in this order.
_FORMS = ("text/html", "image/png", "image/svg+xml", "text/markdown", "text/plain")


def render(notebook: Mapping[str, Any]) -> Iterator[Markup]:
    """Each cell worth showing. The title is left out: the page has it at its top."""
    highlight = Highlight2HTML()  # type: ignore[no-untyped-call]
    for index, cell in enumerate(notebook["cells"]):
        if _LEFT_OUT.intersection(cell["metadata"].get("tags", [])):
            continue
        source = _text(cell["source"])
        if cell["cell_type"] == "markdown":
            yield Markup(_markdown(_without_title(source) if index == 0 else source))
        elif cell["cell_type"] == "code" and source.strip():
            yield Markup(_code_cell(cell, source, highlight))


def _code_cell(cell: Mapping[str, Any], source: str, highlight: Highlight2HTML) -> str:
    outputs = "".join(_output(item) for item in _worth_showing(cell.get("outputs", [])))
    code = highlight(source, language="python")
    folded = f'<details class="code"><summary>code</summary>{code}</details>'
    return f'<div class="output">{outputs}</div>{folded}'


def _worth_showing(outputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Streams in one piece, and no error that only repeats a finished notebook's verdict."""
    kept: list[Mapping[str, Any]] = []
    for item in outputs:
        if item["output_type"] == "error" and item.get("ename") == "VerdictFailed":
            continue
        last = kept[-1] if kept else {}
        if item["output_type"] == last.get("output_type") == "stream" and (
            item["name"] == last["name"]
        ):
            kept[-1] = {**last, "text": _text(last["text"]) + _text(item["text"])}
        else:
            kept.append(item)
    return kept


def _output(item: Mapping[str, Any]) -> str:
    if item["output_type"] == "stream":
        kind = "stderr" if item["name"] == "stderr" else "stdout"
        text = strip_ansi(_text(item["text"]))  # type: ignore[no-untyped-call]
        return f'<pre class="{kind}">{html.escape(text)}</pre>'
    if item["output_type"] == "error":
        trace = "\n".join(item["traceback"]) or f"{item['ename']}: {item['evalue']}"
        coloured = ansi2html(trace)  # type: ignore[no-untyped-call]
        return f'<pre class="error-text">{coloured}</pre>'
    data = item.get("data", {})
    form = next((form for form in _FORMS if form in data), None)
    return _form(form, _text(data[form])) if form else ""


def _form(form: str, content: str) -> str:
    if form == "text/html":
        return content
    if form == "image/png":
        return figure(base64.b64decode(content), "Figure")
    if form == "image/svg+xml":
        return f"<figure>{content}</figure>"
    if form == "text/markdown":
        return _markdown(content)
    return f"<pre>{html.escape(content)}</pre>"


def _markdown(source: str) -> str:
    return str(markdown2html_mistune(source))


def _without_title(source: str) -> str:
    first, _, rest = source.lstrip().partition("\n")
    return rest if first.startswith("# ") else source


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)
