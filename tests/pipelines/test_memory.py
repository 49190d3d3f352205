"""A translation memory finds similar texts, and their translations change those of a model."""

import math

import pytest

from speechcli.errors import InputError, UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.evaluate import EvaluateOptions
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.search.memory import NGRAMS, TranslationMemory
from speechcli.pipelines.speech_options import TranscribeOptions, TranslateOptions

from .tiny_model import make_bundle, tone

CLIPS = [Clip(tone(0.5, 200.0)), Clip(tone(0.8, 900.0))]
ROWS = [
    ("de", "der Hund schläft", "the dog sleeps", "el perro duerme"),
    ("de", "die Katze schläft", "the cat sleeps", ""),
    ("fr", "le chien dort", "the dog sleeps", ""),
]


def write_memory(path, rows=ROWS):
    lines = ["\t".join(["src_lang", "src_text", "text_en", "text_es"]), *map("\t".join, rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def similar(memory, text, spoken="de", written="en", count=5):
    return [match.translation for match in memory.similar(text, spoken=spoken, written=written, count=count)]


def test_the_most_similar_texts_come_first_and_those_with_nothing_in_common_not_at_all(tmp_path):
    memory = TranslationMemory(write_memory(tmp_path / "memory.tsv"))
    assert similar(memory, "der Hund schlief") == ["the dog sleeps", "the cat sleeps"]
    assert similar(memory, "Die KATZE  schlaft") == ["the cat sleeps", "the dog sleeps"]
    assert similar(memory, "die Katze", count=1) == ["the cat sleeps"]
    assert similar(memory, "xyz") == similar(memory, "") == []


def test_only_texts_in_the_two_languages_are_used_however_these_are_spelled(tmp_path):
    memory = TranslationMemory(write_memory(tmp_path / "memory.tsv"))
    assert similar(memory, "le chien dort", "fr_XX", "eng_Latn") == ["the dog sleeps"]
    assert similar(memory, "der Hund", "deu", "es_XX") == ["el perro duerme"]
    assert similar(memory, "le chien dort", "it", "en") == similar(memory, "der Hund", "fr", "es") == []
    assert set(similar(memory, "der Hund dort", None, None)) == {"the dog sleeps", "the cat sleeps", "el perro duerme"}


def test_the_similarity_is_the_cosine_of_ngrams_weighted_by_their_rarity(tmp_path):
    texts = ["abcab", "abd", "xy"]
    memory = TranslationMemory(write_memory(tmp_path / "memory.tsv", [("de", text, text, "") for text in texts]))

    def ngrams(text):
        padded = f" {text} "
        return {padded[a : a + n] for n in NGRAMS for a in range(len(padded) - n + 1)}

    def weight(ngram):
        return math.log1p(3 / (sum(ngram in ngrams(text) for text in texts) or 1)) ** 2

    def product(one, other):
        return sum(weight(ngram) for ngram in ngrams(one) & ngrams(other))

    for match in memory.similar("abca", spoken="de", written="en", count=3):
        other = match.translation
        expected = product("abca", other) / math.sqrt(product("abca", "abca") * product(other, other))
        assert match.similarity == pytest.approx(expected, abs=1e-6)
    (same,) = memory.similar("xy", spoken="de", written="en", count=1)
    assert same.similarity == pytest.approx(1.0)


def test_rows_of_one_recording_are_joined_to_pairs(tmp_path):
    path = tmp_path / "narrow.csv"
    path.write_text("audio,src_lang,tgt_lang,text\na.wav,de,de,der Hund\na.wav,de,en,the dog\nb.wav,de,en,no\n")
    assert similar(TranslationMemory(path), "der Hund") == ["the dog"]


@pytest.mark.parametrize(
    "rows", [[("de", "der Hund", "", "")], [("de", "", "the dog", "")], [("en", "the dog", "the dog", "")]]
)
def test_a_memory_without_translations_of_texts_is_refused(tmp_path, rows):
    with pytest.raises(InputError, match=r"`--memory .*memory.tsv` must have texts with translations, but has none"):
        TranslationMemory(write_memory(tmp_path / "memory.tsv", rows))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("tokenizer"))


def recognize(bundle, kind, **options):
    chosen = DecodingOptions(**{"strategy": "beam", "beam_size": 4, **options.pop("decoding", {})})
    return [result[0].text for result in AttentionRecognizer(bundle, kind(decoding=chosen, **options)).decode(CLIPS)]


@pytest.mark.parametrize("strategy", [{}, {"strategy": "greedy", "beam_size": None}])
def test_translations_of_similar_transcripts_are_favored_by_the_weight_of_the_memory(bundle, tmp_path, strategy):
    heard = recognize(bundle, TranscribeOptions, language="de", decoding=strategy)
    wanted = ["kap", "ffi lo"]
    rows = [("de", text, translation, "") for text, translation in zip(heard, wanted, strict=True)]
    path = str(write_memory(tmp_path / "memory.tsv", [*rows, ("es", heard[0], "ggg", "")]))

    def translate(**decoding):
        decoding = {**strategy, **decoding}
        return recognize(bundle, TranslateOptions, language="de", targets=("en",), decoding=decoding)

    assert translate(memory=path, memory_weight=0.99) == wanted
    assert translate(memory=path, memory_weight=0.0) == translate() != wanted


def test_a_transcript_does_not_depend_on_the_memory(bundle, tmp_path):
    path = str(write_memory(tmp_path / "memory.tsv", [("de", "abc", "def", "")]))
    plain = recognize(bundle, TranscribeOptions, language="de")
    assert recognize(bundle, TranslateOptions, language="de", targets=("de",), decoding={"memory": path}) == plain


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0])
def test_the_weight_of_the_memory_is_a_share(weight):
    with pytest.raises(UsageError, match="`--memory-weight` must be at least 0 and below 1"):
        DecodingOptions(memory="memory.tsv", memory_weight=weight)


def test_a_weight_without_a_memory_is_refused():
    with pytest.raises(UsageError, match="`--memory-weight` needs --memory"):
        DecodingOptions(memory_weight=0.9)


def test_a_memory_is_refused_where_only_transcripts_are_written(bundle, tmp_path):
    chosen = DecodingOptions(memory=str(write_memory(tmp_path / "memory.tsv")))
    with pytest.raises(UsageError, match="`--memory` is possible for translations only"):
        AttentionRecognizer(bundle, TranscribeOptions(decoding=chosen))
    with pytest.raises(UsageError, match="`--memory` is possible for translations only"):
        EvaluateOptions(manifests=(tmp_path / "test.tsv",), task="transcribe", decoding=chosen)
