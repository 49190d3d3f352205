"""What `transcribe` and `translate` share: from options to a model that listens."""

from collections.abc import Iterator

from speechcli.checkpoints.bundle import Bundle, load
from speechcli.checkpoints.ctc import CtcBundle, is_ctc, load_ctc
from speechcli.checkpoints.folder import read_config
from speechcli.checkpoints.hub import resolve_model
from speechcli.errors import UsageError
from speechcli.models.quantize import quantize_decoder
from speechcli.pipelines.ctc import CtcRecognizer
from speechcli.pipelines.device import prepare
from speechcli.pipelines.inputs import find_inputs
from speechcli.pipelines.listen import Listener
from speechcli.pipelines.options import ModelOptions, SpeechOptions
from speechcli.pipelines.outcome import Loaded, Outcome, Report, in_order, silent
from speechcli.pipelines.recognizer import AttentionRecognizer, Recognizer


def load_bundle(options: ModelOptions, language: str | None = None) -> Bundle | CtcBundle:
    """Find, load and place a model as the options say.

    Args:
        options: which model, and where.
        language: that will be spoken, where that is known.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: the device is not there, or the weights cannot be rounded as asked.
    """
    folder = resolve_model(
        options.model,
        revision=options.revision,
        token=options.token,
        cache_dir=options.cache_dir,
        offline=options.offline,
        language=language,
    )
    device, dtype = prepare(options, folder)
    ctc_alone = is_ctc(read_config(folder))
    if options.quantize == "int8" and ctc_alone:
        raise UsageError(f"`--quantize int8` makes a decoder faster, but {options.shown} has none.")
    if options.quantize == "int8" and device.type != "cpu":
        raise UsageError(f"`--quantize int8` is for processors, but the device is {device}.")
    if ctc_alone:
        return load_ctc(folder, dtype=dtype, device=device, name=options.shown)
    bundle = load(folder, dtype=dtype, device=device, name=options.shown)
    if options.quantize == "int8":
        quantize_decoder(bundle.model)
    return bundle


def open_listener(options: SpeechOptions, report: Report = silent) -> Listener:
    """Load a model and make it listen as the options say.

    Raises:
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: something asked for is not possible with this model.
    """
    bundle = load_bundle(options.model, options.language)
    weight = next(bundle.model.parameters())
    report(Loaded(bundle.name, str(weight.device), str(weight.dtype).removeprefix("torch.")))
    return Listener(open_recognizer(bundle, options), options, report)


def open_recognizer(bundle: Bundle | CtcBundle, options: SpeechOptions) -> Recognizer:
    """Make a model ready to listen.

    Raises:
        ModelError: the model cannot write text.
        UsageError: something asked for is not possible with this model.
    """
    return CtcRecognizer(bundle, options) if isinstance(bundle, CtcBundle) else AttentionRecognizer(bundle, options)


def listen_to_inputs(options: SpeechOptions, report: Report = silent) -> Iterator[Outcome]:
    """Yield what becomes of every input, in order; inputs that are not there come last.

    Raises:
        InputError: no input is there.
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: something asked for is not possible.
    """
    inputs = find_inputs(options.inputs)
    yield from in_order(open_listener(options, report).listen(inputs.sources))
    for index, failure in enumerate(inputs.failures, start=len(inputs.sources)):
        yield Outcome(index, (), failure)
