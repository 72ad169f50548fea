//! What operators see of one core's JetStream.

use super::JetStream;
use super::api::response;
use super::bus::Bus;
use super::stream::config::Storage;
use crate::monitor::snapshot::{
    ConsumerSnapshot, JetStreamAccountSnapshot, JetStreamSnapshot, StreamSnapshot,
};
use crate::store::Disk;

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_default()
}

impl JetStream {
    /// This core's part of the figures; `with_streams` names streams and consumers.
    pub fn report(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        with_streams: bool,
    ) -> JetStreamSnapshot {
        let mut report = JetStreamSnapshot::default();
        let settings = std::sync::Arc::clone(&self.settings);
        for account in settings.accounts.iter().filter(|a| a.limits.is_some()) {
            let own = self.accounts.own(account.number);
            report.api_total += own.api_total;
            report.api_errors += own.api_errors;
            report.accounts.push(JetStreamAccountSnapshot {
                name: account.name.clone(),
                api_total: own.api_total,
                api_errors: own.api_errors,
                ..JetStreamAccountSnapshot::default()
            });
        }
        let slots = 0..self.entries.len() as u32;
        for slot in slots {
            self.report_stream(bus, disk, slot, with_streams, &mut report);
        }
        for account in &mut report.accounts {
            account.streams.sort_by(|a, b| a.name.cmp(&b.name));
        }
        report
    }

    fn report_stream(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        slot: u32,
        with_streams: bool,
        report: &mut JetStreamSnapshot,
    ) {
        let Some(entry) = self.entries[slot as usize].as_deref() else {
            return;
        };
        if let Some(problem) = &entry.problem {
            report
                .problems
                .push(format!("JetStream stream '{}': {problem}", entry.title()));
        }
        let Some(stream) = entry.stream.as_deref() else {
            return;
        };
        let state = stream.state(entry.consumers.len() as u64, false);
        if let Some(lost) = &state.lost {
            let count = lost.msgs.as_ref().map_or(0, Vec::len);
            report.problems.push(format!(
                "JetStream stream '{}': {count} messages are damaged on disk, {} bytes",
                entry.title(),
                lost.bytes
            ));
        }
        let Some(account) = report
            .accounts
            .iter_mut()
            .find(|account| account.name == entry.account_name)
        else {
            return;
        };
        let Some(config) = entry.config() else {
            return;
        };
        let reserved = u64::try_from(config.max_bytes).unwrap_or(0);
        match config.storage {
            Storage::Memory => {
                account.memory += state.bytes;
                account.reserved_memory += reserved;
                report.memory += state.bytes;
                report.reserved_memory += reserved;
            }
            Storage::File => {
                account.storage += state.bytes;
                account.reserved_storage += reserved;
                report.storage += state.bytes;
                report.reserved_storage += reserved;
            }
        }
        report.streams += 1;
        report.consumers += entry.consumers.len() as u64;
        report.messages += state.messages;
        report.bytes += state.bytes;
        if !with_streams {
            return;
        }
        let names: Vec<String> = entry
            .consumers
            .names()
            .map(|(name, _)| name.to_owned())
            .collect();
        let mut shown = StreamSnapshot {
            name: entry.name.clone(),
            created: entry.created_ns,
            config: text(response::json(config)),
            state: text(response::json(&state)),
            consumers: Vec::new(),
        };
        for name in names {
            let info = self.consumer_of(bus, disk, slot, &name);
            shown.consumers.push(ConsumerSnapshot {
                info: info.map_or_else(String::new, |info| text(response::json(&info))),
                name,
            });
        }
        account.streams.push(shown);
    }
}
