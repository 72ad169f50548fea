//! The page of a run: what a reader has to know first, plots, tables, the
//! machine and the exact command.

use super::curves::{
    Course, Curve, Slice, by_percentile, by_rate, latency_over_time, slices, throughput_over_time,
};
use super::markup::{banner, command, document, escape, facts, figure, grid, tile};
use super::numbers::{
    bytes, count, date, digits, nanoseconds, percent, seconds, shell_line, short_rate, whole,
};
use super::terminal::complaints;
use crate::result::{Latencies, Machine, Pacing, QUANTILES, RunResult, Search};

/// The page of one run; a mix has one result for each load.
pub fn page(results: &[RunResult]) -> String {
    let Some(first) = results.first() else {
        return document("loadgen", "<h1>Nothing was run</h1>\n");
    };
    let title = match results {
        [only] => only.title.clone(),
        several => format!("{} loads at once", several.len()),
    };
    let mut body = header(&title, first);
    body.push_str(&state(results));
    body.push_str(&match results {
        [only] => tiles(only),
        several => loads_table(several),
    });
    body.push_str(&plots(results));
    body.push_str(&tables(results));
    body.push_str(&command("Command", &shell_line(&first.command)));
    body.push_str(&footer(first.pacing, &first.loadgen_version));
    document(&format!("{title} - loadgen"), &body)
}

fn header(title: &str, result: &RunResult) -> String {
    format!(
        "<header>\n<h1>{}</h1>\n<p><span class=\"badge\">{}</span>{}</p>\n</header>\n",
        escape(title),
        result.pacing,
        escape(&format!(
            "server {} at {} · {} · {} measured after {} of warm-up",
            result.server.version,
            result.server.address,
            date(result.started_unix_ms),
            seconds(result.measured_ns),
            seconds(result.warmup_ns)
        ))
    )
}

/// Whether the figures may be believed.
fn state(results: &[RunResult]) -> String {
    let mut bad = Vec::new();
    let mut notes = Vec::new();
    for result in results {
        let prefix = match results.len() {
            1 => String::new(),
            _ => format!("{}: ", result.title),
        };
        bad.extend(
            complaints(result)
                .iter()
                .map(|text| format!("{prefix}{text}")),
        );
        notes.extend(result.notes.iter().map(|text| format!("{prefix}{text}")));
    }
    // Loads of one run share the server's errors.
    bad.dedup();
    let mut out = banner("bad", &bad);
    let received: u64 = results.iter().map(|result| result.counts.received).sum();
    if bad.is_empty() && received > 0 {
        let text = format!(
            "All {} messages arrived exactly once, in order and unchanged.",
            whole(received)
        );
        out.push_str(&banner("good", &[text]));
    }
    out.push_str(&banner("warn", &notes));
    out
}

fn tiles(result: &RunResult) -> String {
    let mut out = String::from("<div class=\"tiles\">\n");
    let latency = &result.latency;
    if !latency.is_empty() {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let note = match latency.supports(quantile) {
                true => "latency",
                false => "latency, of few messages",
            };
            out.push_str(&tile(name, &nanoseconds(latency.at(quantile) as f64), note));
        }
        let max = nanoseconds(latency.max() as f64);
        out.push_str(&tile("maximum", &max, "latency"));
    }
    if result.measured_ns > 0 && result.measured_received > 0 {
        let rate = format!("{}/s", short_rate(result.received_per_second()));
        let payload = format!("{}/s of payload", bytes(result.bytes_per_second()));
        out.push_str(&tile("received", &rate, &payload));
    }
    if let Some(cost) = &result.cost
        && let Some(each) = cost.cpu_ns_per_message()
    {
        let note = format!("of the server, a message {}", cost.counted_by);
        out.push_str(&tile("CPU time", &nanoseconds(each), &note));
    }
    if let Some(growth) = &result.growth
        && let Some(each) = growth.bytes_each()
    {
        let note = format!(
            "resident, for each of {} {}",
            whole(growth.count),
            growth.what
        );
        out.push_str(&tile("memory", &bytes(each), &note));
    }
    for figure in &result.figures {
        out.push_str(&tile(&figure.name, &digits(figure.value), &figure.unit));
    }
    out.push_str("</div>\n");
    out
}

/// One line for each load of a mix.
fn loads_table(results: &[RunResult]) -> String {
    let mut head = vec!["load".to_owned(), "sent/s".into(), "received/s".into()];
    head.extend(QUANTILES.map(|(name, _)| name.to_owned()));
    head.extend(["max".to_owned(), "faults".to_owned()]);
    let rows: Vec<Vec<String>> = results
        .iter()
        .enumerate()
        .map(|(index, result)| {
            let mut cells = vec![
                format!(
                    "<span class=\"key bold c{}\"><i></i>{}</span> <small>{}</small>",
                    index % 6,
                    escape(&result.title),
                    result.pacing
                ),
                count(result.sent_per_second()),
                count(result.received_per_second()),
            ];
            for (_, quantile) in QUANTILES {
                cells.push(nanoseconds(result.latency.at(quantile) as f64));
            }
            cells.push(nanoseconds(result.latency.max() as f64));
            let faults = result.counts.complaints();
            cells.push(match faults.len() {
                0 => "none".into(),
                _ => faults.join(", "),
            });
            cells
        })
        .collect();
    format!(
        "<section class=\"summary\"><h2>Loads</h2>{}</section>\n",
        grid(&head, &rows)
    )
}

fn plots(results: &[RunResult]) -> String {
    let alone = results.len() == 1;
    let cut: Vec<Vec<Slice>> = results.iter().map(slices).collect();
    let curves: Vec<Curve<'_>> = results
        .iter()
        .enumerate()
        .map(|(index, result)| Curve {
            label: match alone {
                true => "latency".into(),
                false => result.title.clone(),
            },
            class: format!("c{} bold", index % 6),
            latency: &result.latency,
        })
        .collect();
    let courses: Vec<Course<'_>> = results
        .iter()
        .zip(&cut)
        .map(|(result, slices)| Course {
            label: match alone {
                true => String::new(),
                false => result.title.clone(),
            },
            slices,
            measured: result.seconds(),
        })
        .collect();
    let mut out = String::new();
    for search in results.iter().filter_map(|result| result.search.as_ref()) {
        out.push_str(&rates_tried(search));
    }
    if let Some(plot) = by_percentile(&curves) {
        out.push_str(&figure(
            "Latency by percentile",
            &percentile_note(&results[0]),
            &plot,
        ));
    }
    if let Some(plot) = latency_over_time(&courses) {
        out.push_str(&figure(
            "Latency over time",
            "Each second's own figures, counted where the message arrived. Logarithmic.",
            &plot,
        ));
    }
    if let Some(plot) = throughput_over_time(&courses) {
        out.push_str(&figure("Throughput over time", "", &plot));
    }
    out
}

/// The rates that a search tried. What follows on the page is its best run.
fn rates_tried(search: &Search) -> String {
    let rows: Vec<Vec<String>> = search
        .steps
        .iter()
        .map(|step| {
            let latency = step.latency.unpack();
            let show = |value: u64| match latency.is_empty() {
                true => "-".into(),
                false => nanoseconds(value as f64),
            };
            vec![
                format!("{}/s", whole(step.rate)),
                format!("{}/s", count(step.sent_per_second)),
                format!("{}/s", count(step.received_per_second)),
                show(latency.at(0.5)),
                show(latency.at(0.99)),
                show(latency.at(0.999)),
                show(latency.max()),
                match &step.objection {
                    None => "<span class=\"why wins\">holds</span>".into(),
                    Some(why) => format!("<span class=\"why\">{}</span>", escape(why)),
                },
            ]
        })
        .collect();
    let head = ["rate", "sent", "received", "p50", "p99", "p99.9", "max", ""].map(str::to_owned);
    let table = format!(
        "<section class=\"summary\"><h2>Rates in the order tried</h2>{}</section>\n",
        grid(&head, &rows)
    );
    let note = "Each point is a run at a fixed rate. What follows below the table is the run at the \
                highest rate that held.";
    let plot = by_rate(search).map(|plot| figure("Latency by rate", note, &plot));
    plot.unwrap_or_default() + &table
}

fn percentile_note(result: &RunResult) -> String {
    let measured = match result.latency_measured.as_str() {
        "" => String::new(),
        text => format!("Measured: {text}. "),
    };
    format!(
        "{measured}Each step to the right is one nine more: at 99.9 %, one message in a thousand \
         was slower than the curve. Both axes logarithmic."
    )
}

fn tables(results: &[RunResult]) -> String {
    let first = &results[0];
    let mut left = Vec::new();
    let mut right = Vec::new();
    if let [only] = results {
        left.push(facts("Latency", &latency_facts(&only.latency)));
        right.push(facts("Messages", &message_facts(only)));
    }
    for result in results {
        let heading = match results.len() {
            1 => "Workload".to_owned(),
            _ => format!("Workload: {}", result.title),
        };
        left.push(facts(&heading, &workload_facts(result)));
    }
    right.push(facts("Server", &server_facts(first)));
    right.push(facts("Load generator", &loadgen_facts(first)));
    left.push(facts("Machine", &machine_facts(&first.machine)));
    format!(
        "<div class=\"pair\">\n<div>{}</div>\n<div>{}</div>\n</div>\n",
        left.concat(),
        right.concat()
    )
}

fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn latency_facts(latency: &Latencies) -> Vec<(String, String)> {
    if latency.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![
        fact("minimum", nanoseconds(latency.min() as f64)),
        fact("mean", nanoseconds(latency.mean())),
    ];
    for (name, quantile) in QUANTILES {
        let value = nanoseconds(latency.at(quantile) as f64);
        rows.push(match latency.supports(quantile) {
            true => fact(name, value),
            false => fact(
                name,
                format!("{value} (fewer than 10 messages were slower)"),
            ),
        });
    }
    rows.push(fact("maximum", nanoseconds(latency.max() as f64)));
    rows.push(fact("messages", whole(latency.count())));
    rows
}

fn message_facts(result: &RunResult) -> Vec<(String, String)> {
    let counts = &result.counts;
    vec![
        fact("sent", whole(counts.sent)),
        fact("received", whole(counts.received)),
        fact("lost", whole(counts.lost)),
        fact("duplicated", whole(counts.duplicated)),
        fact("reordered", whole(counts.reordered)),
        fact("damaged", whole(counts.damaged)),
        fact("sent a second", count(result.sent_per_second())),
        fact("received a second", count(result.received_per_second())),
        fact(
            "payload received",
            format!("{}/s", bytes(result.bytes_per_second())),
        ),
    ]
}

fn workload_facts(result: &RunResult) -> Vec<(String, String)> {
    let mut rows = vec![fact("load", result.pacing.to_string())];
    rows.extend(
        result
            .parameters
            .iter()
            .map(|parameter| fact(&parameter.name, parameter.value.clone())),
    );
    rows
}

fn server_facts(result: &RunResult) -> Vec<(String, String)> {
    let server = &result.server;
    let mut rows = vec![
        fact("version", server.version.clone()),
        fact("name", server.name.clone()),
        fact("address", server.address.clone()),
    ];
    rows.extend(server.command.as_ref().map(|text| fact("command", text)));
    rows.extend(
        server
            .cpus
            .as_ref()
            .map(|text| fact("pinned to CPUs", text)),
    );
    if let Some(cost) = &result.cost {
        if let Some(each) = cost.cpu_ns_per_message() {
            let name = format!("CPU time a message {}", cost.counted_by);
            rows.push(fact(&name, nanoseconds(each)));
        }
        rows.push(fact("CPUs used", digits(cost.cpus_used)));
        let memory = |value: u64| bytes(value as f64);
        rows.push(fact(
            "resident memory",
            format!(
                "{} before, {} after, {} at most",
                memory(cost.resident_before),
                memory(cost.resident_after),
                memory(cost.resident_peak)
            ),
        ));
        let rate = |switches: u64| digits(switches as f64 / result.seconds().max(1e-9));
        rows.push(fact(
            "context switches a second",
            format!(
                "{} voluntary, {} involuntary",
                rate(cost.voluntary_switches),
                rate(cost.involuntary_switches)
            ),
        ));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

fn loadgen_facts(result: &RunResult) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = result
        .threads
        .iter()
        .enumerate()
        .map(|(index, thread)| {
            let place = thread
                .cpu
                .map_or("not pinned".into(), |cpu| format!("CPU {cpu}"));
            fact(
                &format!("thread {}", index + 1),
                format!(
                    "{} busy, {place}, {} connections",
                    percent(thread.busy),
                    thread.connections
                ),
            )
        })
        .collect();
    if let Some(lag) = &result.schedule_lag {
        rows.push(fact(
            "sent behind schedule",
            format!(
                "p50 {}, p99 {}, max {}",
                nanoseconds(lag.at(0.5) as f64),
                nanoseconds(lag.at(0.99) as f64),
                nanoseconds(lag.max() as f64)
            ),
        ));
    }
    rows
}

/// The machine, for this page and that of comparisons.
pub fn machine_facts(machine: &Machine) -> Vec<(String, String)> {
    let mut rows = vec![
        fact("processor", machine.cpu_model.clone()),
        fact("CPUs online", machine.cpus.to_string()),
        fact("memory", bytes(machine.memory as f64)),
        fact("kernel", machine.kernel.clone()),
        fact(
            "frequency governor",
            machine.governor.clone().unwrap_or("not visible".into()),
        ),
        fact(
            "hypervisor",
            machine.hypervisor.clone().unwrap_or("none seen".into()),
        ),
        fact(
            "isolated CPUs",
            match machine.isolation.as_slice() {
                [] => "none".into(),
                words => words.join(" "),
            },
        ),
    ];
    rows.extend(
        machine
            .clock_source
            .as_ref()
            .map(|clock| fact("clock source", clock)),
    );
    rows
}

/// How to read the page.
fn footer(pacing: Pacing, version: &str) -> String {
    let reading = match pacing {
        Pacing::OpenLoop => {
            "Open loop: messages are due at fixed times whatever the server does, and latency counts \
             from the time a message was due. What waits behind a stall counts in full."
        }
        Pacing::ClosedLoop => {
            "Closed loop: a message is sent when an earlier one has arrived. While the server stalls, \
             nothing is sent and nothing counts, so the tail looks better than independent users \
             would see it."
        }
        Pacing::AsFastAsItGoes => {
            "As fast as it goes: queues are full on purpose, so latency is mostly waiting in them. \
             Read throughput and CPU time here, latency elsewhere."
        }
    };
    format!(
        "<footer>\n<p>{}</p>\n<p>loadgen {}</p>\n</footer>\n",
        escape(reading),
        escape(version)
    )
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::result::{
        Counts, INTERVAL_NS, Interval, LoadThread, PackedLatencies, Parameter, Server, ServerCost,
        Step,
    };

    /// A run of five seconds with all there is.
    pub fn example() -> RunResult {
        let mut latency = Latencies::default();
        let mut intervals = Vec::new();
        for second in 0..5_u64 {
            let mut own = Latencies::default();
            for n in 0..4000_u64 {
                // Mostly around 40 µs, a long tail, worse in the fourth second.
                let tail = if n % 500 == 0 { 30 * n } else { 0 };
                let stall = if second == 3 && n > 3900 {
                    5_000_000
                } else {
                    0
                };
                own.record(38_000 + (n * 7919) % 9000 + tail + stall);
            }
            latency.merge(&own);
            intervals.push(Interval {
                start_ns: second * INTERVAL_NS,
                sent: 400,
                received: 4000,
                bytes: 4000 * 128,
                latency: PackedLatencies::of(&own),
            });
        }
        let mut lag = Latencies::default();
        lag.record(900);
        RunResult {
            title: "fanout 1 to 10".into(),
            command: ["loadgen", "fanout", "--subject", "a & <b>"]
                .map(str::to_owned)
                .into(),
            loadgen_version: "0.1.0".into(),
            machine: Machine::read(),
            server: Server {
                address: "127.0.0.1:4222".into(),
                name: "NDEMO".into(),
                version: "2.15.1".into(),
                command: Some("nats-server -a 127.0.0.1".into()),
                cpus: Some("0".into()),
            },
            pacing: Pacing::OpenLoop,
            parameters: vec![Parameter {
                name: "rate".into(),
                value: "400 messages/s".into(),
            }],
            started_unix_ms: 1_764_096_148_500,
            warmup_ns: INTERVAL_NS,
            measured_ns: 5 * INTERVAL_NS,
            latency_measured: "intended send time to arrival".into(),
            latency,
            intervals,
            counts: Counts {
                sent: 2400,
                received: 24_000,
                ..Counts::default()
            },
            measured_sent: 2000,
            measured_received: 20_000,
            measured_bytes: 20_000 * 128,
            schedule_lag: Some(lag),
            threads: vec![LoadThread {
                cpu: Some(1),
                connections: 11,
                busy: 0.31,
            }],
            cost: Some(ServerCost {
                cpu_ns: 62_000_000,
                messages: 20_000,
                counted_by: "delivered".into(),
                cpus_used: 0.012,
                resident_before: 5 << 20,
                resident_after: 6 << 20,
                resident_peak: 7 << 20,
                voluntary_switches: 5000,
                involuntary_switches: 10,
            }),
            complete: true,
            ..RunResult::default()
        }
    }

    /// That `html` is one well-formed document which loads nothing.
    pub fn assert_sound(html: &str) {
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..Default::default()
        };
        let tree = roxmltree::Document::parse_with_options(html, options).unwrap();
        for node in tree.descendants() {
            for attribute in node.attributes() {
                let name = attribute.name();
                let loads = ["src", "href", "srcset", "data", "action"].contains(&name);
                assert!(!loads, "{name}=\"{}\"", attribute.value());
            }
            assert!(!["link", "img", "iframe", "object", "base"].contains(&node.tag_name().name()));
        }
        for word in ["://", "url(", "@import", "NaN", "inf\""] {
            assert!(!html.contains(word), "{word}");
        }
    }

    #[test]
    fn the_page_is_well_formed_and_loads_nothing() {
        let html = page(&[example()]);
        assert_sound(&html);
        assert_eq!(html.matches("<svg").count(), 3);
        assert!(html.contains("loadgen fanout --subject &#39;a &amp; &lt;b&gt;&#39;"));
        assert!(html.contains("arrived exactly once"));
    }

    #[test]
    fn what_went_wrong_stands_before_all_figures() {
        let mut result = example();
        result.counts.lost = 7;
        result.faults.push("<script>alert(1)</script>".into());
        let html = page(&[result]);
        assert_sound(&html);
        let fault = html.find("7 lost").unwrap();
        assert!(fault < html.find("class=\"tiles\"").unwrap());
        assert!(!html.contains("arrived exactly once"));
        assert!(!html.contains("<script>alert"));
    }

    #[test]
    fn several_loads_share_the_plots() {
        let mut second = example();
        second.title = "request <2>".into();
        let html = page(&[example(), second]);
        assert_sound(&html);
        assert_eq!(html.matches("<svg").count(), 3);
        assert!(html.contains("2 loads at once") && html.contains("request &lt;2&gt; p99"));
    }

    #[test]
    fn a_search_shows_the_rates_it_tried() {
        let step = |rate, objection: Option<&str>| Step {
            rate,
            objection: objection.map(str::to_owned),
            sent_per_second: rate as f64,
            received_per_second: rate as f64,
            latency: PackedLatencies::of(&example().latency),
        };
        let mut result = example();
        result.search = Some(Search {
            objective: "p99 ≤ 1 ms".into(),
            limit_ns: 1_000_000,
            steps: vec![
                step(1000, None),
                step(4000, Some("lost <3>")),
                step(2000, None),
                step(0, None),
            ],
        });
        let html = page(std::slice::from_ref(&result));
        assert_sound(&html);
        assert_eq!(html.matches("<svg").count(), 4);
        assert!(html.contains("does not hold") && html.contains("lost &lt;3&gt;"));
        result.search = Some(Search::default());
        assert_sound(&page(&[result]));
    }

    #[test]
    fn pages_of_little_or_nothing_are_sound_too() {
        assert_sound(&page(&[]));
        assert_sound(&page(&[RunResult::default()]));
        let mut short = example();
        short.intervals.truncate(1);
        short.measured_ns = 500_000_000;
        short.latency = Latencies::default();
        short.latency.record(5);
        assert_sound(&page(&[short]));
    }
}
