//! gRPC by a real client: one question and one answer. Streams are in `grpc_streams.rs`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use onnxd::api::App;
use onnxd::api::grpc::proto::infer_parameter::ParameterChoice;
use onnxd::api::grpc::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use onnxd::api::grpc::proto::{
    InferParameter, InferTensorContents, ModelConfigRequest, ModelConfigResponse,
    ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use prost::Message;
use serde_json::Value;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::support::{
    BUNDLED, Edge, Folder, app, app_with, default_config, in_time, root, with_slow,
};

/// A client on a connection of its own.
pub struct Client(pub Grpc<Channel>);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self(Grpc::new(endpoint.connect().await.unwrap()))
    }

    pub async fn call<Q, A>(
        &mut self,
        path: &str,
        question: Request<Q>,
    ) -> Result<Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.0.ready().await.unwrap();
        self.0.unary(question, path.parse().unwrap(), ProstCodec::<Q, A>::default()).await
    }

    /// Asks the inference service.
    pub async fn ask<Q, A>(&mut self, method: &str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = format!("/inference.GRPCInferenceService/{method}");
        self.call(&path, Request::new(question)).await.map(Response::into_inner)
    }

    pub async fn infer(
        &mut self,
        question: ModelInferRequest,
    ) -> Result<ModelInferResponse, Status> {
        self.ask("ModelInfer", question).await
    }
}

const FLOWER: [f32; 4] = [5.1, 3.5, 1.4, 0.2];

/// Iris for one flower, as bytes.
pub fn iris() -> ModelInferRequest {
    ModelInferRequest {
        model_name: "iris".to_owned(),
        inputs: vec![InferInputTensor {
            name: "features".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 4],
            ..Default::default()
        }],
        raw_input_contents: vec![FLOWER.iter().flat_map(|value| value.to_le_bytes()).collect()],
        ..Default::default()
    }
}

/// The same in the field of its type.
fn typed() -> ModelInferRequest {
    let mut question = ModelInferRequest { raw_input_contents: Vec::new(), ..iris() };
    let contents = InferTensorContents { fp32_contents: FLOWER.to_vec(), ..Default::default() };
    question.inputs[0].contents = Some(contents);
    question
}

fn named(name: &str, choice: ParameterChoice) -> [(String, InferParameter); 1] {
    [(name.to_owned(), InferParameter { parameter_choice: Some(choice) })]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_and_its_models_say_what_they_are() {
    let iris = app(&default_config(), &root().join("models"), Some("iris")).unwrap();
    let edge = Edge::counting(iris).await;
    let mut client = Client::connect(edge.data).await;
    let live: ServerLiveResponse = client.ask("ServerLive", ServerLiveRequest {}).await.unwrap();
    let ready: ServerReadyResponse =
        client.ask("ServerReady", ServerReadyRequest {}).await.unwrap();
    assert!(live.live && ready.ready);
    let server: ServerMetadataResponse =
        client.ask("ServerMetadata", ServerMetadataRequest {}).await.unwrap();
    assert_eq!(server.name, "onnxd");
    assert!(server.extensions.contains(&"binary_tensor_data".to_owned()));

    let named = || ("iris".to_owned(), "1".to_owned());
    let (name, version) = named();
    let question = ModelReadyRequest { name, version };
    let ready: ModelReadyResponse = client.ask("ModelReady", question).await.unwrap();
    assert!(ready.ready);
    let (name, version) = named();
    let question = ModelMetadataRequest { name, version };
    let metadata: ModelMetadataResponse = client.ask("ModelMetadata", question).await.unwrap();
    assert_eq!((metadata.name.as_str(), metadata.versions), ("iris", vec!["1".to_owned()]));
    let input = &metadata.inputs[0];
    assert_eq!((input.name.as_str(), input.datatype.as_str()), ("features", "FP32"));
    assert_eq!((&input.shape, metadata.outputs.len()), (&vec![-1, 4], 2));
    let (name, version) = named();
    let question = ModelConfigRequest { name, version };
    let config: ModelConfigResponse = client.ask("ModelConfig", question).await.unwrap();
    let config = config.config.unwrap();
    assert!(config.max_batch_size > 0 && config.input[0].dims == [4]);
    assert_eq!(config.input[0].data_type().as_str_name(), "TYPE_FP32");

    for _ in 0..3 {
        client.infer(self::iris()).await.unwrap();
    }
    let all = ModelStatisticsRequest::default();
    let all: ModelStatisticsResponse = client.ask("ModelStatistics", all).await.unwrap();
    let [statistics] = all.model_stats.as_slice() else { panic!("one model") };
    assert_eq!((statistics.name.as_str(), statistics.inference_count), ("iris", 3));
    let success = statistics.inference_stats.as_ref().unwrap().success.unwrap();
    assert!(success.count == 3 && success.ns > 0);
    let question = RepositoryIndexRequest { ready: true, ..Default::default() };
    let index: RepositoryIndexResponse = client.ask("RepositoryIndex", question).await.unwrap();
    assert_eq!((index.models[0].name.as_str(), index.models[0].state.as_str()), ("iris", "READY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_are_answered_in_the_form_that_they_come_in() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.data).await;
    let raw = ModelInferRequest { id: "seven".to_owned(), ..iris() };
    let raw = client.infer(raw).await.unwrap();
    let named = (raw.model_name.as_str(), raw.model_version.as_str(), raw.id.as_str());
    assert_eq!(named, ("iris", "1", "seven"));
    let names: Vec<_> = raw.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["label", "probabilities"]);
    assert_eq!(raw.raw_output_contents[0], 0_i64.to_le_bytes().as_slice());
    assert_eq!((raw.outputs[1].datatype.as_str(), &raw.outputs[1].shape), ("FP32", &vec![1, 3]));

    let typed = client.infer(typed()).await.unwrap();
    assert!(typed.raw_output_contents.is_empty());
    assert_eq!(typed.outputs[0].contents.as_ref().unwrap().int64_contents, [0]);
    let scores = &typed.outputs[1].contents.as_ref().unwrap().fp32_contents;
    let bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    assert_eq!(raw.raw_output_contents[1], bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_can_be_chosen_and_classified() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.data).await;
    let mut question = typed();
    question.outputs = vec![InferRequestedOutputTensor {
        name: "probabilities".to_owned(),
        parameters: named("classification", ParameterChoice::Int64Param(2)).into(),
    }];
    let answer = client.infer(question).await.unwrap();
    let [output] = answer.outputs.as_slice() else { panic!("one output") };
    assert_eq!((output.datatype.as_str(), &output.shape), ("BYTES", &vec![1, 2]));
    let best = &output.contents.as_ref().unwrap().bytes_contents[0];
    assert!(best.ends_with(b":0:setosa"), "{best:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_and_a_text_go_as_bytes() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.data).await;
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let image = Bytes::from(crate::support::image("jpeg-1280x720.jpg"));
    let asked = [
        ("efficientnet-lite0", "image", vec![image]),
        ("sentiment-minilm", "text", vec![text("I love this"), text("I hate this")]),
    ];
    for (model, input, elements) in asked {
        let count = elements.len() as i64;
        let contents = InferTensorContents { bytes_contents: elements, ..Default::default() };
        let question = ModelInferRequest {
            model_name: model.to_owned(),
            inputs: vec![InferInputTensor {
                name: input.to_owned(),
                datatype: "BYTES".to_owned(),
                shape: vec![count],
                contents: Some(contents),
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = client.infer(question).await.unwrap();
        assert_eq!(
            (answer.outputs[0].name.as_str(), &answer.outputs[0].shape),
            ("label", &vec![count])
        );
        assert_eq!(
            answer.outputs[1].contents.as_ref().unwrap().fp32_contents.len(),
            count as usize
        );
    }
}

/// A question, the code of its status, and a part of the sentence.
type Refused = (fn(&mut ModelInferRequest), Code, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_cannot_be_answered_says_why() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.data).await;
    let refused: &[Refused] = &[
        (|q| q.model_name = "irsi".into(), Code::NotFound, "did you mean `iris`"),
        (|q| q.model_version = "9".into(), Code::NotFound, "`version`"),
        (|q| q.inputs[0].name = "feature".into(), Code::InvalidArgument, "`inputs[0].name`"),
        (|q| q.inputs.clear(), Code::InvalidArgument, "one entry for each of the 0 inputs"),
        (|q| q.inputs[0].datatype = "FP33".into(), Code::InvalidArgument, "did you mean `FP32`"),
        (|q| q.inputs[0].datatype = "FP64".into(), Code::InvalidArgument, "32 bytes for FP64"),
        (|q| q.inputs[0].shape = vec![4, 1], Code::InvalidArgument, "`features`: expected"),
        (|q| q.inputs[0].shape = vec![-1, 4], Code::InvalidArgument, "axes from 0 on"),
        (|q| q.inputs[0].shape = vec![i64::MAX; 3], Code::InvalidArgument, "fewer elements"),
        (|q| q.raw_input_contents[0] = vec![0; 15].into(), Code::InvalidArgument, "got 15"),
        (|q| q.raw_input_contents.push(Bytes::new()), Code::InvalidArgument, "got 2"),
        (|q| q.raw_input_contents.clear(), Code::InvalidArgument, "4 elements in `fp32_contents`"),
        (
            |q| q.inputs[0].contents = Some(InferTensorContents::default()),
            Code::InvalidArgument,
            "beside",
        ),
        (
            |q| {
                let unknown = InferRequestedOutputTensor { name: "x".into(), ..Default::default() };
                q.outputs.push(unknown);
            },
            Code::InvalidArgument,
            "`outputs[0].name`",
        ),
        (
            |q| q.parameters.extend(named("priority", ParameterChoice::BoolParam(true))),
            Code::InvalidArgument,
            "`parameters.priority`",
        ),
        (
            |q| q.parameters.extend(named("sequence_id", ParameterChoice::Int64Param(3))),
            Code::InvalidArgument,
            "`parameters.sequence_id`",
        ),
        (
            |q| {
                let region = ParameterChoice::StringParam("a".into());
                q.inputs[0].parameters.extend(named("shared_memory_region", region));
            },
            Code::InvalidArgument,
            "shared memory",
        ),
    ];
    for (index, (change, code, part)) in refused.iter().enumerate() {
        let mut question = iris();
        change(&mut question);
        let status = client.infer(question).await.unwrap_err();
        assert_eq!(status.code(), *code, "{index}: {status}");
        assert!(status.message().contains(part), "{index}: {}", status.message());
        assert!(status.metadata().contains_key("x-request-id"), "{index}");
    }
    let load = RepositoryModelLoadRequest::default();
    let status = client.ask::<_, RepositoryModelLoadResponse>("RepositoryModelLoad", load).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("admin port"), "{}", status.message());
    let unknown = client.ask::<_, ServerLiveResponse>("NoSuchMethod", ServerLiveRequest {}).await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_status_is_unauthenticated() {
    let folder = Folder::new();
    // printf %s first | sha256sum
    let key = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    folder.write("keys", key);
    let file = format!("server.api_keys_file = {:?}", folder.path().join("keys"));
    let edge = Edge::start(app_with(&file)).await;
    let mut client = Client::connect(edge.data).await;
    let status = client.infer(iris()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let mut question = Request::new(iris());
    let bearer = AsciiMetadataValue::from_static("Bearer first");
    question.metadata_mut().insert("authorization", bearer);
    let path = "/inference.GRPCInferenceService/ModelInfer";
    let answer: Response<ModelInferResponse> = client.call(path, question).await.unwrap();
    let metadata = answer.metadata();
    assert!(metadata.contains_key("x-request-id") && metadata.contains_key("server-timing"));
    assert_eq!(metadata.get("x-device").unwrap(), "cpu");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_overload_are_resource_exhausted() {
    let edge = Edge::start(app_with("server.max_body_size = 1000")).await;
    let mut client = Client::connect(edge.data).await;
    let large = ModelInferRequest { id: "x".repeat(3_000_000), ..iris() };
    let status = client.infer(large).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("at most 1000 bytes"), "{}", status.message());
    client.infer(iris()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_too_many_is_told_when_to_come_again_and_one_that_leaves_gives_its_place_back() {
    let (_folder, app) = with_slow("server.max_concurrent_requests = 1");
    let edge = Edge::start(app).await;
    let mut client = Client::connect(edge.data).await;
    let mut other = Client::connect(edge.data).await;
    let slow = ModelInferRequest { model_name: "slow".to_owned(), ..iris() };
    let held = tokio::spawn(async move { other.infer(slow).await });
    edge.counts("requests_in_work", 1).await;
    let status = client.infer(iris()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
    // The client resets it.
    held.abort();
    in_time(async { while client.infer(iris()).await.is_err() {} }).await;
    let labels =
        r#"model="slow",outcome="cancelled",protocol="grpc",task="tabular-classification""#;
    let cancelled = format!(r#"onnxd_requests_total{{{labels},version="1"}} "#);
    in_time(async {
        while !edge.admin("/metrics").await.body.as_str().unwrap().contains(&cancelled) {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_models_load_the_status_is_unavailable() {
    let loading = App::new(
        &default_config(),
        BUNDLED.compute.clone(),
        Arc::default(),
        onnxd::telemetry::Handle::default(),
    );
    let edge = Edge::start(loading).await;
    let mut client = Client::connect(edge.data).await;
    let status = client.infer(iris()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
    let ready: ServerReadyResponse =
        client.ask("ServerReady", ServerReadyRequest {}).await.unwrap();
    assert!(!ready.ready);
}

/// Asks without a client's own ideas of time and framing; the headers of the answer.
async fn bare(edge: &Edge, headers: &[(&str, &str)], body: Vec<u8>) -> reqwest::Response {
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/inference.GRPCInferenceService/ModelInfer", edge.data);
    let mut request = client.post(url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn framed(question: &ModelInferRequest) -> Vec<u8> {
    let message = question.encode_to_vec();
    [&[0], (message.len() as u32).to_be_bytes().as_slice(), &message].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_and_framing_are_checked() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let grpc = ("content-type", "application/grpc+proto");
    let whole = framed(&iris());
    let compressed: Vec<u8> = [&[1], &whole[1..]].concat();
    let cut_off = whole[..whole.len() - 1].to_vec();
    let twice = [whole.clone(), whole.clone()].concat();
    let nonsense = vec![0, 0, 0, 0, 2, 0xff, 0xff];
    let status = async |headers: &[(&str, &str)], body: &[u8]| {
        let response = bare(&edge, headers, body.to_vec()).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        headers.get("grpc-status").map(|status| status.to_str().unwrap().parse().unwrap())
    };
    // Told in the trailers.
    assert_eq!(status(&[grpc], &whole).await, None);
    let code = |code: Code| Some(code as i32);
    assert_eq!(status(&[grpc, ("grpc-timeout", "0n")], &whole).await, code(Code::DeadlineExceeded));
    assert_eq!(
        status(&[grpc, ("grpc-timeout", "soon")], &whole).await,
        code(Code::InvalidArgument)
    );
    let snappy = ("grpc-encoding", "snappy");
    assert_eq!(status(&[grpc, snappy], &compressed).await, code(Code::Unimplemented));
    assert_eq!(status(&[grpc], &compressed).await, code(Code::Unimplemented));
    let told = bare(&edge, &[grpc, snappy], compressed.clone()).await;
    assert_eq!(told.headers()["grpc-accept-encoding"], "identity,gzip");
    let gzip = ("grpc-encoding", "gzip");
    assert_eq!(status(&[grpc, gzip], &compressed).await, code(Code::InvalidArgument));
    // Of a client that could compress and did not.
    assert_eq!(status(&[grpc, gzip], &whole).await, None);
    for broken in [cut_off, twice, nonsense, vec![], vec![0; 3]] {
        assert_eq!(status(&[grpc], &broken).await, code(Code::InvalidArgument), "{broken:?}");
    }
    let json = bare(&edge, &[("content-type", "application/json")], b"{}".to_vec()).await;
    assert_eq!(json.status(), 415);
    assert_eq!(json.headers()["content-type"], "application/problem+json");
    let web = bare(&edge, &[("content-type", "application/grpc-web")], b"{}".to_vec()).await;
    assert_eq!(web.status(), 415);
    let http1 = edge.request("POST", "/inference.GRPCInferenceService/ServerLive");
    let http1 = http1.header(grpc.0, grpc.1).body(vec![0; 5]).send().await.unwrap();
    assert_eq!(http1.headers()["grpc-status"], "3");
}

/// A message compressed by gzip.
fn zipped(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(message).unwrap();
    let packed = encoder.finish().unwrap();
    [&[1], (packed.len() as u32).to_be_bytes().as_slice(), &packed].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_gzip_are_taken_up_to_twenty_times_themselves() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let headers = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
    let answer = bare(&edge, &headers, zipped(&iris().encode_to_vec())).await;
    let plain = bare(&edge, &headers, framed(&iris())).await;
    assert_eq!(answer.bytes().await.unwrap(), plain.bytes().await.unwrap());
    let bomb = bare(&edge, &headers, zipped(&vec![0; 10_000_000])).await;
    assert_eq!(bomb.headers()["grpc-status"], (Code::ResourceExhausted as i32).to_string());
    let message = bomb.headers()["grpc-message"].to_str().unwrap();
    assert!(message.contains("inflated"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_like_requests() {
    let iris_alone = app(&default_config(), &root().join("models"), Some("iris")).unwrap();
    let edge = Edge::counting(iris_alone).await;
    let mut client = Client::connect(edge.data).await;
    client.infer(iris()).await.unwrap();
    client.infer(ModelInferRequest { raw_input_contents: vec![], ..iris() }).await.unwrap_err();
    client.infer(ModelInferRequest { model_name: "x".into(), ..iris() }).await.unwrap_err();
    let _live: ServerLiveResponse = client.ask("ServerLive", ServerLiveRequest {}).await.unwrap();
    client.ask::<_, ServerLiveResponse>("Made-up", ServerLiveRequest {}).await.unwrap_err();
    let Value::String(text) = edge.admin("/metrics").await.body else { panic!("no text") };
    let value = |series: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
        found.map_or(0, |value| value.parse().unwrap())
    };
    let requests = |model, outcome, task, version| {
        let labels = format!(
            r#"model="{model}",outcome="{outcome}",protocol="grpc",task="{task}",version="{version}""#
        );
        value(&format!("onnxd_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("iris", "ok", "tabular-classification", "1"), 1);
    assert_eq!(requests("iris", "invalid", "tabular-classification", "1"), 1);
    let route = "/inference.GRPCInferenceService/ModelInfer";
    let responses = |code, route| {
        value(&format!(r#"onnxd_http_responses_total{{code="{code}",route="{route}"}}"#))
    };
    let counts = [200, 422, 404].map(|code| responses(code, route));
    assert_eq!(counts, [1, 1, 1]);
    assert_eq!(responses(200, "/inference.GRPCInferenceService/ServerLive"), 1);
    assert_eq!(responses(404, "(none)"), 1);
    assert!(!text.contains("Made-up"));
}
