"""Folders that are not what they seem, each of which must be refused in words that help."""

import json

import numpy as np
import onnx
from common import case, main, write_json
from onnx import helper
from small_networks import FLOAT, classifier, graph

REQUIREMENTS = "classical"


def lfs_pointer(folder):
    (folder / "model.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 123456789\n"
    )
    return {"refused": ["Git LFS pointer", "git lfs pull"]}


def page(folder):
    (folder / "model.onnx").write_text(
        "<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n"
    )
    return {"refused": ["HTML"]}


def json_error(folder):
    (folder / "model.onnx").write_text(json.dumps({"error": "Repository not found"}))
    return {"refused": ["JSON"]}


def empty(folder):
    (folder / "model.onnx").write_bytes(b"")
    return {"refused": ["empty"]}


def truncated(folder):
    classifier(folder)
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) * 2 // 3])
    return {"refused": ["model.onnx"]}


def pickled(folder):
    # What torch.save and zip archives begin with.
    (folder / "model.onnx").write_bytes(b"PK\x03\x04" + bytes(200))
    return {"refused": ["model.onnx"]}


def names_of_wrong_number(folder):
    classifier(folder)
    (folder / "model.toml").write_text('feature_names = ["a", "b", "c"]\n')
    return {"refused": ["feature_names", "3", "4"]}


def labels_of_wrong_number(folder):
    classifier(folder)
    (folder / "labels.txt").write_text("red\ngreen\n")
    return {"refused": ["labels.txt", "2", "3"]}


def other_format(folder):
    (folder / "model.pkl").write_bytes(b"\x80\x04\x95" + bytes(40))
    return {"refused": ["model.pkl"]}


def unknown_operator(folder):
    node = helper.make_node("Frobnicate", ["features"], ["variable"], domain="org.example")
    made = helper.make_graph(
        [node],
        "edge",
        [helper.make_tensor_value_info("features", FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("variable", FLOAT, ["N", 1])],
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)], ir_version=8
    )
    onnx.save(model, folder / "model.onnx")
    return {"refused": ["Frobnicate"]}


def lost_data(folder):
    """The weights' file was not copied along."""
    weights = helper.make_tensor("weights", FLOAT, [4, 1], np.ones(4, np.float32).tobytes(), raw=True)
    node = helper.make_node("MatMul", ["features", "weights"], ["variable"])
    graph(folder, [node], [("features", FLOAT, ["N", 4])], [("variable", FLOAT, ["N", 1])], [weights])
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    (folder / "model.onnx.data").unlink()
    return {"refused": ["model.onnx.data"]}


def pointer_of_data(folder):
    """The network came, its weights are still at the LFS server."""
    lost_data(folder)
    (folder / "model.onnx.data").write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 16\n"
    )
    return {"refused": ["model.onnx.data", "Git LFS pointer", "git lfs pull"]}


def page_for_config(folder):
    classifier(folder)
    (folder / "config.json").write_text("<!DOCTYPE html>\n<html><body>Not found</body></html>\n")
    return {"refused": ["config.json"]}


def broken_toml(folder):
    classifier(folder)
    (folder / "model.toml").write_text('labels = ["a", "b"\ntask = \n')
    return {"refused": ["model.toml"]}


def unknown_key(folder):
    classifier(folder)
    (folder / "model.toml").write_text('lables = ["a", "b", "c"]\n')
    return {"refused": ["model.toml", "lables"]}


def labels_of_another_encoding(folder):
    classifier(folder)
    (folder / "labels.txt").write_bytes("grün\nblau\nrot\n".encode("latin-1"))
    return {"refused": ["labels.txt", "UTF-8"]}


def another_checksum(folder):
    classifier(folder)
    (folder / "SHA256SUMS").write_text("0" * 64 + "  model.onnx\n")
    return {"refused": ["SHA256SUMS", "model.onnx"]}


def another_golden_answer(folder):
    rows, expected = classifier(folder)
    other = "0" if expected[0]["label"] != "0" else "1"
    write_json(folder / "golden.json", [{"features": rows[0], "label": other}])
    return {"refused": ["golden"]}


def two_networks(folder):
    classifier(folder)
    (folder / "model.onnx").rename(folder / "first.onnx")
    (folder / "second.onnx").write_bytes((folder / "first.onnx").read_bytes())
    return {"refused": ["first.onnx", "second.onnx", "model.toml"]}


def cases():
    for name, build in {
        "lfs-pointer": lfs_pointer,
        "html-page": page,
        "json-error": json_error,
        "empty": empty,
        "truncated": truncated,
        "zip": pickled,
        "feature-names": names_of_wrong_number,
        "labels": labels_of_wrong_number,
        "pickle": other_format,
        "unknown-operator": unknown_operator,
        "lost-data": lost_data,
        "lfs-data": pointer_of_data,
        "checksum": another_checksum,
        "golden": another_golden_answer,
        "config-page": page_for_config,
        "toml": broken_toml,
        "toml-key": unknown_key,
        "labels-encoding": labels_of_another_encoding,
        "two-networks": two_networks,
    }.items():
        yield case(
            "onnx",
            f"not-{name}",
            build,
            family="not what they seem",
            task="tabular-classification",
            made_with=("onnx",),
            committed=True,
        )


if __name__ == "__main__":
    main(cases)
