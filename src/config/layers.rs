//! Where the configuration comes from: defaults < file < environment < flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{DEFAULTS, Flags, ServerConfig};
use crate::error::one_of;

/// One key with what it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub section: String,
    pub key: String,
    /// As TOML writes it.
    pub value: String,
    /// Which layer it comes from.
    pub origin: String,
}

/// A layer under a name of ours.
struct Layer<P> {
    name: String,
    values: P,
}

impl<P: Provider> Provider for Layer<P> {
    fn metadata(&self) -> Metadata {
        let variable =
            |_: &Profile, keys: &[&str]| format!("ONNXD_{}", keys.join("__").to_uppercase());
        let metadata = Metadata::named(self.name.clone());
        if self.name == ENVIRONMENT { metadata.interpolater(variable) } else { metadata }
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        self.values.data()
    }
}

const ENVIRONMENT: &str = "the environment";

impl ServerConfig {
    /// # Errors
    /// A file that cannot be read, an unknown key, or a value of the wrong kind; the message names
    /// the key and where it came from.
    pub fn load(file: Option<&Path>, flags: &Flags) -> anyhow::Result<Self> {
        let config: Self = layers(file, flags)?.extract().map_err(|error| told(&error))?;
        config.check()?;
        Ok(config)
    }

    /// Every key with its value and where that came from, in the order of the sections.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn settings(file: Option<&Path>, flags: &Flags) -> anyhow::Result<Vec<Setting>> {
        Self::load(file, flags)?;
        let layers = layers(file, flags)?;
        let sections: Dict = layers.extract().map_err(|error| told(&error))?;
        let mut settings = Vec::new();
        for (section, keys) in sections {
            let Value::Dict(_, keys) = keys else { continue };
            for (key, value) in keys {
                let origin = layers.find_metadata(&format!("{section}.{key}"));
                settings.push(Setting {
                    section: section.clone(),
                    value: toml::Value::try_from(&value)?.to_string(),
                    origin: origin.map_or_else(String::new, |metadata| metadata.name.to_string()),
                    key,
                });
            }
        }
        Ok(settings)
    }
}

fn layers(file: Option<&Path>, flags: &Flags) -> anyhow::Result<Figment> {
    let layer = |name: &str, values| Layer { name: name.to_owned(), values };
    let mut figment = Figment::from(layer("the default", Toml::string(DEFAULTS)));
    if let Some(file) = file {
        // Read here, since a file that is missing must not pass as empty.
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("configuration file {name}"))?;
        figment = figment.merge(layer(&name, Toml::string(&text)));
    }
    let environment = Env::prefixed("ONNXD_").filter(|name| !is_service_link(name.as_str()));
    figment =
        figment.merge(Layer { name: ENVIRONMENT.to_owned(), values: environment.split("__") });
    let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.to_string_lossy().into_owned());
    let flags = [
        ("--listen", "server.listen", flags.listen.map(|listen| listen.to_string())),
        ("--models", "models.path", path(&flags.models)),
        ("--onnxruntime", "runtime.library", path(&flags.library)),
        ("--device", "runtime.device", flags.device.map(|device| device.to_string())),
    ];
    for (name, key, value) in flags {
        if let Some(value) = value {
            let values = Serialized::default(key, value);
            figment = figment.merge(Layer { name: name.to_owned(), values });
        }
    }
    Ok(figment)
}

/// Kubernetes tells every pod of a service called `onnxd` by `ONNXD_PORT`, `ONNXD_SERVICE_HOST` and
/// the like, which are no keys of ours. Names are without the prefix.
fn is_service_link(name: &str) -> bool {
    let is_theirs = |word: &str| ["port", "service"].iter().any(|w| word.eq_ignore_ascii_case(w));
    !name.contains("__") && name.split('_').any(is_theirs)
}

/// Says what is wrong, with the nearest known name for a key that there is not.
fn told(error: &figment::Error) -> anyhow::Error {
    let origin = error.metadata.as_ref().map_or("nowhere", |metadata| metadata.name.as_ref());
    let path = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(name, known) => {
            let section = path.strip_suffix(name.as_str()).unwrap_or(&path).trim_end_matches('.');
            let place = if section.is_empty() { "" } else { " in " };
            anyhow!(
                "configuration: {origin}: unknown key `{name}`{place}{section}: expected {}",
                one_of(name, known.iter().copied())
            )
        }
        kind => anyhow!("configuration: {origin}: {path}: {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_tells_of_a_service_is_no_key_of_ours() {
        for link in ["PORT", "SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8080_TCP", "ADMIN_PORT"] {
            assert!(is_service_link(link), "{link}");
        }
        for key in ["SERVER__LISTEN", "LISTEN", "SERVER__PORT"] {
            assert!(!is_service_link(key), "{key}");
        }
    }

    #[test]
    fn every_value_tells_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnxd.toml");
        std::fs::write(&file, "[server]\nmax_body_size = 1000\n").unwrap();
        let flags = Flags { models: Some("elsewhere".into()), ..Flags::default() };
        let settings = ServerConfig::settings(Some(&file), &flags).unwrap();
        let told = |key: &str| {
            let setting = settings.iter().find(|setting| setting.key == key).unwrap();
            (setting.value.as_str(), setting.origin.as_str())
        };
        assert_eq!(told("max_body_size"), ("1000", &*file.display().to_string()));
        assert_eq!(told("path"), ("\"elsewhere\"", "--models"));
        assert_eq!(told("request_timeout"), ("\"30s\"", "the default"));
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnxd.toml");
        std::fs::write(&file, "[server]\nlisten_ = \"127.0.0.1:1\"\n").unwrap();
        let error = ServerConfig::load(Some(&file), &Flags::default()).unwrap_err().to_string();
        assert!(error.contains("`listen_` in server") && error.contains("`listen`?"), "{error}");
        assert!(error.contains("onnxd.toml"), "{error}");
    }
}
