//! ONNX Runtime's refusals of a network, with a plain sentence first where it is known what to do.

use std::path::Path;

use crate::onnx;

/// The number of `TensorProto.DataType`.
const DOUBLE: i32 = 11;

/// What ONNX Runtime says of a network, after what it means.
pub fn refusal(error: &str, network: &Path) -> String {
    match sentence(error, || takes_double(network)) {
        Some(sentence) => {
            let said = failed_check(error).unwrap_or_else(|| without_place(error));
            format!("{sentence} (ONNX Runtime: {said})")
        }
        None => failed_check(error)
            .map_or_else(|| error.to_owned(), |said| format!("ONNX Runtime: {said}")),
    }
}

/// What a check in ONNX Runtime's source says, without the place and the condition that failed.
fn failed_check(error: &str) -> Option<&str> {
    let (_, said) = error.split_once("/onnxruntime_src/")?.1.split_once(" was false. ")?;
    Some(said.trim()).filter(|said| !said.is_empty())
}

/// Without the place in ONNX Runtime's source, which has a signature of many lines.
fn without_place(error: &str) -> &str {
    let error = error.trim();
    let Some((_, place)) = error.split_once("/onnxruntime_src/") else { return error };
    let ends = memchr::memmem::find_iter(place.as_bytes(), b") ").map(|at| &place[at + 2..]);
    let is_said = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_uppercase());
    ends.into_iter().find(is_said).unwrap_or(error)
}

fn sentence(error: &str, takes_double: impl FnOnce() -> bool) -> Option<String> {
    if let Some(operator) = between(error, "Could not find an implementation for ", " node") {
        let operator = operator.split('(').next().unwrap_or(operator);
        return Some(match takes_double() {
            true => format!(
                "no {operator} for DOUBLE: export float32 columns (FloatTensorType of skl2onnx)"
            ),
            false => format!(
                "this ONNX Runtime has no {operator} for the types that the network gives it: export \
                 it with float32 (or int64) in their place"
            ),
        });
    }
    if let Some(operator) = between(error, "Fatal error: ", " is not a registered function/op") {
        let (domain, name) = operator.split_once(':').unwrap_or(("ai.onnx", operator));
        let name = name.split('(').next().unwrap_or(name);
        return Some(if matches!(domain, "" | "ai.onnx" | "ai.onnx.ml" | "com.microsoft") {
            format!(
                "this ONNX Runtime knows no operator {name} of {domain}: export with a lower opset"
            )
        } else {
            format!(
                "operator {name} of {domain} is of a library of custom operators, which onnxd does \
                 not load: export the network without it"
            )
        });
    }
    if let Some(operator) = between(error, "No Op registered for ", " with domain_version of ") {
        let opset = error.rsplit(" with domain_version of ").next().unwrap_or_default().trim();
        return Some(format!(
            "this ONNX Runtime knows no operator {operator} in opset {opset}: it may be of a library \
             of custom operators, or of another opset than the file says"
        ));
    }
    if let Some((known, got)) = opsets(error) {
        return Some(format!(
            "its opset {got} is newer than this ONNX Runtime, which knows opset {known}: export with \
             opset <= {known}"
        ));
    }
    if let Some(got) = between(error, "Unsupported model IR version: ", ",") {
        let known = between(error, "max supported IR version: ", "\n").unwrap_or("an older one");
        return Some(format!(
            "its format, IR version {got}, is newer than this ONNX Runtime, which reads {known}: \
             export with an older release of onnx, or set model.ir_version before saving"
        ));
    }
    if let Some(kind) = between(error, "Type Error: Type 'tensor(", ")' of input parameter") {
        let operator = between(error, "of operator (", ")").unwrap_or("an operator");
        return Some(format!("{operator} takes no {}: export with float32", kind.to_uppercase()));
    }
    // skl2onnx declares float64 where operators of ai.onnx.ml give float32.
    let mixed = ["does not match expected type", "bound to different types"];
    if mixed.iter().any(|words| error.contains(words)) && takes_double() {
        let operator = between(error, " node (", ")").or_else(|| between(error, "Optype (", ")"));
        return Some(format!(
            "{} gives float32 where the file declares DOUBLE: export float32 columns (FloatTensorType \
             of skl2onnx)",
            operator.unwrap_or("an operator")
        ));
    }
    if error.contains("Failed to construct locale") {
        let locale = between(error, "locale with name:", ":").unwrap_or("that it names");
        return Some(format!(
            "it splits text by the locale {locale}, which this machine does not have: export with \
             the locale \"C\" (models/README.md says how)"
        ));
    }
    if error.contains("n_targets_or_classes must be positive") {
        let sentence = "its trees name no targets, as CatBoost writes a regression of several targets: \
                        export a network for each target";
        return Some(sentence.to_owned());
    }
    error.contains("Protobuf parsing failed").then(|| "it is damaged, or no ONNX".to_owned())
}

/// The opset that is known, and the one that is not.
fn opsets(error: &str) -> Option<(u32, u32)> {
    let got = between(error, "Opset ", " is under development")?;
    let known = error.split("is till opset ").nth(1)?;
    let known: String = known.chars().take_while(char::is_ascii_digit).collect();
    Some((known.parse().ok()?, got.trim().parse().ok()?))
}

/// Whether an input is of float64.
fn takes_double(network: &Path) -> bool {
    let graph = onnx::read(network).ok().and_then(|model| model.graph);
    graph.is_some_and(|graph| {
        graph.input.iter().any(|input| {
            let tensor = input.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
            tensor.is_some_and(|tensor| tensor.elem_type == DOUBLE)
        })
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(inside, _)| inside).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_refusal_goes_first() {
        let told = |error: &str, double| sentence(error, || double).unwrap();
        let imputer = "Could not find an implementation for Imputer(1) node with name 'Imputer'";
        assert_eq!(
            told(imputer, true),
            "no Imputer for DOUBLE: export float32 columns (FloatTensorType of skl2onnx)"
        );
        assert!(told(imputer, false).contains("no Imputer for the types"));
        let custom =
            "Fatal error: ai.onnx.contrib:BertTokenizer(-1) is not a registered function/op";
        assert!(told(custom, false).contains("BertTokenizer of ai.onnx.contrib is of a library"));
        let new = "ONNX Runtime only *guarantees* support for models stamped with official released \
                   onnx opset versions. Opset 99 is under development and support for this is \
                   limited. The operator schemas and or other functionality may change before next \
                   ONNX release and in this case ONNX Runtime will not guarantee backward \
                   compatibility. Current official support for domain ai.onnx is till opset 25.";
        assert!(told(new, false).contains("its opset 99 is newer"), "{}", told(new, false));
        assert!(told(new, false).ends_with("export with opset <= 25"));
        let ir = "Unsupported model IR version: 14, max supported IR version: 13";
        assert!(told(ir, false).contains("IR version 14") && told(ir, false).contains("reads 13:"));
        let kind = "Type Error: Type 'tensor(double)' of input parameter (X) of operator (Normalizer) \
                    in node (N) is invalid.";
        assert_eq!(told(kind, false), "Normalizer takes no DOUBLE: export with float32");
        let place = "Load model from model.onnx failed:/onnxruntime_src/core/model.cc:256 \
                     Model::Model(onnx::ModelProto&&, const Options&) Unsupported model IR version: \
                     99, max supported IR version: 13\n";
        assert!(without_place(place).starts_with("Unsupported model IR version: 99"), "{place}");
        let mixed = "Type Error: Type (tensor(double)) of output arg (variable) of node \
                     (TreeEnsembleRegressor) does not match expected type (tensor(float)).";
        assert!(told(mixed, true).starts_with("TreeEnsembleRegressor gives float32 where"));
        let bound = "Type Error: Type parameter (T) of Optype (MatMul) bound to different types \
                     (tensor(float) and tensor(double) in node (MatMul).";
        assert!(told(bound, true).starts_with("MatMul gives float32 where"));
        assert_eq!(sentence(mixed, || false), None);
        let check = "Exception during initialization: /onnxruntime_src/core/tree.h:75 Tree::Tree(bool) \
                     [with T = float] count > 0 was false. count must be positive, got 0\n\n";
        assert_eq!(refusal(check, Path::new("")), "ONNX Runtime: count must be positive, got 0");
        let trees = check.replace("count", "n_targets_or_classes");
        let said = refusal(&trees, Path::new(""));
        assert!(
            said.starts_with("its trees name no targets") && said.ends_with("got 0)"),
            "{said}"
        );
        assert_eq!(sentence("something else", || true), None);
    }
}
