"""Labels of tokens, embeddings of bare encoders, and what has no task in onnxd: served as tensors, with words that say so."""

import functools

import common
import deep_export as export
import deep_tensors
import deep_text as text
import optimum_images as images
import optimum_text as texts

REQUIREMENTS = "deep"

ENTITIES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
PLAIN = ["PER", "LOC", "ORG"]


def tokens_of(folder, model, rows):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu",
                                 aggregation_strategy="simple")  # fmt: skip
    expected = []
    for one in rows:
        found = pipe(one)
        expected.append({"entities": [
            {"entity": each["entity_group"], "score": float(each["score"]), "word": each["word"], "start": each["start"],
             "end": each["end"]} for each in found]})  # fmt: skip
    return [{"json": {"text": rows}, "expected": expected}]


TOKEN_TEXTS = ["Ada Lovelace lived in London", "Ångström café naïve", "the price  was high, 日本 and  more!", "emoji 😀 fox"]


def token_classifier(folder, start, config, make, labels):
    tokenizer = make(folder)
    model = texts.model_of(start, config | export.names(labels), tokenizer, "TokenClassification")
    wanted = [name for name in tokenizer.model_input_names]
    rows = [{key: row[key] for key in wanted} for row in texts.encoded(tokenizer, export.TEXTS)]
    export.spread(model, rows, wide=3)
    export.export(folder, model, make(folder), "token-classification")
    return tokens_of(folder, model, TOKEN_TEXTS)


def embedded(folder, start, config, make, kind="Model"):
    """The mean over the tokens of what the encoder gives, as onnxd says that it assumes."""
    import transformers

    tokenizer = make(folder)
    configuration = getattr(transformers, f"{start}Config")(**(texts.special(tokenizer) | config))
    model = getattr(transformers, f"{start}{kind}")(configuration).eval()
    export.export(folder, model, make(folder), "feature-extraction")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = []
    for one in export.TEXTS:
        row = tokenizer(one, return_tensors="pt", truncation=True)
        with export.torch.no_grad():
            found = model(**{key: row[key] for key in tokenizer.model_input_names}).last_hidden_state[0]
        expected.append({"embedding": found.mean(dim=0).tolist()})
    return [{"json": {"text": export.TEXTS}, "expected": expected}]


# --- tensors ------------------------------------------------------------------------------------

TEXT = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=99,
            max_position_embeddings=32)  # fmt: skip
AUDIO = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
             conv_stride=(5, 4), conv_kernel=(10, 8), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
             num_feat_extract_layers=2)  # fmt: skip


def tensors(folder, name, config, task, processors=(), says=(), sizes=None, file=None, **options):
    import transformers

    configuration_name, model_name = name
    model = getattr(transformers, model_name)(getattr(transformers, configuration_name)(**config)).eval()
    made = []
    for one in processors:
        made.append(one(folder))
    export.export(folder, model, made, task, **options)
    for slow in text.SLOW:
        (folder / slow).unlink(missing_ok=True)
    return {"requests": deep_tensors.through(folder, file or "model.onnx", sizes), "says": list(says)}


def image_processor(name, **options):
    def make(folder):
        import transformers

        return getattr(transformers, name)(**options)

    return make


def words(folder):
    return text.bert(folder)


def tensor_cases() -> dict:
    one = functools.partial
    vit = image_processor("ViTImageProcessor", size={"height": 32, "width": 32})
    wav = image_processor("Wav2Vec2FeatureExtractor")
    bytes_of = one(text.gpt2, pad_token="<|endoftext|>")
    clip_text = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=340,
                     projection_dim=8, max_position_embeddings=32)  # fmt: skip
    clip_image = image_processor("CLIPImageProcessor", size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    gpt2 = dict(n_embd=16, n_layer=1, n_head=2, n_positions=64, vocab_size=330)
    t5 = dict(vocab_size=150, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0)
    audio = {"batch": 1, "sequence_length": 400, "*": 400}
    spectrogram = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=64,
                       num_mel_bins=16, patch_size=8, frequency_stride=8, time_stride=8)  # fmt: skip
    bert = TEXT | dict(vocab_size=190, max_position_embeddings=52)
    lengths = {"+": 6, "batch": 1, "past": 0, "sequence_length": 6, "*": 2}
    clip = dict(vision_config=images.VIT, text_config=clip_text, projection_dim=8)
    text_sizes = {"batch": 2, "sequence": 6}
    return {
        # Says: words of the line at the start.
        "clip-zero-shot": one(tensors, name=("CLIPConfig", "CLIPModel"), config=clip, says=["compares images with texts"],
                              task="zero-shot-image-classification", processors=[clip_image, clip_tokenizer],
                              sizes={"image_batch": 1, "text_batch": 2, "sequence": 6, "num_channels": 3, "height": 32,
                                     "width": 32, "*": 2}),
        "fill-mask-bert": one(tensors, name=("BertConfig", "BertForMaskedLM"), config=bert, task="fill-mask",
                              processors=[words], says=["BertForMaskedLM"], sizes=text_sizes),
        "question-answering-bert": one(tensors, name=("BertConfig", "BertForQuestionAnswering"), config=bert,
                                       task="question-answering", processors=[words], says=["BertForQuestionAnswering"], sizes=text_sizes),
        "multiple-choice-bert": one(tensors, name=("BertConfig", "BertForMultipleChoice"), config=bert,
                                    task="multiple-choice", processors=[words], sizes={"batch": 1, "choices": 3, "sequence": 6}),
        "generation-gpt2": one(tensors, name=("GPT2Config", "GPT2LMHeadModel"), config=gpt2, task="text-generation",
                               processors=[bytes_of], says=["generates text"], sizes=lengths),
        "generation-gpt2-with-past": one(tensors, name=("GPT2Config", "GPT2LMHeadModel"), config=gpt2,
                                         task="text-generation-with-past", processors=[bytes_of], says=["generates text"],
                                         sizes=lengths),
        "generation-qwen3-with-past": one(tensors, name=("Qwen3Config", "Qwen3ForCausalLM"),
                                          config=texts.DECODER | dict(vocab_size=330, pad_token_id=0),
                                          task="text-generation-with-past", processors=[bytes_of], says=["generates text"],
                                          sizes=lengths),
        "wav2vec2-classifier": one(tensors, name=("Wav2Vec2Config", "Wav2Vec2ForSequenceClassification"),
                                   config=AUDIO | export.names(["yes", "no"]), task="audio-classification",
                                   processors=[wav], says=["audio"], sizes=audio),
        "wav2vec2-ctc": one(tensors, name=("Wav2Vec2Config", "Wav2Vec2ForCTC"), config=AUDIO | dict(vocab_size=30),
                            task="automatic-speech-recognition", processors=[wav], says=["audio"], sizes=audio),
        "hubert-classifier": one(tensors, name=("HubertConfig", "HubertForSequenceClassification"),
                                 config=AUDIO | export.names(["yes", "no"]), task="audio-classification",
                                 processors=[wav], says=["audio"], sizes=audio),
        "spectrogram-classifier": one(tensors, name=("ASTConfig", "ASTForAudioClassification"),
                                      config=spectrogram | export.names(["yes", "no"]), task="audio-classification",
                                      processors=[image_processor("ASTFeatureExtractor", num_mel_bins=16, max_length=64)],
                                      says=["audio"], sizes={"batch": 1}),
        "segmenter-segformer": one(tensors, name=("SegformerConfig", "SegformerForSemanticSegmentation"),
                                   config=dict(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], mlp_ratios=[2, 2, 2, 2],
                                               num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=8, **images.NAMED),
                                   task="semantic-segmentation", processors=[image_processor("SegformerImageProcessor")],
                                   says=["segment"], sizes={"batch": 1, "channels": 3, "*": 32}),
        "depth-glpn": one(tensors, name=("GLPNConfig", "GLPNForDepthEstimation"),
                          config=dict(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
                                      mlp_ratios=[2, 2, 2, 2], decoder_hidden_size=8),
                          task="depth-estimation", processors=[image_processor("GLPNImageProcessor")], says=["depth"],
                          sizes={"batch": 1, "channels": 3, "*": 32}),
        "detector-yolos": one(tensors, name=("YolosConfig", "YolosForObjectDetection"),
                              config=images.VIT | dict(image_size=[32, 32], num_detection_tokens=5, **images.NAMED),
                              task="object-detection", processors=[image_processor("YolosImageProcessor")],
                              says=["detects objects"], sizes={"batch": 1, "channels": 3, "*": 32}),
        "features-vit": one(tensors, name=("ViTConfig", "ViTModel"), config=images.VIT, task="feature-extraction",
                            processors=[vit], says=["images into vectors"], sizes={"batch": 1, "channels": 3, "*": 32}),
        "features-dinov2": one(tensors, name=("Dinov2Config", "Dinov2Model"), config=images.VIT | dict(mlp_ratio=2),
                               task="feature-extraction", processors=[image_processor("BitImageProcessor")],
                               says=["images into vectors"], sizes={"batch": 1, "channels": 3, "*": 32}),
        "clip-image-tower": one(tensors, name=("CLIPVisionConfig", "CLIPVisionModelWithProjection"),
                                config=images.VIT | dict(projection_dim=8), task="feature-extraction",
                                processors=[clip_image], sizes={"batch": 1, "channels": 3, "*": 32}),
        "siglip-image-tower": one(tensors, name=("SiglipVisionConfig", "SiglipVisionModel"), config=images.VIT,
                                  task="feature-extraction", processors=[image_processor("SiglipImageProcessor",
                                                                                          size={"height": 32, "width": 32})],
                                  sizes={"batch": 1, "channels": 3, "*": 32}),
        "super-resolution-swin2sr": one(tensors, name=("Swin2SRConfig", "Swin2SRForImageSuperResolution"),
                                        config=dict(image_size=32, patch_size=1, embed_dim=8, depths=[1], num_heads=[2],
                                                    window_size=8, mlp_ratio=2, upscale=2),
                                        task="image-to-image", processors=[image_processor("Swin2SRImageProcessor")],
                                        sizes={"batch": 1, "channels": 3, "*": 16}),
        # Several files; the folder has no model.onnx.
        "seq2seq-t5": one(several, name=("T5Config", "T5ForConditionalGeneration"), config=t5,
                          task="text2text-generation-with-past", words=["encoder_model.onnx"]),
    }  # fmt: skip


def clip_tokenizer(folder):
    import tokenizers_families

    return tokenizers_families.clip(folder)


def several(folder, name, config, task, words):
    """Refused, as long as nothing joins the files; the message names them and what they are for."""
    import transformers

    model = getattr(transformers, name[1])(getattr(transformers, name[0])(**config)).eval()
    export.export(folder, model, None, task)
    return {"requests": [], "refused": words}


def split_text_tower(folder):
    """CLIP's tower of texts alone: text_embeds [N, H] is an embedding."""
    import transformers

    tokenizer = clip_tokenizer(folder)
    config = transformers.CLIPTextConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=len(tokenizer),
        projection_dim=8, max_position_embeddings=48, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    # The default attention cannot be traced.
    config._attn_implementation = "eager"
    model = transformers.CLIPTextModelWithProjection(config).eval()

    class Tower(export.torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).text_embeds

    row = tokenizer(export.TEXTS[:2], padding=True, truncation=True, return_tensors="pt")
    axes = {0: "batch_size", 1: "sequence_length"}
    export.torch.onnx.export(
        Tower(), (row["input_ids"], row["attention_mask"]), str(folder / "model.onnx"), dynamo=False, opset_version=17,
        input_names=["input_ids", "attention_mask"], output_names=["text_embeds"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "text_embeds": {0: "batch_size"}},
    )  # fmt: skip
    config.architectures = ["CLIPTextModelWithProjection"]
    config.save_pretrained(folder)
    text.save(clip_tokenizer(folder), folder)
    expected = []
    for one in export.TEXTS:
        with export.torch.no_grad():
            found = model(**tokenizer(one, return_tensors="pt", truncation=True)).text_embeds[0]
        expected.append({"embedding": found.tolist()})
    return [{"json": {"text": export.TEXTS}, "expected": expected}]


def cases():
    made_with = ("transformers", "optimum-onnx", "torch")
    known = texts.architectures()
    for name in ("bert", "distilbert", "electra", "roberta", "xlm-roberta", "camembert", "deberta-v2", "mpnet", "modernbert",
                 "albert", "gpt2", "bloom", "xlm", "mobilebert", "big-bird", "convbert", "squeezebert"):  # fmt: skip
        start, config, make = known[name]
        if name in ("roberta",):
            make = functools.partial(make, add_prefix_space=True)
        yield common.case(
            "optimum", f"tokens-{name}",
            functools.partial(token_classifier, start=start, config=config, make=make, labels=ENTITIES),
            family="labels of tokens", task="token-classification", made_with=made_with,
            committed=name == "distilbert",
        )  # fmt: skip
    start, config, make = known["bert"]
    yield common.case(
        "optimum", "tokens-plain-names", functools.partial(token_classifier, start=start, config=config, make=make, labels=PLAIN),
        family="labels of tokens", task="token-classification", made_with=made_with, committed=True,
    )  # fmt: skip
    for name in ("bert", "distilbert", "roberta", "xlm-roberta", "mpnet", "electra", "albert", "camembert", "deberta-v2",
                 "modernbert", "xlm", "esm", "mobilebert", "big-bird", "convbert"):  # fmt: skip
        start, config, make = known[name]
        yield common.case(
            "optimum", f"embedding-{name}", functools.partial(embedded, start=start, config=config, make=make),
            family="embeddings of bare encoders", task="feature-extraction", made_with=made_with,
            committed=name == "distilbert",
        )  # fmt: skip
    yield common.case("optimum", "embedding-clip-text-tower", split_text_tower, family="embeddings of bare encoders",
                      task="feature-extraction", made_with=made_with, committed=True)  # fmt: skip
    for name, build in tensor_cases().items():
        yield common.case(
            "optimum", f"other-{name}", build, family="other tasks", task=["tensors", "feature-extraction"]
            if "tower" in name or "features" in name else "tensors", made_with=made_with,
            committed=name in ("generation-gpt2-with-past", "wav2vec2-classifier"),
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)
