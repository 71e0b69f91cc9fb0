"""Classes of characters as RE2 writes them: what a token is made of, in a graph and in Arrow alike.

`trainer.text.tokens` applies these in TensorFlow, `trainer.text.form` in Arrow. Behind both is RE2,
which knows Unicode's classes and scripts and cannot look ahead.
"""

from __future__ import annotations

# Characters that nobody sees: soft hyphen, zero-width space and non-joiner, marks of direction, variation
# selectors, byte-order mark; most of what Unicode calls default ignorable. Persian spells many a word with
# the non-joiner and without, and U+FE0F stands behind an emoji or does not.
UNSEEN = (
    r"[\x{00AD}\x{034F}\x{061C}\x{180B}-\x{180D}\x{180F}\x{200B}\x{200C}\x{200E}\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{2064}\x{2066}-\x{206F}\x{FE00}-\x{FE0F}\x{FEFF}\x{E0100}-\x{E01EF}]"
)

# Symbols, and room for emoji that Unicode has yet to name.
_EMOJI = r"\x{1F300}-\x{1FAFF}\x{1FC00}-\x{1FFFD}"
_SYMBOL = rf"[\p{{S}}{_EMOJI}]"
# The zero-width joiner; the letters of the flags of regions.
_JOINER, _TAGS = r"\x{200D}", r"\x{E0020}-\x{E007F}"
# Marks, skin tones and tags belong to the symbol before them (UAX #29, rules GB9 to GB13).
_EXTENDED = rf"{_SYMBOL}[\p{{M}}\x{{1F3FB}}-\x{{1F3FF}}{_TAGS}]*"
_JOINED = rf"{_EXTENDED}(?:{_JOINER}{_EXTENDED})*"
# Two regional indicators are a flag, a digit in U+20E3 is a key.
_FLAG, _KEY = r"[\x{1F1E6}-\x{1F1FF}]{2}", r"[0-9]\x{20E3}"

# Texts with one of these need `JOIN`.
NEEDS_JOINING = rf"[{_JOINER}\x{{20E3}}{_TAGS}]"
# Pattern and replacement, in order. Joiners and tags go but for those inside of a symbol: in words the joiner
# only shapes letters. A key's sign is punctuation, so another stands for it.
JOIN = (
    (rf"({_JOINED})|[{_JOINER}{_TAGS}]", r"\1"),
    (r"#\x{20E3}", "\u266f\u20e3"),
    (r"\*\x{20E3}", "\u2217\u20e3"),
)

# Scripts written without spaces between words: each character, with the marks that belong to it, is a token.
# U+30FC, the long-vowel sign, belongs to no script but never stands alone.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}][\p{M}ー]*"
# Symbols carry meaning (currencies, signs of arithmetic, emoji) where punctuation hardly does.
ALONE = (rf"({_FLAG}|{_KEY}|{_JOINED}|{_UNSPACED})", r" \1 ")
# The same for texts in ASCII, in half the time.
ALONE_IN_ASCII = (r"([$+<=>^`|~])", r" \1 ")

# A dot or comma between digits belongs to the number: 3.5 and 1,000 are one token each. These two are hidden
# behind characters of the private use area while punctuation is taken out.
_HIDDEN_DOT, _HIDDEN_COMMA = "\ue000", "\ue001"
# Nor is a space, but it already is what these are replaced by, and each replacement costs.
_KEPT = rf"\p{{L}}\p{{M}}\p{{N}}\p{{S}}{_EMOJI}{_JOINER}{_TAGS} "
SEPARATE = ((rf"[^{_KEPT}]+", " "),)

# Texts with one of these need `SEPARATE_NUMBERS` in place of `SEPARATE`.
HAS_NUMBERS = r"\p{N}[.,]\p{N}"
SEPARATE_NUMBERS = (
    (f"[{_HIDDEN_DOT}{_HIDDEN_COMMA}]", " "),
    # Matches do not overlap, so 1.2.3 takes two rounds.
    *2 * ((r"(\p{N})\.(\p{N})", rf"\1{_HIDDEN_DOT}\2"),),
    *2 * ((r"(\p{N}),(\p{N})", rf"\1{_HIDDEN_COMMA}\2"),),
    (rf"[^{_KEPT}{_HIDDEN_DOT}{_HIDDEN_COMMA}]+", " "),
    (_HIDDEN_DOT, "."),
    (_HIDDEN_COMMA, ","),
)

# Of a text as many characters are read as its tokens may have on average. Only what is no text has longer
# words, and each of its characters begins an n-gram.
CHARACTERS_OF_A_TOKEN = 64
