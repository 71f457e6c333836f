//! Compiles the protocol definitions in `proto/`, without protoc, and unpacks Swagger UI.

use std::borrow::Cow;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["inference.proto", "health.proto"], ["proto"])?;
    // For reflection.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    // Tensors' bytes are shared with the message that they came in.
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    swagger_ui(&out)
}

/// Of Swagger UI what the page of the API needs, compressed as it is served.
fn swagger_ui(out: &Path) -> Result<(), Box<dyn Error>> {
    let mut released = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let suffix = format!("/dist/{name}");
        let found = released.file_names().flatten().find(|path| path.ends_with(&suffix));
        let path = found.map(Cow::into_owned).ok_or_else(|| format!("no {name} in Swagger UI"))?;
        let file = File::create(out.join(format!("{name}.gz")))?;
        let mut packed = GzEncoder::new(file, Compression::best());
        io::copy(&mut released.by_name(&path)?, &mut packed)?;
        packed.finish()?;
    }
    Ok(())
}
