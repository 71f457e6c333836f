//! The OpenAPI document and its page: whole, true, and without anything from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use onnxd::api::admin::{self, Admin};
use onnxd::api::health::Health;
use onnxd::api::scrape::Scrape;
use onnxd::api::{App, openapi};
use onnxd::error::ErrorKind;
use serde_json::Value;

use crate::support::{BUNDLED, Edge, Folder, Server, app_with, send};

fn document() -> Value {
    serde_json::to_value(openapi::document(true)).unwrap()
}

/// Each operation: its path, its method in upper case, and itself.
fn operations(document: &Value) -> Vec<(&str, String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let of_path = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.as_str(), method.to_uppercase(), operation))
    });
    of_path.collect()
}

fn is_admin(operation: &Value) -> bool {
    operation["tags"][0] == "admin"
}

/// The names of a path's parameters are nobody's concern.
fn anonymous(path: &str) -> String {
    let mut parts = path.split('{');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        name.push_str("{}");
        name.push_str(part.split_once('}').unwrap().1);
    }
    name
}

/// The paths that a router has, but for gRPC's.
fn paths(router: &axum::Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    // What matches none is a router of its own within axum.
    let shown = shown.split("fallback_router").next().unwrap();
    let quoted = shown.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/'));
    let is_grpc = |path: &&str| path.starts_with("/inference.") || path.starts_with("/grpc.");
    quoted.filter(|path| !is_grpc(path)).map(anonymous).collect()
}

#[test]
fn every_route_of_both_ports_is_described_and_no_other() {
    let app = BUNDLED.clone();
    let health = Health::new(app.clone());
    let document = document();
    let described = |of_admin: bool| -> BTreeSet<String> {
        let all = operations(&document).into_iter();
        all.filter(|(_, _, operation)| is_admin(operation) == of_admin)
            // These share their routes with what they stand behind.
            .map(|(path, ..)| anonymous(path.strip_suffix(":predict").unwrap_or(path)))
            .collect()
    };
    let scrape = Scrape::new(app.clone(), health.clone());
    let data = paths(&onnxd::api::router(app.clone(), health.clone(), scrape.clone(), None));
    assert!(data.contains("/predict/{}/versions/{}"), "{data:?}");
    assert_eq!(data, described(false));
    assert_eq!(paths(&admin::router(Admin::new(app, health, scrape), None)), described(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_has_the_methods_that_are_described() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let document = document();
    let mut described: BTreeMap<String, (bool, BTreeSet<String>)> = BTreeMap::new();
    for (path, method, operation) in operations(&document) {
        let entry = described.entry(anonymous(path)).or_default();
        entry.0 = is_admin(operation);
        entry.1.insert(method.clone());
        if method == "GET" {
            entry.1.insert("HEAD".to_owned());
        }
    }
    for (path, (of_admin, methods)) in described {
        let asked = path.replace("{}", "x");
        for other in ["DELETE", "PATCH"] {
            let request = match of_admin {
                true => edge.admin_request(other, &asked),
                false => edge.request(other, &asked),
            };
            let answer = send(request).await;
            assert_eq!(answer.status, 405, "{path}: {}", answer.body);
            assert_eq!(answer.body["type"], "urn:onnxd:error:method-not-allowed", "{path}");
            let mut expected = answer.body["expected"].as_str().unwrap().split(" or ");
            assert!(expected.all(|method| methods.contains(method)), "{path}: {}", answer.body);
            let allowed = answer.headers["allow"].to_str().unwrap();
            let allowed: BTreeSet<_> =
                allowed.split(',').map(|name| name.trim().to_owned()).collect();
            assert_eq!(allowed, methods, "{path}");
        }
    }
}

#[test]
fn every_error_is_one_that_the_server_has() {
    let document = document();
    let responses = document["components"]["responses"].as_object().unwrap();
    for (path, method, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let Some(reference) = response["$ref"].as_str() else {
                assert!(
                    matches!(status.as_str(), "200" | "304" | "503"),
                    "{method} {path}: {status}"
                );
                continue;
            };
            let name = reference.strip_prefix("#/components/responses/").unwrap();
            let response = &responses[name];
            // The connection's own answer has no body.
            let Some(content) = response["content"].as_object() else {
                assert_eq!(status, "431");
                continue;
            };
            let (media_type, content) = content.iter().next().unwrap();
            let is_kserve = path.starts_with("/v1/") || path.starts_with("/v2/");
            let expected = if is_kserve { "application/json" } else { "application/problem+json" };
            assert_eq!(media_type, expected, "{method} {path}");
            let example = &content["example"];
            assert_eq!(example["status"].to_string(), *status, "{method} {path}");
            let told = example["type"].as_str().unwrap();
            assert!(ErrorKind::ALL.iter().any(|kind| told.ends_with(kind.code())), "{told}");
        }
    }
    let types = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    assert_eq!(types.as_array().unwrap().len(), ErrorKind::ALL.len());
}

#[test]
fn every_operation_has_a_name_of_its_own_and_a_summary() {
    let document = document();
    let operations = operations(&document);
    let ids: BTreeSet<_> = operations
        .iter()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), operations.len());
    for (path, method, operation) in operations {
        assert!(operation["summary"].is_string(), "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                object.values().for_each(|value| check(document, value));
            }
            Value::Array(list) => list.iter().for_each(|value| check(document, value)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}

#[test]
fn operations_and_their_statuses() {
    let document = document();
    let list: Vec<String> = operations(&document)
        .into_iter()
        .map(|(path, method, operation)| {
            let statuses: Vec<_> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            format!("{method} {path}: {}", statuses.join(" "))
        })
        .collect();
    insta::assert_snapshot!(list.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_answered() {
    let server = Server::bundled().await;
    let document = document();
    let mut asked = 0;
    for (path, method, operation) in operations(&document) {
        let examples = &operation["requestBody"]["content"]["application/json"]["examples"];
        for example in examples.as_object().into_iter().flat_map(|map| map.values()) {
            let summary = example["summary"].as_str().unwrap();
            let model = match summary.rsplit_once(", for ") {
                Some((_, model)) => model,
                None if summary.contains("iris") => "iris",
                None if summary.contains("photo") => "efficientnet-lite0",
                None => "sentiment-minilm",
            };
            let path = path.replace("{model}", model).replace("{version}", "1");
            if path.contains("{label}") {
                continue;
            }
            let answer = send(server.request(&method, &path).json(&example["value"])).await;
            assert_eq!(answer.status, 200, "{path} {summary}: {}", answer.body);
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_and_its_prediction_have_methods_of_their_own() {
    let server = Server::bundled().await;
    let answer = send(server.request("GET", "/v1/models/iris:predict")).await;
    assert_eq!((answer.status, &answer.body["expected"]), (405, &"POST".into()));
    assert_eq!(answer.headers["allow"], "POST");
    let answer = send(server.request("OPTIONS", "/v1/models/iris")).await;
    assert_eq!((answer.status, &answer.headers["allow"]), (405, &"GET,HEAD".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_without_a_key() {
    let folder = Folder::new();
    folder.write("keys", format!("{}\n", "0".repeat(64)));
    let file = folder.path().join("keys");
    let edge = Edge::start(app_with(&format!("[server]\napi_keys_file = {file:?}\n"))).await;
    let answer = edge.get(edge.data, "/openapi.json").await;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/json"));
    assert!(
        answer.body["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        answer.body["openapi"]
    );
    assert_eq!(answer.body, document());
    assert_eq!(edge.get(edge.data, "/docs").await.status, 200);
    assert_eq!(edge.get(edge.data, "/v2").await.status, 401);
    // It says nothing of the models, and does not wait for them.
    let bare = App::new(
        &crate::support::default_config(),
        BUNDLED.compute.clone(),
        std::sync::Arc::default(),
        onnxd::telemetry::Handle::default(),
    );
    let edge = Edge::start(bare).await;
    assert_eq!(edge.get(edge.data, "/openapi.json").await.body, document());
}

/// What an attribute of a page is set to, each time.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let marker = format!(" {name}=\"");
    page.split(&marker).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_nothing_but_its_own_files() {
    let server = Server::bundled().await;
    let answer = send(server.request("GET", "/docs")).await;
    assert!(answer.content_type.starts_with("text/html"), "{}", answer.content_type);
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let Value::String(page) = answer.body else { panic!("no page") };
    assert!(
        !page.contains("://") && !page.contains("style=") && !page.contains("<script>"),
        "{page}"
    );
    let files = [attributes(&page, "src"), attributes(&page, "href")].concat();
    let files: Vec<_> = files.into_iter().filter(|file| !file.starts_with("data:")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let packed = server.request("GET", &format!("/{file}")).header("accept-encoding", "gzip");
        let packed = packed.send().await.unwrap();
        assert_eq!(packed.status(), 200, "{file}");
        let whole = send(server.request("GET", &format!("/{file}"))).await;
        assert!(!whole.headers.contains_key("content-encoding"), "{file}");
        if packed.headers().contains_key("content-encoding") {
            let packed = packed.bytes().await.unwrap();
            let mut text = String::new();
            let mut unpack = flate2::read::GzDecoder::new(packed.as_ref());
            std::io::Read::read_to_string(&mut unpack, &mut text).unwrap();
            // A page's own files are text; the document is JSON, which comes parsed.
            assert!(whole.body == text || whole.body.is_object(), "{file}");
        }
    }
    let other = send(server.request("GET", "/docs/other.js")).await;
    assert_eq!((other.status, &other.body["field"]), (404, &Value::from("path")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_switched_off_is_not_described() {
    let edge = Edge::start(app_with("[server]\nplayground = false\n")).await;
    let paths = &edge.get(edge.data, "/openapi.json").await.body["paths"];
    assert!(paths["/playground/models"].is_null() && paths["/"]["get"].is_null());
    assert!(paths["/"]["post"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_switches_both_off() {
    let edge = Edge::start(app_with("[server]\nopenapi = false\n")).await;
    for path in ["/openapi.json", "/docs", "/docs/start.js"] {
        let answer = edge.get(edge.data, path).await;
        assert_eq!(
            (answer.status, &answer.body["type"]),
            (404, &"urn:onnxd:error:unknown-route".into())
        );
    }
}

#[test]
fn every_route_that_reads_a_body_is_in_the_list_of_costs() {
    let app = BUNDLED.clone();
    let health = Health::new(app.clone());
    let scrape = Scrape::new(app.clone(), health.clone());
    let document = document();
    let posts = operations(&document).into_iter().filter(|(_, method, _)| method == "POST");
    let mut routes: BTreeSet<String> = posts.map(|(path, ..)| format!("POST {path}")).collect();
    let data = onnxd::api::router(app.clone(), health.clone(), scrape.clone(), None);
    for router in [data, admin::router(Admin::new(app, health, scrape), None)] {
        let shown = format!("{router:?}");
        let quoted = shown.split('"').skip(1).step_by(2);
        let is_grpc = |path: &&str| path.starts_with("/inference.") || path.starts_with("/grpc.");
        routes.extend(quoted.filter(is_grpc).map(str::to_owned));
    }
    let entries = onnxd::api::cost::ENTRIES.iter().flat_map(|entry| entry.routes);
    let listed = entries.filter(|route| **route != "*").map(|route| (*route).to_owned());
    assert_eq!(listed.collect::<BTreeSet<_>>(), routes);
}
