//! Gathers what a monitoring request needs from the cores.

use std::sync::{Arc, Mutex, PoisonError};

use super::clock::Clock;
use super::control::CoreHandle;
use super::driver::Driver;
use super::loads::Loads;
use super::process;
use crate::broker::SubscriptionFilter;
use crate::broker::core::Counters;
use crate::monitor::connz::{Collector, SubsDetail};
use crate::monitor::snapshot::{
    AccountSnapshot, CoreSnapshot, Health, JetStreamSnapshot, KindCounts, OptionsSnapshot,
    RingSnapshot, ServerSnapshot, SlowConsumerSnapshot, SubszSnapshot, Traffic,
};
use crate::monitor::{ClosedRing, Request, RequestStats, Response, Snapshot};

/// Slow consumers that a metrics answer names at most.
const NAMED_SLOW_CONSUMERS_MAX: usize = 20;

/// Values that change at a reload.
#[derive(Clone, Default)]
pub struct Reloadable {
    pub options: OptionsSnapshot,
    pub config_load_time: i64,
    pub config_digest: String,
}

/// What the monitoring threads share with the control thread.
pub struct Gatherer {
    pub cores: Vec<CoreHandle>,
    pub cpus: Vec<usize>,
    /// JetStream's settings, if it is on.
    pub jetstream: Option<JetStreamSnapshot>,
    /// Names of the accounts that may use it.
    pub jetstream_accounts: Vec<String>,
    pub loads: Arc<Loads>,
    /// Who the server is; the rest is filled in for each answer.
    pub identity: ServerSnapshot,
    pub base_path: String,
    pub reloadable: Mutex<Reloadable>,
    pub closed: Mutex<ClosedRing>,
    /// Those cut off, newest last.
    pub cut_off: Mutex<Vec<SlowConsumerSnapshot>>,
    pub requests: Mutex<RequestStats>,
    pub cpu: Mutex<process::CpuMeter>,
}

/// A lock whose holder panicked is still good: all it guards are figures.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One core's part of a snapshot.
struct Part {
    counters: Counters,
    core: CoreSnapshot,
    connections: Option<Collector>,
    subscriptions: Option<SubszSnapshot>,
    slow: Vec<SlowConsumerSnapshot>,
    jetstream: Option<JetStreamSnapshot>,
    accounts: Vec<AccountSnapshot>,
}

impl Gatherer {
    /// Answers a request; also says when, in nanoseconds since 1970.
    pub fn respond(&self, target: &str) -> (Response, i64) {
        let now = Clock::new().now().unix_ns;
        let request = Request::parse(target, &self.base_path);
        lock(&self.requests).count(&request);
        let snapshot = self.snapshot(&request, now);
        (request.respond(&snapshot), now)
    }

    /// Notes a connection that ended.
    pub fn note_closed(&self, conn: crate::monitor::snapshot::ConnSnapshot) {
        if conn.reason.starts_with("Slow Consumer") {
            let mut cut_off = lock(&self.cut_off);
            if cut_off.len() == NAMED_SLOW_CONSUMERS_MAX {
                cut_off.remove(0);
            }
            cut_off.push(SlowConsumerSnapshot {
                cid: conn.figures.cid,
                name: conn.name.clone(),
                account: conn.account.clone(),
                core: conn.core,
                pending_bytes: conn.figures.pending_bytes,
                cut_off: conn.figures.stop,
            });
        }
        lock(&self.closed).push(conn);
    }

    /// Takes over what a reload changed.
    pub fn reload(&self, reloadable: Reloadable) {
        *lock(&self.reloadable) = reloadable;
    }

    /// What a request needs, at `now` (nanoseconds since 1970).
    pub fn snapshot(&self, request: &Request, now: i64) -> Snapshot {
        let needs = request.needs();
        let mut connections = needs.connections.map(|query| Collector::new(query, now));
        let mut subscriptions = SubszSnapshot::default();
        let mut cores = Vec::new();
        let mut sums = Counters::default();
        let mut slow = Vec::new();
        let mut silent = Vec::new();
        let mut accounts: Vec<AccountSnapshot> = Vec::new();
        let mut jetstream = self.jetstream.clone();
        let mut open = 0;
        let mut subscribed = 0;
        for (number, core) in self.cores.iter().enumerate() {
            let query = needs.connections.cloned();
            let filter = needs.subscriptions.map(|query| SubscriptionFilter {
                keep: query.keep(),
                account: query.account.clone(),
                test: query.test.clone(),
            });
            let (figures, slowest, streams) = (needs.cores, needs.slow_consumers, needs.streams);
            let with_accounts = needs.accounts;
            let part = core.ask(move |driver| {
                let connections = query.filter(|q| q.state.open()).map(|query| {
                    let mut collector = Collector::new(&query, now);
                    driver
                        .core
                        .offer_connections(&mut collector, query.subs != SubsDetail::Count);
                    collector
                });
                let subscriptions = filter.map(|filter| {
                    let (stats, total, list) = driver.core.subscriptions(&filter);
                    SubszSnapshot { stats, total, list }
                });
                let jetstream = driver
                    .persistence
                    .as_mut()
                    .map(|p| p.report(&mut driver.core, streams));
                Part {
                    jetstream,
                    accounts: if with_accounts {
                        driver.core.account_snapshots()
                    } else {
                        Vec::new()
                    },
                    counters: *driver.core.counters(),
                    core: core_snapshot(driver, figures),
                    connections,
                    subscriptions,
                    slow: if slowest {
                        driver.core.slow_consumers(NAMED_SLOW_CONSUMERS_MAX)
                    } else {
                        Vec::new()
                    },
                }
            });
            let Some(mut part) = part else {
                silent.push(number);
                continue;
            };
            if let Some(own) = part.jetstream.take()
                && let Some(all) = &mut jetstream
            {
                all.add(own);
            }
            for (at, own) in part.accounts.into_iter().enumerate() {
                // The cores list them alike, but for a reload between their answers.
                let same = accounts.get(at).is_some_and(|a| a.name == own.name);
                let at = if same {
                    Some(at)
                } else {
                    accounts.iter().position(|a| a.name == own.name)
                };
                match at.and_then(|at| accounts.get_mut(at)) {
                    Some(account) => account.add(&own),
                    None => accounts.push(own),
                }
            }
            part.core.cpu = self.cpus.get(number).copied();
            add(&mut sums, &part.counters);
            open += part.core.connections;
            subscribed += part.core.subscriptions;
            slow.append(&mut part.slow);
            cores.push(part.core);
            if let (Some(all), Some(own)) = (&mut connections, part.connections) {
                all.merge(own);
            }
            if let Some(own) = part.subscriptions {
                subscriptions.stats.subscriptions += own.stats.subscriptions;
                subscriptions.stats.cached += own.stats.cached;
                subscriptions.stats.inserts += own.stats.inserts;
                subscriptions.stats.removes += own.stats.removes;
                subscriptions.stats.matches += own.stats.matches;
                subscriptions.stats.cache_hits += own.stats.cache_hits;
                subscriptions.stats.total_fanout += own.stats.total_fanout;
                subscriptions.stats.max_fanout =
                    subscriptions.stats.max_fanout.max(own.stats.max_fanout);
                subscriptions.total += own.total;
                subscriptions.list.extend(own.list);
            }
        }
        if let (Some(query), Some(all)) = (needs.connections, &mut connections)
            && query.state.closed()
        {
            for conn in lock(&self.closed).iter() {
                all.offer_closed(conn);
            }
        }
        if needs.slow_consumers {
            slow.extend(lock(&self.cut_off).iter().rev().cloned());
            slow.truncate(NAMED_SLOW_CONSUMERS_MAX);
        }
        let traffic = Traffic {
            in_msgs: sums.received.messages,
            in_bytes: sums.received.bytes,
            out_msgs: sums.delivered.messages,
            out_bytes: sums.delivered.bytes,
        };
        let clients = |count| KindCounts {
            clients: count,
            ..KindCounts::default()
        };
        let reloadable = lock(&self.reloadable).clone();
        let server = ServerSnapshot {
            options: reloadable.options,
            config_load_time: reloadable.config_load_time,
            config_digest: reloadable.config_digest,
            now,
            memory: process::resident_bytes(),
            cpu_percent: lock(&self.cpu).percent(),
            connections: open,
            total_connections: sums.connections_total,
            subscriptions: subscribed,
            traffic,
            slow_consumers: clients(sums.slow_consumers),
            stale_connections: clients(sums.stale_connections),
            stalled_clients: sums.stalls,
            jetstream,
            http_requests: lock(&self.requests).counts().clone(),
            ..self.identity.clone()
        };
        let health = if silent.is_empty() {
            Health::Ok
        } else {
            Health::Unavailable(format!("cores {silent:?} do not answer"))
        };
        for account in &mut accounts {
            account.update_time = server.start;
            account.jetstream = self.jetstream_accounts.contains(&account.name);
        }
        Snapshot {
            server,
            health,
            accounts,
            connections: connections.map(Collector::finish).unwrap_or_default(),
            subscriptions,
            cores,
            slow_consumers: slow,
        }
    }
}

fn core_snapshot(driver: &mut Driver, with_figures: bool) -> CoreSnapshot {
    let mut snapshot = driver.core.core_snapshot();
    if !with_figures {
        return snapshot;
    }
    let now = driver.now();
    let rings = driver.outboxes();
    let figures = &mut driver.figures;
    snapshot.window = now - figures.window_began;
    figures.window_began = now;
    snapshot.turns = figures.turns;
    snapshot.parks = figures.parks;
    snapshot.busy = (now - figures.started).saturating_sub(figures.slept_ns);
    snapshot.latency = figures.turn_ns.spread(true);
    snapshot.messages_per_turn = figures.completions.spread(true);
    snapshot.sends_per_submit = figures.sends.spread(true);
    snapshot.rings = rings
        .into_iter()
        .map(|(to, capacity, depth, overflow)| RingSnapshot {
            to,
            capacity,
            depth,
            overflow,
        })
        .collect();
    snapshot
}

fn add(sums: &mut Counters, part: &Counters) {
    sums.received.messages += part.received.messages;
    sums.received.bytes += part.received.bytes;
    sums.delivered.messages += part.delivered.messages;
    sums.delivered.bytes += part.delivered.bytes;
    sums.connections_total += part.connections_total;
    sums.slow_consumers += part.slow_consumers;
    sums.stale_connections += part.stale_connections;
    sums.stalls += part.stalls;
}
