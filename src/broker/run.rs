//! Messages that another core sent in one record, because one connection
//! published them on one subject: their route is looked up once.

use super::connection::Phase;
use super::core::{Core, CoreId};
use super::internal::INTERNAL;
use super::publish::{Message, Outcome};
use super::route::Route;
use super::subscriptions::SubId;
use super::wire::RunRecord;

impl Core {
    /// Delivers the messages of a run to this core's plain subscriptions.
    pub(super) fn receive_run(&mut self, from: CoreId, run: &RunRecord<'_>) {
        let account = &self.accounts[usize::from(run.account)];
        let at = self.routes.find_near(
            self.peers[from.index()].route_hint,
            self.id,
            run.account,
            account,
            &self.subs,
            run.subject,
        );
        self.peers[from.index()].route_hint = at;
        let route = self.routes.take(at);
        let mut outcome = Outcome::default();
        let responses = route.beyond.as_ref().is_some_and(|b| b.responses);
        match route.locals[..] {
            [only] if !responses && self.deliver_run(only, run, &mut outcome) => {}
            // Message by message: a connection with several subscriptions gets
            // a message for all of them before the next one.
            _ => self.deliver_each(&route, run, &mut outcome),
        }
        self.routes.put(at, route);
        if responses {
            self.cross_responses(run, &mut outcome);
        }
        self.count_deliveries(&outcome);
        if outcome.slow && outcome.healthy_reader.is_none() {
            self.report_slow(from, run.origin);
        }
    }

    fn cross_responses(&mut self, run: &RunRecord<'_>, outcome: &mut Outcome) {
        self.for_each_message(run, |core, message| {
            core.cross_response(message, outcome, 0);
        });
    }

    fn deliver_each(&mut self, route: &Route, run: &RunRecord<'_>, outcome: &mut Outcome) {
        self.for_each_message(run, |core, message| {
            core.counters.mesh_messages_in += 1;
            core.deliver_plain(route, message, outcome);
        });
    }

    fn for_each_message(
        &mut self,
        run: &RunRecord<'_>,
        mut then: impl FnMut(&mut Self, &mut Message<'_>),
    ) {
        for item in run.items() {
            let Some(body_at) = item.tail.len().checked_sub(item.body_len + 2) else {
                debug_assert!(false, "a tail shorter than its body");
                continue;
            };
            let mut message = Message {
                account: run.account,
                subject: run.subject,
                shown: None,
                reply: item.tail.get(1..1 + item.reply_len).unwrap_or_default(),
                header_len: item.header_len,
                body: &item.tail[body_at..item.tail.len() - 2],
                tail: item.tail,
                shared: None,
                headless: self.take_headless(),
                origin: run.origin,
                // The publisher is on another core.
                excluded: None,
                hops: 0,
                remote: true,
            };
            then(self, &mut message);
            self.headless = message.headless;
        }
    }

    /// To one subscription, if nothing about it must be looked at message by
    /// message. Returns whether that was so.
    #[inline]
    fn deliver_run(&mut self, id: SubId, run: &RunRecord<'_>, outcome: &mut Outcome) -> bool {
        let sub = self.subs.get(id);
        let slot = sub.conn;
        if slot == INTERNAL {
            return false;
        }
        let threshold = self.remote_stall_threshold();
        let Some(conn) = self.conns[slot as usize].as_deref_mut() else {
            return false;
        };
        let mut head = std::mem::take(&mut self.run_head);
        head.clear();
        head.extend_from_slice(b"HMSG ");
        head.extend_from_slice(run.subject);
        head.push(b' ');
        head.extend_from_slice(self.subs.sid(id));
        let bytes_max = run.tail_bytes_max() + run.count_max() * head.len();
        let plain = !sub.has_limit
            && !sub.filtered
            && conn.phase != Phase::Closing
            && conn.headers
            && conn.permissions.is_none()
            && !self.settings.trace
            && conn.out.pending() + bytes_max <= threshold;
        if plain {
            let (mut messages, mut bytes) = (0, 0);
            for item in run.items() {
                let verb_at = if item.header_len.is_some() { 0 } else { 1 };
                conn.out
                    .append(&mut self.pool, [&head[verb_at..], item.tail]);
                messages += 1;
                bytes += item.body_len as u64;
            }
            conn.delivered.messages += u64::from(messages);
            conn.delivered.bytes += bytes;
            outcome.delivered += messages;
            outcome.bytes += bytes;
            outcome.healthy_reader = Some(slot);
            self.counters.mesh_messages_in += u64::from(messages);
            self.subs.get_mut(id).delivered += u64::from(messages);
            if !conn.dirty {
                conn.dirty = true;
                self.dirty.push(slot);
            }
        }
        self.run_head = head;
        plain
    }
}
