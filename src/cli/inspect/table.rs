//! The report for people.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::inspect::{Axis, Measured, Network, Report, Runs, Value};
use crate::tasks::ASSUMED;

/// Operators that are listed; JSON has all of them.
const OPERATORS: usize = 8;

pub fn of(report: &Report) -> String {
    let mut text = String::new();
    let Report { model, version, folder, task, notes, runs, odd, error, .. } = report;
    let of_task = task.as_deref().unwrap_or("no task");
    // A string takes anything.
    let _ = writeln!(text, "{model}, version {version}: {of_task}, in {}", folder.display());
    if let Some(network) = &report.network {
        section(&mut text, "Network", facts(network));
        let inputs = network.inputs.iter().map(|value| signature("input", value));
        let outputs = network.outputs.iter().map(|value| signature("output", value));
        section(&mut text, "Inputs and outputs", inputs.chain(outputs).collect());
    }
    let notes =
        notes.iter().map(|note| vec![note.what.to_owned(), note.value.clone(), from(&note.from)]);
    section(&mut text, "Before and after the network", notes.collect());
    if let Some(runs) = runs {
        section(&mut text, "Serving", serving(report, runs));
    }
    let odd: Vec<_> = odd.iter().map(|odd| vec![format!("• {odd}")]).collect();
    section(&mut text, "Odd", odd);
    if let Some(error) = error {
        let _ = writeln!(text, "\nIt cannot be served: {error}");
    }
    text
}

fn section(text: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.add_rows(rows);
    let _ = writeln!(text, "\n{title}");
    for line in table.to_string().lines() {
        let _ = writeln!(text, " {}", line.trim_end());
    }
}

fn row(what: &str, value: impl Into<String>) -> Vec<String> {
    vec![what.to_owned(), value.into()]
}

fn from(from: &str) -> String {
    if from == ASSUMED { format!("by {from}") } else { format!("from {from}") }
}

fn facts(network: &Network) -> Vec<Vec<String>> {
    let mut rows = vec![row(
        "file",
        format!("{}, {}, {}", network.file, network.format, bytes(network.bytes)),
    )];
    for data in &network.external_data {
        rows.push(row("external data", format!("{}, {}", data.file.display(), bytes(data.bytes))));
    }
    if let Some(producer) = &network.producer {
        rows.push(row("producer", producer));
    }
    if let Some(graph) = &network.graph {
        rows.push(row("graph", graph));
    }
    if let Some(ir) = network.ir_version {
        let opsets: Vec<_> =
            network.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
        rows.push(row("opsets", format!("{} (IR {ir})", opsets.join(", "))));
    }
    if !network.parameters.is_empty() {
        let count: u64 = network.parameters.iter().map(|parameters| parameters.count).sum();
        let by_type: Vec<_> = network
            .parameters
            .iter()
            .map(|of| format!("{} {} ({})", thousands(of.count), of.r#type, bytes(of.bytes)))
            .collect();
        rows.push(row("parameters", format!("{}: {}", thousands(count), by_type.join(", "))));
    }
    if network.nodes > 0 {
        let common: Vec<_> = network
            .operators
            .iter()
            .take(OPERATORS)
            .map(|operator| format!("{} {}", operator.count, operator.name))
            .collect();
        let rest = if network.operators.len() > OPERATORS { ", …" } else { "" };
        rows.push(row("nodes", format!("{}: {}{rest}", network.nodes, common.join(", "))));
    }
    rows
}

fn signature(what: &str, Value { name, r#type, shape }: &Value) -> Vec<String> {
    let axes: Vec<_> = shape
        .iter()
        .map(|axis| match axis {
            Axis::Length(length) => length.to_string(),
            Axis::Open(name) => name.clone(),
        })
        .collect();
    vec![what.to_owned(), name.clone(), r#type.clone(), format!("[{}]", axes.join(", "))]
}

fn serving(report: &Report, runs: &Runs) -> Vec<Vec<String>> {
    let mut rows = vec![
        row("device", format!("{} ({})", runs.device, runs.device_from)),
        row("network", format!("{} ({})", runs.file, runs.file_from)),
    ];
    for variant in &report.variants {
        let size = variant.bytes.map_or_else(|| "missing".to_owned(), bytes);
        let told = format!("{}: {}, {size}", variant.device, variant.file.display());
        rows.push(row("variant", told));
    }
    rows.push(row("golden inputs", report.golden_inputs.to_string()));
    let Some(measured) = &runs.measured else { return rows };
    let Measured { sessions, threads_a_run, threads_of_a_lone_request, .. } = measured;
    let lone = threads_of_a_lone_request.map_or(String::new(), |threads| {
        format!("; {threads} threads for a request that is alone")
    });
    rows.push(row("sessions", format!("{sessions} × {threads_a_run} threads{lone}")));
    let items = if measured.max_batch_size == 1 { "item" } else { "items" };
    rows.push(row("largest batch", format!("{} {items}", measured.max_batch_size)));
    let batch = measured.batch_p50_ms.map_or(String::new(), |time| {
        format!("; {time:.2} ms of {} at once", measured.max_batch_size)
    });
    rows.push(row("latency, p50", format!("{:.2} ms of one item{batch}", measured.single_p50_ms)));
    let (weights, working) = (bytes(measured.weights_bytes), bytes(measured.working_bytes as u64));
    rows.push(row("memory", format!("{weights} of weights, {working} kept for runs")));
    if let (Some(model), Some(process)) = (measured.model_bytes, measured.process_bytes) {
        let (model, process) = (bytes(model as u64), bytes(process as u64));
        rows.push(row("resident memory", format!("{model} for the model, {process} in all")));
    }
    rows.push(row("load", format!("{:.0} ms", measured.load_seconds * 1e3)));
    rows
}

/// Decimal units, as disks and networks have them.
fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut size = bytes as f64 / 1e3;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1e3;
        unit += 1;
    }
    let digits = usize::from(size < 10.0);
    format!("{size:.digits$} {}", units[unit])
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
