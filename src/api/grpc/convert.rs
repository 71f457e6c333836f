//! An inference's outputs as the protocol's messages.

use std::collections::HashMap;

use bytes::Bytes;

use super::proto::model_infer_response::InferOutputTensor;
use super::proto::{InferTensorContents, ModelInferResponse};
use crate::api::oip::binary;
use crate::tensor::Tensor;

/// The answer with these outputs: as bytes if the inputs came so, and where a type has no other form.
pub fn response(
    head: ModelInferResponse,
    outputs: Vec<(String, Tensor)>,
    raw: bool,
) -> ModelInferResponse {
    let has_no_field = |tensor: &Tensor| matches!(tensor, Tensor::F16(_) | Tensor::BF16(_));
    let raw = raw || outputs.iter().any(|(_, tensor)| has_no_field(tensor));
    let mut response = head;
    for (name, tensor) in outputs {
        if raw {
            let mut bytes = Vec::with_capacity(tensor.bytes());
            binary::append(&tensor, &mut bytes);
            response.raw_output_contents.push(bytes.into());
        }
        response.outputs.push(InferOutputTensor {
            name,
            datatype: tensor.data_type().name().to_owned(),
            shape: tensor.shape().iter().map(|axis| *axis as i64).collect(),
            parameters: HashMap::new(),
            contents: (!raw).then(|| contents(&tensor)),
        });
    }
    response
}

/// Elements in the field of their type, if there is one.
fn contents(tensor: &Tensor) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    match tensor {
        Tensor::Bool(array) => contents.bool_contents = array.iter().copied().collect(),
        Tensor::I8(array) => contents.int_contents = array.iter().map(|v| (*v).into()).collect(),
        Tensor::I16(array) => contents.int_contents = array.iter().map(|v| (*v).into()).collect(),
        Tensor::I32(array) => contents.int_contents = array.iter().copied().collect(),
        Tensor::I64(array) => contents.int64_contents = array.iter().copied().collect(),
        Tensor::U8(array) => contents.uint_contents = array.iter().map(|v| (*v).into()).collect(),
        Tensor::U16(array) => contents.uint_contents = array.iter().map(|v| (*v).into()).collect(),
        Tensor::U32(array) => contents.uint_contents = array.iter().copied().collect(),
        Tensor::U64(array) => contents.uint64_contents = array.iter().copied().collect(),
        Tensor::F32(array) => contents.fp32_contents = array.iter().copied().collect(),
        Tensor::F64(array) => contents.fp64_contents = array.iter().copied().collect(),
        Tensor::String(array) => {
            let text = |text: &String| Bytes::copy_from_slice(text.as_bytes());
            contents.bytes_contents = array.iter().map(text).collect();
        }
        Tensor::F16(_) | Tensor::BF16(_) => {}
    }
    contents
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use ndarray::ArrayD;
    use prost::Message;

    use super::super::proto::ModelInferRequest;
    use super::super::proto::model_infer_request::InferInputTensor;
    use super::super::question::{self, Outline};
    use super::*;
    use crate::api::oip::infer::{InputTensor, InputValue};
    use crate::error::Error;
    use crate::meter::Meter;

    fn read(question: &ModelInferRequest) -> Result<Vec<InputTensor>, Error> {
        let bytes = Bytes::from(question.encode_to_vec());
        let meter = Meter::new(bytes.len(), &|| true);
        let outline = Outline::read(&bytes, &meter)?;
        question::read(&bytes, &outline, [1, 1], &meter).map(|(_, inputs)| inputs)
    }

    /// An answer's only output as a question's only input.
    fn turned(answer: ModelInferResponse) -> ModelInferRequest {
        let output = answer.outputs.into_iter().next().unwrap();
        let InferOutputTensor { name, datatype, shape, parameters, contents } = output;
        let input = InferInputTensor { name, datatype, shape, parameters, contents };
        let raw_input_contents = answer.raw_output_contents;
        ModelInferRequest { inputs: vec![input], raw_input_contents, ..Default::default() }
    }

    fn back(tensor: &Tensor, raw: bool) -> Tensor {
        let outputs = vec![("x".to_owned(), tensor.clone())];
        let question = turned(response(ModelInferResponse::default(), outputs, raw));
        match read(&question).unwrap().remove(0).value {
            InputValue::Numbers(tensor) => tensor,
            InputValue::Bytes { shape, elements } => {
                let texts = elements.into_texts("x", &Meter::unbounded()).unwrap();
                ArrayD::from_shape_vec(shape, texts).unwrap().into()
            }
        }
    }

    #[test]
    fn tensors_of_every_type_come_back_from_both_forms() {
        fn pair<T>(least: T, most: T) -> Tensor
        where
            Tensor: From<ArrayD<T>>,
        {
            ArrayD::from_shape_vec(vec![1, 2], vec![least, most]).unwrap().into()
        }
        let tensors = [
            pair(true, false),
            pair(i8::MIN, i8::MAX),
            pair(i16::MIN, i16::MAX),
            pair(i32::MIN, i32::MAX),
            pair(i64::MIN, i64::MAX),
            pair(u8::MIN, u8::MAX),
            pair(u16::MIN, u16::MAX),
            pair(u32::MIN, u32::MAX),
            pair(u64::MIN, u64::MAX),
            pair(f16::MIN, f16::INFINITY),
            pair(bf16::MIN, bf16::INFINITY),
            pair(f32::MIN, f32::INFINITY),
            pair(f64::MIN, f64::NEG_INFINITY),
            pair(String::new(), "naïve".to_owned()),
            Tensor::F32(ArrayD::zeros(vec![0, 3])),
            Tensor::I64(ArrayD::zeros(vec![])),
        ];
        for tensor in tensors {
            for raw in [true, false] {
                assert_eq!(back(&tensor, raw), tensor, "raw: {raw}");
            }
        }
    }

    #[test]
    fn elements_that_do_not_fit_their_type_are_refused() {
        let refused = |datatype: &str, contents| {
            let input = InferInputTensor {
                name: "x".to_owned(),
                datatype: datatype.to_owned(),
                shape: vec![1],
                contents: Some(contents),
                ..Default::default()
            };
            let question = ModelInferRequest { inputs: vec![input], ..Default::default() };
            read(&question).unwrap_err().detail
        };
        let ints = InferTensorContents { int_contents: vec![300], ..Default::default() };
        let said = refused("INT8", ints.clone());
        assert_eq!(said, "`inputs[0]`: expected elements that fit INT8 (`x`), got 300");
        assert!(refused("FP16", ints.clone()).contains("`raw_input_contents`"));
        assert!(refused("UINT8", ints).contains("1 elements in `uint_contents`"));
    }
}
