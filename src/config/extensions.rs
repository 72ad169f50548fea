//! What this server adds to the options of nats-server: which CPUs it runs on, how long an idle
//! core polls, and what it asks of the host. As a block of the file:
//!
//! ```text
//! ringwire {
//!   cores: 4            # or: cpus: "2-5,8"
//!   spin: "50us"        # a number is microseconds; or: forever
//!   busy_poll: 20       # microseconds, or a duration
//!   lock_memory: true
//!   huge_pages: true
//!   realtime: 10        # priority of SCHED_FIFO, 1 to 99
//!   accept: least       # or: round_robin, incoming_cpu
//! }
//! ```
//!
//! and as flags of the same names.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use super::defaults;
use super::diagnostics::{Problem, Report};
use super::options::{Accept, HostOptions, Options, Placement, Spin};
use super::read;
use super::text::{parse_duration, quoted};
use super::value::{Kind, Value};
use crate::broker::core::CORES_MAX;

/// Reads the block `ringwire`.
pub(super) fn block(value: &Value, options: &mut Options, report: &mut Report) {
    let Some(block) = read::map(value, report) else {
        return;
    };
    let mut placement = None;
    for (key, value) in block.iter() {
        let done = match key.to_lowercase().as_str() {
            name @ ("cores" | "cpus") => {
                if placement.is_some() {
                    report.text(&value.position, "\"cores\" and \"cpus\" exclude each other");
                    continue;
                }
                let read = if name == "cores" {
                    cores_value(value)
                } else {
                    cpus_value(value)
                };
                read.map(|read| placement = Some(read))
            }
            "spin" => spin_value(value).map(|spin| options.spin = spin),
            name @ ("busy_poll" | "lock_memory" | "huge_pages" | "realtime" | "accept") => {
                host_option(name, value, &mut options.host_options)
            }
            _ if value.used_as_variable.get() => Ok(()),
            _ => {
                report.error(&value.position, Problem::UnknownField(key.to_owned()));
                Ok(())
            }
        };
        if let Err(message) = done {
            report.text(&value.position, message);
        }
    }
    if let Some(placement) = placement {
        options.placement = placement;
    }
}

fn cores_value(value: &Value) -> Result<Placement, String> {
    match &value.kind {
        Kind::Integer(count) => cores(*count),
        other => Err(format!("cores must be a number, got {}", other.type_name())),
    }
}

fn cpus_value(value: &Value) -> Result<Placement, String> {
    match &value.kind {
        Kind::String(list) => cpus(list),
        Kind::Integer(cpu) => cpus(&cpu.to_string()),
        Kind::Array(values) => {
            let mut list = Vec::with_capacity(values.len());
            for value in values {
                match &value.kind {
                    Kind::String(part) => list.push(part.clone()),
                    Kind::Integer(cpu) => list.push(cpu.to_string()),
                    other => {
                        return Err(format!("cpus must be numbers, got {}", other.type_name()));
                    }
                }
            }
            cpus(&list.join(","))
        }
        other => Err(format!(
            "cpus must be a list such as \"2-5,8\", got {}",
            other.type_name()
        )),
    }
}

fn spin_value(value: &Value) -> Result<Spin, String> {
    match &value.kind {
        Kind::String(text) => spin(text),
        Kind::Integer(micros) => spin(&micros.to_string()),
        other => Err(format!(
            "spin must be microseconds, a duration or forever, got {}",
            other.type_name()
        )),
    }
}

fn host_option(name: &str, value: &Value, host: &mut HostOptions) -> Result<(), String> {
    match (name, &value.kind) {
        ("busy_poll", Kind::Integer(micros)) => host.busy_poll = busy_poll(&micros.to_string())?,
        ("busy_poll", Kind::String(text)) => host.busy_poll = busy_poll(text)?,
        ("lock_memory", Kind::Bool(on)) => host.lock_memory = *on,
        ("huge_pages", Kind::Bool(on)) => host.huge_pages = *on,
        ("realtime", Kind::Integer(priority)) => host.realtime = realtime(*priority)?,
        ("accept", Kind::String(name)) => host.accept = accept(name)?,
        (name, other) => {
            let wanted = match name {
                "busy_poll" => "microseconds or a duration",
                "lock_memory" | "huge_pages" => "true or false",
                "realtime" => "a priority",
                _ => "a name",
            };
            return Err(format!(
                "{name} must be {wanted}, got {}",
                other.type_name()
            ));
        }
    }
    Ok(())
}

/// A number of cores, from 1 to [`CORES_MAX`].
pub(super) fn cores(count: i64) -> Result<Placement, String> {
    u32::try_from(count)
        .ok()
        .filter(|&count| count as usize <= CORES_MAX)
        .and_then(NonZeroU32::new)
        .map(Placement::Count)
        .ok_or_else(|| format!("cores must be between 1 and {}, got {count}", CORES_MAX))
}

/// A list of CPU numbers and ranges such as `2-5,8`.
pub(super) fn cpus(list: &str) -> Result<Placement, String> {
    let bad = |why: &str| format!("cpus {} {why}", quoted(list));
    let mut cpus = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(bad("is not a list such as 2-5,8"));
        };
        if last > defaults::MAX_CPU {
            return Err(bad(&format!("names a CPU above {}", defaults::MAX_CPU)));
        }
        if first > last {
            return Err(bad("has a range that runs backwards"));
        }
        cpus.extend(first..=last);
    }
    if cpus.len() > CORES_MAX {
        return Err(bad(&format!("names more than {} CPUs", CORES_MAX)));
    }
    Ok(Placement::Cpus(cpus.into_iter().collect()))
}

/// A polling time: microseconds, a duration with a unit, or `forever`.
pub(super) fn spin(text: &str) -> Result<Spin, String> {
    if text.eq_ignore_ascii_case("forever") {
        return Ok(Spin::Forever);
    }
    time(text).map(Spin::For).ok_or_else(|| {
        format!(
            "spin must be microseconds, a duration or forever, got {}",
            quoted(text)
        )
    })
}

/// A number of microseconds, or a duration with its unit.
fn time(text: &str) -> Option<Duration> {
    if let Ok(micros) = text.parse::<u64>() {
        return Some(Duration::from_micros(micros));
    }
    parse_duration(text)
        .ok()
        .filter(|duration| !duration.negative)
        .map(|duration| duration.length)
}

/// How long the network card is polled, in microseconds: a number of them, or a duration.
pub(super) fn busy_poll(text: &str) -> Result<u32, String> {
    let Some(time) = time(text) else {
        return Err(format!(
            "busy_poll must be microseconds or a duration, got {}",
            quoted(text)
        ));
    };
    u32::try_from(time.as_micros())
        .ok()
        .filter(|&micros| i64::from(micros) <= defaults::MAX_BUSY_POLL)
        .ok_or_else(|| {
            format!(
                "busy_poll must be at most {} microseconds, got {}",
                defaults::MAX_BUSY_POLL,
                quoted(text)
            )
        })
}

/// A priority of SCHED_FIFO; 0 is none.
pub(super) fn realtime(priority: i64) -> Result<u8, String> {
    u8::try_from(priority)
        .ok()
        .filter(|&priority| i64::from(priority) <= defaults::MAX_REALTIME)
        .ok_or_else(|| {
            format!(
                "realtime must be between 1 and {}, or 0 for none, got {priority}",
                defaults::MAX_REALTIME
            )
        })
}

/// How connections are spread over the cores.
pub(super) fn accept(name: &str) -> Result<Accept, String> {
    [Accept::Least, Accept::RoundRobin, Accept::IncomingCpu]
        .into_iter()
        .find(|accept| accept.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            format!(
                "accept must be least, round_robin or incoming_cpu, got {}",
                quoted(name)
            )
        })
}
