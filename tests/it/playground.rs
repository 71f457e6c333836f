//! The page for people, as far as the server goes; `tests/playground` looks at it with a browser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use onnxd::api::App;
use onnxd::telemetry::Handle;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::{
    Answer, BUNDLED, Edge, Folder, IRIS, Server, app_with, default_config, fixture, loader, send,
    with_slow,
};

// printf %s first | sha256sum
const FIRST: &str = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";

/// The text of an answer that is no JSON.
fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap()
}

/// Names of the page's files as the page and its modules mention them.
fn mentioned(text: &str) -> BTreeSet<String> {
    let ends = |letter: char| !letter.is_ascii_alphanumeric() && letter != '.';
    let of = |start: &'static str| text.split(start).skip(1);
    let names = of("\"playground/").chain(of("from \"./")).map(|rest| rest.split(ends).next());
    names.flatten().filter(|name| name.contains('.')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_come_from_the_binary() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let page = edge.get(edge.data, "/").await;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    let (mut seen, mut left) = (BTreeMap::new(), mentioned(text(&page)));
    while let Some(name) = left.pop_first() {
        let file = edge.get(edge.data, &format!("/playground/{name}")).await;
        assert_eq!(file.status, 200, "{name}");
        left.extend(mentioned(text(&file)).into_iter().filter(|name| !seen.contains_key(name)));
        left.remove(&name);
        seen.insert(name, file);
    }
    assert!(seen.len() > 10, "{:?}", seen.keys());
    for (name, file) in seen.iter().chain([(&"/".to_owned(), &page)]) {
        let media_type = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(file.content_type, media_type, "{name}");
        let header = |name: &str| file.headers[name].to_str().unwrap();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
        assert!(
            !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        let foreign = text(file).replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_has_a_file_is_told_so() {
    let edge = Edge::start(BUNDLED.clone()).await;
    for path in ["/", "/playground/main.js"] {
        let first = send(edge.request("GET", path)).await;
        let tag = first.headers["etag"].to_str().unwrap();
        let again = send(edge.request("GET", path).header("if-none-match", tag)).await;
        assert_eq!((again.status, text(&again)), (304, ""));
        assert_eq!(again.headers["etag"], tag);
        let other = send(edge.request("GET", path).header("if-none-match", "\"other\"")).await;
        assert_eq!((other.status, text(&other)), (200, text(&first)));
        let head = send(edge.request("HEAD", path)).await;
        assert_eq!((head.status, text(&head)), (200, ""));
        assert_eq!(head.headers["etag"], tag);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_paths_are_what_they_were() {
    let edge = Edge::start(BUNDLED.clone()).await;
    // Hugging Face's form.
    let asked = edge.request("POST", "/").json(&json!({"inputs": "I love it!"}));
    assert_eq!(send(asked).await.status, 200);
    for (method, path, expected) in [
        ("PUT", "/", "GET or POST"),
        ("POST", "/playground/main.js", "GET"),
        ("POST", "/playground/models", "GET"),
        ("DELETE", "/playground/metrics", "GET"),
    ] {
        let answer = send(edge.request(method, path)).await;
        assert_eq!((answer.status, &answer.body["expected"]), (405, &json!(expected)), "{path}");
        assert_eq!(answer.content_type, "application/problem+json");
        assert!(answer.headers["allow"].to_str().unwrap().contains("GET"), "{path}");
    }
    for path in ["/playground", "/playground/", "/playground/mod.rs", "/playground/..%2fmod.rs"] {
        let answer = edge.get(edge.data, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["type"], "urn:onnxd:error:unknown-route");
        assert!(answer.body["expected"].as_str().unwrap().contains("GET / is a page"));
    }
    // A class of routes, whatever is asked for.
    let counted = text(&edge.admin("/metrics").await).to_owned();
    let routes: BTreeSet<&str> = counted
        .lines()
        .filter(|line| line.starts_with("onnxd_http_responses_total"))
        .filter_map(|line| line.split("route=\"").nth(1)?.split('"').next())
        .collect();
    let known = ["(none)", "/", "/playground/metrics", "/playground/models", "/playground/{file}"];
    assert_eq!(routes, BTreeSet::from(known));
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_there_is_no_page() {
    let edge = Edge::start(app_with("[server]\nplayground = false\n")).await;
    let page = edge.get(edge.data, "/").await;
    assert_eq!((page.status, &page.body["expected"]), (405, &json!("POST")));
    for path in ["/playground/main.js", "/playground/models", "/playground/metrics"] {
        let answer = edge.get(edge.data, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body["expected"].as_str().unwrap().contains("page"));
    }
    assert_eq!(edge.predict(&HeaderMap::new()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_are_told_with_what_their_forms_need() {
    let server = Server::bundled().await;
    let answer = send(server.request("GET", "/playground/models")).await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!(answer.body, { ".version" => "[version]" });

    let example = server.request("GET", "/playground/models/efficientnet-lite0/example");
    let file = example.send().await.unwrap().bytes().await.unwrap();
    let answer = server.post("/predict", "image/jpeg", file).await;
    assert_eq!(answer.result()[0]["label"], "espresso");
    for (name, status) in [("iris", 404), ("nobody", 404), ("%ff", 404)] {
        let path = format!("/playground/models/{name}/example");
        assert_eq!(send(server.request("GET", &path)).await.status, status, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_knows_numbers_from_text() {
    let columns = async |name: &str| {
        let server = Server::start(fixture(name).unwrap()).await;
        let answer = send(server.request("GET", "/playground/models")).await;
        answer.body["models"][0]["columns"].clone()
    };
    let of = |columns: &Value| -> Vec<[String; 2]> {
        let told = |column: &Value, key: &str| column[key].as_str().unwrap_or("-").to_owned();
        let columns = columns.as_array().unwrap().iter();
        columns.map(|column| ["name", "type"].map(|key| told(column, key))).collect()
    };
    let named = of(&columns("named-columns").await);
    assert!(named.contains(&["sex".to_owned(), "text".to_owned()]), "{named:?}");
    assert!(named.contains(&["age".to_owned(), "number".to_owned()]), "{named:?}");
    let whole = of(&columns("int-features").await);
    assert!(whole.iter().all(|[name, kind]| name == "-" && kind == "integer"), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_of_each_kind_comes_first() {
    let folder = Folder::new();
    for name in ["a", "b"] {
        folder.copy("models/iris/model.onnx", &format!("{name}/model.onnx"));
    }
    folder.write("b/model.toml", "default = true\n");
    for file in ["model.onnx", "labels.txt"] {
        folder.copy(format!("models/sentiment-tfidf/{file}"), &format!("z/{file}"));
    }
    let server = Server::start(folder.load().unwrap()).await;
    let answer = send(server.request("GET", "/playground/models")).await;
    let models = answer.body["models"].as_array().unwrap();
    let order: Vec<_> = models.iter().map(|model| [&model["name"], &model["default"]]).collect();
    let expected =
        [[json!("z"), json!(true)], [json!("b"), json!(true)], [json!("a"), json!(false)]];
    assert_eq!(json!(order), json!(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_those_of_the_admin_port() {
    let edge = Edge::counting(BUNDLED.clone()).await;
    edge.predict(&HeaderMap::new()).await.unwrap();
    let page = edge.get(edge.data, "/playground/metrics").await;
    let admin = edge.admin("/metrics").await;
    assert_eq!((page.status, &page.content_type), (200, &admin.content_type));
    let families = |answer: &Answer| -> BTreeSet<String> {
        text(answer).lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(families(&page), families(&admin));
    assert!(text(&page).contains("onnxd_saturation{model=\"iris\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_watch_cost_one_look() {
    let edge = Edge::start(BUNDLED.clone()).await;
    let look = async || text(&edge.get(edge.data, "/playground/metrics").await).to_owned();
    let looks: Vec<String> = join_all((0..32).map(|_| look())).await;
    // Each look shows itself in the counts of the next one, if that was made anew.
    let different: BTreeSet<&String> = looks.iter().collect();
    assert!(different.len() < looks.len(), "{}", different.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_the_page_is_public_and_what_it_asks_for_is_not() {
    let folder = Folder::new();
    folder.write("keys", FIRST);
    let file = folder.path().join("keys");
    let edge = Edge::start(app_with(&format!("[server]\napi_keys_file = {file:?}\n"))).await;
    for path in ["/", "/playground/main.js", "/playground/style.css"] {
        assert_eq!(edge.get(edge.data, path).await.status, 200, "{path}");
    }
    let asked = |method: &str, path: &str| edge.request(method, path).body(IRIS);
    for (method, path) in [
        ("GET", "/playground/models"),
        ("GET", "/playground/metrics"),
        ("GET", "/playground/models/efficientnet-lite0/example"),
        ("POST", "/"),
        ("PUT", "/"),
        ("POST", "/predict/iris"),
        ("GET", "/nowhere"),
    ] {
        let answer = send(asked(method, path)).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        let with = asked(method, path).header("authorization", "Bearer first");
        assert_ne!(send(with).await.status, 401, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_while_the_models_load_and_while_the_server_is_full() {
    let config = default_config();
    let app = App::new(&config, loader(&config).compute, Arc::default(), Handle::default());
    let edge = Edge::start(app).await;
    assert_eq!(edge.get(edge.data, "/").await.status, 200);
    assert_eq!(edge.get(edge.data, "/playground/metrics").await.status, 200);
    let models = edge.get(edge.data, "/playground/models").await;
    assert_eq!((models.status, &models.body["type"]), (503, &json!("urn:onnxd:error:unavailable")));

    let (_folder, app) = with_slow("server.max_concurrent_requests = 1\n");
    let edge = Edge::start(app).await;
    let _held = edge.in_work(1).await;
    assert_eq!(edge.predict(&HeaderMap::new()).await.unwrap().status, 429);
    for path in ["/", "/playground/models", "/playground/metrics"] {
        assert_eq!(edge.get(edge.data, path).await.status, 200, "{path}");
    }
}
