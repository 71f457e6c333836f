"""Saves a small transformers model with its processor, and has optimum export the folder."""

import json
import shutil
import tempfile
from pathlib import Path

# Imported before the first case, since common.py seeds what is imported.
import torch

import deep_text

NAMES = ["bad", "so-so", "good"]


def names(labels: list[str]) -> dict:
    return {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}


def spread(model, inputs: list[dict], head=None, wide: float = 1.5) -> None:
    """Scales the last layer so that answers differ from input to input: a random network says nearly the same of all."""
    model.eval()
    wanted = model.config.num_labels
    if head is None:
        found = [one for one in model.modules() if getattr(one, "out_features", 0) == wanted]
        if not found:
            return
        head = found[-1]
    with torch.no_grad():
        seen = torch.cat([model(**one).logits.reshape(-1, wanted) for one in inputs]).double()
        scale = wide / seen.std(dim=0).clamp(min=1e-6)
        if head.bias is None:
            scale = scale.mean().expand(wanted)
        else:
            head.bias.copy_(((head.bias.double() - seen.mean(dim=0)) * scale).float())
        head.weight.mul_(scale.float()[:, None])


def settle(model, inputs: list[dict]) -> None:
    """Gives the batch norms the mean and deviation of real inputs."""
    norms = [one for one in model.modules() if isinstance(one, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    if not norms:
        return
    for one in norms:
        one.reset_running_stats()
        one.momentum = None
    model.train()
    with torch.no_grad():
        model(**{name: torch.cat([row[name] for row in inputs]) for name in inputs[0]})
    model.eval()


def export(folder: Path, model, processor, task: str, **options) -> None:
    """As `optimum-cli export onnx`; then without what no fixture needs."""
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as saved, tempfile.TemporaryDirectory() as exported:
        model.save_pretrained(saved)
        for one in processor if isinstance(processor, list) else [processor]:
            if one is not None:
                one.save_pretrained(saved)
        main_export(saved, output=Path(exported), task=task, do_validation=False, **options)
        for file in Path(exported).iterdir():
            if file.name not in deep_text.SLOW:
                shutil.copy(file, folder / file.name)
    smaller(folder)


def smaller(folder: Path) -> None:
    file = folder / "tokenizer.json"
    if file.exists():
        file.write_text(json.dumps(json.loads(file.read_text()), ensure_ascii=False) + "\n")


def ranked(found: list[dict]) -> dict:
    """What a pipeline says with top_k=None."""
    scores = {one["label"]: one["score"] for one in found}
    return {"label": max(scores, key=scores.get), "scores": scores}


TEXTS = [
    "I love this film",
    "What a terrible waste of time, the price was high and the delivery slow!",
    "the quick brown fox jumps over the lazy dog by the sea shore",
    "Ada",
]


def classified(folder: Path, model, texts: list | None = None) -> list[dict]:
    """Each text alone through transformers' pipeline of the PyTorch model; asked for all together."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, device="cpu")
    expected = []
    for one in texts or TEXTS:
        given = {"text": one[0], "text_pair": one[1]} if isinstance(one, list) else one
        found = pipe(given, truncation=True)
        found = found[0] if isinstance(found[0], list) else found
        if model.config.problem_type == "regression":
            # The pipeline sorts them.
            values = {one["label"]: one["score"] for one in found}
            in_order = [values[model.config.id2label[number]] for number in range(len(values))]
            expected.append({"value": in_order if len(in_order) > 1 else in_order[0]})
        else:
            expected.append(ranked(found))
    return [{"json": {"text": texts or TEXTS}, "expected": expected}]
