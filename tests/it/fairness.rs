//! Requests with much to decode beside those with little.

use reqwest::multipart::{Form, Part};

use crate::support::{Edge, app, default_config, image, root, send};

fn photos(count: usize) -> Form {
    let photo = image("jpeg-1280x720.jpg");
    (0..count).fold(Form::new(), |form, index| {
        form.part("image", Part::bytes(photo.clone()).file_name(format!("{index}.jpg")))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_image_is_answered_while_a_list_of_large_ones_is_decoded() {
    let models = root().join("tests/fixtures/models");
    let app = app(&default_config(), &models, Some("bare-image")).unwrap();
    let edge = Edge::counting(app).await;
    // On a machine that is too slow for the lists they are refused in the end, which is no matter here.
    let lists: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(edge.request("POST", "/predict/bare-image").multipart(photos(20)).send())
        })
        .collect();
    edge.counts("in_flight{model=\"bare-image\",version=\"1\"}", 3).await;
    for name in ["png-rgb-tiny.png", "jpeg-32x24.jpg", "jpeg-17x9.jpg"] {
        let small = edge.request("POST", "/predict/bare-image").header("content-type", "image/*");
        let small = send(small.body(image(name))).await;
        assert_eq!(small.status, 200, "{}", small.body);
    }
    assert!(lists.iter().all(|list| !list.is_finished()), "they were asked before");
    for list in &lists {
        list.abort();
    }
}
