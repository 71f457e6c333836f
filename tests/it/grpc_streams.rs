//! gRPC's streams: many questions on one call, health that is watched, and reflection.

use std::time::Duration;

use onnxd::api::grpc::proto::health::health_check_response::ServingStatus;
use onnxd::api::grpc::proto::health::{HealthCheckRequest, HealthCheckResponse};
use onnxd::api::grpc::proto::{
    ModelInferRequest, ModelRepositoryParameter, ModelStreamInferResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
};
use onnxd::server::Drained;
use prost::Message;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::grpc::{Client, iris};
use crate::support::{BUNDLED, Edge, app, app_with, default_config, root};

const INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// Both ends of a stream.
struct Stream<Q, A> {
    questions: UnboundedSender<Q>,
    answers: Streaming<A>,
}

impl<Q: Message + 'static, A: Message + Default + 'static> Stream<Q, A> {
    async fn open(client: &mut Client, path: &str) -> Self {
        let (questions, asked) = unbounded_channel();
        let asked = futures_util::stream::unfold(asked, async |mut asked| {
            asked.recv().await.map(|question| (question, asked))
        });
        client.0.ready().await.unwrap();
        let path = path.parse().unwrap();
        let codec = ProstCodec::<Q, A>::default();
        let answers = client.0.streaming(Request::new(asked), path, codec).await.unwrap();
        Self { questions, answers: answers.into_inner() }
    }

    fn ask(&self, question: Q) {
        self.questions.send(question).unwrap();
    }

    async fn answer(&mut self) -> Result<Option<A>, Status> {
        self.answers.message().await
    }
}

type Infer = Stream<ModelInferRequest, ModelStreamInferResponse>;

fn numbered(number: usize) -> ModelInferRequest {
    ModelInferRequest { id: number.to_string(), ..iris() }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_the_order_of_the_questions_and_a_bad_one_does_not_end_the_stream() {
    let iris_alone = app(&default_config(), &root().join("models"), Some("iris")).unwrap();
    let edge = Edge::counting(iris_alone).await;
    let mut client = Client::connect(edge.data).await;
    let mut stream = Infer::open(&mut client, INFER).await;
    for number in 0..100 {
        let mut question = numbered(number);
        if number % 10 == 3 {
            question.raw_input_contents.clear();
        }
        stream.ask(question);
    }
    for number in 0..100 {
        let answer = stream.answer().await.unwrap().unwrap();
        let inner = answer.infer_response.unwrap();
        assert_eq!(inner.id, number.to_string());
        assert_eq!(inner.model_name, "iris");
        if number % 10 == 3 {
            assert!(answer.error_message.contains("fp32_contents"), "{}", answer.error_message);
            assert!(inner.outputs.is_empty());
        } else {
            assert_eq!((answer.error_message.as_str(), inner.outputs.len()), ("", 2));
        }
    }
    // One at a time goes as well, and the end is the client's.
    stream.ask(numbered(100));
    assert_eq!(stream.answer().await.unwrap().unwrap().infer_response.unwrap().id, "100");
    let Stream { questions, mut answers } = stream;
    drop(questions);
    assert!(answers.message().await.unwrap().is_none());
    let labels = |outcome| {
        format!(
            r#"requests_total{{model="iris",outcome="{outcome}",protocol="grpc",task="tabular-classification",version="1"}}"#
        )
    };
    edge.counts(&labels("ok"), 91).await;
    edge.counts(&labels("invalid"), 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_framed_ends_the_stream_after_the_answers_before_it() {
    let edge = Edge::start(app_with("server.max_body_size = 1000")).await;
    let mut client = Client::connect(edge.data).await;
    let mut stream = Infer::open(&mut client, INFER).await;
    stream.ask(numbered(0));
    stream.ask(ModelInferRequest { id: "x".repeat(2000), ..iris() });
    // May find the stream ended already.
    let _ = stream.questions.send(numbered(2));
    assert_eq!(stream.answer().await.unwrap().unwrap().infer_response.unwrap().id, "0");
    let status = stream.answer().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    edge.counts("refusals_total{reason=\"too_large\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_a_stream_with_its_answers() {
    let mut edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.data).await;
    let mut stream = Infer::open(&mut client, INFER).await;
    stream.ask(numbered(0));
    stream.answer().await.unwrap().unwrap();
    edge.stop();
    let status = stream.answer().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("stopping"), "{}", status.message());
    assert_eq!(edge.drained().await, Drained { answered: 1, aborted: 0, connections: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_outlasts_the_time_of_an_idle_connection() {
    let mut app = BUNDLED.clone();
    app.server.keep_alive_timeout = crate::support::MILLISECONDS_50;
    let edge = Edge::start(app).await;
    let mut client = Client::connect(edge.data).await;
    let mut stream = Infer::open(&mut client, INFER).await;
    // An idle connection beside it is closed meanwhile.
    let mut idle = Client::connect(edge.data).await;
    idle.infer(iris()).await.unwrap();
    edge.counts("connections_closed_total{reason=\"keep_alive_timeout\"}", 1).await;
    stream.ask(numbered(7));
    assert_eq!(stream.answer().await.unwrap().unwrap().infer_response.unwrap().id, "7");
}

async fn check(client: &mut Client, service: &str) -> Result<ServingStatus, Status> {
    let question = Request::new(HealthCheckRequest { service: service.to_owned() });
    let answer = client.call("/grpc.health.v1.Health/Check", question).await;
    answer.map(|answer| HealthCheckResponse::status(answer.get_ref()))
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_server_and_its_models() {
    let mut app = BUNDLED.clone();
    app.server.drain_delay = Duration::from_hours(1);
    let mut edge = Edge::start(app).await;
    let mut client = Client::connect(edge.data).await;
    for service in ["", "inference.GRPCInferenceService", "iris"] {
        assert_eq!(check(&mut client, service).await.unwrap(), ServingStatus::Serving);
    }
    assert_eq!(check(&mut client, "nobody").await.unwrap_err().code(), Code::NotFound);

    client.0.ready().await.unwrap();
    let path = "/grpc.health.v1.Health/Watch".parse().unwrap();
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let question = Request::new(HealthCheckRequest::default());
    let mut watched = client.0.server_streaming(question, path, codec).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    edge.stop();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_answers_probes_and_controls_the_models() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.admin).await;
    assert_eq!(check(&mut client, "").await.unwrap(), ServingStatus::Serving);
    let index: RepositoryIndexResponse =
        client.ask("RepositoryIndex", RepositoryIndexRequest::default()).await.unwrap();
    assert!(index.models.iter().any(|model| model.name == "iris" && model.state == "READY"));
    let file = ModelRepositoryParameter::default();
    let upload = RepositoryModelLoadRequest {
        model_name: "iris".to_owned(),
        parameters: [("file:1/model.onnx".to_owned(), file)].into(),
        ..Default::default()
    };
    let status = client.ask::<_, RepositoryModelLoadResponse>("RepositoryModelLoad", upload).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    // No question for predictions.
    let status = client.infer(iris()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_its_services() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let mut client = Client::connect(edge.data).await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let mut stream: Stream<ServerReflectionRequest, ServerReflectionResponse> =
            Stream::open(&mut client, &path).await;
        let list = Some(MessageRequest::ListServices(String::new()));
        stream.ask(ServerReflectionRequest { host: String::new(), message_request: list });
        let answer = stream.answer().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("no list: {answer:?}");
        };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        for name in ["inference.GRPCInferenceService", "grpc.health.v1.Health"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}
