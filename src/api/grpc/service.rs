//! Methods of the inference service that take a message and give one, but for inference itself.

use std::sync::Arc;

use super::call::Call;
use super::proto::{self, model_metadata_response};
use super::proto::{
    InferBatchStatistics, InferStatistics, ModelConfigRequest, ModelConfigResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    ModelStatisticsRequest, ModelStatisticsResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    StatisticDuration,
};
use crate::api::App;
use crate::api::oip::metadata::{
    Duration64, ModelConfig, ModelMetadata, ModelStatistics, ServerMetadata, TensorConfig,
    TensorMetadata,
};
use crate::error::Error;
use crate::model::Model;

pub async fn server_live(
    call: Arc<Call>,
    _: ServerLiveRequest,
) -> Result<ServerLiveResponse, Error> {
    Ok(ServerLiveResponse { live: call.health.liveness().live })
}

pub async fn server_ready(
    call: Arc<Call>,
    _: ServerReadyRequest,
) -> Result<ServerReadyResponse, Error> {
    Ok(ServerReadyResponse { ready: call.health.readiness().ready })
}

pub async fn model_ready(
    call: Arc<Call>,
    question: ModelReadyRequest,
) -> Result<ModelReadyResponse, Error> {
    // A model that is not there is not ready, as with Triton: clients wait for one like this.
    let repository = call.app.repository();
    let found =
        repository.and_then(|models| models.ready(&question.name, version(&question.version)));
    Ok(ModelReadyResponse { ready: found.is_ok() })
}

pub async fn server_metadata(
    _: Arc<Call>,
    _: ServerMetadataRequest,
) -> Result<ServerMetadataResponse, Error> {
    let ServerMetadata { name, version, extensions } = ServerMetadata::default();
    Ok(ServerMetadataResponse {
        name: name.to_owned(),
        version: version.to_owned(),
        extensions: extensions.map(str::to_owned).to_vec(),
    })
}

pub async fn model_metadata(
    call: Arc<Call>,
    question: ModelMetadataRequest,
) -> Result<ModelMetadataResponse, Error> {
    let model = find(&call.app, &question.name, &question.version).await?;
    let ModelMetadata { name, versions, platform, inputs, outputs, .. } =
        ModelMetadata::of(&model, &call.app.repository()?.versions(&model.name));
    let tensor = |TensorMetadata { name, datatype, shape }| {
        model_metadata_response::TensorMetadata { name, datatype: datatype.to_owned(), shape }
    };
    Ok(ModelMetadataResponse {
        name,
        versions,
        platform: platform.to_owned(),
        inputs: inputs.into_iter().map(tensor).collect(),
        outputs: outputs.into_iter().map(tensor).collect(),
    })
}

pub async fn model_config(
    call: Arc<Call>,
    question: ModelConfigRequest,
) -> Result<ModelConfigResponse, Error> {
    let model = find(&call.app, &question.name, &question.version).await?;
    let config = ModelConfig::of(&model);
    let data_type = |tensor: &TensorConfig| {
        proto::DataType::from_str_name(&tensor.data_type).unwrap_or_default().into()
    };
    let input = |tensor: TensorConfig| proto::ModelInput {
        data_type: data_type(&tensor),
        name: tensor.name,
        dims: tensor.dims,
    };
    let output = |tensor: TensorConfig| proto::ModelOutput {
        data_type: data_type(&tensor),
        name: tensor.name,
        dims: tensor.dims,
    };
    let config = proto::ModelConfig {
        name: config.name,
        platform: config.platform.to_owned(),
        max_batch_size: i32::try_from(config.max_batch_size).unwrap_or(i32::MAX),
        input: config.input.into_iter().map(input).collect(),
        output: config.output.into_iter().map(output).collect(),
        default_model_filename: config.default_model_filename,
        backend: config.backend.to_owned(),
        model_transaction_policy: Some(proto::ModelTransactionPolicy { decoupled: false }),
    };
    Ok(ModelConfigResponse { config: Some(config) })
}

pub async fn model_statistics(
    call: Arc<Call>,
    question: ModelStatisticsRequest,
) -> Result<ModelStatisticsResponse, Error> {
    let model_stats = if question.name.is_empty() {
        call.app.repository()?.iter().map(|model| statistics(&model)).collect()
    } else {
        let model = find(&call.app, &question.name, &question.version).await?;
        vec![statistics(&model)]
    };
    Ok(ModelStatisticsResponse { model_stats })
}

fn statistics(model: &Model) -> proto::ModelStatistics {
    let told = ModelStatistics::of(model);
    let all = told.inference_stats;
    let spent = |Duration64 { count, ns }| Some(StatisticDuration { count, ns });
    proto::ModelStatistics {
        name: told.name,
        version: told.version,
        last_inference: told.last_inference,
        inference_count: told.inference_count,
        execution_count: told.execution_count,
        inference_stats: Some(InferStatistics {
            success: spent(all.success),
            fail: spent(all.fail),
            queue: spent(all.queue),
            compute_input: spent(all.compute_input),
            compute_infer: spent(all.compute_infer),
            compute_output: spent(all.compute_output),
            cache_hit: spent(all.cache_hit),
            cache_miss: spent(all.cache_miss),
        }),
        batch_stats: told
            .batch_stats
            .into_iter()
            .map(|batch| InferBatchStatistics {
                batch_size: batch.batch_size,
                compute_input: spent(batch.compute_input),
                compute_infer: spent(batch.compute_infer),
                compute_output: spent(batch.compute_output),
            })
            .collect(),
        memory_usage: Vec::new(),
    }
}

async fn find(app: &App, name: &str, named: &str) -> Result<Arc<Model>, Error> {
    app.repository()?.find_loaded(name, version(named)).await
}

/// An empty version is none.
fn version(named: &str) -> Option<&str> {
    Some(named).filter(|version| !version.is_empty())
}
