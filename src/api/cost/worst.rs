//! The worst inputs that are known for each entry of the list, and how each is read.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{BufMut, Bytes};

use crate::api::body::Form;
use crate::api::bulk::line;
use crate::api::grpc::{self, call};
use crate::api::oip::request;
use crate::api::predict::{self, Target};
use crate::api::{envelope, finish, hugging_face, multipart, repository, v1};
use crate::config::{Flags, Limits, ServerConfig};
use crate::error::Error;
use crate::meter::{BASE as FREE, Meter};
use crate::model::Model;
use crate::model::repository::{Lookup, ModelRepository};
use crate::model::stub::{model, spec};
use crate::tasks::{InputKind, Parameters};
use crate::tensor::DataType;

/// Reads an input; the steps that were counted, and why it was refused.
type Read = Box<dyn Fn(&Harness, &Bytes) -> (u64, Option<Error>)>;

/// An input of any size.
pub struct Shape {
    pub name: String,
    pub make: Box<dyn Fn(usize) -> Vec<u8>>,
    pub read: Read,
    /// It is an honest input, which must not be refused.
    pub served: bool,
    /// It is one of those that cost most, and walked at every size.
    pub large: bool,
}

/// Those that cost most, by entry and name.
const LARGE: &[(&str, &[&str])] = &[
    (
        "predict-json",
        &[
            "rows.features: digits",
            "rows.features: empty rows",
            "rows.features: whole numbers",
            "named.features: records",
            "named.features: records without a name",
            "named.features: names in a record",
            "named.features: a name a record",
            "named.features: a column of texts",
            "text.text: empty texts",
            "text.parameters: names",
            "text.parameters: empty rows",
            "honest rows",
            "honest digits",
            "honest records",
        ],
    ),
    ("predict-form", &["texts", "nearly boundaries", "features: records without a name"]),
    ("predict-text", &["a text"]),
    ("predict-lines", &["empty objects", "no JSON", "one line: names in a record"]),
    (
        "v2-json",
        &[
            "honest FP64 1",
            "honest BYTES \"abcdefg\"",
            "FP64 of tensors: nulls",
            "axes",
            "the same input",
            "outputs",
            "tensors.parameters: names",
        ],
    ),
    ("v2-binary", &["numbers", "strings", "empty strings"]),
    ("v2-raw", &["bytes"]),
    (
        "v1",
        &[
            "rows.instances: digits",
            "rows.inputs: empty rows",
            "tensors.instances: records without a name",
            "tensors.inputs: names",
            "named.instances: records",
            "image.instances: files of lists",
            "honest instances",
        ],
    ),
    ("hugging-face", &["text.inputs: empty texts", "text.parameters: names"]),
    (
        "grpc-infer",
        &[
            "empty inputs",
            "empty outputs",
            "empty tensors as bytes",
            "parameters",
            "packed axes",
            "packed bytes",
            "packed numbers of eight bytes",
            "packed doubles",
            "numbers one by one",
            "empty strings",
            "strings",
        ],
    ),
];

/// Models to read for.
pub struct Harness {
    models: Arc<ModelRepository>,
    limits: Limits,
    waits: bool,
    /// Bytes that are spent before anything is read.
    spent: usize,
}

impl Harness {
    /// With limits on items that no input reaches: what memory costs must hold by itself.
    pub fn new() -> Self {
        let mut limits = ServerConfig::load(None, &Flags::default()).unwrap().limits;
        for limit in [&mut limits.max_rows, &mut limits.max_texts, &mut limits.max_images] {
            *limit = 1 << 40;
        }
        let regression = |extra: &str| format!("task = \"tabular-regression\"\n{extra}");
        let column = |name: &str, data_type| spec(name, data_type, Some(1));
        let columns = || vec![column("a", DataType::F32), column("t", DataType::String)];
        let models = [
            model("rows", vec![spec("x", DataType::F64, None)], Err(&regression("")), limits),
            model("named", columns(), Err(&regression("")), limits),
            model("ignoring", columns(), Err(&regression("extra_columns = \"ignore\"")), limits),
            model("text", vec![spec("ids", DataType::I64, None)], Ok(InputKind::Text), limits),
            model("image", vec![spec("pixels", DataType::F32, None)], Ok(InputKind::Image), limits),
            model("of-x", vec![spec("x", DataType::F64, None)], Err("task = \"tensors\""), limits),
            model(
                "of-s",
                vec![spec("s", DataType::String, None)],
                Err("task = \"tensors\""),
                limits,
            ),
            model("of-u", vec![spec("u", DataType::U8, None)], Err("task = \"tensors\""), limits),
            model(
                "tensors",
                vec![
                    spec("x", DataType::F64, None),
                    spec("s", DataType::String, None),
                    spec("u", DataType::U8, None),
                    spec("i", DataType::I64, None),
                ],
                Err("task = \"tensors\""),
                limits,
            ),
        ];
        Self { models: Arc::new(ModelRepository::of(models)), limits, waits: true, spent: 0 }
    }

    /// Whose callers have left.
    pub fn gone() -> Self {
        Self { waits: false, ..Self::new() }
    }

    /// Nearly without what is free for any request, so that small inputs show what large ones would.
    pub fn strict(self) -> Self {
        Self { spent: FREE - (16 << 10), ..self }
    }

    fn lookup(&self) -> Lookup {
        Lookup::new(self.models.clone())
    }

    fn model(&self, name: &str) -> Arc<Model> {
        self.models.find(name, None).unwrap()
    }

    /// What reading took, whatever came of it. What is read is dropped within.
    fn metered<T>(
        &self,
        bytes: usize,
        read: impl FnOnce(&Meter<'_>) -> Result<T, Error>,
    ) -> (u64, Option<Error>) {
        let waits = || self.waits;
        let meter = Meter::new(bytes, &waits);
        meter.take(self.spent).unwrap();
        let error = read(&meter).err();
        (meter.counted(), error)
    }
}

/// `before`, then `piece` as often as there is room, with commas between, then `after`.
fn list(before: &str, piece: &str, after: &str, size: usize) -> Vec<u8> {
    let count = size.saturating_sub(before.len() + after.len()) / (piece.len() + 1);
    let pieces = format!("{piece},").repeat(count);
    format!("{before}{}{after}", pieces.trim_end_matches(',')).into_bytes()
}

/// The same of pieces that differ by a number.
fn numbered(before: &str, piece: &str, after: &str, size: usize) -> Vec<u8> {
    let mut text = before.to_owned();
    for number in 0.. {
        if text.len() + after.len() > size {
            break;
        }
        let between = if number == 0 { "" } else { "," };
        text += &format!("{between}{}", piece.replace('#', &format!("{number:x}")));
    }
    (text + after).into_bytes()
}

/// `before`, `run` as often as there is room, `after`.
fn filled(before: &str, run: &str, after: &str, size: usize) -> Vec<u8> {
    let count = size.saturating_sub(before.len() + after.len()) / run.len();
    format!("{before}{}{after}", run.repeat(count)).into_bytes()
}

type Make = Box<dyn Fn(usize) -> Vec<u8>>;

/// Values that may stand anywhere, most of them refused.
fn values() -> Vec<(&'static str, Make)> {
    fn of(make: impl Fn(usize) -> Vec<u8> + 'static) -> Make {
        Box::new(make)
    }
    vec![
        ("digits", of(|size| list("[", "1", "]", size))),
        ("rows of one", of(|size| list("[", "[1]", "]", size))),
        ("one row", of(|size| list("[[", "1", "]]", size))),
        ("empty rows", of(|size| list("[", "[]", "]", size))),
        ("nulls", of(|size| list("[", "null", "]", size))),
        ("rows of null", of(|size| list("[", "[null]", "]", size))),
        ("whole numbers", of(|size| list("[", "9007199254740993", "]", size))),
        ("one number", of(|size| filled("[", "1", "]", size))),
        ("fractions", of(|size| filled("[0.", "1", "]", size))),
        ("empty texts", of(|size| list("[", "\"\"", "]", size))),
        ("pairs", of(|size| list("[", "[\"\",\"\"]", "]", size))),
        ("objects of text", of(|size| list("[", "{\"text\":\"\"}", "]", size))),
        ("empty records", of(|size| list("[", "{}", "]", size))),
        ("records without a name", of(|size| list("[", "{\"\":0}", "]", size))),
        ("records", of(|size| list("[", "{\"a\":1,\"t\":\"\"}", "]", size))),
        ("records of another name", of(|size| list("[", "{\"a\":1,\"u\":1}", "]", size))),
        ("records in turns", of(|size| list("[", "{\"a\":1},{\"t\":\"x\"}", "]", size))),
        ("names in a record", of(|size| numbered("[{", "\"#\":1", "}]", size))),
        ("a name a record", of(|size| numbered("[", "{\"#\":1}", "]", size))),
        ("names", of(|size| numbered("{", "\"#\":1", "}", size))),
        ("names of lists", of(|size| numbered("{", "\"#\":[]", "}", size))),
        ("one name again", of(|size| list("{", "\"a\":1", "}", size))),
        ("a column", of(|size| list("{\"a\":[", "1", "]}", size))),
        ("a column of texts", of(|size| list("{\"t\":[", "\"\"", "]}", size))),
        ("a column late text", of(|size| list("{\"t\":[", "null", ",\"x\"]}", size))),
        (
            "a column and others",
            of(|size| {
                let rest = numbered("", "\"#\":[1]", "}", size / 2);
                let mut all = list("{\"a\":[", "1", "],", size / 2);
                all.extend(rest);
                all
            }),
        ),
        ("commas in a text", of(|size| filled("{\"t\":[\"", ",", "\"]}", size))),
        ("braces in a text", of(|size| filled("[{\"t\":\"", "{", "\"}]", size))),
        ("a long name", of(|size| filled("{\"", "a", "\":1}", size))),
        ("a long name of a record", of(|size| filled("[{\"", "a", "\":1}]", size))),
        ("escapes in a name", of(|size| filled("{\"", "\\n", "\":1}", size))),
        ("a text", of(|size| filled("\"", "a", "\"", size))),
        ("a text of escapes", of(|size| filled("\"", "\\u0001", "\"", size))),
        ("a text among numbers", of(|size| filled("[[1,\"", "\u{7f}", "\"]]", size))),
        (
            "deep lists",
            of(|size| {
                let half = size / 2;
                format!("{}{}", "[".repeat(half), "]".repeat(half)).into_bytes()
            }),
        ),
        (
            "deep objects",
            of(|size| {
                let depth = size / 7;
                format!("{}1{}", "{\"b64\":".repeat(depth), "}".repeat(depth)).into_bytes()
            }),
        ),
        ("files", of(|size| list("[", "{\"b64\":\"\"}", "]", size))),
        ("files of lists", of(|size| list("[{\"b64\":[", "[]", "]}]", size))),
        ("space", of(|size| filled("[", " ", "1]", size))),
        ("lines", of(|size| filled("[", "\n", "NaN]", size))),
    ]
}

/// Bodies that are an object with some value in it, and those whose fields are too many.
fn bodies(
    model: &str,
    fields: &[&'static str],
    read: impl Fn(&Harness, &Bytes) -> (u64, Option<Error>) + Clone + 'static,
) -> Vec<Shape> {
    let mut all = Vec::new();
    for &field in fields {
        for (name, value) in values() {
            let make = move |size: usize| {
                let mut body = format!("{{\"{field}\":").into_bytes();
                body.extend(value(size.saturating_sub(body.len() + 1)));
                body.push(b'}');
                body
            };
            let name = format!("{model}.{field}: {name}");
            let (make, read) = (Box::new(make), Box::new(read.clone()));
            all.push(Shape { name, make, read, served: false, large: false });
        }
    }
    for (name, value) in values() {
        let name = format!("{model}, body: {name}");
        all.push(Shape {
            name,
            make: value,
            read: Box::new(read.clone()),
            served: false,
            large: false,
        });
    }
    for &field in fields {
        let name = format!("{model}.{field} again and again");
        let make = move |size| list("{", &format!("\"{field}\":1"), "}", size);
        let (make, read) = (Box::new(make), Box::new(read.clone()));
        all.push(Shape { name, make, read, served: false, large: false });
    }
    all
}

fn shape(
    name: &str,
    make: impl Fn(usize) -> Vec<u8> + 'static,
    read: impl Fn(&Harness, &Bytes) -> (u64, Option<Error>) + 'static,
) -> Shape {
    Shape {
        name: name.to_owned(),
        make: Box::new(make),
        read: Box::new(read),
        served: false,
        large: false,
    }
}

fn served(shape: Shape) -> Shape {
    Shape { served: true, ..shape }
}

fn target(model: &str) -> Target {
    Target { model: Some(model.to_owned()), ..Target::default() }
}

/// `/predict` with JSON to a model.
fn to(model: &'static str) -> impl Fn(&Harness, &Bytes) -> (u64, Option<Error>) + Clone + 'static {
    move |harness, body| {
        harness.metered(body.len(), |meter| {
            let (target, with) = (target(model), Parameters::default());
            envelope::parse(body, target, with, &harness.lookup(), meter)
        })
    }
}

pub fn worst(entry: &str) -> Vec<Shape> {
    let mut all = shapes(entry);
    for name in LARGE.iter().filter(|(of, _)| *of == entry).flat_map(|(_, names)| *names) {
        let found = all.iter_mut().find(|shape| shape.name == *name);
        found.unwrap_or_else(|| panic!("{entry} has no {name}")).large = true;
    }
    all
}

fn shapes(entry: &str) -> Vec<Shape> {
    match entry {
        "head" => head(),
        "predict-json" => {
            let mut all = Vec::new();
            for model in ["rows", "named", "ignoring"] {
                all.extend(bodies(model, &["features"], to(model)));
            }
            all.extend(bodies("text", &["text", "parameters", "model", "other"], to("text")));
            all.extend(bodies("image", &["image"], to("image")));
            let rows = |size| list("{\"features\":[", "[5.1,3.5,1.4,0.2]", "]}", size);
            all.push(served(shape("honest rows", rows, to("rows"))));
            let digits = |size| list("{\"features\":[", "[1,2,3,4]", "]}", size);
            all.push(served(shape("honest digits", digits, to("rows"))));
            let record = "{\"a\":0.25,\"t\":\"male\",\"other\":\"something\"}";
            let records = |size| list("{\"features\":[", record, "]}", size);
            all.push(served(shape("honest records", records, to("ignoring"))));
            all
        }
        "predict-form" => forms(),
        "predict-text" => vec![shape(
            "a text",
            |size| filled("", "é", "", size),
            |harness, body| harness.metered(body.len(), |_| predict::plain(body)),
        )],
        // The file itself is the input.
        "predict-image" => vec![shape("a file", |size| vec![0; size], |_, _| (0, None))],
        "predict-lines" => lines(),
        "v2-json" => v2_json(),
        "v2-binary" => v2_binary(),
        "v2-raw" => vec![
            shape("bytes", |size| vec![1; size & !7], raw("rows")),
            shape("a text", |size| vec![b'a'; size], raw("named")),
        ],
        "v1" => {
            let read = |model: &'static str| {
                move |harness: &Harness, body: &Bytes| {
                    harness.metered(body.len(), |meter| {
                        v1::parse(body, &harness.model(model), &harness.models, meter)
                    })
                }
            };
            let mut all = Vec::new();
            for model in ["rows", "named", "tensors"] {
                all.extend(bodies(model, &["instances", "inputs"], read(model)));
            }
            for model in ["text", "image"] {
                all.extend(bodies(model, &["instances"], read(model)));
            }
            let rows = |size| {
                list(
                    "{\"instances\":[",
                    "{\"x\":[1,2],\"s\":[\"ab\"],\"u\":[1],\"i\":[1]}",
                    "]}",
                    size,
                )
            };
            all.push(served(shape("honest instances", rows, read("tensors"))));
            let lacking = |size| list("{\"instances\":[{\"x\":[1]},", "{}", "]}", size);
            all.push(shape("instances that lack a name", lacking, read("tensors")));
            all
        }
        "hugging-face" => {
            let read = |model: &'static str| {
                move |harness: &Harness, body: &Bytes| {
                    harness.metered(body.len(), |meter| {
                        let (model, models) = (harness.model(model), &harness.models);
                        hugging_face::parse(Form::Json, body.clone(), &model, models, meter)
                    })
                }
            };
            let mut all = bodies("text", &["inputs", "parameters"], read("text"));
            all.extend(bodies("image", &["inputs"], read("image")));
            all
        }
        "grpc-infer" => questions(),
        "grpc-plain" => {
            let decode = |_: &Harness, body: &Bytes| {
                let message = body.slice(..body.len().min(call::MAX_PLAIN));
                let read = call::decode::<grpc::proto::RepositoryModelLoadRequest>(message);
                (0, read.err())
            };
            vec![
                shape("parameters", |size| b"\x1a\x00".repeat(size / 2), decode),
                shape("a name", |size| message(2, &vec![b'a'; size.min(16_000)]), decode),
            ]
        }
        // They are read by tonic, which is told their size.
        "grpc-reflection" => vec![shape("a name", |size| vec![b'a'; size], |_, _| (0, None))],
        "repository" => bodies("admin", &["ready", "parameters"], |harness, body| {
            harness.metered(body.len(), |meter| repository::parse(body, meter))
        }),
        other => panic!("{other} has no worst inputs"),
    }
}

fn head() -> Vec<Shape> {
    let query = |_: &Harness, body: &Bytes| {
        let query = String::from_utf8_lossy(body).into_owned();
        (0, predict::query(&query).err())
    };
    let header = |name: &'static str| {
        move |_: &Harness, body: &Bytes| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(body).unwrap();
            headers.insert(HeaderName::from_static(name), value);
            let read = finish::client_timeout(&headers).map(|_| ());
            let read = read.and_then(|()| finish::priority(&headers).map(|_| ()));
            (0, read.err())
        }
    };
    vec![
        shape("names of a query", |size| filled("", "top_k=1&", "", size), query),
        shape("a long name of a query", |size| filled("", "a", "=1", size.min(16_000)), query),
        shape("a long value of a query", |size| filled("top_k=", "a", "", size.min(16_000)), query),
        shape("a timeout", |size| vec![b'1'; size], header("x-request-timeout-ms")),
        shape("a priority", |size| vec![b'a'; size], header("x-priority")),
    ]
}

fn forms() -> Vec<Shape> {
    let read = |model: &'static str| {
        move |harness: &Harness, body: &Bytes| {
            harness.metered(body.len(), |meter| {
                let (target, with) = (target(model), Parameters::default());
                let form = (body, "b");
                multipart::parse(form, target, with, &harness.limits, &harness.lookup(), meter)
            })
        }
    };
    let part = |headers: &str| {
        let headers = headers.to_owned();
        move |size| filled("", &format!("--b\r\n{headers}\r\n\r\n\r\n"), "--b--\r\n", size)
    };
    let named = "content-disposition: form-data; name=";
    let mut all = vec![
        shape("texts", part(&format!("{named}text")), read("text")),
        shape("files", part(&format!("{named}file")), read("image")),
        shape("models", part(&format!("{named}model")), read("text")),
        shape("features", part(&format!("{named}features")), read("rows")),
        shape("parts without a name", part("x: y"), read("text")),
        shape(
            "a long header",
            |size| filled("--b\r\nx: ", "a", "\r\n\r\n\r\n--b--", size),
            read("text"),
        ),
        shape(
            "many headers",
            |size| filled("--b\r\n", "x: y\r\n", "\r\n\r\n--b--", size),
            read("text"),
        ),
        shape("no end", |size| filled("--b\r\n\r\n", "\r\n--", "", size), read("text")),
        shape("nearly boundaries", |size| filled("--b\r\n\r\n", "\r\n--c", "", size), read("text")),
        shape("no beginning", |size| filled("", "\r\n--", "", size), read("text")),
    ];
    for (name, value) in values() {
        let make = move |size: usize| {
            let before = format!("--b\r\n{named}features\r\n\r\n");
            let mut body = before.into_bytes();
            body.extend(value(size.saturating_sub(body.len() + 7)));
            body.extend(b"\r\n--b--");
            body
        };
        all.push(shape(&format!("features: {name}"), make, read("named")));
    }
    all
}

fn lines() -> Vec<Shape> {
    // As they come: 256 lines of 64 KiB together, or one that is longer.
    let read = |model: &'static str| {
        move |harness: &Harness, body: &Bytes| {
            let (target, waits) = (target(model), || harness.waits);
            let lookup = harness.lookup();
            let with = (&lookup, &target, Parameters::default());
            let mut rest = &body[..];
            while !rest.is_empty() {
                let ends = memchr::memchr_iter(b'\n', rest).take(256).map(|end| end + 1);
                let end = ends.take_while(|end| *end <= 64 << 10).last();
                let end = end.or_else(|| memchr::memchr(b'\n', rest).map(|end| end + 1));
                let (block, after) = rest.split_at(end.unwrap_or(rest.len()));
                drop(line::read(block, 1, with, &waits));
                rest = after;
            }
            (0, None)
        }
    };
    let mut all = vec![
        shape("empty objects", |size| b"{}\n".repeat(size / 3), read("text")),
        shape("no JSON", |size| b"a\n".repeat(size / 2), read("text")),
        shape(
            "texts",
            |size| b"{\"text\":[\"\",\"\",\"\",\"\"]}\n".repeat(size / 25),
            read("text"),
        ),
        shape(
            "long ids",
            |size| filled("{\"id\":\"", "a", "\",\"text\":\"a\"}", size),
            read("text"),
        ),
    ];
    for (name, value) in values() {
        let make = move |size: usize| {
            let mut line = b"{\"features\":".to_vec();
            line.extend(value(size.saturating_sub(line.len() + 1)));
            line.push(b'}');
            line
        };
        all.push(shape(&format!("one line: {name}"), make, read("named")));
    }
    all
}

/// `/v2` with JSON alone.
fn v2(model: &'static str) -> impl Fn(&Harness, &Bytes) -> (u64, Option<Error>) + Clone + 'static {
    move |harness, body| {
        harness.metered(body.len(), |meter| {
            request::parse(body, body.len(), &harness.model(model), meter)
        })
    }
}

fn v2_json() -> Vec<Shape> {
    let mut all = bodies("tensors", &["inputs", "outputs", "parameters", "id"], v2("tensors"));
    let input = |name: &str, data_type: &str, rest: &str| {
        format!("{{\"inputs\":[{{\"name\":\"{name}\",\"datatype\":\"{data_type}\",{rest}")
    };
    for (model, name, data_type) in [
        ("tensors", "x", "FP64"),
        ("tensors", "s", "BYTES"),
        ("tensors", "u", "UINT8"),
        ("text", "text", "BYTES"),
        ("image", "image", "BYTES"),
    ] {
        for (value_name, value) in values() {
            let before = input(name, data_type, "\"shape\":[1000000,1],\"data\":");
            let make = move |size: usize| {
                let mut body = before.clone().into_bytes();
                body.extend(value(size.saturating_sub(body.len() + 3)));
                body.extend(b"}]}");
                body
            };
            all.push(shape(&format!("{data_type} of {model}: {value_name}"), make, v2(model)));
        }
    }
    // As many as there are.
    for (name, data_type, element) in [
        ("x", "FP64", "1"),
        ("s", "BYTES", "\"abcdefg\""),
        ("u", "UINT8", "1"),
        ("x", "FP64", "0.25"),
    ] {
        let make = move |size: usize| {
            let count = size / (element.len() + 1);
            let before = input(name, data_type, &format!("\"shape\":[{count},1],\"data\":["));
            let elements = vec![element; count].join(",");
            format!("{before}{elements}]}}]}}").into_bytes()
        };
        let model = match name {
            "x" => "of-x",
            "s" => "of-s",
            _ => "of-u",
        };
        all.push(served(shape(&format!("honest {data_type} {element}"), make, v2(model))));
    }
    let axes = input("x", "FP64", "\"data\":[],\"shape\":[");
    all.push(shape("axes", move |size| list(&axes, "1", "]}]}", size), v2("tensors")));
    let named = "{\"name\":\"x\",\"shape\":[],\"datatype\":\"FP64\",\"data\":0}";
    let inputs = move |size| list("{\"inputs\":[", named, "]}", size);
    all.push(shape("the same input", inputs, v2("tensors")));
    let outputs = |size| numbered("{\"inputs\":[],\"outputs\":[", "{\"name\":\"#\"}", "]}", size);
    all.push(shape("outputs", outputs, v2("tensors")));
    for (place, after) in [("name", "\"}]}"), ("datatype", "\",\"name\":\"x\",\"shape\":[]}]}")] {
        let before = format!("{{\"inputs\":[{{\"{place}\":\"");
        let make = move |size| filled(&before, "a", after, size);
        all.push(shape(&format!("a long {place}"), make, v2("tensors")));
    }
    all
}

/// A body of JSON with one input, and its bytes.
fn with_bytes(name: &str, data_type: &str, shape: &str, bytes: &[u8]) -> (Vec<u8>, usize) {
    let size = bytes.len();
    let mut body = format!(
        "{{\"inputs\":[{{\"name\":\"{name}\",\"datatype\":\"{data_type}\",\"shape\":{shape},\
         \"parameters\":{{\"binary_data_size\":{size}}}}}]}}"
    )
    .into_bytes();
    let json = body.len();
    body.extend(bytes);
    (body, json)
}

fn v2_binary() -> Vec<Shape> {
    let read = |model: &'static str| {
        move |harness: &Harness, body: &Bytes| {
            let json = body.windows(4).position(|end| end == b"}}]}").map_or(0, |at| at + 4);
            harness.metered(body.len(), |meter| {
                request::parse(body, json, &harness.model(model), meter)
            })
        }
    };
    let framed = |element: &'static [u8], size: usize| {
        let mut bytes = Vec::new();
        let count = size / (element.len() + 4);
        for _ in 0..count {
            bytes.put_u32_le(element.len() as u32);
            bytes.put_slice(element);
        }
        (bytes, count)
    };
    let strings = move |name: &'static str, element: &'static [u8]| {
        move |size| {
            let (bytes, count) = framed(element, size);
            with_bytes(name, "BYTES", &format!("[{count},1]"), &bytes).0
        }
    };
    let numbers =
        |size: usize| with_bytes("x", "FP64", &format!("[{},1]", size / 8), &vec![0; size & !7]).0;
    let flags = |size: usize| with_bytes("u", "UINT8", &format!("[{size},1]"), &vec![1; size]).0;
    vec![
        served(shape("numbers", numbers, read("of-x"))),
        served(shape("bytes", flags, read("of-u"))),
        shape("empty strings", strings("s", b""), read("tensors")),
        served(shape("strings", strings("s", b"abcdefg"), read("of-s"))),
        shape("texts", strings("text", b""), read("text")),
        shape("images", strings("image", b"a"), read("image")),
        shape("no text", strings("s", b"\xff"), read("tensors")),
        shape(
            "another shape",
            |size| with_bytes("s", "BYTES", "[9]", &vec![0; size]).0,
            read("tensors"),
        ),
    ]
}

fn raw(model: &'static str) -> impl Fn(&Harness, &Bytes) -> (u64, Option<Error>) + Clone + 'static {
    move |harness, body| {
        harness
            .metered(body.len(), |meter| request::raw(body.clone(), &harness.model(model), meter))
    }
}

/// A field of a message that is bytes.
fn message(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(content);
    field
}

fn questions() -> Vec<Shape> {
    let read = |harness: &Harness, body: &Bytes| {
        let waits = || harness.waits;
        let meter = grpc::meter(body.len(), &waits);
        meter.take(harness.spent).unwrap();
        let error = grpc::parse(&harness.lookup(), body, &meter).err();
        (meter.counted(), error)
    };
    let model = || message(1, b"tensors");
    // Fields of a question, after the model's name.
    let of_question = move |piece: &'static [u8]| {
        move |size: usize| [model(), piece.repeat(size / piece.len())].concat()
    };
    // Fields of an input.
    let of_input = move |piece: &'static [u8]| {
        move |size: usize| [model(), message(5, &piece.repeat(size / piece.len()))].concat()
    };
    let contents =
        move |name: &'static [u8], data_type: &'static [u8], count: usize, bytes: &[u8]| {
            let mut shape = Vec::new();
            prost::encoding::encode_varint(count as u64, &mut shape);
            prost::encoding::encode_varint(1, &mut shape);
            let input =
                [message(1, name), message(2, data_type), message(3, &shape), message(5, bytes)];
            let model: &[u8] = match name {
                b"x" => b"of-x",
                b"s" => b"of-s",
                b"u" => b"of-u",
                _ => b"tensors",
            };
            [message(1, model), message(5, &input.concat())].concat()
        };
    let packed = move |name: &'static [u8], data_type: &'static [u8], number, width: usize| {
        move |size: usize| {
            contents(
                name,
                data_type,
                size / width,
                &message(number, &vec![1; size / width * width]),
            )
        }
    };
    let single = move |piece: &'static [u8], name: &'static [u8], data_type: &'static [u8]| {
        move |size: usize| {
            let count = size / piece.len();
            contents(name, data_type, count, &piece.repeat(count))
        }
    };
    vec![
        shape("empty inputs", of_question(b"\x2a\x00"), read),
        shape("empty outputs", of_question(b"\x32\x00"), read),
        shape("empty tensors as bytes", of_question(b"\x3a\x00"), read),
        shape("empty parameters", of_question(b"\x22\x00"), read),
        shape("parameters", of_question(b"\x22\x07\x0a\x01a\x12\x02\x08\x01"), read),
        shape("unknown fields", of_question(b"\x78\x01"), read),
        shape("groups", of_question(b"\x7b\x7c"), read),
        shape("deep groups", of_question(b"\x7b"), read),
        shape("names", of_question(b"\x0a\x00"), read),
        shape("a long name", |size| message(1, &vec![b'a'; size]), read),
        shape("a long id", |size| message(3, &vec![b'a'; size]), read),
        shape("axes", of_input(b"\x18\x01"), read),
        shape(
            "packed axes",
            move |size| [model(), message(5, &message(3, &vec![1; size]))].concat(),
            read,
        ),
        shape("parameters of an input", of_input(b"\x22\x00"), read),
        shape("contents", of_input(b"\x2a\x00"), read),
        shape(
            "a long datatype",
            move |size| [model(), message(5, &message(2, &vec![b'a'; size]))].concat(),
            read,
        ),
        shape(
            "a parameter again",
            move |size| [model(), message(4, &b"\x12\x00".repeat(size / 2))].concat(),
            read,
        ),
        shape("packed numbers of eight bytes", packed(b"i", b"INT64", 3, 1), read),
        served(shape("packed bytes", packed(b"u", b"UINT8", 4, 1), read)),
        served(shape("packed doubles", packed(b"x", b"FP64", 7, 8), read)),
        shape("doubles one by one", single(b"\x39\0\0\0\0\0\0\0\0", b"x", b"FP64"), read),
        shape("numbers one by one", single(b"\x20\x01", b"u", b"UINT8"), read),
        shape("empty strings", single(b"\x42\x00", b"s", b"BYTES"), read),
        served(shape("strings", single(b"\x42\x08abcdefgh", b"s", b"BYTES"), read)),
        shape("numbers that are no bytes", single(b"\x20\xff\x7f", b"u", b"UINT8"), read),
    ]
}
