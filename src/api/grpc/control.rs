//! The index of the models, and on the admin port their control.

use std::sync::Arc;

use super::call::Call;
use super::proto::repository_index_response::ModelIndex;
use super::proto::{
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
};
use crate::api::repository::{change, refuse_uploads};
use crate::error::{Error, ErrorKind};
use crate::model::repository::State;

pub async fn index(
    call: Arc<Call>,
    question: RepositoryIndexRequest,
) -> Result<RepositoryIndexResponse, Error> {
    let mut index = call.app.repository()?.index();
    index.retain(|entry| !question.ready || entry.state == State::Ready);
    let models = index.into_iter().map(|entry| ModelIndex {
        name: entry.name,
        version: entry.version.unwrap_or_default(),
        state: entry.state.word().to_owned(),
        reason: entry.reason,
    });
    Ok(RepositoryIndexResponse { models: models.collect() })
}

pub async fn load(
    call: Arc<Call>,
    question: RepositoryModelLoadRequest,
) -> Result<RepositoryModelLoadResponse, Error> {
    refuse_uploads(question.parameters.keys())?;
    let name = question.model_name;
    change(&call.app, move |repository| repository.load_model(&name)).await?;
    Ok(RepositoryModelLoadResponse {})
}

pub async fn unload(
    call: Arc<Call>,
    question: RepositoryModelUnloadRequest,
) -> Result<RepositoryModelUnloadResponse, Error> {
    let name = question.model_name;
    change(&call.app, move |repository| repository.unload_model(&name)).await?;
    Ok(RepositoryModelUnloadResponse {})
}

/// On the data port: who may ask for predictions may not change what is served.
pub async fn refuse_load(
    _: Arc<Call>,
    _: RepositoryModelLoadRequest,
) -> Result<RepositoryModelLoadResponse, Error> {
    Err(elsewhere())
}

pub async fn refuse_unload(
    _: Arc<Call>,
    _: RepositoryModelUnloadRequest,
) -> Result<RepositoryModelUnloadResponse, Error> {
    Err(elsewhere())
}

fn elsewhere() -> Error {
    let detail = "models are loaded and unloaded on the admin port (`admin.listen`), not here";
    Error::new(ErrorKind::UnknownRoute, detail)
}
