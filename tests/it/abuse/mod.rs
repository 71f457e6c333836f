//! What one client can do to others: nothing, whatever it sends, leaves unsent or does not read.

mod fair;
mod framing;
mod left;
mod silent;
mod unread;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{ResponseFuture, SendRequest};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{BUNDLED, Edge, IRIS, MILLISECONDS_50, app_with, in_time, post, with_slow};

/// A second client. All of 127.0.0.0/8 is this machine.
const OTHER: &str = "127.0.0.2";

/// The head of an upload that announces so many bytes.
fn upload(bytes: usize) -> String {
    format!(
        "POST /predict/iris HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {bytes}\r\n\r\n"
    )
}

async fn connect(edge: &Edge, sends: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(edge.data).await.unwrap();
    stream.write_all(sends.as_ref()).await.unwrap();
    stream
}

/// Asks from another address.
async fn ask_from(address: &str, edge: &Edge) -> u16 {
    let client = reqwest::Client::builder().local_address(address.parse::<IpAddr>().unwrap());
    let client = client.http1_only().build().unwrap();
    let request = client.post(format!("http://{}/predict/iris", edge.data)).body(IRIS);
    let request = request.header("content-type", "application/json");
    request.send().await.unwrap().status().as_u16()
}

async fn ask(edge: &Edge) -> u16 {
    edge.predict(&HeaderMap::new()).await.unwrap().status
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is as good as a close.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn metric(edge: &Edge, name: &str) -> usize {
    let Value::String(text) = edge.admin("/metrics").await.body else { panic!("no text") };
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("onnxd_{name} ")));
    line.unwrap().parse().unwrap()
}

async fn http2(edge: &Edge, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(edge.data).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder.initial_window_size(window).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &SendRequest<Bytes>, body: &str) -> ResponseFuture {
    let mut sender = sender.clone().ready().await.unwrap();
    let request = http::Request::post("http://localhost/predict/iris");
    let request = request.header("content-type", "application/json").body(()).unwrap();
    let (response, mut sending) = sender.send_request(request, false).unwrap();
    let mut body = Bytes::from(body.to_owned());
    while !body.is_empty() {
        sending.reserve_capacity(body.len());
        let room = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await;
        let room = room.unwrap().unwrap().min(body.len());
        let part = body.split_to(room);
        sending.send_data(part, body.is_empty()).unwrap();
    }
    response
}
