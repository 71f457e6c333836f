"""timm's models: with timm's own config.json, and in transformers' wrapper; and torchvision's with its own transforms."""

import functools
import json

import common

# Imported before the first case, since common.py seeds what is imported.
import torch

import deep_pictures as pictures

REQUIREMENTS = "deep"

NAMES = ["cat", "dog", "owl", "bee"]


def model_of(name: str, **options):
    import timm

    model = timm.create_model(name, pretrained=False, num_classes=len(NAMES), **options)
    model.eval()
    return model


def spread(model, inputs) -> None:
    """Scales the last layer, so that pictures differ."""
    model.train()
    norms = [one for one in model.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None
    with torch.no_grad():
        if norms:
            model(torch.cat(inputs))
        model.eval()
        seen = torch.cat([model(one) for one in inputs])
        head = [one for one in model.modules() if getattr(one, "out_features", 0) == seen.shape[1]][-1]
        scale = 1.5 / seen.std(dim=0).clamp(min=1e-6)
        head.bias.copy_((head.bias - seen.mean(dim=0)) * scale)
        head.weight.mul_(scale[:, None])


def exported(folder, model, size, names=("pixel_values", "logits")) -> None:
    torch.onnx.export(
        model, (torch.rand(2, 3, *size),), str(folder / "model.onnx"), dynamo=False, opset_version=17,
        input_names=[names[0]], output_names=[names[1]],
        dynamic_axes={names[0]: {0: "batch_size"}, names[1]: {0: "batch_size"}},
    )  # fmt: skip


def answers(folder, model, transform):
    from PIL import Image

    requests = []
    for file in pictures.files(folder):
        with torch.no_grad():
            found = model(transform(Image.open(folder / file).convert("RGB"))[None])[0].softmax(-1).tolist()
        scores = dict(zip(NAMES, found, strict=True))
        requests.append({"file": file, "expected": [{"label": max(scores, key=scores.get), "scores": scores}]})
    return requests


TINY = {
    "test_byobnet": "test_byobnet", "test_convnext": "test_convnext", "test_convnext2": "test_convnext2",
    "test_convnext3": "test_convnext3", "test_efficientnet": "test_efficientnet", "test_efficientnet_gn": "test_efficientnet_gn",
    "test_efficientnet_ln": "test_efficientnet_ln", "test_efficientnet_evos": "test_efficientnet_evos",
    "test_mambaout": "test_mambaout", "test_nfnet": "test_nfnet", "test_resnet": "test_resnet", "test_vit": "test_vit",
    "test_vit2": "test_vit2", "test_vit3": "test_vit3",
}  # fmt: skip


# Small enough for the repository.
SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "mlp_ratio": 2, "img_size": 32, "patch_size": 8}


def own_config(folder, name, names_key=True, args=None, **config):
    """What timm.models.push_to_hub writes beside the weights."""
    from timm.data import create_transform, resolve_data_config
    from timm.models._hub import save_config_for_hf

    model = model_of(name, **(args or {}))
    model.pretrained_cfg = model.pretrained_cfg | config
    data = resolve_data_config({}, pretrained_cfg=model.pretrained_cfg)
    transform = create_transform(**data, is_training=False)
    spread(model, [transform(one)[None] for one in pictures.training(12)])
    exported(folder, model, data["input_size"][1:])
    extra = {"label_names": NAMES} if names_key else {}
    save_config_for_hf(model, folder / "config.json", model_config={"num_classes": len(NAMES), **extra},
                       **({"model_args": args} if args else {}))
    if not names_key:
        (folder / "labels.txt").write_text("\n".join(NAMES) + "\n")
    return answers(folder, model, transform)


def wrapped(folder, name, args=None, **config):
    """transformers' TimmWrapper: config.json with label_names and, in it, timm's own."""
    import transformers

    inner = transformers.TimmWrapperConfig.from_dict({
        "architecture": name, "num_classes": len(NAMES), "label_names": NAMES, "model_args": args,
        "pretrained_cfg": {**model_of(name).pretrained_cfg, **config, "num_classes": len(NAMES)},
    })  # fmt: skip
    model = transformers.TimmWrapperForImageClassification(inner).eval()
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    processor = transformers.TimmWrapperImageProcessor(pretrained_cfg=inner.pretrained_cfg)
    processor.save_pretrained(folder)
    transform = processor.val_transforms
    spread(model.timm_model, [transform(one)[None] for one in pictures.training(12)])
    exported(folder, model.timm_model, processor.data_config["input_size"][1:])
    return answers(folder, model.timm_model, transform)


def torchvision(folder, name, **options):
    """The weights' own transforms, in preprocessor_config.json as docs/models.md shows."""
    import torchvision
    from torchvision.transforms.functional import InterpolationMode

    weights = torchvision.models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    model = torchvision.models.get_model(name, weights=None, num_classes=len(NAMES), **options).eval()
    spread(model, [preset(one)[None] for one in pictures.training(12)])
    exported(folder, model, preset.crop_size * 2, ("pixel_values", "logits"))
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n")
    code = {InterpolationMode.BILINEAR: 2, InterpolationMode.BICUBIC: 3}[preset.interpolation]
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "do_center_crop": True, "size": {"shortest_edge": preset.resize_size[0]}, "resample": code,
        "crop_size": {"height": preset.crop_size[0], "width": preset.crop_size[0]},
        "image_mean": preset.mean, "image_std": preset.std}) + "\n")  # fmt: skip
    return answers(folder, model, preset)


def cases():
    one = functools.partial
    made_with = ("timm", "transformers", "torch")
    size = {"input_size": (3, 48, 48)}
    made = {f"own-{name.replace('_', '-')}": one(own_config, name=name) for name in TINY}
    made |= {
        "own-labels-file": one(own_config, name="test_resnet", names_key=False),
        "own-small-vit": one(own_config, name="test_vit", args=SMALL, input_size=(3, 32, 32)),
        "own-small-vit-squash": one(own_config, name="test_vit", args=SMALL, input_size=(3, 32, 32), crop_mode="squash"),
        "wrapper-small-vit": one(wrapped, name="test_vit", args=SMALL, input_size=(3, 32, 32)),
        "own-squash": one(own_config, name="test_resnet", crop_mode="squash", **size),
        "own-border": one(own_config, name="test_resnet", crop_mode="border", **size),
        "own-bilinear": one(own_config, name="test_resnet", interpolation="bilinear", crop_pct=0.875, **size),
        "own-bicubic-whole": one(own_config, name="test_resnet", interpolation="bicubic", crop_pct=1.0, **size),
        "own-nearest": one(own_config, name="test_resnet", interpolation="nearest", **size),
        "own-not-square": one(own_config, name="test_resnet", input_size=(3, 32, 48)),
        "own-half-mean": one(own_config, name="test_resnet", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), **size),
        "own-test-size": one(own_config, name="test_resnet", test_input_size=(3, 64, 64), test_crop_pct=1.0, **size),
        "wrapper-resnet": one(wrapped, name="test_resnet"),
        "wrapper-vit": one(wrapped, name="test_vit"),
        "wrapper-convnext": one(wrapped, name="test_convnext"),
        "wrapper-squash": one(wrapped, name="test_resnet", crop_mode="squash"),
    }  # fmt: skip
    for name, build in made.items():
        yield common.case("timm", name, build, family="timm", task="image-classification", made_with=made_with,
                          tolerance=3e-3, committed="small" in name)  # fmt: skip
    for name in ("mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "resnet18", "efficientnet_b0",
                 "regnet_y_400mf", "densenet121", "googlenet"):  # fmt: skip
        options = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
        yield common.case("torch", f"torchvision-{name.replace('_', '-').replace('.', '-')}",
                          one(torchvision, name=name, **options), family="torchvision", task="image-classification",
                          made_with=("torchvision", "torch"), tolerance=5e-3)  # fmt: skip


if __name__ == "__main__":
    common.main(cases)
