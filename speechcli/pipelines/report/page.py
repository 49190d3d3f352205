"""The report page: one HTML file without scripts, light or dark like the reader's system."""

from collections.abc import Sequence
from html import escape
from string import Template

from speechcli.pipelines.report.attention import AttentionMaps
from speechcli.pipelines.report.charts import Series, heat_map, line_chart, number
from speechcli.pipelines.report.differences import marked
from speechcli.pipelines.training_run.history import History
from speechcli.training.events import Evaluated, Sample

METRICS = {
    "wer": "lower is better",
    "cer": "lower is better",
    "bleu": "higher is better",
    "chrf": "higher is better",
    "exact_match": "higher is better",
}


def make_page(
    template: str, name: str, history: History, options: str, maps: AttentionMaps | None, missing: str
) -> str:
    """Assemble the page.

    Args:
        template: the page, with placeholders for `title`, `summary` and `body`.
        name: name of the run.
        history: the events of the run.
        options: text of the run's `options.toml`.
        maps: attention of the model for one recording; None: not available.
        missing: why it is not available.
    """
    sections = [
        _section("Scores", _scores(history)),
        _section("Training", _training(history)),
        _section("Examples", _examples(history)),
        _section("Where the model looks", _pictures(maps) if maps else f"<p>{escape(missing)}</p>"),
        _section("Warnings", _warnings(history)),
        _section("Options", f"<details><summary>options.toml</summary><pre>{escape(options)}</pre></details>"),
    ]
    return Template(template).substitute(title=escape(name), summary=_summary(history), body="".join(sections))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _summary(history: History) -> str:
    start, best = history.starts[-1], history.best
    last = history.steps[-1] if history.steps else None
    tiles = [("steps", f"{history.step:,}", f"{last.done:.0%} of the run" if last else "")]
    if best is not None:
        tiles += [
            (f"best {metric.upper()}, {_arrow(pair)}", number(round(value, 1)), f"at step {best.step:,}")
            for pair, values in best.scores.items()
            for metric, value in list(values.items())[:1]
        ]
    tiles.append(("audio", f"{start.hours:.2f} h", f"{start.utterances:,} recordings"))
    share = start.learning / max(start.parameters, 1)
    tiles.append(("weights", _count(start.parameters), f"{share:.0%} of them trained"))
    if last is not None:
        tiles.append(("time", _duration(last.seconds), f"{start.device}, {start.dtype}"))
        tiles.append(("speed", f"{_mean_rate(history):,.0f} ×", "real time"))
        if last.skipped:
            tiles.append(("skipped steps", f"{last.skipped:,}", "not finite"))
    cells = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd><small>{escape(note)}</small></div>"
        for label, value, note in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _scores(history: History) -> str:
    pairs = sorted({pair for event in history.evaluations for pair in event.scores})
    charts = []
    for metric, note in METRICS.items():
        series = [Series(_arrow(pair), history.scores(pair, metric)) for pair in pairs]
        title = metric.upper().replace("_", " ")
        charts.append(line_chart(title, [one for one in series if one.points], note=note))
    return _grid(charts)


def _training(history: History) -> str:
    names = dict.fromkeys(name for event in history.steps for name in event.losses if name != "accuracy")
    charts = [_loss_chart(history, name, f"Loss: {name.replace('_', ' ')}") for name in names]
    charts.append(_loss_chart(history, "accuracy", "Accuracy", note="share of next tokens that are right"))
    for key, title, note in (
        ("learning_rate", "Learning rate", ""),
        ("gradient_norm", "Gradient", "norm before clipping"),
        ("audio_rate", "Throughput", "seconds of audio per second"),
    ):
        points = [(event.step, getattr(event, key)) for event in history.steps]
        charts.append(line_chart(title, [Series(title, points, smooth=key == "gradient_norm")], note=note))
    return _grid(charts)


def _loss_chart(history: History, name: str, title: str, *, note: str = "") -> str:
    training = Series("training", history.losses(history.steps, name), smooth=True)
    return line_chart(title, [training, Series("dev", history.losses(history.evaluations, name))], note=note)


def _examples(history: History) -> str:
    if not history.evaluations or not history.evaluations[-1].samples:
        return ""
    rows = [_example(sample, history.evaluations) for sample in history.evaluations[-1].samples]
    key = '<p class="legend">Last evaluation: <del>missing words</del> <ins>inserted words</ins></p>'
    return key + "".join(rows)


def _example(sample: Sample, evaluations: Sequence[Evaluated]) -> str:
    same = (sample.id, sample.language)
    earlier = [
        (event.step, found.hypothesis)
        for event in evaluations[:-1]
        for found in event.samples
        if (found.id, found.language) == same
    ]
    steps = "".join(
        f"<tr><td>{step:,}</td><td dir='auto'>{marked(sample.reference, text)}</td></tr>" for step, text in earlier
    )
    before = f"<details><summary>earlier</summary><table>{steps}</table></details>" if steps else ""
    return (
        f'<article class="example"><header>{escape(sample.id)} <small>{escape(sample.language)}</small></header>'
        f'<p dir="auto" class="reference">{escape(sample.reference)}</p>'
        f'<p dir="auto" class="hypothesis">{marked(sample.reference, sample.hypothesis)}</p>{before}</article>'
    )


def _pictures(maps: AttentionMaps) -> str:
    seconds = maps.utterance.seconds
    pictures = [
        heat_map(
            f"Cross-attention{f', {language}' if language else ''}",
            weights / max(float(weights.max()), 1e-9),
            tokens,
            seconds=seconds,
            note="each token of the right text over time; mean of all layers and heads",
        )
        for language, tokens, weights in maps.attention
    ]
    if maps.ctc is not None:
        tokens, probabilities = maps.ctc
        note = "probability of each token of the transcript over time"
        pictures.append(heat_map("CTC", probabilities, tokens, seconds=seconds, note=note))
    return f"<p><code>{escape(maps.utterance.id)}</code>, {seconds:.2f} s</p>{''.join(pictures)}"


def _warnings(history: History) -> str:
    items = "".join(f"<li>{escape(message)}</li>" for message in dict.fromkeys(history.warnings))
    return f"<ul>{items}</ul>" if items else ""


def _grid(charts: Sequence[str]) -> str:
    drawn = "".join(charts)
    return f'<div class="charts">{drawn}</div>' if drawn else ""


def _mean_rate(history: History) -> float:
    return sum(event.audio_rate for event in history.steps) / len(history.steps)


def _arrow(pair: str) -> str:
    return pair.replace("->", " → ")


def _count(value: int) -> str:
    return next(
        (f"{value / size:.3g} {unit}" for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if value >= size),
        f"{value}",
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min" if minutes >= 1 else f"{seconds:.0f} s"
