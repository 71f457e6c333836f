//! The figures for people.

use comfy_table::Table;

use super::report::{ClosedLoop, Part, Ratio, Report};
use crate::cli::figures::table;
use crate::load::summary::Summary;

/// Everything that is told, a line break at its end.
pub fn text(report: &Report) -> String {
    let what = &report.what;
    format!(
        "{} ({}, {} on {}), {}, {}, {} of {}\n\
         each part {} s in {} rounds; items a second are medians of the rounds\n\n{}\n\n{}\n\n{}",
        what.model,
        what.task,
        what.file,
        what.device,
        count(what.inputs, "input"),
        count(what.cores, "core"),
        count(what.sessions, "session"),
        count(what.threads_a_session, "thread"),
        number(what.seconds),
        what.rounds,
        parts(report),
        rates(report),
        summary(report)
    )
}

fn parts(report: &Report) -> Table {
    let header = ["part", "load", "items/s", "p50 ms", "p90 ms", "p99 ms", "CPU ms/item"];
    let mut table = table(&header, 2);
    let mut row = |name: &str, load: String, part: &Part, cpu: Option<f64>| {
        let Summary { p50, p90, p99, .. } = part.latency_ms;
        let figures = [part.throughput, p50, p90, p99].map(number);
        let cpu = cpu.map_or_else(String::new, number);
        table.add_row([vec![name.to_owned(), load], figures.to_vec(), vec![cpu]].concat());
    };
    let threads = || count(report.what.cores, "thread");
    let by_hand = &report.by_hand;
    row("session alone", threads(), &by_hand.session, None);
    for (name, part) in [("decode", &by_hand.decode), ("pre-process", &by_hand.preprocess)] {
        if let Some(part) = part {
            row(name, threads(), part, None);
        }
    }
    row("in-process loop", threads(), &by_hand.all, Some(by_hand.cpu_ms_an_item));
    let closed = |of: &ClosedLoop| count(of.clients, "client");
    for of in &report.noop {
        row("no-op over HTTP", closed(of), &of.part, of.cpu_ms_an_item);
    }
    for server in std::iter::once(&report.served).chain(&report.others) {
        for of in &server.closed {
            row(&server.name, closed(of), &of.part, of.cpu_ms_an_item);
        }
    }
    table
}

fn rates(report: &Report) -> Table {
    let objective = report.objective.as_str();
    let header = ["open loop", "asked/s", "asked", "p50 ms", "p90 ms", "p99 ms", "lost", objective];
    let mut table = table(&header, 1);
    for server in std::iter::once(&report.served).chain(&report.others) {
        for load in &server.open {
            let Summary { p50, p90, p99, .. } = load.latency_ms;
            table.add_row([
                server.name.clone(),
                number(load.rate),
                load.asked.to_string(),
                number(p50),
                number(p90),
                number(p99),
                (load.failed + load.given_up).to_string(),
                if load.meets_objective { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    table
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    let efficiency = &report.efficiency;
    text += &format!(
        "efficiency, {} clients: {} of the in-process loop, {} of the session alone\n",
        efficiency.clients,
        ratio(&efficiency.served_to_loop),
        ratio(&efficiency.served_to_session)
    );
    let one = &report.one_item_ms;
    text += &format!(
        "added p50, 1 client: {} ms, beside one item by hand: {} decode + {} pre-process + {} \
         session\n",
        number(report.added_p50_ms),
        number(one.decode),
        number(one.preprocess),
        number(one.session)
    );
    text += &match report.knee {
        None => format!("knee: no rate meets {}\n", report.objective),
        Some(knee) => format!("knee: {} a second meet {}\n", number(knee), report.objective),
    };
    for past in &report.goodput {
        text += &format!(
            "goodput at {} x the knee: {} a second of {}\n",
            past.times_knee,
            number(past.goodput),
            number(past.load.rate)
        );
    }
    if let Some((cpu, share)) =
        report.crowd().and_then(|crowd| crowd.cpu_ms_an_item.zip(crowd.server_share_of_cpu))
    {
        text += &format!(
            "CPU, {} clients: {} ms of the server an item, {} by hand; the server had {:.0} % of \
             what it and the load generator took\n",
            efficiency.clients,
            number(cpu),
            number(report.by_hand.cpu_ms_an_item),
            share * 100.0
        );
    }
    for server in std::iter::once(&report.served).chain(&report.others) {
        let closed = server.closed.iter().filter_map(|of| of.failure.as_ref());
        let open = server.open.iter().filter_map(|of| of.failure.as_ref());
        if let Some(failure) = closed.chain(open).next() {
            text += &format!("{}: some requests failed, for example: {failure}\n", server.name);
        }
    }
    text
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn ratio(ratio: &Ratio) -> String {
    let [low, high] = ratio.quartiles;
    format!("{:.3} ({low:.3} to {high:.3})", ratio.median)
}

/// Three digits, or all before the point.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}
