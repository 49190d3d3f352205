"""The `README.md` of a trained model, filled from its run."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from speechcli import __version__
from speechcli.pipelines.training_run.history import History
from speechcli.text.languages import language_name
from speechcli.training.events import Evaluated
from speechcli.training.train_options import TrainOptions

CARD = "README.md"
TITLES = {"wer": "WER", "cer": "CER", "bleu": "BLEU", "chrf": "chrF", "exact_match": "exact match"}
LICENSE = """## License and limits

To be written by the publisher of this model: the license (it depends on the data and the pretrained parts), the
intended use, and groups of speakers that the training data lacks."""
EMBEDDED_LICENSE = """

It was trained from the embedded model of speechcli, whose license, CC BY-SA 4.0, also applies to derived models; the
authors to attribute are listed in its ATTRIBUTION.md."""
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def model_card(
    name: str, history: History, options: TrainOptions, step: int, config: Mapping[str, Any] | None = None
) -> str:
    """Write a model card in Markdown, with the front matter that the Hugging Face Hub reads.

    Args:
        name: the name of the model.
        history: the log of the run so far.
        options: options of the run; only names of files and models are shown, never their folders.
        step: step of the saved model; its scores are shown if it was evaluated.
        config: content of its `config.json`.
    """
    evaluated = next((event for event in reversed(history.evaluations) if event.step == step), None)
    opener = _opener(config or {})
    parts = [
        _front_matter(name, history, options, evaluated, opener),
        f"# {name}",
        _introduction(history, options),
        _use(opener),
        _training(history, options, step),
        _results(options, evaluated),
        LICENSE + (EMBEDDED_LICENSE if _from_embedded(options) else ""),
    ]
    return "\n\n".join(parts) + "\n"


def _opener(config: Mapping[str, Any]) -> str | None:
    """Return the class of transformers for a model; None: it has none for Whisper's encoder with another decoder."""
    if config.get("encoder", {}).get("model_type") == "whisper":
        return None
    return str((config.get("architectures") or ["SpeechEncoderDecoderModel"])[0])


def _from_embedded(options: TrainOptions) -> bool:
    return options.model.path is None and options.model.encoder is None


def _front_matter(
    name: str, history: History, options: TrainOptions, evaluated: Evaluated | None, opener: str | None
) -> str:
    languages = sorted({code for pair in history.starts[-1].languages for code in pair.split("->")} - {"und"})
    bases = [base for base in (options.model.path, options.model.encoder, options.model.decoder) if _on_hub(base)]
    lines = [f"library_name: {'transformers' if opener else 'speechcli'}", "pipeline_tag: automatic-speech-recognition"]
    lines += ["tags: [speechcli, speech-encoder-decoder]", f"language: {json.dumps(languages)}"]
    chosen = ["license: cc-by-sa-4.0"] if _from_embedded(options) else None
    lines += chosen or ["license: other", "license_name: not-yet-chosen"]
    lines += [f"base_model: {json.dumps(bases)}"] if bases else []
    if evaluated is not None and evaluated.scores:
        lines += ["model-index:", f"- name: {json.dumps(name)}", "  results:"]
        for pair, values in evaluated.scores.items():
            lines += ["  - task: {type: automatic-speech-recognition}"]
            name_of_set = ", ".join([*(Path(manifest).name for manifest in options.data.dev), pair])
            lines += [f"    dataset: {{name: {json.dumps(name_of_set)}, type: dev}}"]
            lines += ["    metrics:"]
            lines += [f"    - {{type: {metric}, value: {value:.2f}}}" for metric, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _introduction(history: History, options: TrainOptions) -> str:
    start = history.starts[-1]
    base = " and ".join(
        _shown(part) for part in (options.model.path, options.model.encoder, options.model.decoder) if part
    )
    tasks = ", ".join(
        f"{_language(spoken)} speech to {_language(written)} text ({count:,})"
        for pair, count in start.languages.items()
        for spoken, _, written in [pair.partition("->")]
    )
    return (
        f"A speech encoder-decoder of {start.parameters:,} weights, trained with speechcli from "
        f"{base or 'its embedded model'}. Training data: {tasks}."
    )


def _use(opener: str | None) -> str:
    ours = "## Use\n\n```bash\nspeechcli transcribe recording.wav --model FOLDER_OR_ID\n```\n\n"
    if opener is None:
        return f"{ours}transformers has no class for Whisper's encoder with another decoder."
    return (
        f"{ours}The folder is one of Hugging Face's `{opener}`:\n\n"
        f"```python\nfrom transformers import {opener}\n\n"
        f'model = {opener}.from_pretrained("FOLDER_OR_ID")\n```'
    )


def _training(history: History, options: TrainOptions, step: int) -> str:
    start, last = history.starts[-1], history.steps[-1] if history.steps else None
    seconds = f", {last.seconds / 60:,.1f} minutes on {start.device} in {start.dtype}" if last else ""
    default = TrainOptions().to_dict()
    rows = [
        f"| `{section}.{key}` | {_option(key, value)} |"
        for section, values in options.to_dict().items()
        for key, value in values.items()
        if value != default[section][key] and section != "data" and key not in ("path", "encoder", "decoder", "device")
    ]
    table = "\n".join(["| option | value |", "|---|---|", *rows]) if rows else "All options had their defaults."
    return (
        f"## Training\n\nData: {_names(options.data.train)}, {start.utterances:,} recordings, "
        f"{start.hours:.2f} hours. {step:,} steps{seconds}; {start.learning:,} of {start.parameters:,} "
        f"weights were trained. speechcli {__version__}, torch {torch.__version__}.\n\n{table}"
    )


def _results(options: TrainOptions, evaluated: Evaluated | None) -> str:
    if evaluated is None or not evaluated.scores:
        return "## Results\n\nThis step was not scored."
    signatures = {pair: text.replace("|", "\\|") for pair, text in evaluated.signatures.items()}
    rows = [
        f"| {pair.replace('->', ' → ')} | {TITLES.get(metric, metric)} | {value:.2f} | {signatures.get(pair, '')} |"
        for pair, values in evaluated.scores.items()
        for metric, value in values.items()
    ]
    head = ["| languages | metric | value | computed by |", "|---|---|---|---|"]
    return f"## Results\n\nOn {_names(options.data.dev)}, step {evaluated.step:,}:\n\n" + "\n".join([*head, *rows])


def _option(key: str, value: object) -> str:
    if key.endswith("_folder"):
        return Path(str(value)).name
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _names(manifests: tuple[str, ...]) -> str:
    return ", ".join(f"`{Path(manifest).name}`" for manifest in manifests) or "no manifest"


def _shown(model: str) -> str:
    return f"[{model}](https://huggingface.co/{model})" if _on_hub(model) else f"`{Path(model).name}`"


def _on_hub(model: str | None) -> bool:
    return model is not None and HUB_ID.fullmatch(model) is not None and not Path(model).exists()


def _language(code: str) -> str:
    return "unknown" if code == "und" else language_name(code)
