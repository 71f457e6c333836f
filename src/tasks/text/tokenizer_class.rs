//! What a class of transformers does besides what `tokenizer.json` says: its arguments' defaults, which go
//! before the file.

/// What of `tokenizer.json` the class's arguments replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`.
    Bert,
    /// `add_prefix_space` before bytes.
    Bytes,
    /// The same, and `trim_offsets`.
    Roberta,
    /// `add_prefix_space` as sentencepiece has it.
    Pieces,
    None,
}

/// The tokens before and after a text, where the class makes them anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub add_bos: bool,
    pub bos: &'static str,
    pub eos: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenizerClass {
    pub arguments: Arguments,
    pub pad_token: Option<&'static str>,
    pub pad_type_id: u32,
    pub pads_left: bool,
    pub ends: Option<Ends>,
    /// Where `add_prefix_space` is not said.
    pub add_prefix_space: bool,
}

const PLAIN: TokenizerClass = TokenizerClass {
    arguments: Arguments::None,
    pad_token: None,
    pad_type_id: 0,
    pads_left: false,
    ends: None,
    add_prefix_space: false,
};

impl TokenizerClass {
    /// Of a class's name, `BertTokenizerFast` for example.
    pub fn named(name: &str) -> Self {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        let name = name.strip_suffix("Tokenizer").unwrap_or(name);
        let bert = TokenizerClass { arguments: Arguments::Bert, pad_token: Some("[PAD]"), ..PLAIN };
        let roberta =
            TokenizerClass { arguments: Arguments::Roberta, pad_token: Some("<pad>"), ..PLAIN };
        let bytes = TokenizerClass { arguments: Arguments::Bytes, ..PLAIN };
        let pieces = TokenizerClass { pad_token: Some("<pad>"), ..PLAIN };
        let with_bos = |bos, eos| TokenizerClass {
            pads_left: true,
            ends: Some(Ends { add_bos: true, bos, eos }),
            ..PLAIN
        };
        let llama = with_bos("<s>", "</s>");
        match name {
            "Bert" | "ConvBert" | "DPRContextEncoder" | "DPRQuestionEncoder" | "DPRReader"
            | "DistilBert" | "Electra" | "LayoutLM" | "LayoutLMv2" | "Lxmert" | "MobileBert"
            | "Realm" | "RetriBert" | "Splinter" | "SqueezeBert" => bert,
            "Funnel" | "MPNet" => TokenizerClass { pad_token: Some("<pad>"), ..bert },
            "Bart" | "Blenderbot" | "LED" | "Longformer" | "Mvp" | "Roberta" => roberta,
            "LayoutLMv3" => TokenizerClass { add_prefix_space: true, ..roberta },
            "CodeGen" | "GPT2" => bytes,
            "Deberta" => TokenizerClass { pad_token: Some("[PAD]"), ..bytes },
            "GPTNeoX" => {
                let end = "<|endoftext|>";
                TokenizerClass { ends: Some(Ends { add_bos: false, bos: end, eos: end }), ..bytes }
            }
            "Llama" => TokenizerClass { arguments: Arguments::Pieces, ..llama },
            "CodeLlama" => llama,
            "Gemma" => TokenizerClass { pad_token: Some("<pad>"), ..with_bos("<bos>", "<eos>") },
            "Cohere" => with_bos("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
            "MT5" | "T5" => TokenizerClass { arguments: Arguments::Pieces, ..pieces },
            "Qwen2" => TokenizerClass { pad_token: Some("<|endoftext|>"), ..bytes },
            "XLNet" => TokenizerClass { pads_left: true, pad_type_id: 3, ..pieces },
            "DebertaV2" => TokenizerClass { pad_token: Some("[PAD]"), ..PLAIN },
            "Albert" | "Barthez" | "BigBird" | "Bloom" | "Camembert" | "FNet" | "Herbert"
            | "MBart" | "MBart50" | "Nllb" | "Pegasus" | "RemBert" | "XGLM" | "XLMRoberta" => {
                pieces
            }
            _ => PLAIN,
        }
    }

    /// Of a model's `model_type`, where no file names the class.
    pub fn of_model(model_type: &str) -> Self {
        Self::named(match model_type {
            "bert" | "ernie" | "megatron-bert" | "nezha" | "qdqbert" => "Bert",
            "convbert" => "ConvBert",
            "distilbert" => "DistilBert",
            "electra" => "Electra",
            "layoutlm" => "LayoutLM",
            "lxmert" => "Lxmert",
            "mobilebert" => "MobileBert",
            "splinter" => "Splinter",
            "squeezebert" => "SqueezeBert",
            "funnel" => "Funnel",
            "mpnet" => "MPNet",
            "data2vec-text" | "ibert" | "mega" | "mra" | "roberta" | "roberta-prelayernorm" => {
                "Roberta"
            }
            "bart" => "Bart",
            "led" => "LED",
            "longformer" => "Longformer",
            "mvp" => "Mvp",
            "lilt" => "LayoutLMv3",
            "codegen" | "phi" => "CodeGen",
            "gpt2" | "gpt_bigcode" | "gpt_neo" | "gptj" | "opt" | "starcoder2" => "GPT2",
            "gpt_neox" | "mpt" | "olmo" | "olmo2" | "olmoe" | "stablelm" => "GPTNeoX",
            "deberta" => "Deberta",
            "llama" | "ministral" | "mistral" | "mixtral" | "persimmon" | "phi3" => "Llama",
            "code_llama" => "CodeLlama",
            "gemma" | "gemma2" | "gemma3" | "gemma3_text" => "Gemma",
            "cohere" | "cohere2" => "Cohere",
            "longt5" | "switch_transformers" | "t5" | "umt5" => "T5",
            "mt5" => "MT5",
            "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" => "Qwen2",
            "xlnet" => "XLNet",
            "deberta-v2" => "DebertaV2",
            "albert" | "nystromformer" | "yoso" => "Albert",
            "big_bird" => "BigBird",
            "bloom" => "Bloom",
            "camembert" => "Camembert",
            "rembert" => "RemBert",
            "xlm-roberta" | "xlm-roberta-xl" | "xmod" => "XLMRoberta",
            _ => "",
        })
    }
}
