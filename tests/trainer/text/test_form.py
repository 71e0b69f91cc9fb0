"""What counts as one text, against the graph that the model has inside."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.features import Label
from trainer.pair.pair_config import PairModel, PairTraining
from trainer.spec import Spec
from trainer.text.form import TextForm
from trainer.text.piece_rules import PieceRules
from trainer.text.pieces import words_of
from trainer.text.tokens import text_features

# Without the tens of thousands of ideographs and Korean syllables that are all alike.
ASSIGNED = [
    chr(point)
    for point in range(1, sys.maxunicode + 1)
    if unicodedata.category(chr(point)) not in ("Cn", "Co", "Cs")
    and not (point % 100 and 0x3400 <= point < 0xD7A4)
    and not (point % 100 and 0x17000 <= point < 0x18D00)
    and not (point % 100 and 0x20000 <= point < 0x32000)
]
# Joiners, marks, signs and letters whose neighbours decide what becomes of them.
TOUCHY = (
    " .,1٣"
    "aA\u0131İßΣ\u03c3ςé#*$+-_'\0\u00ad\u0301\u0308\u0323\u200b\u200c\u200d\u200f\ufe0e\ufe0f\u20e3\ue000\ue001"
    "👩💻❤🏽🏿🏴\U0001f1ee\U0001f1e9\U000e0067\U000e007f™²Ⅱ㊗語カ\u3099ー한\u1112\u1161\u11abที्क\u0640\u064b\U0001faf9"
)
TEXTS = st.lists(st.text(st.sampled_from(TOUCHY) | st.sampled_from(ASSIGNED), max_size=8), min_size=1)


def forms(texts, **options) -> list[str]:
    return [form.decode() for form in TextForm(**options).forms([text.encode() for text in texts])]


def tokens(texts, lowercase=True, max_tokens=100) -> list[str]:
    given = tf.constant([text.encode() for text in texts])
    rows = text_features(given, max_tokens, (), lowercase).to_list()
    return [b" ".join(row).decode() for row in rows]


def check_coarser(seen: list[str], found: list[str]) -> None:
    """The same tokens have the same form."""
    form_of: dict[str, str] = {}
    for text, form in zip(seen, found, strict=True):
        assert form_of.setdefault(text, form) == form, text


@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_has_the_form_that_the_graph_gives_it(lowercase):
    texts = [f"a{character}B1{character}2" for character in ASSIGNED]
    seen, found = tokens(texts, lowercase), forms(texts, lowercase=lowercase)
    check_coarser(seen, found)
    # Alphabets that Python's Unicode knows and TensorFlow's does not.
    assert sum(map(str.__ne__, seen, found)) < (60 if lowercase else 1)


@given(TEXTS, st.booleans(), st.sampled_from([1, 3, 100]))
@settings(max_examples=150, deadline=None)
def test_what_the_graph_cannot_tell_apart_is_one_text(texts, lowercase, max_tokens):
    options = {"lowercase": lowercase, "max_tokens": max_tokens}
    variants = [
        change(text)
        for text in texts
        for change in (
            str,
            str.swapcase,
            lambda text: unicodedata.normalize("NFD", text),
            lambda text: unicodedata.normalize("NFC", text),
            lambda text: f" {text}?",
        )
    ]
    check_coarser(tokens(variants, **options), forms(variants, **options))


@pytest.mark.slow
@given(TEXTS, st.booleans())
@settings(max_examples=3_000, deadline=None)
def test_what_the_graph_cannot_tell_apart_is_one_text_in_thousands(texts, lowercase):
    check_coarser(tokens(texts, lowercase), forms(texts, lowercase=lowercase))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Is it  safe?", "is it safe", True),
        ("Cafe\u0301!", "café", True),
        ("café", "cafe", False),
        ("\uff26\uff35\uff2c\uff2c", "full", True),
        ("ΟΔΟΣ", "οδος", True),
        ("3.5", "3,5", False),
        ("3.5.", "3.5", True),
        ("C++", "C", False),
        ("C#", "C", True),
        ("❤️", "❤", True),
        ("👍🏽", "👍", False),
        ("نمی‌بینم", "نمیبینم", True),
        ("a b c", "a c b", False),
        ("x" * 70_000, "x" * 70_001, True),
    ],
)
def test_texts_are_one_or_two(one, other, same):
    assert len({*forms([one, other])}) == 2 - same
    assert len({*tokens([one, other])}) == 2 - same


@pytest.mark.parametrize("text", ["", "...", " ?!", "\ufe0f", "\u200d", "“”—", "\U000e0067", "#"])
def test_a_text_without_a_token_has_no_form(text):
    assert forms([text, "a"]) == tokens([text, "a"]) == ["", "a"]
    assert forms([]) == []


def test_what_is_behind_the_last_token_is_not_seen():
    assert forms(["one two three", "One, two four"], max_tokens=2) == ["one two", "one two"]
    assert forms(["Ab", "ab"], lowercase=False) == ["Ab", "ab"]


@pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, True), (True, False), (False, False)])
def test_word_pieces_are_cut_as_the_graph_cuts_them(lowercase, strip_accents):
    pytest.importorskip("tensorflow_text")
    texts = [
        f"x{character}y Z" for character in ASSIGNED if unicodedata.normalize("NFC", character) == character
    ]
    texts += [
        "Don't  stop.",
        "naïve NAÏVE",
        "…",
        "...",
        "中文 ab",
        "a\u00adb",
        "ab",
        "C++",
        "'",
        "ΟΔΟΣ",
        "οδος",
    ]
    cut = words_of(tf.constant(texts), PieceRules(lowercase, strip_accents)).to_list()
    options = {"pieces": True, "lowercase": lowercase, "strip_accents": strip_accents}
    check_coarser([b" ".join(row).decode() for row in cut], forms(texts, **options))
    assert forms(["Don't", "don't!", "..."], **options)[1:] == ["don ' t !", ". . ."]


def spec(kind="binary", **model) -> Spec:
    more = {"classes": ("a", "b")} if kind == "classes" else {}
    return Spec(label=Label(column="l", kind=kind, **more), model=PairModel(**model), training=PairTraining())


@pytest.mark.parametrize(
    ("found", "symmetric"),
    [
        (TextForm.of(spec()), True),
        (TextForm.of(spec(head="interaction")), True),
        (TextForm.of(spec(head="concatenation")), False),
        (TextForm.of(spec(kind="classes")), False),
        (TextForm.of(spec(), ["cosine", "concatenation"]), False),
    ],
)
def test_a_pair_turned_round_is_the_same_where_the_head_is_symmetric(found, symmetric):
    assert found.symmetric is symmetric


def test_the_form_is_that_of_the_model(tmp_path):
    assert TextForm.of(spec(lowercase=False, max_tokens=7)) == TextForm(
        lowercase=False, max_tokens=7, symmetric=True
    )
    model = {"encoder": "pretrained", "weights": tmp_path, "max_tokens": 9}
    coarse = TextForm(pieces=True, max_tokens=7, strip_accents=True, symmetric=True)
    assert TextForm.of(spec(**model)) == coarse
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    kept = coarse.model_copy(update={"strip_accents": False, "lowercase": False})
    assert TextForm.of(spec(**model)) == kept
    config = {"lowercase": True, "strip_accents": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"config": config}))
    assert TextForm.of(spec(**model)) == coarse
