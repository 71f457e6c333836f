//! What answers for a version: its model, or what is kept of one that was unloaded to make room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, Shared};

use crate::error::{Error, ErrorKind};
use crate::metrics::ModelMetrics;
use crate::model::Model;
use crate::model::load::Location;
use crate::runtime::provider::ExecutionProvider;
use crate::signature::Signature;
use crate::tasks::{FeatureColumn, Input, InputKind};

/// What is told of a model, whether it is in memory or not.
pub struct Profile {
    pub name: String,
    pub version: u64,
    /// The network's file within the model's folder.
    pub file: String,
    pub provider: ExecutionProvider,
    pub task: &'static str,
    pub kind: InputKind,
    /// Answers when several models take a kind of input and none is named.
    pub default: bool,
    /// Number of classes; 0 if they are not known.
    pub labels: usize,
    pub columns: Vec<FeatureColumn>,
    pub signature: Signature,
    pub examples: Vec<Input>,
}

impl From<&Model> for Profile {
    fn from(model: &Model) -> Self {
        Self {
            name: model.name.clone(),
            version: model.version,
            file: model.file.clone(),
            provider: model.provider,
            task: model.task(),
            kind: model.input_kind(),
            default: model.default,
            labels: model.labels().len(),
            columns: model.columns(),
            signature: model.signature.clone(),
            examples: model.examples.clone(),
        }
    }
}

/// What answers for a version.
#[derive(Clone)]
pub enum Held {
    Loaded(Arc<Model>),
    /// Loaded again for the next request.
    Parked(Arc<Parked>),
}

/// A version that was loaded, and unloaded to make room for others.
pub struct Parked {
    pub profile: Arc<Profile>,
    pub location: Location,
    /// What it took, in bytes.
    pub memory: u64,
    /// Held so that its series go on.
    _metrics: Arc<ModelMetrics>,
    loading: Mutex<Option<Loading>>,
}

/// A load that all who ask for the model wait for.
pub type Loading = Shared<BoxFuture<'static, Result<Arc<Model>, Error>>>;

impl Parked {
    pub fn new(model: &Model, location: Location) -> Self {
        for gauge in [&model.metrics.weights, &model.metrics.working_memory] {
            gauge.set(0);
        }
        Self {
            profile: Arc::new(model.into()),
            location,
            memory: model.memory(),
            _metrics: model.metrics.clone(),
            loading: Mutex::default(),
        }
    }

    /// The load that is going on; `begin` begins one if there is none.
    pub fn load(&self, begin: impl FnOnce() -> Loading) -> Loading {
        self.loading().get_or_insert_with(begin).clone()
    }

    /// The load has ended: who comes now begins another.
    pub fn landed(&self) {
        *self.loading() = None;
    }

    fn loading(&self) -> MutexGuard<'_, Option<Loading>> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub fn name(&self) -> &str {
        match self {
            Self::Loaded(model) => &model.name,
            Self::Parked(parked) => &parked.profile.name,
        }
    }

    pub fn version(&self) -> u64 {
        match self {
            Self::Loaded(model) => model.version,
            Self::Parked(parked) => parked.profile.version,
        }
    }

    pub fn kind(&self) -> InputKind {
        match self {
            Self::Loaded(model) => model.input_kind(),
            Self::Parked(parked) => parked.profile.kind,
        }
    }

    /// Whether it answers when several models take a kind of input and none is named.
    pub fn is_default(&self) -> bool {
        match self {
            Self::Loaded(model) => model.default,
            Self::Parked(parked) => parked.profile.default,
        }
    }

    pub fn profile(&self) -> Arc<Profile> {
        match self {
            Self::Loaded(model) => Arc::new(Profile::from(&**model)),
            Self::Parked(parked) => parked.profile.clone(),
        }
    }

    pub fn loaded(&self) -> Option<&Arc<Model>> {
        match self {
            Self::Loaded(model) => Some(model),
            Self::Parked(_) => None,
        }
    }

    /// The model, for who cannot wait for it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`].
    pub fn at_once(self) -> Result<Arc<Model>, Error> {
        match self {
            Self::Loaded(model) => Ok(model),
            Self::Parked(parked) => {
                let name = &parked.profile.name;
                let detail = format!("model `{name}` is unloaded to make room for others");
                Err(Error::new(ErrorKind::Unavailable, detail).because("not_loaded"))
            }
        }
    }
}
