"""Make tests/fixtures/sentences.txt: picked reviews and tweets, then edge cases.

The first lines are from models/eval/sentiment.tsv, of every label the same
number: those whose salted text has the smallest SHA-256, so the choice does not
depend on their order in the file. A line ends at a line feed and nowhere else.

    python tests/reference/make_sentences.py
"""

import hashlib
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SOURCE = TESTS.parent / "models" / "eval" / "sentiment.tsv"
OUT = TESTS / "fixtures" / "sentences.txt"
PER_LABEL = 58
SALT = "2718"  # another salt picks other lines
GOOD = "The first hour is a joy and every single scene of it is beautifully done. "
BAD = "Then it falls apart, and the rest is the dullest and worst mess I have ever seen. "

EDGE_CASES = [
    # Emoji: plain, with a skin tone, flags, joined by ZWJ, with a variation selector.
    "I love it 😍😍😍 best day ever 🎉",
    "👍🏽 thanks a lot, 10/10 🇫🇷🇯🇵",
    "👩‍👩‍👧‍👦 family night, lovely film ❤️",
    "🙄",
    # Accents, precomposed and as combining characters; stacked marks.
    "Le café était délicieux, la crème brûlée un vrai régal à Besançon",
    "Le cafe\u0301 e\u0301tait de\u0301licieux, un vrai re\u0301gal",
    "Z\u0351\u036b\u0343\u036aa\u0300\u0301\u0302\u0303l\u0334\u0335go text is s\u0336o\u0336 odd",
    "Größe, Straße, ÜBERMUT: ein schöner, aber trauriger Film; İstanbul'da çok güzeldi",
    # Scripts without spaces, from right to left, and mixed in one line.
    "这部电影非常好看，我很喜欢。",
    "この映画は本当につまらなかった。二度と見たくない。",
    "정말 재미있는 영화였어요",
    "كان الفيلم رائعا جدا وأحببته كثيرا",
    "הסרט היה משעמם מאוד ולא נהניתי בכלל",
    "यह फ़िल्म बहुत अच्छी थी",
    "Фильм ужасный, деньги на ветер",
    "Οι ηθοποιοί ήταν ΥΠΕΡΟΧΟΙ",
    "The 映画 was быстро and رائع but überlang 😅",
    # Capitals, single characters, punctuation only, spaces inside.
    "THIS IS THE WORST PHONE I HAVE EVER BOUGHT!!! DO NOT BUY!!!",
    "a",
    "?",
    "好",
    "7",
    "!!! ... ??? --- *** ,,, ;;; (((",
    "¿¡«»…—“”‘’„•§¶",
    "so    many      spaces          inside,   still   fine",
    "no-break\u00a0space, thin\u2009space, ideographic\u3000space, and it works great",
    # Characters that are not shown: zero width, soft hyphen, direction marks, bell.
    "zero\u200bwidth\u200cnon\u200djoiner and byte\ufeffmark are awful",
    "soft\u00adhyphen un\u00adbe\u00adliev\u00adably good",
    "\u202ereversed\u202c and \u2067isolated\u2069 text is annoying",
    "a bell \u0007 and an escape \u001b[31m and a delete \u007f inside",
    "private \ue000 use, replacement \ufffd mark, and unassigned \u0378 letters",
    # Looks like numbers, addresses, markup, code, or the tokenizer's own tokens.
    "https://example.com/a/b?c=d&e=%20f#g is down again, so frustrating",
    "Mail me at first.last+tag@example.org, I'd be happy to help!",
    "3.14159 -42 1,000,000.00 1e-9 0x1F 50% $19.99 €5 £7 ½ ² Ⅷ ①",
    "[CLS] this is [MASK] good [SEP] this is [UNK] bad [PAD] [PAD]",
    "<p>A <b>really</b> great product &amp; fast delivery!</p><br/><script>alert(1)</script>",
    '{"text": "terrible", "score": [1, 2.5, null], "path": "C:\\\\new\\\\table"}',
    "@user #sadday RT: can't believe it :( :-/ <3 :D ^_^ \\o/",
    "sooooooooo goooooooood!!!!!!!! yessssssssssssssssssssss",
    # Words past the tokenizer's longest (100 characters), ligatures, wide letters.
    "Lopado" + "temachoselacho" * 9 + "pterygon was a pleasant surprise",
    "ﬁne eﬃcient ﬂow, Ｆｕｌｌｗｉｄｔｈ ｌｅｔｔｅｒｓ, 𝓯𝓪𝓷𝓬𝔂 𝐛𝐨𝐥𝐝 joy",
    # Longer than 256 tokens, the mood changing on the way, and longer than 512.
    (GOOD * 10 + BAD * 10).strip(),
    (BAD * 20 + GOOD * 30).strip(),
]


def picked():
    """The lines taken from the file, by label."""
    header, *rows = SOURCE.read_text("utf-8").removesuffix("\n").split("\n")
    texts = defaultdict(set)
    for row in rows:
        entry = dict(zip(header.split("\t"), row.split("\t"), strict=True))
        texts[entry["label"]].add(entry["text"])
    return [
        text for label in sorted(texts) for text in sorted(texts[label], key=digest)[:PER_LABEL]
    ]


def digest(text):
    """What the lines of one label are ordered by."""
    return hashlib.sha256((SALT + text).encode()).digest()


def main():
    sentences = picked() + EDGE_CASES
    for text in sentences:
        assert text == text.strip() and text and not set(text) & set("\t\n\r"), text
    assert len(set(sentences)) == len(sentences)
    OUT.write_text("\n".join(sentences) + "\n", "utf-8")
    print(f"{len(sentences)} sentences")


if __name__ == "__main__":
    main()
