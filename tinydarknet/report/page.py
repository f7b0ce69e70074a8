"""Records of runs -> HTML. Everything that comes from a file is escaped, by jinja's autoescape and `tojson`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from convert.image.encoding import Encoding
from tinydarknet.report.figures import comparison_plots, run_plots
from tinydarknet.report.run_record import RunRecord, default_options, flat
from tinydarknet.report.summary import Summary, summarise
from tinydarknet.report.svg import envelope
from tinydarknet.run_folder.log_reader import RunLog

_STATES = {
    "finished": "Finished.",
    "stopped": "Stopped before its end; --resume goes on.",
    "no end logged": "No end was logged: it is still running, or was killed.",
}
STEPS_WHOLE_MAX = 2000
"""Of a longer run the page's JSON holds buckets of steps instead of each."""


def run_page(run: RunRecord) -> str:
    """The page of one run."""
    summary = summarise(run.log)
    defaults = default_options()
    options = [(name, _words(value), value == defaults.get(name)) for name, value in run.config.items()]
    return _render(
        "run.html.jinja",
        run=run,
        summary=summary,
        state_sentence=_STATES[summary.state],
        notes=_notes(run.log),
        plots=run_plots(run.log, summary),
        options_set=[(name, value) for name, value, is_default in options if not is_default],
        options_default=[(name, value) for name, value, is_default in options if is_default],
        environment=[(name, _words(value)) for name, value in flat(run.environment).items()],
        figures=_figures(run, summary),
    )


def comparison_page(runs: Sequence[RunRecord]) -> str:
    """The page of several runs, side by side."""
    names = _distinct_names(runs)
    summaries = [summarise(run.log) for run in runs]
    differing, equal = _differences([run.config for run in runs])
    environment_differing, environment_equal = _differences([flat(run.environment) for run in runs])
    return _render(
        "comparison.html.jinja",
        names=names,
        runs=list(zip(runs, summaries, strict=True)),
        plots=comparison_plots(names, [run.log for run in runs]),
        options_differing=differing,
        options_equal=equal,
        environment_differing=environment_differing,
        environment_equal=environment_equal,
        figures=[_figures(run, summary) for run, summary in zip(runs, summaries, strict=True)],
    )


def _notes(log: RunLog) -> list[str]:
    """What a reader must know before trusting the figures."""
    notes = []
    if log.superseded_steps:
        lines = "line of a step does" if log.superseded_steps == 1 else "lines of steps do"
        notes.append(
            f"{log.superseded_steps:,} logged {lines} not count: a resumed run went back to its checkpoint and did these steps "
            "again; what was logged later is shown."
        )
    if log.replacements:
        images = "image was" if len(log.replacements) == 1 else "images were"
        notes.append(f"{len(log.replacements):,} damaged training {images} replaced by others: see Dataset.")
    if log.damaged_lines:
        shown = ", ".join(str(number) for number in log.damaged_lines[:10])
        more = " and more" if len(log.damaged_lines) > 10 else ""
        plural = "lines of log.jsonl are" if len(log.damaged_lines) > 1 else "line of log.jsonl is"
        notes.append(
            f"{len(log.damaged_lines):,} {plural} no whole event (line {shown}{more}), as a kill leaves them; the rest is shown."
        )
    return notes


def _figures(run: RunRecord, summary: Summary) -> dict[str, Any]:
    """What the page shows, as JSON-ready fields."""
    return {
        "run": run.name,
        "summary": dataclasses.asdict(summary),
        "steps": _step_figures(run.log),
        "evaluations": [dataclasses.asdict(entry) for entry in run.log.evaluations],
        "checkpoints": run.log.checkpoints[-STEPS_WHOLE_MAX:],
        "replacements": [dataclasses.asdict(entry) for entry in run.log.replacements],
        "sessions": [dataclasses.asdict(session) for session in run.log.sessions],
        "superseded_steps": run.log.superseded_steps,
        "damaged_lines": run.log.damaged_lines[:STEPS_WHOLE_MAX],
        "datasets": {part: dataclasses.asdict(card) for part, card in run.datasets.items()},
        "config": dict(run.config),
        "environment": dict(run.environment),
    }


def _step_figures(log: RunLog) -> dict[str, Any]:
    """Columns of the steps: each value, or minimum, mean and maximum of buckets."""
    columns = dataclasses.asdict(log.steps)
    step = columns.pop("step")
    if len(step) <= STEPS_WHOLE_MAX:
        return {"step": step.tolist(), **{name: values.tolist() for name, values in columns.items()}}
    short = {name: envelope(step, values) for name, values in columns.items()}
    last = next(iter(short.values())).x.astype(np.int64)
    return {
        "last_step_of_bucket": last.tolist(),
        **{
            f"{name}_{kind}": getattr(buckets, kind).tolist()
            for name, buckets in short.items()
            for kind in ("low", "mean", "high")
        },
    }


def _differences(fields: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, list[str]]], int]:
    """Rows of what is not equal in all runs, and how many entries are."""
    names = list(dict.fromkeys(name for entry in fields for name in entry))
    rows = [(name, [_words(entry[name]) if name in entry else "–" for entry in fields]) for name in names]
    differing = [(name, values) for name, values in rows if len(set(values)) > 1]
    return differing, len(rows) - len(differing)


def _distinct_names(runs: Sequence[RunRecord]) -> list[str]:
    """The folders' names; their whole paths where two are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _render(template: str, **fields: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tinydarknet.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "n": _number,
        "duration": _duration,
        "moment": _moment,
        "bytes": _bytes,
        "plural": _plural,
        "encoding": _encoding,
        "versions": _versions,
    }
    # the plots are ours; whatever else is text is escaped
    plots = [dataclasses.replace(plot, svg=_trusted(plot.svg)) for plot in fields.pop("plots")]
    return environment.get_template(template).render(**fields, plots=plots)


def _trusted(svg: str) -> str:
    import markupsafe

    return markupsafe.Markup(svg)


def _number(value: Any, digits: int = 0) -> str:
    """1234.5 as 1,234.5; what is no number, a damaged file's, as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.{digits}f}"


def _duration(seconds: float) -> str:
    """Such as 1 d 02:03:04."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days} d ' if days else ''}{hours:02d}:{minutes:02d}:{rest:02d}"


def _moment(unix_s: float) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_s, timezone.utc):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):
        return f"{unix_s:g} s"


def _bytes(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value} bytes"


def _plural(count: int, noun: str, several: str = "") -> str:
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"


def _encoding(encoding: Encoding) -> str:
    size = f"short side at most {encoding.short_side} pixels" if encoding.short_side else "sizes kept"
    return f"{encoding.name}, {size}{f', quality {encoding.quality}' if encoding.quality else ''}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _words(value: Any) -> str:
    """A JSON value for people."""
    if value in (None, ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return ", ".join(_words(entry) for entry in value) or "none"
    return str(value)
