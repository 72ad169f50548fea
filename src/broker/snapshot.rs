//! What a core tells the monitoring endpoints.

use super::close::CloseReason;
use super::connection::{Connection, Phase};
use super::core::Core;
use super::effect::Effect;
use super::opening::Kind;
use super::subscriptions::SubId;
use super::system::SYSTEM_ACCOUNT;
use crate::monitor::connz::{Collector, MAX_LISTED_SUBSCRIPTIONS};
use crate::monitor::snapshot::{
    AccountSnapshot, ConnFigures, ConnSnapshot, CoreSnapshot, CoreTraffic, SlowConsumerSnapshot,
    SubSnapshot, SublistStats, Traffic,
};
use crate::subject;

/// Which subscriptions a snapshot of the index lists.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionFilter {
    /// At most so many.
    pub keep: usize,
    /// Of this account only.
    pub account: Option<String>,
    /// That a message to this subject would reach.
    pub test: Option<String>,
}

/// What the past connections of an account add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    traffic: Traffic,
    slow_consumers: u64,
}

fn traffic(conn: &Connection) -> Traffic {
    Traffic {
        in_msgs: conn.received.messages,
        in_bytes: conn.received.bytes,
        out_msgs: conn.delivered.messages,
        out_bytes: conn.delivered.bytes,
    }
}

impl Core {
    fn figures(&self, conn: &Connection, stop: Option<i64>) -> ConnFigures {
        ConnFigures {
            cid: conn.cid,
            start: conn.started_unix_ns,
            last_activity: conn.last_activity_unix_ns,
            stop,
            rtt: conn.rtt_ns,
            pending_bytes: conn.out.pending() as u64,
            traffic: traffic(conn),
            stalls: conn.stall.count,
            subscriptions: conn.sids.len() as u64,
        }
    }

    pub(super) fn account_name(&self, conn: &Connection) -> &str {
        &self.accounts[usize::from(conn.account)].name
    }

    fn snapshot(
        &self,
        conn: &Connection,
        figures: ConnFigures,
        reason: &str,
        with_subs: bool,
    ) -> ConnSnapshot {
        let options = conn.options.as_deref();
        let text =
            |field: Option<&Box<str>>| field.map(|text| text.to_string()).unwrap_or_default();
        let subs = if with_subs {
            conn.sids
                .iter()
                .take(MAX_LISTED_SUBSCRIPTIONS)
                .map(|&id| self.sub_snapshot(conn, SubId(id)))
                .collect()
        } else {
            Vec::new()
        };
        let token = conn.identity.as_ref().and_then(|i| i.token.as_deref());
        ConnSnapshot {
            figures,
            ip: conn.peer.ip().to_canonical().to_string(),
            port: conn.peer.port(),
            core: self.id.index(),
            websocket: conn.kind == Kind::WebSocket,
            reason: reason.to_owned(),
            name: text(options.map(|o| &o.name)),
            lang: text(options.map(|o| &o.lang)),
            version: text(options.map(|o| &o.version)),
            authorized_user: conn
                .identity
                .as_ref()
                .map(|i| i.user.clone())
                .unwrap_or_default(),
            user_given: text(options.map(|o| &o.user)),
            account: self.account_name(conn).to_owned(),
            issuer_key: conn
                .identity
                .as_ref()
                .map(|identity| identity.issuer_key().to_owned())
                .unwrap_or_default(),
            jwt: token
                .and_then(|token| token.token.as_deref())
                .unwrap_or_default()
                .to_owned(),
            account_name: token.map(|t| t.account_name.clone()).unwrap_or_default(),
            tags: token.map(|t| t.tags.clone()).unwrap_or_default(),
            subs,
        }
    }

    fn sub_snapshot(&self, conn: &Connection, id: SubId) -> SubSnapshot {
        let sub = self.subs.get(id);
        let account = &self.accounts[usize::from(conn.account)];
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        SubSnapshot {
            account: account.name.to_string(),
            subject: text(account.subject(sub.pattern)),
            queue: text(self.queues.name(sub.queue)),
            sid: text(self.subs.sid(id)),
            msgs: sub.delivered,
            max: self.subs.limit(id).unwrap_or(0),
            cid: conn.cid,
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Connection> {
        self.slots()
            .filter_map(|slot| self.conn(slot))
            .filter(|conn| !conn.is_before_upgrade())
    }

    fn has_subscription_like(&self, conn: &Connection, filter: &[u8]) -> bool {
        let account = &self.accounts[usize::from(conn.account)];
        conn.sids.iter().any(|&id| {
            let pattern = self.subs.get(SubId(id)).pattern;
            subject::overlaps(account.subject(pattern), filter)
        })
    }

    /// Offers all open connections to a /connz collector.
    pub fn offer_connections(&self, collector: &mut Collector, with_subs: bool) {
        for conn in self.live() {
            let figures = self.figures(conn, None);
            if let Some(filter) = collector.filter_subject()
                && !self.has_subscription_like(conn, filter.as_bytes())
            {
                collector.offer_filtered(&figures, self.account_name(conn));
                continue;
            }
            let user = conn.identity.as_ref().map_or("", |i| i.user.as_str());
            collector.offer(&figures, self.account_name(conn), user, "", || {
                self.snapshot(conn, figures, "", with_subs)
            });
        }
    }

    /// The connections that wait for the most bytes, at most `max`.
    pub fn slow_consumers(&self, max: usize) -> Vec<SlowConsumerSnapshot> {
        let threshold = self.stall_threshold();
        let mut slow: Vec<&Connection> = self
            .live()
            .filter(|c| c.out.pending() > threshold)
            .collect();
        slow.sort_by_key(|c| std::cmp::Reverse(c.out.pending()));
        slow.truncate(max);
        slow.into_iter()
            .map(|conn| SlowConsumerSnapshot {
                cid: conn.cid,
                name: conn
                    .options
                    .as_ref()
                    .map(|o| o.name.to_string())
                    .unwrap_or_default(),
                account: self.account_name(conn).to_owned(),
                core: self.id.index(),
                pending_bytes: conn.out.pending() as u64,
                cut_off: None,
            })
            .collect()
    }

    /// The index' figures, the subscriptions that pass the filter and their number.
    pub fn subscriptions(
        &self,
        filter: &SubscriptionFilter,
    ) -> (SublistStats, u64, Vec<SubSnapshot>) {
        let mut list = Vec::new();
        let mut total = 0;
        for conn in self.live() {
            if filter
                .account
                .as_deref()
                .is_some_and(|a| a != self.account_name(conn))
            {
                continue;
            }
            let account = &self.accounts[usize::from(conn.account)];
            for &id in &conn.sids {
                let id = SubId(id);
                if let Some(test) = &filter.test
                    && !subject::matches(
                        account.subject(self.subs.get(id).pattern),
                        test.as_bytes(),
                    )
                {
                    continue;
                }
                total += 1;
                if list.len() < filter.keep {
                    list.push(self.sub_snapshot(conn, id));
                }
            }
        }
        let stats = SublistStats {
            subscriptions: self.shown_subscriptions(),
            cached: self.routes.len() as u64,
            inserts: self.counters.subscribed,
            removes: self.counters.unsubscribed,
            matches: self.routes.hits + self.routes.misses,
            cache_hits: self.routes.hits,
            max_fanout: self.routes.max_fanout() as u64,
            total_fanout: self.routes.total_fanout() as u64,
        };
        (stats, total, list)
    }

    /// This core's own figures, as far as its state machine knows them.
    pub fn core_snapshot(&self) -> CoreSnapshot {
        CoreSnapshot {
            core: self.id.index(),
            connections: self.open as u64,
            subscriptions: self.shown_subscriptions(),
            traffic: CoreTraffic {
                in_msgs: self.counters.received.messages,
                in_bytes: self.counters.received.bytes,
                out_msgs: self.counters.delivered.messages,
                out_bytes: self.counters.delivered.bytes,
                remote_msgs: self.counters.mesh_messages_out,
            },
            ..CoreSnapshot::default()
        }
    }

    /// The figures of each account that exists, as far as this core knows them.
    pub fn account_snapshots(&self) -> Vec<AccountSnapshot> {
        let table = &self.settings.accounts;
        let mut all: Vec<AccountSnapshot> = (0u16..)
            .zip(table.all())
            .map(|(id, entry)| {
                let ended = self
                    .ended_connections
                    .get(usize::from(id))
                    .copied()
                    .unwrap_or_default();
                AccountSnapshot {
                    name: entry.name().to_owned(),
                    is_system: id == SYSTEM_ACCOUNT,
                    traffic: ended.traffic,
                    slow_consumers: ended.slow_consumers,
                    ..AccountSnapshot::default()
                }
            })
            .collect();
        for conn in self.live().filter(|conn| conn.phase == Phase::Open) {
            if let Some(account) = all.get_mut(usize::from(conn.account)) {
                account.client_connections += 1;
                account.stats.subscriptions += conn.sids.len() as u64;
                account.traffic.add(&traffic(conn));
            }
        }
        let mut exists = table.all().iter().map(|entry| entry.exists);
        all.retain(|_| exists.next() == Some(true));
        all
    }

    /// Keeps what a connection that ends adds to its account's figures.
    fn keep_figures(&mut self, slot: u32, reason: CloseReason) {
        let Some(conn) = self.conn(slot) else {
            return;
        };
        let (id, traffic) = (usize::from(conn.account), traffic(conn));
        if self.ended_connections.len() <= id {
            self.ended_connections.resize(id + 1, Ended::default());
        }
        let ended = &mut self.ended_connections[id];
        ended.traffic.add(&traffic);
        ended.slow_consumers += u64::from(matches!(
            reason,
            CloseReason::SlowConsumerPendingBytes | CloseReason::SlowConsumerWriteDeadline
        ));
    }

    /// Reports that a client logged in, if somebody may want to hear of it.
    pub(super) fn report_connected(&mut self, slot: u32) {
        if let Some(conn) = self.conn(slot)
            && self.announces_begin(conn)
        {
            let figures = self.figures(conn, None);
            let snapshot = self.snapshot(conn, figures, "", false);
            self.effects.push(Effect::Connected(Box::new(snapshot)));
        }
    }

    /// Reports the end of a connection, while it still has its subscriptions.
    pub(super) fn report_closed(&mut self, slot: u32, reason: CloseReason) {
        self.keep_figures(slot, reason);
        if let Some(conn) = self.conn(slot) {
            let figures = self.figures(conn, Some(self.now.unix_ns));
            let snapshot = self.snapshot(conn, figures, reason.text(), true);
            if self.announces_end(conn, reason) {
                let announced = self.snapshot(conn, figures, reason.text(), false);
                self.effects.push(Effect::Disconnected(Box::new(announced)));
            }
            self.effects.push(Effect::Closed(Box::new(snapshot)));
        }
    }
}
