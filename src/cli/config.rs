//! `onnxd config`: the configuration in effect, and where each value came from.

use std::io::Write;

use clap::Args;

use super::{Common, ExitCode};
use crate::config::ServerConfig;

/// Print the configuration in effect, and where each value comes from.
#[derive(Args)]
pub struct Config {
    #[command(flatten)]
    common: Common,
}

pub fn run(command: Config) -> anyhow::Result<ExitCode> {
    let flags = command.common.flags(None);
    let settings = ServerConfig::settings(command.common.config.as_deref(), &flags)?;
    let line = |key: &str, value: &str| format!("{key} = {value}");
    let lines = settings.iter().map(|setting| line(&setting.key, &setting.value).chars().count());
    // Long values do not push the comments of all others away.
    let width = lines.filter(|width| *width <= 60).max().unwrap_or(0);
    let mut text = String::new();
    let mut section = "";
    for setting in &settings {
        if setting.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = &setting.section;
            text += &format!("{gap}[{section}]\n");
        }
        let line = line(&setting.key, &setting.value);
        text += &format!("{line:width$}  # {}\n", setting.origin);
    }
    // A reader that has seen enough is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
