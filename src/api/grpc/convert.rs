//! Between the protocol's messages and an inference that no protocol knows of.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use ndarray::ArrayD;

use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::proto::model_infer_response::InferOutputTensor;
use super::proto::{InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::api::oip::binary;
use crate::api::oip::infer::{
    InferRequest, InputTensor, InputValue, RequestedOutput, data_type, priority,
};
use crate::error::{Error, excerpt};
use crate::tensor::{DataType, Tensor};

type Parameters = HashMap<String, InferParameter>;

/// # Errors
/// Tensors that are not as they are described, parameters of another type, shared memory, sequences.
pub fn request(question: ModelInferRequest) -> Result<InferRequest, Error> {
    let ModelInferRequest { model_version, id, parameters, inputs, outputs, .. } = question;
    let raw = question.raw_input_contents;
    if !raw.is_empty() && raw.len() != inputs.len() {
        let expected = format!("one entry for each of the {} inputs, or none", inputs.len());
        return Err(Error::invalid("raw_input_contents", expected, raw.len().to_string()));
    }
    let mut raw = raw.into_iter();
    let mut tensors = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.into_iter().enumerate() {
        tensors.push(tensor(&format!("inputs[{index}]"), input, raw.next())?);
    }
    let read = |name| number(&parameters, "parameters", name);
    if read("sequence_id")?.is_some_and(|id| id > 0) {
        let expected = "no sequence, since models here keep no state between requests";
        return Err(Error::invalid("parameters.sequence_id", expected, "one"));
    }
    let outputs = outputs.into_iter().enumerate().map(|(index, output)| {
        let InferRequestedOutputTensor { name, parameters } = output;
        let field = format!("outputs[{index}].parameters");
        no_shared_memory(&parameters, &field)?;
        let classes = number(&parameters, &field, "classification")?.filter(|count| *count > 0);
        let classification = classes.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(RequestedOutput { name, classification })
    });
    Ok(InferRequest {
        pinned: !model_version.is_empty(),
        as_json: false,
        id: Some(id).filter(|id| !id.is_empty()),
        priority: priority(read("priority")?.unwrap_or(0)),
        timeout: read("timeout")?.filter(|timeout| *timeout > 0).map(Duration::from_micros),
        outputs: outputs.collect::<Result<_, Error>>()?,
        inputs: tensors,
    })
}

fn tensor(field: &str, input: InferInputTensor, raw: Option<Bytes>) -> Result<InputTensor, Error> {
    let InferInputTensor { name, datatype, shape, parameters, contents } = input;
    let data_type = data_type(field, &name, &datatype)?;
    no_shared_memory(&parameters, &format!("{field}.parameters"))?;
    let axis = |axis: &i64| {
        usize::try_from(*axis).map_err(|_| {
            let expected = format!("axes from 0 on (`{}`)", excerpt(&name));
            Error::invalid(format!("{field}.shape"), expected, axis.to_string())
        })
    };
    let shape: Vec<usize> = shape.iter().map(axis).collect::<Result<_, Error>>()?;
    let value = match (raw, contents) {
        (Some(_), Some(_)) => {
            let expected = "no contents beside `raw_input_contents`";
            return Err(Error::invalid(format!("{field}.contents"), expected, "some"));
        }
        (Some(bytes), None) => binary::read(data_type, &shape, bytes),
        (None, contents) => typed(data_type, &shape, contents.unwrap_or_default()),
    };
    let value = value.map_err(|wrong| {
        let (expected, got) = wrong.split_once(", got ").unwrap_or((&wrong, "others"));
        Error::invalid(field, format!("{expected} (`{}`)", excerpt(&name)), got)
    })?;
    Ok(InputTensor { name, value })
}

/// Elements from the field of their type.
fn typed(
    data_type: DataType,
    shape: &[usize],
    contents: InferTensorContents,
) -> Result<InputValue, String> {
    let expected = binary::count(shape)?;
    let counted = |field: &str, got: usize| match got == expected {
        true => Ok(()),
        false => Err(format!("{expected} elements in `{field}` for {shape:?}, got {got}")),
    };
    macro_rules! narrow {
        ($field:ident, $element:ty) => {{
            counted(stringify!($field), contents.$field.len())?;
            let element = |value| {
                <$element>::try_from(value)
                    .map_err(|_| format!("elements that fit {}, got {value}", data_type.name()))
            };
            array(shape, contents.$field.into_iter().map(element).collect::<Result<Vec<_>, _>>()?)
        }};
    }
    macro_rules! whole {
        ($field:ident) => {{
            counted(stringify!($field), contents.$field.len())?;
            array(shape, contents.$field)
        }};
    }
    let tensor = match data_type {
        DataType::Bool => whole!(bool_contents),
        DataType::I8 => narrow!(int_contents, i8),
        DataType::I16 => narrow!(int_contents, i16),
        DataType::I32 => whole!(int_contents),
        DataType::I64 => whole!(int64_contents),
        DataType::U8 => narrow!(uint_contents, u8),
        DataType::U16 => narrow!(uint_contents, u16),
        DataType::U32 => whole!(uint_contents),
        DataType::U64 => whole!(uint64_contents),
        DataType::F32 => whole!(fp32_contents),
        DataType::F64 => whole!(fp64_contents),
        DataType::F16 | DataType::BF16 => {
            let name = data_type.name();
            return Err(format!("{name} in `raw_input_contents`, got `contents`"));
        }
        DataType::String => {
            let elements = contents.bytes_contents;
            counted("bytes_contents", elements.len())?;
            return Ok(InputValue::Bytes { shape: shape.to_vec(), elements });
        }
    };
    tensor.map(InputValue::Numbers)
}

fn array<T>(shape: &[usize], values: Vec<T>) -> Result<Tensor, String>
where
    Tensor: From<ArrayD<T>>,
{
    ArrayD::from_shape_vec(shape, values).map(Into::into).map_err(|error| error.to_string())
}

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

fn no_shared_memory(parameters: &Parameters, field: &str) -> Result<(), Error> {
    match parameters.contains_key("shared_memory_region") {
        true => {
            let field = format!("{field}.shared_memory_region");
            Err(Error::invalid(field, "tensors in the request, not in shared memory", "a region"))
        }
        false => Ok(()),
    }
}

fn number(parameters: &Parameters, at: &str, name: &str) -> Result<Option<u64>, Error> {
    let Some(parameter) = parameters.get(name) else { return Ok(None) };
    let number = match &parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(number)) => u64::try_from(*number).ok(),
        Some(ParameterChoice::Uint64Param(number)) => Some(*number),
        _ => None,
    };
    number.map(Some).ok_or_else(|| {
        let got = match &parameter.parameter_choice {
            Some(ParameterChoice::Int64Param(number)) => number.to_string(),
            Some(ParameterChoice::BoolParam(_)) => "a truth value".to_owned(),
            Some(ParameterChoice::DoubleParam(_)) => "a number with a fraction".to_owned(),
            Some(ParameterChoice::StringParam(_)) => "text".to_owned(),
            Some(ParameterChoice::Uint64Param(_)) | None => "nothing".to_owned(),
        };
        Error::invalid(format!("{at}.{name}"), "a whole number from 0 on", got)
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

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
        match request(question).unwrap().inputs.remove(0).value {
            InputValue::Numbers(tensor) => tensor,
            InputValue::Bytes { shape, elements } => {
                let text = |element: &Bytes| String::from_utf8(element.to_vec()).unwrap();
                let texts = elements.iter().map(text).collect();
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
            request(question).unwrap_err().detail
        };
        let ints = InferTensorContents { int_contents: vec![300], ..Default::default() };
        let said = refused("INT8", ints.clone());
        assert_eq!(said, "`inputs[0]`: expected elements that fit INT8 (`x`), got 300");
        assert!(refused("FP16", ints.clone()).contains("`raw_input_contents`"));
        assert!(refused("UINT8", ints).contains("1 elements in `uint_contents`"));
    }
}
