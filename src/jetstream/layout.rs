//! Where things are below the store directory.
//!
//! | path | what |
//! |---|---|
//! | `<account>/` | one directory an account; bytes that are no letter, digit, `$`, `_` or `-` are `%xx` |
//! | `<account>/<stream>.<hash>-<created>/` | one a stream; the name is for people and may be cut |
//! | `.../stream.*` | journal of the stream's configuration |
//! | `.../messages/` | the log |
//! | `.../consumers/` | a journal for each durable consumer |
//!
//! The hash of account and stream decides the home, so that a core finds its own streams without
//! opening those of others. A stream that is made anew gets a directory of its own: the removal of
//! its predecessor may still be under way.

use super::JetStream;
use super::bus::Bus;
use super::entry::Phase;
use super::node::NODE_OWNER;
use crate::broker::LogLevel;
use crate::store::{Completed, Disk, DiskError, Op, Output, Tag};

/// Bytes of a stream's name in the name of its directory.
const SHOWN_NAME_MAX: usize = 100;

/// Hash of account and stream, the same for ever (64-bit FNV-1a).
pub fn name_hash(account: &str, stream: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = account.bytes().chain([0]).chain(stream.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    // FNV's low bits are weak, and the remainder by a small number of cores looks at them.
    hash ^ (hash >> 32)
}

fn push_safe(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'$' | b'_' | b'-' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
}

/// Directory of an account.
pub fn account_directory(account: &str) -> String {
    let mut path = String::new();
    push_safe(&mut path, account);
    path
}

/// Directory of a stream.
pub fn stream_directory(account: &str, stream: &str, created_ns: i64) -> String {
    let mut shown = String::new();
    push_safe(&mut shown, stream);
    shown.truncate(SHOWN_NAME_MAX);
    format!(
        "{}/{shown}.{:016x}-{created_ns:016x}",
        account_directory(account),
        name_hash(account, stream)
    )
}

/// Hash and time of creation in the name of a stream's directory.
pub fn parse_directory(name: &str) -> Option<(u64, i64)> {
    let (_, numbers) = name.rsplit_once('.')?;
    let (hash, created) = numbers.split_once('-')?;
    let number = |text: &str| {
        (text.len() == 16)
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
    };
    Some((number(hash)?, number(created)? as i64))
}

/// Bytes of a consumer's file name without its ending.
const CONSUMER_FILE_MAX: usize = 200;

/// Name of a consumer's files without their ending; `None` if the name is too long for the file
/// system.
pub fn consumer_file(consumer: &str) -> Option<String> {
    let mut file = String::new();
    push_safe(&mut file, consumer);
    (file.len() <= CONSUMER_FILE_MAX).then_some(file)
}

/// The consumer whose files have this name.
pub fn consumer_of_file(file: &str) -> Option<String> {
    let mut name = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        rest = tail;
        name.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
    }
    let name = String::from_utf8(name).ok()?;
    (!name.is_empty() && consumer_file(&name)? == file).then_some(name)
}

/// An operation of the node's own.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// List an account's directory.
    ListAccount { account: u16, path: String },
    /// Make a new stream's directory.
    MakeStream { slot: u32, incarnation: u64 },
    /// Make the name of a new stream's directory durable.
    SyncParent { slot: u32, incarnation: u64 },
    /// List the consumers of a stream.
    ListConsumers { slot: u32, incarnation: u64 },
    /// Remove what is left of a stream.
    RemoveStream { slot: u32, incarnation: u64 },
}

impl JetStream {
    pub(super) fn submit(&mut self, disk: &mut dyn Disk, operation: Operation, op: Op) {
        let number = self.next_operation;
        self.next_operation = number.wrapping_add(1);
        self.operations.insert(number, operation);
        let tag = Tag {
            owner: NODE_OWNER,
            op: number,
        };
        disk.submit(tag, op);
    }

    /// Lists the directories of all accounts.
    pub(super) fn list_accounts(&mut self, disk: &mut dyn Disk) {
        let accounts: Vec<_> = self
            .settings
            .accounts
            .iter()
            .map(|account| (account.number, account_directory(&account.name)))
            .collect();
        self.listing = accounts.len();
        for (account, path) in accounts {
            let operation = Operation::ListAccount {
                account,
                path: path.clone(),
            };
            self.submit(disk, operation, Op::List { path });
        }
    }

    /// An operation of the node's own is over.
    pub(super) fn node_completed(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        done: Completed,
    ) {
        let Some(operation) = self.operations.remove(&done.tag.op) else {
            return;
        };
        match operation {
            Operation::ListAccount { account, path } => {
                self.listing -= 1;
                self.found(bus, disk, account, &path, done.result);
                self.report_when_open(bus);
            }
            Operation::MakeStream { slot, incarnation } => {
                if !self.is_incarnation(slot, incarnation) {
                    return;
                }
                if let Err(error) = done.result {
                    self.fail(bus, slot, &format!("its directory cannot be made: {error}"));
                    return;
                }
                let Some(Some(entry)) = self.entries.get(slot as usize) else {
                    return;
                };
                let parent = account_directory(self.accounts.name(entry.account));
                let operation = Operation::SyncParent { slot, incarnation };
                self.submit(disk, operation, Op::SyncDir { path: parent });
            }
            Operation::SyncParent { slot, incarnation } => {
                if !self.is_incarnation(slot, incarnation) {
                    return;
                }
                if let Err(error) = done.result {
                    self.fail(bus, slot, &format!("its directory cannot be kept: {error}"));
                    return;
                }
                if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
                    entry.directory_made(&mut parts);
                }
                self.touch(slot);
            }
            Operation::ListConsumers { slot, incarnation } => {
                if !self.is_incarnation(slot, incarnation) {
                    return;
                }
                let names = match done.result {
                    Ok(Output::Names(names)) => names.into_iter().map(|entry| entry.name).collect(),
                    Ok(_) | Err(DiskError::NotFound) => Vec::new(),
                    Err(error) => {
                        self.fail(
                            bus,
                            slot,
                            &format!("its consumers cannot be listed: {error}"),
                        );
                        return;
                    }
                };
                if let Some((entry, mut parts)) = self.split(slot, bus, disk) {
                    entry.consumers_listed(&mut parts, names);
                }
                self.touch(slot);
            }
            Operation::RemoveStream { slot, incarnation } => {
                if let Err(error) = done.result {
                    bus.log(
                        LogLevel::Error,
                        format!("JetStream: what is left of a stream cannot be removed: {error}"),
                    );
                }
                if self.is_incarnation(slot, incarnation) {
                    self.vacate(slot);
                }
            }
        }
    }

    pub(super) fn is_incarnation(&self, slot: u32, incarnation: u64) -> bool {
        matches!(
            self.entries.get(slot as usize),
            Some(Some(entry)) if entry.incarnation == incarnation
        )
    }

    /// Opens the streams among what was found in an account's directory.
    fn found(
        &mut self,
        bus: &mut dyn Bus,
        disk: &mut dyn Disk,
        account: u16,
        path: &str,
        result: Result<Output, DiskError>,
    ) {
        let names = match result {
            Ok(Output::Names(names)) => names,
            Ok(_) | Err(DiskError::NotFound) => return,
            Err(error) => {
                bus.log(
                    LogLevel::Error,
                    format!("JetStream: directory {path} cannot be listed: {error}"),
                );
                return;
            }
        };
        let mut found: Vec<_> = names
            .into_iter()
            .filter(|entry| entry.is_dir)
            .filter_map(|entry| {
                let (hash, created) = parse_directory(&entry.name)?;
                let is_ours = hash % self.cores as u64 == u64::from(self.core.0);
                is_ours.then(|| (hash, created, format!("{path}/{}", entry.name)))
            })
            .collect();
        // Of two with one name the younger is the one that counts: the removal of the older was
        // under way. It is opened first.
        found.sort_by_key(|(hash, created, _)| (*hash, std::cmp::Reverse(*created)));
        for (_, created, directory) in found {
            self.open_stream(bus, disk, account, directory, created);
        }
    }

    /// A stream cannot be used: it is kept, shown as a problem, and its requests are errors.
    pub(super) fn fail(&mut self, bus: &mut dyn Bus, slot: u32, reason: &str) {
        let Some(Some(entry)) = self.entries.get_mut(slot as usize) else {
            return;
        };
        let text = format!("JetStream stream {}: {reason}", entry.title());
        bus.log(LogLevel::Error, text);
        entry.failed(reason.to_owned());
        self.phase_changed_to_failed(bus, slot);
        debug_assert!(matches!(
            self.entries[slot as usize].as_ref().map(|e| e.phase()),
            Some(Phase::Failed) | None
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_give_back_what_decides_the_home() {
        let path = stream_directory("$G", "ORDERS", 0x1234);
        let name = path.strip_prefix("$G/").unwrap();
        assert_eq!(
            parse_directory(name),
            Some((name_hash("$G", "ORDERS"), 0x1234))
        );
        assert!(name.starts_with("ORDERS."));
        let long = stream_directory("a/b", &"é".repeat(255), 1);
        let name = long.strip_prefix("a%2fb/").unwrap();
        assert!(name.len() < 255 && parse_directory(name).is_some());
        for other in [
            "",
            "streams",
            "a.b",
            "a.0-1",
            "x.00000000000000000-0000000000000000",
        ] {
            assert_eq!(parse_directory(other), None, "{other}");
        }
    }

    #[test]
    fn files_name_their_consumers() {
        for name in ["c", "a b", "é", "a%b", "x-y_z", "a=b"] {
            let file = consumer_file(name).unwrap();
            assert_eq!(consumer_of_file(&file).as_deref(), Some(name));
            assert!(!file.contains(['.', '/']));
        }
        assert_eq!(consumer_file(&"é".repeat(100)), None);
        for file in ["", "%", "%4", "%zz", "a b", "%61", "%ff"] {
            assert_eq!(consumer_of_file(file), None, "{file}");
        }
    }

    #[test]
    fn streams_spread_over_cores() {
        for cores in [2u64, 3, 4, 8] {
            let mut counts = vec![0; cores as usize];
            for n in 0..1000 {
                counts[(name_hash("$G", &format!("S{n}")) % cores) as usize] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least < 1000 / cores, "{counts:?}");
        }
    }
}
