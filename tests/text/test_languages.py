import pytest

from speechcli.errors import UsageError
from speechcli.text.languages import language_code, language_name, resolve_language

MBART = ["ar_AR", "de_DE", "en_XX", "zh_CN", "tl_XX", "he_IL", "fa_IR"]
NLLB = ["arb_Arab", "arz_Arab", "deu_Latn", "nob_Latn", "nno_Latn", "zho_Hans", "zho_Hant", "eng_Latn"]


@pytest.mark.parametrize(
    "name", ["de", "deu", "ger", "German", "german", "de_DE", "DE_de", "deu_Latn", "de-AT", " de "]
)
def test_every_spelling_of_german_resolves_to_the_tag_of_the_model(name: str) -> None:
    assert resolve_language(name, MBART) == "de_DE"
    assert resolve_language(name, NLLB) == "deu_Latn"


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("ar", "arb_Arab"),
        ("arz", "arz_Arab"),
        ("no", "nob_Latn"),
        ("Nynorsk", "nno_Latn"),
        ("zh-Hant", "zho_Hant"),
        ("zh", "zho_Hans"),
        ("Mandarin", "zho_Hans"),
    ],
)
def test_macro_languages_and_scripts_find_nllb_tags(name: str, tag: str) -> None:
    assert resolve_language(name, NLLB) == tag


@pytest.mark.parametrize(("name", "tag"), [("fil", "tl_XX"), ("iw", "he_IL"), ("Farsi", "fa_IR"), ("cmn", "zh_CN")])
def test_older_and_other_codes_find_mbart_tags(name: str, tag: str) -> None:
    assert resolve_language(name, MBART) == tag


@pytest.mark.parametrize(
    ("code", "tag"), [("ti", "tir_Ethi"), ("st", "sot_Latn"), ("tw", "twi_Latn"), ("Ewe", "ewe_Latn"), ("qu", "que")]
)
def test_every_two_letter_code_finds_the_tag_with_three_letters(code: str, tag: str) -> None:
    tags = ["eng_Latn", "tir_Ethi", "sot_Latn", "twi_Latn", "ewe_Latn", "que"]
    assert resolve_language(code, tags) == tag


def test_a_misspelled_name_gets_near_matches() -> None:
    with pytest.raises(UsageError, match="must be one that the model knows, but is `Germn`") as caught:
        resolve_language("Germn", MBART)
    assert caught.value.exit_code == 2
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean German (de_DE)")


def test_a_name_without_near_matches_gets_the_whole_list() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_language("Klingon", ["de_DE", "en_XX"])
    assert caught.value.hint == "the model knows de_DE, en_XX"


def test_a_known_language_without_a_tag_in_the_model_is_refused() -> None:
    with pytest.raises(UsageError, match="but is `fr`"):
        resolve_language("fr", MBART)


def test_a_model_without_tags_cannot_choose() -> None:
    with pytest.raises(UsageError, match="has language tags, but this one has none"):
        resolve_language("de", [])


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("de_DE", "de"),
        ("deu_Latn", "de"),
        ("pt-BR", "pt"),
        ("Haitian Creole", "ht"),
        ("mdw", "mdw"),
        ("qqq_Latn", "qqq"),
    ],
)
def test_language_code_is_the_shortest_iso_code(tag: str, code: str) -> None:
    assert language_code(tag) == code


def test_language_name_is_english_or_the_tag_itself() -> None:
    assert language_name("ru_RU") == "Russian"
    assert language_name("qqq_Latn") == "qqq_Latn"


@pytest.mark.parametrize(
    "tags",
    [
        "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP "
        "nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN "
        "mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI"
    ],
)
def test_every_mbart_50_language_is_found_by_its_code_and_its_name(tags: str) -> None:
    for tag in tags.split():
        assert resolve_language(tag[:2], tags.split()) == tag
        assert language_name(tag) != tag
        assert resolve_language(language_name(tag), tags.split()) == tag
