"""sentence-transformers: what its modules and settings make of a text, by its own export and by optimum's."""

import functools
import tempfile
from pathlib import Path

import common
import deep_export as export
import deep_text as text

REQUIREMENTS = "deep"

SMALL = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, initializer_range=0.3,
             max_position_embeddings=52)  # fmt: skip
TEXTS = export.TEXTS + [text.LONG, "Ångström CAFÉ"]


def encoder(folder: str, make=text.bert, start="Bert", config=SMALL, **options) -> None:
    import transformers

    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = make(Path(scratch), **options)
        said = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id} | config
        model = getattr(transformers, f"{start}Model")(getattr(transformers, f"{start}Config")(**said))
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def pooling(mode="mean", **options):
    from sentence_transformers import models

    return lambda size: models.Pooling(size, pooling_mode=mode, **options)


def normalize(size):
    from sentence_transformers import models

    return models.Normalize()


def dense(function, bias=True):
    from sentence_transformers import models

    def make(size):
        module = models.Dense(size, 12, bias=bias, activation_function=getattr(export.torch.nn, function)())
        with export.torch.no_grad():
            module.linear.weight.mul_(3)
        return module

    return make


def layer_norm(size):
    from sentence_transformers import models

    module = models.LayerNorm(size)
    with export.torch.no_grad():
        module.norm.weight.uniform_(0.5, 2)
        module.norm.bias.uniform_(-1, 1)
    return module


def dropout(size):
    from sentence_transformers import models

    return models.Dropout(0.3)


def model_of(folder: str, modules, length=None, lower=None, **options):
    from sentence_transformers import SentenceTransformer, models

    arguments = {"max_seq_length": length} | ({} if lower is None else {"do_lower_case": lower})
    first = models.Transformer(folder, **arguments)
    chain = [first] + [make(first.get_word_embedding_dimension()) for make in modules]
    model = SentenceTransformer(modules=chain, device="cpu", **options)
    model.eval()
    return model


def expected(model, texts) -> list[dict]:
    return [{"embedding": model.encode(one).tolist()} for one in texts]


def build(folder, modules, way="own", length=None, lower=None, change=None, encoder_options=None, **options):
    with tempfile.TemporaryDirectory() as bare, tempfile.TemporaryDirectory() as whole:
        encoder(bare, **(encoder_options or {}))
        model = model_of(bare, modules, length, lower, **options)
        model.save_pretrained(whole, create_model_card=False)
        if way == "own":
            own(whole, folder)
        elif way == "inside":
            # The pooling and what follows become part of the network.
            from optimum.exporters.onnx import main_export

            main_export(whole, output=folder, task="feature-extraction", library_name="sentence_transformers",
                        do_validation=False)  # fmt: skip
        else:
            # The network alone by optimum, with the other files of the published folder beside it.
            from optimum.exporters.onnx import main_export

            main_export(whole, output=folder, task="feature-extraction", library_name="transformers",
                        do_validation=False)  # fmt: skip
            beside(Path(whole), folder)
        tidy(folder)
        if change:
            change(folder)
            change(Path(whole))
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(whole, device="cpu")
        return [{"json": {"text": TEXTS}, "expected": expected(model, TEXTS)}]


def own(whole: str, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(whole, backend="onnx", device="cpu", model_kwargs={"export": True})
    model.save_pretrained(str(folder), create_model_card=False)


def beside(whole: Path, folder: Path) -> None:
    import shutil

    for file in whole.iterdir():
        if file.is_dir():
            shutil.copytree(file, folder / file.name, dirs_exist_ok=True)
        elif not (folder / file.name).exists() and file.suffix != ".safetensors":
            shutil.copy(file, folder / file.name)


def tidy(folder: Path) -> None:
    for name in (*text.SLOW, "model.safetensors", "README.md"):
        (folder / name).unlink(missing_ok=True)
    export.smaller(folder)


def cross_encoder(folder, function, pairs, labels=1):
    import transformers
    from sentence_transformers import CrossEncoder

    with tempfile.TemporaryDirectory() as bare, tempfile.TemporaryDirectory() as whole:
        with tempfile.TemporaryDirectory() as scratch:
            tokenizer = text.bert(Path(scratch))
            config = transformers.BertConfig(**SMALL, vocab_size=len(tokenizer), num_labels=labels)
            inner = transformers.BertForSequenceClassification(config)
            rows = [dict(tokenizer(*pair, return_tensors="pt", truncation=True)) for pair in pairs]
            export.spread(inner, rows)
            inner.save_pretrained(bare)
            text.bert(Path(scratch)).save_pretrained(bare)
        given = {"activation_fn": getattr(export.torch.nn, function)()} if function else {}
        model = CrossEncoder(bare, device="cpu", **given)
        model.save_pretrained(whole)
        exported = CrossEncoder(whole, backend="onnx", device="cpu", model_kwargs={"export": True})
        exported.save_pretrained(str(folder))
        tidy(folder)
        said = []
        for pair in pairs:
            score = model.predict([pair])[0]
            if labels == 1 and function == "Identity":
                said.append({"value": float(score)})
            elif labels == 1:
                said.append({"label": "LABEL_0", "scores": {"LABEL_0": float(score)}})
            else:
                probabilities = model.predict([pair], apply_softmax=True)[0].tolist()
                said.append(export.ranked([{"label": f"LABEL_{n}", "score": p} for n, p in enumerate(probabilities)]))
    return [{"json": {"text": pairs}, "expected": said}]


PAIRS = [["how many people live in London?", "Ada Lovelace lived in London"], ["the price", "the fox"],
         ["a lovely day", "she sells sea shells by the sea shore, don't you think so?"]]  # fmt: skip


def said(name, **changes):
    return lambda folder: text.edit(folder, name, lambda content: content.update(changes))


def t5(folder):
    return text.pieces(folder, cls="T5TokenizerFast", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>")


def tables() -> dict:
    one = functools.partial
    roberta = dict(make=text.roberta, start="Roberta")
    return {
        "mean": one(build, modules=[pooling()]),
        "mean-normalized": one(build, modules=[pooling(), normalize]),
        "cls": one(build, modules=[pooling("cls")]),
        "max": one(build, modules=[pooling("max")]),
        "mean-sqrt-len": one(build, modules=[pooling("mean_sqrt_len_tokens")]),
        "weighted-mean": one(build, modules=[pooling("weightedmean")]),
        "last-token": one(build, modules=[pooling("lasttoken")]),
        "last-token-padding-left": one(build, modules=[pooling("lasttoken")], encoder_options=dict(padding_side="left")),
        "two-poolings": one(build, modules=[two_poolings]),
        "length-12": one(build, modules=[pooling()], length=12),
        "length-12-by-optimum": one(build, modules=[pooling(), normalize], length=12, way="beside"),
        "lower-case": one(build, modules=[pooling()], lower=True, encoder_options=dict(lower=False)),
        "dense-tanh": one(build, modules=[pooling(), dense("Tanh")]),
        "dense-identity-normalized": one(build, modules=[pooling(), dense("Identity", bias=False), normalize]),
        "dense-inside": one(build, modules=[pooling(), dense("Tanh"), normalize], way="inside"),
        "layer-norm": one(build, modules=[pooling(), layer_norm]),
        "dropout": one(build, modules=[pooling(), dropout, normalize]),
        "inside": one(build, modules=[pooling(), normalize], way="inside"),
        "inside-cls": one(build, modules=[pooling("cls")], way="inside"),
        "inside-length-12": one(build, modules=[pooling()], way="inside", length=12),
        "roberta": one(build, modules=[pooling(), normalize], encoder_options=roberta),
        "t5-inside": one(build, modules=[pooling(), normalize], way="inside", encoder_options=dict(
            start="T5", config=dict(d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2), make=t5)),
        "prompt": one(build, modules=[pooling()], prompts={"query": "query: ", "passage": "passage: "},
                      default_prompt_name="query"),
        "prompt-null": one(build, modules=[pooling()], prompts={"query": "query: ", "document": ""},
                           default_prompt_name=None),
        "prompt-not-pooled": one(build, modules=[pooling("mean", include_prompt=False)],
                                 prompts={"query": "the quick brown: "}, default_prompt_name="query"),
        "prompt-nulls-in-file": one(build, modules=[pooling()], prompts={"query": "query: ", "document": ""},
                                    default_prompt_name="query",
                                    change=said("config_sentence_transformers.json",
                                                prompts={"query": "query: ", "document": None})),
        "truncated-to-8": one(build, modules=[pooling(), normalize], truncate_dim=8),
        "cross-encoder": one(cross_encoder, function=None, pairs=PAIRS),
        "cross-encoder-identity": one(cross_encoder, function="Identity", pairs=PAIRS),
        "cross-encoder-sigmoid": one(cross_encoder, function="Sigmoid", pairs=PAIRS),
        "cross-encoder-three": one(cross_encoder, function=None, pairs=PAIRS, labels=3),
    }  # fmt: skip


def two_poolings(size):
    from sentence_transformers import models

    return models.Pooling(size, pooling_mode=("cls", "mean"))


COMMITTED = {"weighted-mean", "last-token", "length-12", "lower-case", "dense-tanh", "layer-norm",
             "inside", "prompt", "prompt-not-pooled", "cross-encoder-identity"}  # fmt: skip


# Modules behind the pooling that onnxd does not have: served as tensors, and said so.
UNSERVED = {"dense-tanh": "Dense", "dense-identity-normalized": "Dense", "layer-norm": "LayerNorm"}


def only_said(made, word):
    def build(folder):
        made(folder)
        return {"says": [word, "served as tensors"], "requests": []}

    return build


def cases():
    for name, made in tables().items():
        task = "feature-extraction"
        if name in UNSERVED:
            task, made = "tensors", only_said(made, UNSERVED[name])
        if name.startswith("cross-encoder"):
            task = "text-regression" if name.endswith("identity") else "text-classification"
        yield common.case(
            "sentence-transformers", name, made,
            family="cross-encoders" if name.startswith("cross-encoder") else "embeddings of texts", task=task,
            made_with=("sentence-transformers", "transformers", "optimum-onnx"), committed=name in COMMITTED,
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)
