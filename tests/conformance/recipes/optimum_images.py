"""Classifiers of images that optimum exports: each architecture with its own image processor, slow and fast."""

import functools

import common
import deep_export as export
import deep_pictures as pictures
import deep_tensors

REQUIREMENTS = "deep"

NAMES = ["cat", "dog", "owl", "bee"]
NAMED = export.names(NAMES)
VIT = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, initializer_range=0.3,
           image_size=32, patch_size=8)  # fmt: skip
SWIN = dict(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4,
            initializer_range=0.3)  # fmt: skip
SQUARE = {"height": 32, "width": 32}
# Processors whose steps onnxd does not know, so that it serves their networks as tensors.
UNKNOWN = {"PerceiverImageProcessor"}
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
RESNET = dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
REGNET = dict(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], groups_width=8, layer_type="x")
CONVNEXT = dict(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], initializer_range=0.3, layer_scale_init_value=1.0)


def models() -> dict:
    """Name: (start of the class' name, configuration, image processor, its options)."""
    return {
        "vit": ("ViT", VIT, "ViTImageProcessor", dict(size=SQUARE)),
        "vit-fast": ("ViT", VIT, "ViTImageProcessorFast", dict(size=SQUARE)),
        "processor-bicubic-imagenet": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, resample=3, **IMAGENET)),
        "processor-lanczos": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, resample=1)),
        "processor-box": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, resample=4)),
        "processor-hamming": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, resample=5)),
        "processor-nearest": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, resample=0)),
        "processor-not-normalized": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, do_normalize=False)),
        "processor-not-rescaled": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, do_rescale=False, image_mean=[127.5] * 3,
                                                                   image_std=[127.5] * 3)),
        "processor-rescaled-otherwise": ("RegNet", REGNET, "ViTImageProcessor", dict(size=SQUARE, rescale_factor=1 / 127.5)),
        "processor-fast-bicubic": ("RegNet", REGNET, "ViTImageProcessorFast", dict(size=SQUARE, resample=3)),
        "processor-fast-crop": ("RegNet", REGNET, "ViTImageProcessorFast", dict(size={"shortest_edge": 36}, do_center_crop=True,
                                                                    crop_size=SQUARE)),
        "vit-msn": ("ViTMSN", VIT, "ViTImageProcessor", dict(size=SQUARE)),
        "deit": ("DeiT", VIT, "DeiTImageProcessor", dict(size={"height": 37, "width": 37}, crop_size=SQUARE)),
        "deit-fast": ("DeiT", VIT, "DeiTImageProcessorFast", dict(size={"height": 37, "width": 37}, crop_size=SQUARE)),
        "beit": ("Beit", VIT | dict(use_mean_pooling=True), "BeitImageProcessor", dict(size=SQUARE, crop_size=SQUARE)),
        "beit-fast": ("Beit", VIT | dict(use_mean_pooling=True), "BeitImageProcessorFast",
                      dict(size=SQUARE, crop_size=SQUARE)),
        "beit-crop": ("Beit", VIT | dict(use_mean_pooling=True), "BeitImageProcessor",
                      dict(size={"height": 40, "width": 40}, crop_size=SQUARE, do_center_crop=True)),
        "data2vec-vision": ("Data2VecVision", VIT, "BeitImageProcessor", dict(size=SQUARE, crop_size=SQUARE)),
        "dinov2": ("Dinov2", VIT | dict(mlp_ratio=2), "BitImageProcessor", dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "dinov2-fast": ("Dinov2", VIT | dict(mlp_ratio=2), "BitImageProcessorFast",
                        dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "swin": ("Swin", SWIN, "ViTImageProcessor", dict(size=SQUARE, resample=3, **IMAGENET)),
        "swinv2": ("Swinv2", SWIN, "ViTImageProcessor", dict(size=SQUARE, resample=3, **IMAGENET)),
        "hiera": ("Hiera", dict(embed_dim=8, image_size=[32, 32], patch_size=[7, 7], patch_stride=[4, 4],
                                patch_padding=[3, 3], depths=[1, 1], num_heads=[1, 2], query_stride=[2, 2],
                                masked_unit_size=[2, 2], num_query_pool=1, initializer_range=0.3), "BitImageProcessor",
                  dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "pvt": ("Pvt", dict(image_size=32, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
                            mlp_ratios=[2, 2, 2, 2], initializer_range=0.3), "PvtImageProcessor", dict(size=SQUARE)),
        "segformer": ("Segformer", dict(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
                                        mlp_ratios=[2, 2, 2, 2], initializer_range=0.3), "SegformerImageProcessor",
                      dict(size=SQUARE)),
        "segformer-fast": ("Segformer", dict(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], mlp_ratios=[2, 2, 2, 2],
                                             num_attention_heads=[1, 1, 2, 2], initializer_range=0.3),
                           "SegformerImageProcessorFast", dict(size=SQUARE)),
        "levit": ("Levit", dict(image_size=64, hidden_sizes=[16, 16, 16], num_attention_heads=[2, 2, 2], depths=[1, 1, 1],
                                key_dim=[4, 4, 4], drop_path_rate=0), "LevitImageProcessor",
                  dict(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})),
        "levit-fast": ("Levit", dict(image_size=64, hidden_sizes=[16, 16, 16], num_attention_heads=[2, 2, 2],
                                     depths=[1, 1, 1], key_dim=[4, 4, 4], drop_path_rate=0), "LevitImageProcessorFast",
                       dict(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})),
        "convnext": ("ConvNext", CONVNEXT, "ConvNextImageProcessor", dict(size={"shortest_edge": 32})),
        "convnext-fast": ("ConvNext", CONVNEXT, "ConvNextImageProcessorFast", dict(size={"shortest_edge": 32})),
        "convnext-crop-pct": ("ConvNextV2", CONVNEXT, "ConvNextImageProcessor",
                              dict(size={"shortest_edge": 40}, crop_pct=0.8, resample=3)),
        "convnext-384": ("ConvNext", CONVNEXT | dict(patch_size=16), "ConvNextImageProcessor",
                         dict(size={"shortest_edge": 384}, crop_pct=1.0)),
        "resnet": ("ResNet", RESNET, "ConvNextImageProcessor", dict(size={"shortest_edge": 32}, **IMAGENET)),
        "regnet": ("RegNet", REGNET,
                   "ConvNextImageProcessor", dict(size={"shortest_edge": 32}, **IMAGENET)),
        "poolformer": ("PoolFormer", CONVNEXT | dict(mlp_ratio=2.0), "PoolFormerImageProcessor",
                       dict(size={"shortest_edge": 48}, crop_pct=0.9, crop_size={"height": 48, "width": 48})),
        "poolformer-fast": ("PoolFormer", CONVNEXT | dict(mlp_ratio=2.0), "PoolFormerImageProcessorFast",
                            dict(size={"shortest_edge": 48}, crop_pct=0.9, crop_size={"height": 48, "width": 48})),
        "mobilenet-v1": ("MobileNetV1", dict(image_size=32, depth_multiplier=0.1, min_depth=4), "MobileNetV1ImageProcessor",
                         dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "mobilenet-v1-fast": ("MobileNetV1", dict(image_size=32, depth_multiplier=0.1, min_depth=4),
                              "MobileNetV1ImageProcessorFast", dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "mobilenet-v2": ("MobileNetV2", dict(image_size=32, depth_multiplier=0.05, min_depth=8, expand_ratio=2.0,
                                             finegrained_output=False, classifier_dropout_prob=0.0),
                         "MobileNetV2ImageProcessor", dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "mobilevit": ("MobileViT", dict(image_size=32, hidden_sizes=[8, 12, 16], neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
                                        num_attention_heads=2, expand_ratio=1.0, mlp_ratio=1.0, initializer_range=0.3),
                      "MobileViTImageProcessor", dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "mobilevit-no-flip": ("MobileViT", dict(image_size=32, hidden_sizes=[8, 12, 16], num_attention_heads=2,
                                                neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16], expand_ratio=1.0, mlp_ratio=1.0,
                                                initializer_range=0.3),
                              "MobileViTImageProcessor", dict(size={"shortest_edge": 36}, crop_size=SQUARE,
                                                              do_flip_channel_order=False)),
        "mobilevit-fast": ("MobileViT", dict(image_size=32, hidden_sizes=[8, 12, 16], num_attention_heads=2,
                                             neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16], expand_ratio=1.0, mlp_ratio=1.0,
                                             initializer_range=0.3),
                           "MobileViTImageProcessorFast", dict(size={"shortest_edge": 36}, crop_size=SQUARE)),
        "efficientnet": ("EfficientNet", EFFICIENT, "EfficientNetImageProcessor", dict(size=SQUARE, crop_size=SQUARE)),
        "efficientnet-fast": ("EfficientNet", EFFICIENT, "EfficientNetImageProcessorFast",
                              dict(size=SQUARE, crop_size=SQUARE, resample=2)),
        "efficientnet-offset": ("EfficientNet", EFFICIENT, "EfficientNetImageProcessor",
                                dict(size={"height": 40, "width": 40}, do_center_crop=True, crop_size=SQUARE, resample=3,
                                     rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False,
                                     include_top=False)),
        "clip": ("CLIP", dict(vision_config=VIT, text_config=dict(hidden_size=16, num_hidden_layers=1, vocab_size=99,
                                                                  num_attention_heads=2, intermediate_size=16),
                              projection_dim=8), "CLIPImageProcessor", dict(size={"shortest_edge": 32}, crop_size=SQUARE)),
        "clip-fast": ("CLIP", dict(vision_config=VIT, text_config=dict(hidden_size=16, num_hidden_layers=1, vocab_size=99,
                                                                       num_attention_heads=2, intermediate_size=16),
                                   projection_dim=8), "CLIPImageProcessorFast",
                      dict(size={"shortest_edge": 32}, crop_size=SQUARE)),
        "perceiver": ("PerceiverForImageClassificationFourier", dict(num_latents=4, d_latents=16, num_blocks=1,
                                                                     num_self_attends_per_block=1, image_size=224,
                                                                     num_self_attention_heads=2,
                                                                     num_cross_attention_heads=1),
                      "PerceiverImageProcessor", dict()),
        # Kinds of heads and names
        "multi-label": ("RegNet", REGNET | dict(problem_type="multi_label_classification"), "ViTImageProcessor",
                        dict(size=SQUARE)),
        "one-label": ("RegNet", REGNET | dict(num_labels=1), "ViTImageProcessor", dict(size=SQUARE)),
        "without-names": ("RegNet", REGNET | dict(num_labels=2), "ViTImageProcessor", dict(size=SQUARE)),
        "wide": ("RegNet", REGNET, "BitImageProcessor", dict(size={"shortest_edge": 30}, resample=2,
                                                             crop_size={"height": 24, "width": 48})),
        "siglip": ("Siglip", dict(vision_config=VIT, text_config=dict(hidden_size=16, num_hidden_layers=1, vocab_size=99,
                                                                      num_attention_heads=2, intermediate_size=16)),
                   "SiglipImageProcessor", dict(size=SQUARE)),
        "siglip-fast": ("Siglip", dict(vision_config=VIT, text_config=dict(hidden_size=16, num_hidden_layers=1,
                                                                           vocab_size=99, num_attention_heads=2,
                                                                           intermediate_size=16)),
                        "SiglipImageProcessorFast", dict(size=SQUARE)),
    }  # fmt: skip


EFFICIENT = dict(image_size=32, width_coefficient=0.25, depth_coefficient=1.0, in_channels=[32, 32], out_channels=[32, 64],
                 kernel_sizes=[3, 3], strides=[1, 2], num_block_repeats=[1, 1], expand_ratios=[1, 2], hidden_dim=320,
                 dropout_rate=0.0, drop_connect_rate=0.0, initializer_range=0.3)  # fmt: skip


def by_torch(folder, model, processor) -> None:
    """Where optimum has no export for the architecture: torch's, with the same names and files."""
    inputs = processor(pictures.training(2), return_tensors="pt")

    class Logits(export.torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values):
            return self.model(pixel_values=pixel_values).logits

    export.torch.onnx.export(
        Logits().eval(), (inputs["pixel_values"],), str(folder / "model.onnx"), dynamo=False, input_names=["pixel_values"],
        output_names=["logits"], opset_version=17,
        dynamic_axes={"pixel_values": {0: "batch_size"}, "logits": {0: "batch_size"}},
    )  # fmt: skip
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    processor.save_pretrained(folder)


def classifier(folder, start, config, processor_name, options):
    import transformers

    labels = {} if "num_labels" in config else NAMED
    if "vision_config" in config:
        configuration = getattr(transformers, f"{start}Config")(**config, **labels)
    else:
        configuration = getattr(transformers, f"{start.removesuffix('ForImageClassificationFourier')}Config")(**config, **labels)
    name = start if start.endswith("Fourier") else f"{start}ForImageClassification"
    model = getattr(transformers, name)(configuration).eval()
    processor = getattr(transformers, processor_name)(**options)
    rows = [dict(processor(one, return_tensors="pt")) for one in pictures.training()]
    export.settle(model, rows)
    export.spread(model, rows)
    if start in ("Siglip",):
        by_torch(folder, model, processor)
    else:
        export.export(folder, model, processor, "image-classification")
    if processor_name in UNKNOWN:
        return {
            "task": "tensors",
            "says": ["image_processor_type", processor_name.removesuffix("ImageProcessor"), "/v2"],
            "requests": deep_tensors.through(folder, sizes={"=pixel_values": list(rows[0]["pixel_values"].shape)}),
        }
    return asked(folder, model, folder.name == "image-vit")


def asked(folder, model, more: bool = False):
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=None)
    pipe = transformers.pipeline("image-classification", model=model, image_processor=processor, device="cpu")
    files = pictures.files(folder, more)
    return [
        {"file": file, "expected": [export.ranked(pipe(str(folder / file), top_k=model.config.num_labels))]}
        for file in files
    ]


COMMITTED = {"vit", "processor-lanczos", "processor-nearest", "processor-not-normalized", "processor-not-rescaled",
             "processor-rescaled-otherwise", "processor-fast-crop", "convnext-fast", "clip", "resnet",
             "regnet", "multi-label", "one-label", "without-names", "wide"}  # fmt: skip


def tolerance(processor: str) -> float:
    """torchvision rounds every fiftieth pixel of a resized picture otherwise than Pillow."""
    return 2e-2 if processor.endswith("Fast") else 2e-3


def cases():
    for name, (start, config, processor, options) in models().items():
        yield common.case(
            "optimum", f"image-{name}",
            functools.partial(classifier, start=start, config=config, processor_name=processor, options=options),
            family="image classifiers", task="image-classification",
            made_with=("transformers", "optimum-onnx", "torch"), committed=name in COMMITTED, tolerance=tolerance(processor),
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)
