//! All accounts, checked and with their ids.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compile::Compiler;
use super::links::Links;
use super::mapping::MappingError;
use super::rules::AccountRules;

/// Id of the account of connections that name none.
pub const GLOBAL_ACCOUNT_ID: u16 = 0;
/// Id of the system account.
pub const SYSTEM_ACCOUNT_ID: u16 = 1;
/// The account of connections that name none.
pub const GLOBAL_ACCOUNT_NAME: &str = "$G";
/// The system account, unless `system_account` names another.
pub const DEFAULT_SYSTEM_ACCOUNT: &str = "$SYS";
/// Accounts that a process may know over its life: ids are never used twice.
pub const MAX_ACCOUNTS: usize = u16::MAX as usize;

/// Why rules make no table. The texts are nats-server's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// An account is listed twice.
    Duplicate(String),
    /// More than [`MAX_ACCOUNTS`].
    TooMany,
    /// An export or import (`what`) names an account that is not configured.
    UnknownAccount {
        name: String,
        kind: &'static str,
        what: &'static str,
    },
    /// `account_token_position` is none of the export's wildcards.
    Export {
        kind: &'static str,
        subject: String,
    },
    Import {
        kind: &'static str,
        subject: String,
        reason: String,
    },
    Mapping {
        source: String,
        error: MappingError,
    },
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(name) => write!(f, "Duplicate Account Entry: {name}"),
            Self::UnknownAccount { name, kind, what } => {
                write!(f, "{name:?} account not defined for {kind} {what}")
            }
            Self::Export { kind, subject } => write!(
                f,
                "Error adding {kind} export {subject:?}: sublist: invalid subject"
            ),
            Self::Import {
                kind,
                subject,
                reason,
            } => write!(f, "Error adding {kind} import {subject:?}: {reason}"),
            Self::Mapping { source, error } => {
                write!(f, "Error adding mapping for {source:?} : {error}")
            }
            Self::TooMany => write!(f, "more than {MAX_ACCOUNTS} accounts since the start"),
        }
    }
}

impl std::error::Error for AccountError {}

/// One account of a table.
#[derive(Debug)]
pub struct AccountEntry {
    pub id: u16,
    pub rules: AccountRules,
    /// False for an account that a reload took away: its id stays taken, nobody is in it.
    pub exists: bool,
    /// Its client connections on all cores.
    pub connections: Arc<AtomicU64>,
}

impl AccountEntry {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.rules.name
    }

    /// Counts a connection that comes; false if there are too many already.
    pub fn admit_connection(&self) -> bool {
        let max = self.rules.limits.max_connections.unwrap_or(u64::MAX);
        let admitted =
            self.connections
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    (count < max).then_some(count + 1)
                });
        admitted.is_ok()
    }

    /// Counts a connection that goes.
    pub fn release_connection(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All accounts that this process knows, by id. Immutable; a change makes a new one.
#[derive(Debug)]
pub struct AccountTable {
    accounts: Vec<Arc<AccountEntry>>,
    ids: HashMap<String, u16>,
    /// By id.
    links: Vec<Arc<Links>>,
}

impl Default for AccountTable {
    /// `$G` and `$SYS`.
    fn default() -> Self {
        let rules = [GLOBAL_ACCOUNT_NAME, DEFAULT_SYSTEM_ACCOUNT].map(AccountRules::named);
        let mut table = Self::empty();
        rules.into_iter().for_each(|rules| table.push(rules));
        table.links = table.accounts.iter().map(|_| Arc::default()).collect();
        table
    }
}

impl AccountTable {
    /// Checks and compiles the accounts of a server that starts. `$G` and the system account
    /// (`system`, if one is named) need not be listed.
    ///
    /// # Errors
    /// What nats-server refuses, with its text.
    pub fn compile(rules: Vec<AccountRules>, system: Option<&str>) -> Result<Self, AccountError> {
        let system = system.unwrap_or(DEFAULT_SYSTEM_ACCOUNT);
        let mut table = Self::empty();
        table.push(AccountRules::named(GLOBAL_ACCOUNT_NAME));
        table.push(AccountRules::named(system));
        table.set_all(rules)?;
        Ok(table)
    }

    /// The table after a reload: accounts keep their ids, and those that are not listed any more
    /// end.
    ///
    /// # Errors
    /// As [`AccountTable::compile`].
    pub fn replaced(&self, rules: Vec<AccountRules>) -> Result<Self, AccountError> {
        let mut table = self.copy();
        for (id, entry) in table.accounts.iter_mut().enumerate() {
            *entry = Arc::new(AccountEntry {
                id: entry.id,
                rules: AccountRules::named(entry.name()),
                exists: id <= usize::from(SYSTEM_ACCOUNT_ID),
                connections: Arc::clone(&entry.connections),
            });
        }
        table.set_all(rules)?;
        Ok(table)
    }

    /// The table with one account added or changed (an account JWT that came or was renewed).
    /// Imports of accounts that have not come yet open nothing until they have.
    ///
    /// # Errors
    /// As [`AccountTable::compile`].
    pub fn updated(&self, rules: AccountRules) -> Result<Self, AccountError> {
        let mut table = self.copy();
        table.set(rules)?;
        table.link(true)?;
        Ok(table)
    }

    fn set_all(&mut self, rules: Vec<AccountRules>) -> Result<(), AccountError> {
        let mut names = std::collections::HashSet::new();
        for rules in rules {
            if !names.insert(rules.name.clone()) {
                return Err(AccountError::Duplicate(rules.name));
            }
            self.set(rules)?;
        }
        self.link(false)
    }

    fn empty() -> Self {
        Self {
            accounts: Vec::new(),
            ids: HashMap::new(),
            links: Vec::new(),
        }
    }

    fn copy(&self) -> Self {
        Self {
            accounts: self.accounts.clone(),
            ids: self.ids.clone(),
            links: Vec::new(),
        }
    }

    fn link(&mut self, lenient: bool) -> Result<(), AccountError> {
        self.links = Compiler::new(&self.accounts, &self.ids, lenient).compile()?;
        Ok(())
    }

    /// What crosses the boundary of an account; none for an unknown one.
    pub fn links(&self, id: u16) -> Option<&Arc<Links>> {
        self.links.get(usize::from(id))
    }

    fn set(&mut self, rules: AccountRules) -> Result<(), AccountError> {
        match self.ids.get(&rules.name) {
            Some(&id) => {
                let connections = Arc::clone(&self.accounts[usize::from(id)].connections);
                self.accounts[usize::from(id)] = Arc::new(AccountEntry {
                    id,
                    rules,
                    exists: true,
                    connections,
                });
            }
            None if self.accounts.len() >= MAX_ACCOUNTS => return Err(AccountError::TooMany),
            None => self.push(rules),
        }
        Ok(())
    }

    fn push(&mut self, rules: AccountRules) {
        let id = self.accounts.len() as u16;
        self.ids.insert(rules.name.clone(), id);
        self.accounts.push(Arc::new(AccountEntry {
            id,
            rules,
            exists: true,
            connections: Arc::default(),
        }));
    }

    /// The id of the account of this name, if there is one.
    pub fn id(&self, name: &str) -> Option<u16> {
        let id = *self.ids.get(name)?;
        self.accounts[usize::from(id)].exists.then_some(id)
    }

    /// The account of this id, ended ones included.
    pub fn get(&self, id: u16) -> Option<&Arc<AccountEntry>> {
        self.accounts.get(usize::from(id))
    }

    /// Its name; empty if there never was an account of this id.
    pub fn name(&self, id: u16) -> &str {
        self.get(id).map_or("", |entry| entry.name())
    }

    /// All accounts by id, ended ones included.
    pub fn all(&self) -> &[Arc<AccountEntry>] {
        &self.accounts
    }

    /// All accounts that exist, by id.
    pub fn existing(&self) -> impl Iterator<Item = &Arc<AccountEntry>> {
        self.accounts.iter().filter(|entry| entry.exists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::accounts::{ServiceExport, ServiceImport};

    fn rules(names: &[&str]) -> Vec<AccountRules> {
        names.iter().map(|name| AccountRules::named(name)).collect()
    }

    #[test]
    fn ids_stay_and_are_not_used_twice() {
        let first = AccountTable::compile(rules(&["A", "B"]), Some("S")).expect("good");
        let ids = |table: &AccountTable| ["$G", "S", "A", "B", "C"].map(|name| table.id(name));
        assert_eq!(ids(&first), [Some(0), Some(1), Some(2), Some(3), None]);
        let second = first.replaced(rules(&["C", "B"])).expect("good");
        assert_eq!(ids(&second), [Some(0), Some(1), None, Some(3), Some(4)]);
        let third = second.updated(AccountRules::named("A")).expect("good");
        assert_eq!(ids(&third), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(third.name(4), "C");
    }

    #[test]
    fn an_account_is_listed_once() {
        let twice = AccountTable::compile(rules(&["A", "A"]), None);
        assert_eq!(twice.unwrap_err(), AccountError::Duplicate("A".to_owned()));
    }

    #[test]
    fn cycles_are_refused() {
        let build = |imports: &[(&str, &str, &str, &str)]| {
            let mut all = rules(&["A", "B", "C"]);
            for rules in &mut all {
                rules.service_exports = vec![ServiceExport {
                    subject: ">".to_owned(),
                    ..ServiceExport::default()
                }];
                for &(importer, account, subject, to) in imports {
                    if rules.name == importer {
                        rules.service_imports.push(ServiceImport {
                            account: account.to_owned(),
                            subject: subject.to_owned(),
                            to: to.to_owned(),
                            ..ServiceImport::default()
                        });
                    }
                }
            }
            AccountTable::compile(all, None)
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        let refused = Err("Error adding service import \"help\": import forms a cycle".to_owned());
        assert_eq!(
            build(&[("A", "B", "help", ""), ("B", "A", "help", "")]),
            refused
        );
        let three = [
            ("A", "B", "help", ""),
            ("B", "C", "help", ""),
            ("C", "A", "help", ""),
        ];
        assert_eq!(build(&three), refused);
        assert_eq!(
            build(&[("A", "B", "help", ""), ("B", "A", "help", "other")]),
            Ok(())
        );
        assert_eq!(build(&[("A", "A", "help", "")]), Ok(()));
        assert_eq!(
            build(&[("A", "X", "help", "")]),
            Err("\"X\" account not defined for service import".to_owned())
        );
    }
}
