//! The log: its filter, its form, and panics as lines of it.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::bound::Bound;
use super::writer::{Form, Writer};
use crate::config::{Log, LogFormat};

/// Logs go to standard error; standard output is for answers.
pub fn start(log: &Log) -> anyhow::Result<Writer> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) => EnvFilter::try_new(filter).context("RUST_LOG")?,
        Err(_) => EnvFilter::try_new(&log.filter).context("log.filter")?,
    };
    let form = form(log.format, std::io::stderr().is_terminal());
    let bound = Bound::new(log.failures_per_second);
    let told = bound.clone();
    let writer = Writer::start(std::io::stderr(), form, move || told.tell())
        .context("cannot start the log's thread")?;
    let lines = writer.lines();
    let layer = tracing_subscriber::fmt::layer()
        // Colours are escape sequences, which nothing in a line may have.
        .with_ansi(false)
        .with_writer(move || lines.clone());
    let registry = tracing_subscriber::registry().with(filter).with(bound);
    match form {
        Form::Json => {
            let json = layer.json().flatten_event(true);
            let json = json.with_current_span(false).with_span_list(false);
            registry.with(json).try_init()
        }
        Form::Text => registry.with(layer).try_init(),
    }
    .context("the log is started already")?;
    std::panic::set_hook(Box::new(panicked));
    Ok(writer)
}

fn form(format: LogFormat, terminal: bool) -> Form {
    match (format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Form::Json,
        (LogFormat::Text, _) | (LogFormat::Auto, true) => Form::Text,
    }
}

/// In the place of the standard hook, which writes several lines and waits for standard error.
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    // A message that is put together at run time may quote a client's text.
    let said = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(location, thread = thread.name(), said, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_text_for_people_and_json_for_machines() {
        assert_eq!(form(LogFormat::Auto, true), Form::Text);
        assert_eq!(form(LogFormat::Auto, false), Form::Json);
        assert_eq!(form(LogFormat::Text, false), Form::Text);
        assert_eq!(form(LogFormat::Json, true), Form::Json);
    }
}
