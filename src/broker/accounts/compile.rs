//! The exports and imports of all accounts become the links between them.

use std::collections::{HashMap, HashSet};

use super::links::{
    DEFAULT_RESPONSE_THRESHOLD, Links, ServiceLink, ServiceTerms, StreamLink, service_rewrite,
    stream_rewrite,
};
use super::mapping::Mapping;
use super::rules::{Access, AccountRules, ServiceImport, StreamImport};
use super::table::{AccountEntry, AccountError, GLOBAL_ACCOUNT_ID, SYSTEM_ACCOUNT_ID};
use crate::subject;
use std::sync::Arc;

/// An import while cycles are looked for.
struct Edge {
    /// Subjects in the importing account.
    local: String,
    /// The exporting account, and the subjects there.
    account: u16,
    remote: String,
}

pub(super) struct Compiler<'a> {
    accounts: &'a [Arc<AccountEntry>],
    ids: &'a HashMap<String, u16>,
    links: Vec<Links>,
    edges: Vec<Vec<Edge>>,
    /// Imports that cannot be are left out, not refused: their exporter may come later.
    lenient: bool,
}

fn is_subset(inner: &str, outer: &str) -> bool {
    subject::is_subset(inner.as_bytes(), outer.as_bytes())
}

/// The export that an import is allowed by: the one of the very subject, or the first that
/// contains it.
fn export_of<'e, E>(exports: &'e [E], subject: &str, of: impl Fn(&E) -> &str) -> Option<&'e E> {
    exports
        .iter()
        .find(|export| of(export) == subject)
        .or_else(|| exports.iter().find(|export| is_subset(subject, of(export))))
}

fn is_allowed(
    access: &Access,
    token_position: usize,
    importer: &str,
    subject: &str,
    activated: bool,
) -> bool {
    match access {
        Access::Accounts(names) => names.iter().any(|name| name == importer),
        Access::Token => activated,
        Access::Public if token_position > 0 => {
            subject.split('.').nth(token_position - 1) == Some(importer)
        }
        Access::Public => true,
    }
}

/// Whether the token that must be an account's name is a `*` of the export.
fn has_token_position(subject: &str, position: usize) -> bool {
    position == 0 || subject.split('.').nth(position - 1) == Some("*")
}

impl<'a> Compiler<'a> {
    pub fn new(
        accounts: &'a [Arc<AccountEntry>],
        ids: &'a HashMap<String, u16>,
        lenient: bool,
    ) -> Self {
        let count = accounts.len();
        Self {
            accounts,
            ids,
            links: (0..count).map(|_| Links::default()).collect(),
            edges: (0..count).map(|_| Vec::new()).collect(),
            lenient,
        }
    }

    fn existing(&self) -> impl Iterator<Item = &'a Arc<AccountEntry>> + use<'a> {
        self.accounts.iter().filter(|entry| entry.exists)
    }

    fn account(&self, name: &str) -> Option<&'a AccountRules> {
        let entry = &self.accounts[usize::from(*self.ids.get(name)?)];
        // The global account exports nothing, nor does a system account that is not configured.
        let is_configured = match entry.id {
            GLOBAL_ACCOUNT_ID => false,
            SYSTEM_ACCOUNT_ID => entry.rules != AccountRules::named(name),
            _ => entry.exists,
        };
        is_configured.then_some(&entry.rules)
    }

    pub fn compile(mut self) -> Result<Vec<Arc<Links>>, AccountError> {
        if !self.lenient {
            self.check_exports()?;
        }
        for entry in self.existing() {
            for import in &entry.rules.stream_imports {
                let added = self.stream_import(entry, import);
                if !self.lenient {
                    added?;
                }
            }
        }
        self.edges.iter_mut().for_each(Vec::clear);
        for entry in self.existing() {
            for import in &entry.rules.service_imports {
                let added = self.service_import(entry, import);
                if !self.lenient {
                    added?;
                }
            }
        }
        for entry in self.existing() {
            let mappings = &mut self.links[usize::from(entry.id)].mappings;
            for rule in &entry.rules.mappings {
                let mapping = Mapping::new(rule).map_err(|error| AccountError::Mapping {
                    source: rule.source.clone(),
                    error,
                })?;
                mappings.push(mapping);
            }
            mappings.sort_by_key(|mapping| !subject::is_literal(mapping.source()));
        }
        Ok(self.links.into_iter().map(Arc::new).collect())
    }

    fn check_exports(&self) -> Result<(), AccountError> {
        for entry in self.existing() {
            let rules = &entry.rules;
            let streams = rules
                .stream_exports
                .iter()
                .map(|e| ("stream", &e.subject, &e.access, e.account_token_position));
            let services = rules
                .service_exports
                .iter()
                .map(|e| ("service", &e.subject, &e.access, e.account_token_position));
            for (kind, subject, access, position) in streams.chain(services) {
                if let Access::Accounts(names) = access
                    && let Some(name) = names.iter().find(|name| self.account(name).is_none())
                {
                    return Err(AccountError::UnknownAccount {
                        name: name.clone(),
                        kind,
                        what: "export",
                    });
                }
                if !has_token_position(subject, position) {
                    return Err(AccountError::Export {
                        kind,
                        subject: subject.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds an import to those that cycles are looked for in, and looks.
    fn add_edge(&mut self, importer: u16, edge: Edge) -> bool {
        // An account's import from itself leads nowhere else.
        if importer == edge.account {
            return true;
        }
        let (account, remote) = (edge.account, edge.remote.clone());
        let edges = &mut self.edges[usize::from(importer)];
        edges.push(edge);
        let origin = (importer, edges.len() - 1);
        !self.leads_to(origin, account, remote)
    }

    /// Whether imports of `account` that take part in `subject` lead to the import `origin`. Those
    /// before it form no cycle without it.
    fn leads_to(&self, origin: (u16, usize), account: u16, subject: String) -> bool {
        let mut seen = HashSet::new();
        let mut left = vec![(account, subject)];
        while let Some((account, subject)) = left.pop() {
            for (number, edge) in self.edges[usize::from(account)].iter().enumerate() {
                if !subject::overlaps(edge.local.as_bytes(), subject.as_bytes()) {
                    continue;
                }
                if (account, number) == origin {
                    return true;
                }
                if seen.insert((account, number)) {
                    left.push((edge.account, edge.remote.clone()));
                }
            }
        }
        false
    }

    fn stream_import(
        &mut self,
        entry: &AccountEntry,
        import: &StreamImport,
    ) -> Result<(), AccountError> {
        let failed = |reason: String| AccountError::Import {
            kind: "stream",
            subject: import.subject.clone(),
            reason,
        };
        let Some(exporter) = self.account(&import.account) else {
            return Err(AccountError::UnknownAccount {
                name: import.account.clone(),
                kind: "stream",
                what: "import",
            });
        };
        let from = self.ids[&import.account];
        let export = export_of(&exporter.stream_exports, &import.subject, |e| &e.subject);
        let allowed = export.is_some_and(|export| {
            is_allowed(
                &export.access,
                export.account_token_position,
                entry.name(),
                &import.subject,
                import.activated,
            )
        });
        if !allowed {
            return Err(failed("stream import not authorized".to_owned()));
        }
        if !subject::is_literal(import.prefix.as_bytes()) {
            return Err(failed(
                "stream import prefix can not contain wildcard tokens".to_owned(),
            ));
        }
        let rewrite =
            stream_rewrite(&import.subject, &import.to, &import.prefix).map_err(|error| {
                failed(format!(
                    "failed to create mapping transform for stream import subject from {:?} to \
                     {:?}: {error}",
                    import.subject, import.to
                ))
            })?;
        let local = |import: &StreamImport| match (&*import.to, &*import.prefix) {
            ("", "") => import.subject.clone(),
            ("", prefix) => format!("{}.{}", prefix.trim_end_matches('.'), import.subject),
            (to, _) => wildcards_of(to),
        };
        let here = local(import);
        let twice = entry
            .rules
            .stream_imports
            .iter()
            .take_while(|other| !std::ptr::eq(*other, import))
            .any(|other| {
                other.account == import.account
                    && other.subject == import.subject
                    && local(other) == here
            });
        if twice {
            return Err(failed("stream import already exists".to_owned()));
        }
        let edge = Edge {
            local: here,
            account: from,
            remote: import.subject.clone(),
        };
        if !self.add_edge(entry.id, edge) {
            self.edges[usize::from(entry.id)].pop();
            return Err(failed("import forms a cycle".to_owned()));
        }
        self.links[usize::from(from)].streams.push(StreamLink {
            account: entry.id,
            pattern: import.subject.as_bytes().into(),
            rewrite,
        });
        Ok(())
    }

    fn service_import(
        &mut self,
        entry: &AccountEntry,
        import: &ServiceImport,
    ) -> Result<(), AccountError> {
        let failed = |reason: String| AccountError::Import {
            kind: "service",
            subject: import.subject.clone(),
            reason,
        };
        let Some(exporter) = self.account(&import.account) else {
            return Err(AccountError::UnknownAccount {
                name: import.account.clone(),
                kind: "service",
                what: "import",
            });
        };
        let account = self.ids[&import.account];
        let export = export_of(&exporter.service_exports, &import.subject, |e| &e.subject);
        let Some(export) = export.filter(|export| {
            is_allowed(
                &export.access,
                export.account_token_position,
                entry.name(),
                &import.subject,
                import.activated,
            )
        }) else {
            return Err(failed("service import not authorized".to_owned()));
        };
        let to = if import.to.is_empty() {
            &import.subject
        } else {
            &import.to
        };
        if !subject::is_valid_subscription(to.as_bytes()) || to.contains([' ', '\t']) {
            return Err(failed("sublist: invalid subject".to_owned()));
        }
        let (local, rewrite) = service_rewrite(&import.subject, &import.to).map_err(|error| {
            failed(format!(
                "failed to create mapping transform for service import subject from {:?} to \
                 {:?}: {error}",
                import.to, import.subject
            ))
        })?;
        // A service that an account imports from itself as it is would answer itself.
        if account == entry.id && local == import.subject {
            return Ok(());
        }
        let edge = Edge {
            local: local.clone(),
            account,
            remote: wildcards_of(&import.subject),
        };
        if !self.add_edge(entry.id, edge) {
            self.edges[usize::from(entry.id)].pop();
            return Err(failed("import forms a cycle".to_owned()));
        }
        self.links[usize::from(account)].serves = true;
        self.links[usize::from(entry.id)]
            .services
            .push(ServiceLink {
                account,
                pattern: local.into_bytes().into(),
                rewrite,
                terms: Arc::new(ServiceTerms {
                    account,
                    response: export.response,
                    threshold: export.threshold.unwrap_or(DEFAULT_RESPONSE_THRESHOLD),
                    share: import.share,
                }),
            });
        Ok(())
    }
}

/// A destination as a pattern: what refers to a wildcard may be anything.
fn wildcards_of(destination: &str) -> String {
    let tokens: Vec<&str> = destination
        .split('.')
        .map(|token| {
            let reference = token
                .strip_prefix('$')
                .is_some_and(|n| n.parse::<u32>().is_ok())
                || token.starts_with("{{");
            if reference { "*" } else { token }
        })
        .collect();
    tokens.join(".")
}
