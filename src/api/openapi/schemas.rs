//! Schemas of what is read by hand: inputs that come in several forms, and single fields.

use serde_json::json;
use utoipa::PartialSchema;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, Ref, Schema,
    SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};

use super::operation::Schemas;
use super::parameters::{flag, text, top_k};
use crate::api::error::{Problem, type_of};
use crate::error::ErrorKind;
use crate::tensor::DataType;

pub fn by_hand() -> Schemas {
    vec![
        ("PredictRequest".to_owned(), predict_request().into()),
        ("PredictLine".to_owned(), predict_line().into()),
        ("PredictLineResponse".to_owned(), predict_line_response().into()),
        ("PredictParameters".to_owned(), predict_parameters().into()),
        ("PredictForm".to_owned(), predict_form().into()),
        ("ImageInput".to_owned(), image_input().into()),
        ("TextInput".to_owned(), text_input().into()),
        ("TextItem".to_owned(), text_item().into()),
        ("TextPair".to_owned(), text_pair().into()),
        ("FeaturesInput".to_owned(), features_input().into()),
        ("FeatureRecord".to_owned(), feature_record().into()),
        ("FeatureColumns".to_owned(), feature_columns().into()),
        ("HuggingFaceResponse".to_owned(), hugging_face_response().into()),
        ("Problem".to_owned(), Problem::schema()),
    ]
}

fn reference(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

/// Every `type` of a problem.
pub fn problem_types() -> Object {
    let types = ErrorKind::ALL.into_iter().map(type_of);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)).build()
}

/// Every datatype of a tensor.
pub fn datatypes() -> Object {
    let names = DataType::NAMES.iter().copied();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// A file's bytes.
pub fn file() -> Object {
    let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).build()
}

fn closed(object: ObjectBuilder) -> Object {
    object.additional_properties(Some(AdditionalProperties::FreeForm(false))).build()
}

fn predict_request() -> Object {
    closed(predict_fields())
}

/// A line of NDJSON.
fn predict_line() -> Object {
    let id = any("The client's own name for the line, which comes back");
    closed(predict_fields().property("id", id))
}

fn predict_line_response() -> Object {
    let line = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .description(Some("Beside an error: the number of the line"));
    let stopped = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).description(
        Some("In the last line alone, of a stream that ends early: the last line that was read"),
    );
    ObjectBuilder::new()
        .description(Some("Either `result`, as in a `PredictResponse`, or `error`."))
        .property("id", any("As in the line that is answered"))
        .property("line", line)
        .property("result", ArrayBuilder::new().items(reference("Prediction")))
        .property("error", reference("Problem"))
        .property("stopped_after", stopped)
        .build()
}

fn predict_fields() -> ObjectBuilder {
    let described = "Exactly one of `image`, `text`, `features` and `inputs`, which may hold one item \
                     or a list of them.";
    let model = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The model's name, where the path does not name it"));
    ObjectBuilder::new()
        .description(Some(described))
        .property("model", model)
        .property("image", reference("ImageInput"))
        .property("text", reference("TextInput"))
        .property("features", reference("FeaturesInput"))
        .property("inputs", any("Any of the three, as the named model takes it"))
        .property("parameters", reference("PredictParameters"))
}

fn any(description: &str) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(description)).build()
}

fn predict_parameters() -> Object {
    let object = ObjectBuilder::new()
        .description(Some("How to answer"))
        .property("top_k", top_k())
        .property("raw_scores", flag(false))
        .property("truncate", flag(true));
    closed(object)
}

/// The parts of `multipart/form-data`.
fn predict_form() -> Object {
    let files = ArrayBuilder::new()
        .items(file())
        .description(Some("Files of images; `images`, `file` and `files` are the same"));
    let texts = ArrayBuilder::new().items(text()).description(Some("Texts, a part each"));
    let features = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("Rows of numbers, records, or columns by name, as JSON"));
    let object = ObjectBuilder::new()
        .description(Some("Parts of one kind: files, `text` or `features`."))
        .property("image", files)
        .property("text", texts)
        .property("features", features)
        .property("model", text())
        .property("top_k", top_k())
        .property("raw_scores", flag(false))
        .property("truncate", flag(true));
    closed(object)
}

/// For one input or for several: classes or values, a vector, or parts of a text.
fn hugging_face_response() -> Schema {
    let list = |item: RefOr<Schema>| RefOr::from(ArrayBuilder::new().items(item));
    let each: [RefOr<Schema>; 3] = [
        reference("ClassScore").into(),
        Object::with_type(Type::Number).into(),
        reference("EntityGroup").into(),
    ];
    let described = "A list for each input of several; for one input its classes as one such list, its \
                     vector or its parts";
    let any = AnyOfBuilder::new().description(Some(described));
    let any = each.iter().fold(any, |any, item| any.item(list(item.clone())));
    each.iter().fold(any, |any, item| any.item(list(list(item.clone())))).into()
}

fn one_or_many(description: &str) -> AnyOfBuilder {
    AnyOfBuilder::new().description(Some(description))
}

fn image_input() -> Schema {
    let image = || {
        let described = "A file's bytes in base64, bare or as a data URI";
        ObjectBuilder::new().schema_type(Type::String).description(Some(described)).build()
    };
    let many = ArrayBuilder::new().items(image());
    one_or_many("An image in base64, or a list of them").item(image()).item(many).into()
}

fn text_input() -> Schema {
    one_or_many("A text, a pair of texts, or a list of them")
        .item(text())
        .item(reference("TextPair"))
        .item(ArrayBuilder::new().items(reference("TextItem")))
        .into()
}

fn text_item() -> Schema {
    let pair = ArrayBuilder::new().items(text()).min_items(Some(2)).max_items(Some(2));
    one_or_many("A text, or a pair of texts for models that compare two")
        .item(text())
        .item(reference("TextPair"))
        .item(pair)
        .into()
}

fn text_pair() -> Object {
    let pair = ObjectBuilder::new()
        .description(Some("A text, and another one for models that compare two"))
        .property("text", text())
        .required("text")
        .property(
            "text_pair",
            ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::String, Type::Null])),
        );
    closed(pair)
}

/// A number, a truth value (1 or 0), or null for a missing value.
fn number_cell() -> Object {
    let types = [Type::Number, Type::Boolean, Type::Null].to_vec();
    ObjectBuilder::new().schema_type(SchemaType::Array(types)).build()
}

/// The same, or a text.
fn named_cell() -> Object {
    let types = [Type::Number, Type::Boolean, Type::String, Type::Null].to_vec();
    ObjectBuilder::new().schema_type(SchemaType::Array(types)).build()
}

fn features_input() -> Schema {
    let row = || ArrayBuilder::new().items(number_cell());
    one_or_many(
        "Rows of numbers, one row, records, or columns by name; null is a missing value, true is 1",
    )
    .item(ArrayBuilder::new().items(row()).examples([json!([[5.1, 3.5, 1.4, 0.2]])]))
    .item(row())
    .item(ArrayBuilder::new().items(reference("FeatureRecord")))
    .item(reference("FeatureColumns"))
    .into()
}

fn feature_record() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("A row: a value for each feature by its name, in any order"))
        .additional_properties(Some(AdditionalProperties::RefOr(named_cell().into())))
        .build()
}

fn feature_columns() -> Object {
    let column =
        AnyOfBuilder::new().item(named_cell()).item(ArrayBuilder::new().items(named_cell()));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("A column for each feature: numbers or texts, all of one length"))
        .additional_properties(Some(AdditionalProperties::RefOr(column.into())))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::envelope;

    fn names(object: Object) -> Vec<String> {
        object.properties.keys().cloned().collect()
    }

    #[test]
    fn the_body_of_predict_has_the_fields_that_are_read() {
        assert_eq!(names(predict_request()), envelope::FIELDS);
        assert_eq!(names(predict_parameters()), envelope::PARAMETERS);
    }
}
