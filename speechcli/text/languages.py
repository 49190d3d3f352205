"""Names of languages: ISO 639-1 and 639-3 codes, BCP-47 tags, English names and tags of models."""

import difflib
import re
from collections.abc import Iterable
from functools import cache

from speechcli.errors import UsageError

# ISO 639-1 (or 639-3 if there is none), ISO 639-3, English names separated by "/".
_TABLE = """
aa aar Afar;ab abk Abkhazian/Abkhaz;ae ave Avestan;af afr Afrikaans;ak aka Akan;am amh Amharic;an arg Aragonese
ar ara Arabic;as asm Assamese;ast ast Asturian;av ava Avaric/Avar;ay aym Aymara;az aze Azerbaijani;ba bak Bashkir
be bel Belarusian;bg bul Bulgarian;bi bis Bislama;bm bam Bambara;bn ben Bengali/Bangla;bo bod Tibetan;br bre Breton
bs bos Bosnian;ca cat Catalan/Valencian;ce che Chechen;ceb ceb Cebuano;ch cha Chamorro;ckb ckb Central Kurdish/Sorani
co cos Corsican;cr cre Cree;cs ces Czech;cu chu Church Slavonic;cv chv Chuvash;cy cym Welsh;da dan Danish
de deu German;dv div Dhivehi/Maldivian;dz dzo Dzongkha;ee ewe Ewe;el ell Greek;en eng English;eo epo Esperanto
es spa Spanish/Castilian;et est Estonian;eu eus Basque;fa fas Persian/Farsi;ff ful Fulah/Fula;fi fin Finnish
fj fij Fijian;fo fao Faroese;fr fra French;fy fry Western Frisian/Frisian;ga gle Irish;gd gla Scottish Gaelic/Gaelic
gl glg Galician;gn grn Guarani;gu guj Gujarati;gv glv Manx;ha hau Hausa;haw haw Hawaiian;he heb Hebrew;hi hin Hindi
ho hmo Hiri Motu;hr hrv Croatian;ht hat Haitian Creole/Haitian;hu hun Hungarian;hy hye Armenian;hz her Herero
ia ina Interlingua;id ind Indonesian;ie ile Interlingue;ig ibo Igbo;ii iii Sichuan Yi/Nuosu;ik ipk Inupiaq;io ido Ido
is isl Icelandic;it ita Italian;iu iku Inuktitut;ja jpn Japanese;jv jav Javanese;ka kat Georgian;kab kab Kabyle
kg kon Kongo;ki kik Kikuyu/Gikuyu;kj kua Kuanyama;kk kaz Kazakh;kl kal Kalaallisut/Greenlandic;km khm Khmer/Cambodian
kn kan Kannada;ko kor Korean;kr kau Kanuri;ks kas Kashmiri;ku kur Kurdish;kv kom Komi;kw cor Cornish
ky kir Kyrgyz/Kirghiz;la lat Latin;lb ltz Luxembourgish;lg lug Ganda/Luganda;li lim Limburgish/Limburgan
ln lin Lingala;lo lao Lao;lt lit Lithuanian;lu lub Luba-Katanga;lv lav Latvian;mdw mdw Mboshi;mg mlg Malagasy
mh mah Marshallese;mi mri Maori;mk mkd Macedonian;ml mal Malayalam;mn mon Mongolian;mr mar Marathi;ms msa Malay
mt mlt Maltese;my mya Burmese/Myanmar;na nau Nauruan/Nauru;nd nde North Ndebele;ne nep Nepali;ng ndo Ndonga
nl nld Dutch/Flemish;nn nno Norwegian Nynorsk/Nynorsk;no nor Norwegian/Norwegian Bokmål;nr nbl South Ndebele
nv nav Navajo;ny nya Chichewa/Nyanja;oc oci Occitan;oj oji Ojibwa/Ojibwe;om orm Oromo;or ori Odia/Oriya
os oss Ossetian/Ossetic;pa pan Punjabi/Panjabi;pi pli Pali;pl pol Polish;ps pus Pashto;pt por Portuguese
qu que Quechua;rm roh Romansh;rn run Rundi/Kirundi;ro ron Romanian/Moldavian;ru rus Russian;rw kin Kinyarwanda
sa san Sanskrit;sc srd Sardinian;sd snd Sindhi;se sme Northern Sami;sg sag Sango;si sin Sinhala/Sinhalese
sk slk Slovak;sl slv Slovenian;sm smo Samoan;sn sna Shona;so som Somali;sq sqi Albanian;sr srp Serbian;ss ssw Swati
st sot Southern Sotho/Sesotho;su sun Sundanese;sv swe Swedish;sw swa Swahili;ta tam Tamil;te tel Telugu;tg tgk Tajik
th tha Thai;ti tir Tigrinya;tk tuk Turkmen;tl tgl Tagalog/Filipino;tn tsn Tswana;to ton Tongan;tr tur Turkish
ts tso Tsonga;tt tat Tatar;tw twi Twi;ty tah Tahitian;ug uig Uyghur/Uighur;uk ukr Ukrainian;ur urd Urdu;uz uzb Uzbek
ve ven Venda;vi vie Vietnamese;vo vol Volapük;wa wln Walloon;wo wol Wolof;xh xho Xhosa;yi yid Yiddish;yo yor Yoruba
yue yue Cantonese;za zha Zhuang;zh zho Chinese/Mandarin;zu zul Zulu
"""

# Withdrawn codes, bibliographic codes, and individual languages that models use as tags of a macrolanguage.
_ALIASES = """
iw he;in id;ji yi;jw jv;mo ro;nb no;nob no;fil tl;cmn zh;arb ar;pes fa;azj az;ekk et;lvs lv;zsm ms;khk mn;npi ne
ory or;plt mg;swh sw;uzn uz;pbt ps;als sq;ydd yi;gaz om;kmr ku;fuv ff;gug gn;alb sq;arm hy;baq eu;bur my;chi zh
cze cs;dut nl;fre fr;geo ka;ger de;gre el;ice is;mac mk;mao mi;may ms;per fa;rum ro;slo sk;tib bo;wel cy
"""

_WITHOUT_SPACES = frozenset(("zh", "ja", "yue", "th", "lo", "my", "km", "bo"))


def has_spaces(code: str | None) -> bool:
    """Return whether a language is written with spaces between words; true for unknown languages."""
    return code not in _WITHOUT_SPACES


def language_code(tag: str) -> str:
    """Return the short code of a language: ISO 639-1 if there is one, else 639-3.

    Args:
        tag: a model's tag, a code, a BCP-47 tag or an English name: "de_DE", "deu_Latn", "de-AT", "German".

    Returns:
        "de"; for a language that is not in the table, the first part of the tag in lower case.
    """
    name = tag.strip().lower()
    codes = _codes()
    first = re.split(r"[-_]", name, maxsplit=1)[0]
    return codes.get(name) or codes.get(first) or first


def language_key(name: str) -> str:
    """Return a key for comparing names of languages; a script or region makes a difference.

    Args:
        name: a code, a tag or an English name: "Spanish" and "spa" return "es", but "es_MX" returns "es_mx".
    """
    wanted = name.strip().lower().replace("-", "_")
    return _codes().get(wanted, wanted)


def language_name(tag: str) -> str:
    """Return the English name of a language, or the tag itself if it is not in the table."""
    return _names().get(language_code(tag), tag)


def resolve_language(name: str, tags: Iterable[str]) -> str:
    """Return the tag of a model for a language.

    Args:
        name: ISO 639-1 or 639-3 code, BCP-47 tag, English name, or one of the tags.
        tags: the model's own tags.

    Returns:
        One of the tags. If there are several for the language, the one with the same script or region, or the first.

    Raises:
        UsageError: there is no tag for this language; the hint names similar ones.
    """
    tags = list(tags)
    wanted = name.strip().lower().replace("-", "_")
    for tag in tags:
        if tag.lower() == wanted:
            return tag
    same = [tag for tag in tags if language_code(tag) == language_code(name)]
    if not same:
        known = "the model knows " + ", ".join(tags) if tags else None
        raise UsageError(_unknown(name, tags), hint=_near(name, tags) or known)
    details = set(wanted.split("_")[1:])
    return max(same, key=lambda tag: len(details & set(tag.lower().split("_")[1:])))


def check_language(name: str, others: Iterable[str | None]) -> None:
    """Check that a language is in the table or in a list.

    Args:
        name: the language, in any spelling.
        others: other known languages, in any spelling.

    Raises:
        UsageError: the language is unknown; the hint names similar ones.
    """
    code, known = language_code(name), list(_names())
    if code not in known and code not in {language_code(each) for each in others if each}:
        raise UsageError(f"The language must be one that is known, but is `{name}`.", hint=_near(name, known))


def _unknown(name: str, tags: list[str]) -> str:
    if not tags:
        return f"A language can only be chosen for a model that has language tags, but this one has none (`{name}`)."
    return f"The language must be one that the model knows, but is `{name}`."


def _near(name: str, tags: list[str]) -> str | None:
    spellings: dict[str, str] = {}
    for tag in tags:
        # Similar short codes mean nothing: "xx" should not suggest "en_XX".
        for spelling in (tag, language_name(tag)) if len(name) > 3 else (language_code(tag),):
            spellings.setdefault(spelling.lower(), tag)
    near = difflib.get_close_matches(name.strip().lower(), spellings, n=3, cutoff=0.5)
    found = list(dict.fromkeys(spellings[spelling] for spelling in near))
    if found:
        return "did you mean " + " or ".join(f"{language_name(tag)} ({tag})" for tag in found) + "?"
    return None


@cache
def _codes() -> dict[str, str]:
    """Return the short codes by spelling in lower case."""
    codes: dict[str, str] = {}
    for code, iso3, names in _rows():
        for spelling in (code, iso3, *names):
            codes[spelling.lower()] = code
    aliases = (alias.split() for alias in _ALIASES.replace("\n", ";").split(";") if alias)
    return codes | dict(aliases)


@cache
def _names() -> dict[str, str]:
    return {code: names[0] for code, _, names in _rows()}


def _rows() -> list[tuple[str, str, list[str]]]:
    rows = []
    for row in _TABLE.replace("\n", ";").split(";"):
        if row:
            code, iso3, names = row.split(maxsplit=2)
            rows.append((code, iso3, names.split("/")))
    return rows
