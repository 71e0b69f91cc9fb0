import sys
import unicodedata

import pytest
import tensorflow as tf

from trainer.text.tokens import character_ngrams, text_features, tokenize
from trainer.text.unicode import nfkc


def words(*texts: str | bytes, max_tokens: int = 100) -> list[list[str]]:
    rows = tokenize(
        tf.constant([t.encode() if isinstance(t, str) else t for t in texts]), max_tokens
    ).to_list()
    return [[token.decode() for token in row] for row in rows]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A man, a PLAN: Panama!", ["a", "man", "a", "plan", "panama"]),
        ("Don't well-known", ["don", "t", "well", "known"]),
        ("3.5% of 1,000,000. 5", ["3.5", "of", "1,000,000", "5"]),
        ("$5 + 2", ["$", "5", "+", "2"]),
        ("NAÏVE Café ЁЛКА ΣΟΦΙΑ", ["naïve", "café", "ёлка", "σοφια"]),
        ("cafe\u0301 \ufb01n", ["café", "fin"]),
        ("私は東京タワーへ行く。", ["私", "は", "東", "京", "タ", "ワー", "へ", "行", "く"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("한국어 문장.", ["한국어", "문장"]),
        ("رجل يعزف؟", ["رجل", "يعزف"]),
        ("\uff26\uff35\uff2c\uff2c\uff11\uff12 \uff57\uff49\uff44\uff45\uff01", ["full12", "wide"]),
        ("co\u00adop zero\u200bwidth", ["coop", "zerowidth"]),
        ("guitar🎸🎸", ["guitar", "🎸", "🎸"]),
        ("❤️❤", ["❤", "❤"]),
        ("\ufe0f", []),
        ("👍🏽👍🏿👍", ["👍🏽", "👍🏿", "👍"]),
        ("👩\u200d💻👨\u200d👩\u200d👧\u200d👦!", ["👩\u200d💻", "👨\u200d👩\u200d👧\u200d👦"]),
        ("🕵🏽\u200d♀️ ❤️\u200d🔥", ["🕵🏽\u200d♀", "❤\u200d🔥"]),
        ("👩\u200d 💻\u200d \u200d", ["👩", "💻"]),
        (
            "\U0001f1ee\U0001f1e9\U0001f1e9\U0001f1ea\U0001f1eb",
            ["\U0001f1ee\U0001f1e9", "\U0001f1e9\U0001f1ea", "\U0001f1eb"],
        ),
        ("#️⃣*️⃣10️⃣", ["\u266f⃣", "\u2217⃣", "1", "0⃣"]),
        ("🏴\U000e0067\U000e0062\U000e007f🏴 a\U000e0067b", ["🏴\U000e0067\U000e0062\U000e007f", "🏴", "ab"]),
        ("🫨\U0001faea", ["🫨", "\U0001faea"]),  # the second has no name yet
        ("نمی\u200cبینم", ["نمیبینم"]),
        ("क्\u200dष न्\u200d", ["क्ष", "न्"]),
        ("葛\U000e0100", ["葛"]),
        ("C# C++ ≠♥̸", ["c", "c", "+", "+", "≠", "♥̸"]),
        ("tab\tnew\nline\u00a0space", ["tab", "new", "line", "space"]),
        ("a\0B é", ["a", "b", "é"]),
        ("a\0B", ["a", "b"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert words(text) == [tokens]


def test_texts_without_tokens_are_empty_rows() -> None:
    assert words("", "   ", "...!?", "a") == [[], [], [], ["a"]]


def test_a_batch_without_rows() -> None:
    assert tokenize(tf.zeros([0], tf.string), 5).to_list() == []


def test_invalid_utf8_becomes_the_replacement_character() -> None:
    assert words(b"\xff good \xc3") == [["\ufffd", "good", "\ufffd"]]


def test_of_a_text_so_much_is_read_as_its_tokens_may_need() -> None:
    long = "é" * 100_000
    assert [len(token) for token in words(long, max_tokens=3)[0]] == [192]
    assert text_features(tf.constant([long]), 3, (3,)).row_lengths().numpy().tolist() == [1 + 192]
    ordinary = "word " * 5_000
    assert words(ordinary) == [["word"] * 100]
    for broken in (b"\x80" * 10_000, b"\xff" * 10_000, b"\xe8\xaa" * 5_000, b"a" * 6_399 + b"\xe8\xaa\x9e"):
        assert len(words(broken)[0]) >= 1


def test_max_tokens_keeps_the_beginning() -> None:
    assert words("one two three", "one", max_tokens=2) == [["one", "two"], ["one"]]


def test_tokens_of_tokens_are_the_same() -> None:
    [once] = words("İstanbul \uff21\uff22\uff23 Straße\u200b ΑΣ 👩\u200d💻 3.5")
    assert words(" ".join(once)) == [once]


def test_character_ngrams_spell_each_token_between_brackets() -> None:
    grams = character_ngrams(tf.ragged.constant([["cat", "é"], [], ["a"]]), (3, 4)).to_list()
    decoded = [[gram.decode() for gram in row] for row in grams]
    assert decoded == [["<ca", "cat", "at>", "<é>", "<cat", "cat>"], [], ["<a>"]]


def test_text_features_are_tokens_then_ngrams() -> None:
    assert text_features(tf.constant(["Cat a", ""]), 1, (4,)).to_list() == [[b"cat", b"<cat", b"cat>"], []]
    assert text_features(tf.constant(["Cat a", ""]), 9).to_list() == [[b"cat", b"a"], []]


def test_the_graph_needs_no_python_and_gives_the_same_tokens(tmp_path) -> None:
    texts = tf.constant(["A man plays 3.5 guitars.", "私は", "", "\uff2f\uff2b"])
    module = tf.Module()
    signature = tf.TensorSpec([None], tf.string)
    module.split = tf.function(lambda batch: text_features(batch, 3, (3,)).to_tensor(""), [signature])
    tf.saved_model.save(module, str(tmp_path))
    expected = text_features(texts, 3, (3,)).to_tensor("").numpy().tolist()
    assert tf.saved_model.load(str(tmp_path)).split(texts).numpy().tolist() == expected
    nodes = {node.op for node in module.split.get_concrete_function().graph.as_graph_def().node}  # type: ignore[attr-defined]
    assert not nodes & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}


def test_case_can_be_kept() -> None:
    kept = tokenize(tf.constant(["NAÏVE Plan"]), 9, lowercase=False).to_list()
    assert [token.decode() for token in kept[0]] == ["NAÏVE", "Plan"]


def normalized(texts: list[str]) -> list[str]:
    points = tf.strings.unicode_decode(tf.constant(texts), "UTF-8")
    return [text.decode() for text in tf.strings.unicode_encode(nfkc(points), "UTF-8").numpy()]


def test_every_character_becomes_its_nfkc() -> None:
    surrogates = range(0xD800, 0xE000)
    characters = [chr(point) for point in range(1, sys.maxunicode + 1) if point not in surrogates]
    expected = [unicodedata.normalize("NFKC", character) for character in characters]
    assert normalized(characters) == expected


def test_letters_and_their_marks_are_put_together_again() -> None:
    blocks = (range(0xC0, 0x250), range(0x370, 0x530), range(0x1E00, 0x2000), range(0x3040, 0x3100))
    letters = [chr(point) for block in blocks for point in block]
    apart = [unicodedata.normalize("NFD", letter) for letter in letters]
    assert sum(one != other for one, other in zip(letters, apart, strict=True)) > 800
    assert normalized([f"x{text}y" for text in apart]) == [
        f"x{unicodedata.normalize('NFKC', text)}y" for text in apart
    ]


def test_a_mark_does_not_join_the_text_before() -> None:
    assert normalized(["e", "\u0301e\u0301", ""]) == ["e", "\u0301é", ""]
