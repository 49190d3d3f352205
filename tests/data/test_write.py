from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcli.audio.inside import FileSlice, TableCell
from speechcli.data.manifest import ManifestOptions, Target, Utterance, read_manifest
from speechcli.data.write import manifest_bytes

words = st.text("aä\"',; #|-ß漢", min_size=1, max_size=8).map(str.strip).filter(bool)
languages = st.sampled_from(["de", "it", "pt", "yue"])
translations = st.dictionaries(languages, words, max_size=3)


@st.composite
def utterances(draw: st.DrawFn) -> list[Utterance]:
    made = []
    for number in range(draw(st.integers(1, 4))):
        audio = draw(st.sampled_from([Path(f"a/{number}.wav"), FileSlice(Path("z.zip"), number, 7)]))
        start = draw(st.sampled_from([None, 0.0, 1.25]))
        spoken = draw(st.none() | words)
        said = () if spoken is None else (Target(spoken, "en"),)
        texts = tuple(Target(text, language) for language, text in sorted(draw(translations).items()))
        if not said + texts:
            texts = (Target("x", "de"),)
        end = None if start is None else start + 2.5
        speaker, sure = draw(st.none() | words), draw(st.none() | st.sampled_from([0.0, 0.25, 1.0]))
        teacher = draw(st.none() | st.just(Path("t.npy")))
        made.append(Utterance(str(number), audio, 2.5, said + texts, spoken, "en", speaker, start, end, teacher, sure))
    return made


@settings(max_examples=40, deadline=None)
@given(made=utterances(), kind=st.sampled_from(["m.tsv", "m.csv", "m.jsonl"]))
def test_a_written_manifest_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, made: list[Utterance], kind: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / kind).write_bytes(manifest_bytes([_below(folder, each) for each in made], folder / kind))
    manifest = read_manifest(folder / kind, options=ManifestOptions(check_audio=False))
    assert [_sorted(each) for each in manifest.utterances] == [_sorted(_below(folder, each)) for each in made]


def _sorted(utterance: Utterance) -> Utterance:
    return replace(utterance, targets=tuple(sorted(utterance.targets, key=lambda target: target.language or "")))


def _below(folder: Path, utterance: Utterance) -> Utterance:
    audio = utterance.audio
    moved = folder / audio if isinstance(audio, Path) else replace(audio, path=folder / audio.path)
    return replace(utterance, audio=moved, teacher=None if utterance.teacher is None else folder / utterance.teacher)


def test_languages_that_name_no_column_have_rows_of_their_own(tmp_path: Path) -> None:
    targets = (Target("a", "de"), Target("b", "klingon"), Target("c", "sindarin"), Target("d", None))
    utterance = Utterance("u", TableCell(tmp_path / "t.parquet", 3), 1.0, targets, None, "en")
    path = tmp_path / "m.tsv"
    path.write_bytes(manifest_bytes([utterance], path))
    (read,) = read_manifest(path, options=ManifestOptions(check_audio=False)).utterances
    assert replace(read, targets=()) == replace(utterance, targets=())
    assert set(read.targets) == set(targets)


@pytest.mark.parametrize("name", ["m.tsv", "m.jsonl"])
def test_the_script_and_region_of_a_language_are_kept(tmp_path: Path, name: str) -> None:
    targets = (
        Target("你好", "zho_Hant"),
        Target("olá", "pt-BR"),
        Target("hallo", "German"),
        Target("salut", "fr-Latn-CA"),
    )
    utterance = Utterance("u", tmp_path / "a.wav", 1.0, targets, None, "en")
    path = tmp_path / name
    path.write_bytes(manifest_bytes([utterance], path))
    (read,) = read_manifest(path, options=ManifestOptions(check_audio=False)).utterances
    assert sorted((target.language or "", target.text) for target in read.targets) == [
        ("de", "hallo"),
        ("fr-Latn-CA", "salut"),
        ("pt-BR", "olá"),
        ("zho_Hant", "你好"),
    ]


def test_recordings_below_the_folder_are_named_relative_to_it_and_others_absolutely(tmp_path: Path) -> None:
    inside, outside = (Utterance(str(p), p, 1.0, (Target("x", "en"),)) for p in (tmp_path / "a/b.wav", Path("/c.wav")))
    lines = manifest_bytes([inside, outside], tmp_path / "m.tsv").decode().splitlines()
    assert [line.split("\t")[1] for line in lines] == ["audio", "a/b.wav", "/c.wav"]


@pytest.mark.parametrize("kind", ["m.tsv", "m.jsonl"])
def test_rows_of_several_manifests_with_the_same_ids_stay_apart(tmp_path: Path, kind: str) -> None:
    texts = {"a.wav": "one", "b.wav": "two", "c.wav": "three"}
    ids = ("1", "1", "2")
    made = [
        Utterance(name, tmp_path / audio, 1.0, (Target(text, None),), text)
        for name, (audio, text) in zip(ids, texts.items(), strict=True)
    ]
    (tmp_path / kind).write_bytes(manifest_bytes(made, tmp_path / kind))
    read = read_manifest(tmp_path / kind, options=ManifestOptions(check_audio=False))
    assert not read.bad_rows
    assert [(u.id, u.transcript) for u in read.utterances] == [("a.wav", "one"), ("b.wav", "two"), ("2", "three")]
