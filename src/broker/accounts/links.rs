//! What crosses the boundary of one account, compiled: the streams that others
//! import from it, the services that it imports, and its subject mappings.

use std::sync::Arc;
use std::time::Duration;

use super::mapping::Mapping;
use super::rules::ResponseKind;
use crate::subject::{self, Transform, TransformError};

/// How long responses may take where nothing is said (nats-server).
pub const DEFAULT_RESPONSE_THRESHOLD: Duration = Duration::from_secs(120);

/// What a subject becomes in another account.
#[derive(Debug)]
pub enum Rewrite {
    Same,
    Fixed(Box<[u8]>),
    /// In front of the subject, its dot included.
    Prefix(Box<[u8]>),
    Transform(Transform),
}

impl Rewrite {
    fn apply(&self, subject: &[u8]) -> Option<Box<[u8]>> {
        match self {
            Self::Same => Some(subject.into()),
            Self::Fixed(fixed) => Some(fixed.clone()),
            Self::Prefix(prefix) => Some([prefix, subject].concat().into()),
            Self::Transform(transform) => {
                let mut out = Vec::new();
                transform.apply(subject, 0, &mut out).then(|| out.into())
            }
        }
    }
}

/// A stream that another account imports.
#[derive(Debug)]
pub struct StreamLink {
    /// The importing account.
    pub account: u16,
    /// Subjects here.
    pub pattern: Box<[u8]>,
    pub rewrite: Rewrite,
}

/// A service that the account imports.
#[derive(Debug)]
pub struct ServiceLink {
    /// The exporting account.
    pub account: u16,
    /// Subjects here.
    pub pattern: Box<[u8]>,
    pub rewrite: Rewrite,
    pub terms: Arc<ServiceTerms>,
}

/// What goes for the requests of one service import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTerms {
    /// The exporting account.
    pub account: u16,
    pub response: ResponseKind,
    pub threshold: Duration,
    /// Requests say who sent them.
    pub share: bool,
}

/// All of it for one account.
#[derive(Debug, Default)]
pub struct Links {
    pub streams: Vec<StreamLink>,
    pub services: Vec<ServiceLink>,
    /// Literal sources first.
    pub mappings: Vec<Mapping>,
    /// Others import its services: responses come back through it.
    pub serves: bool,
}

/// Where a message goes beside its own account.
#[derive(Debug)]
pub struct Crossing {
    pub account: u16,
    pub subject: Box<[u8]>,
    /// A request of these terms; `None` for a stream.
    pub service: Option<Arc<ServiceTerms>>,
}

impl Links {
    /// Where a message to `subject` goes as well.
    pub fn crossings(&self, subject: &[u8]) -> Vec<Crossing> {
        let streams = self.streams.iter().filter_map(|link| {
            subject::matches(&link.pattern, subject).then_some(())?;
            Some(Crossing {
                account: link.account,
                subject: link.rewrite.apply(subject)?,
                service: None,
            })
        });
        let services = self.services.iter().filter_map(|link| {
            subject::matches(&link.pattern, subject).then_some(())?;
            Some(Crossing {
                account: link.account,
                subject: link.rewrite.apply(subject)?,
                service: Some(Arc::clone(&link.terms)),
            })
        });
        streams
            .chain(services)
            // A result that is no subject goes nowhere.
            .filter(|crossing| subject::is_valid_publish(&crossing.subject))
            .collect()
    }

    /// The mapping of a subject that is published.
    pub fn mapping(&self, subject: &[u8]) -> Option<&Mapping> {
        self.mappings
            .iter()
            .find(|mapping| subject::matches(mapping.source(), subject))
    }
}

/// A destination with `*` becomes one with `$1`, `$2`, ...: the wildcards in their order.
fn numbered(destination: &str) -> String {
    let mut number = 0;
    let tokens: Vec<String> = destination
        .split('.')
        .map(|token| {
            if token == "*" {
                number += 1;
                format!("${number}")
            } else {
                token.to_owned()
            }
        })
        .collect();
    tokens.join(".")
}

/// Whether a token of a destination stands for something of the source.
fn is_reference(token: &str) -> bool {
    (token.starts_with('$') && token[1..].parse::<u32>().is_ok())
        || (token.starts_with("{{") && token.ends_with("}}"))
}

fn has_wildcard(subject: &str) -> bool {
    !subject::is_literal(subject.as_bytes())
}

/// Whether the destination refers to fewer wildcards than the source has.
fn leaves_out(source: &str, destination: &str) -> bool {
    let wildcards = source.split('.').filter(|token| *token == "*").count();
    let references = |token: &str| {
        if !is_reference(token) {
            return 0;
        }
        let call = token
            .strip_prefix("{{")
            .and_then(|call| call.split_once('('));
        match call {
            Some((name, arguments)) if name.trim().eq_ignore_ascii_case("partition") => {
                arguments.split(',').count() - 1
            }
            _ => 1,
        }
    };
    destination.split('.').map(references).sum::<usize>() < wildcards
}

/// Why an import cannot be rewritten as asked; the text follows the subjects in nats-server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    Transform(TransformError),
    /// The destination leaves wildcards out.
    Unused(String),
}

impl std::fmt::Display for RewriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transform(error) => error.fmt(f),
            Self::Unused(destination) => write!(
                f,
                "invalid mapping destination: not using all of the token wildcard(s) in \
                 {destination}"
            ),
        }
    }
}

/// How messages of `remote` become messages here.
pub(super) fn stream_rewrite(
    remote: &str,
    to: &str,
    prefix: &str,
) -> Result<Rewrite, RewriteError> {
    if !prefix.is_empty() {
        let mut prefix = prefix.to_owned();
        if !prefix.ends_with('.') {
            prefix.push('.');
        }
        return Ok(Rewrite::Prefix(prefix.into_bytes().into()));
    }
    if to.is_empty() || to == remote {
        return Ok(Rewrite::Same);
    }
    if !has_wildcard(remote) && !has_wildcard(to) && !to.split('.').any(is_reference) {
        return Ok(Rewrite::Fixed(to.as_bytes().into()));
    }
    let destination = numbered(to);
    if leaves_out(remote, &destination) {
        return Err(RewriteError::Unused(to.to_owned()));
    }
    Transform::new(remote.as_bytes(), destination.as_bytes())
        .map(Rewrite::Transform)
        .map_err(RewriteError::Transform)
}

/// The subjects here of a service import, and how requests become those of `remote`.
pub(super) fn service_rewrite(remote: &str, to: &str) -> Result<(String, Rewrite), RewriteError> {
    if to.is_empty() || to == remote {
        return Ok((remote.to_owned(), Rewrite::Same));
    }
    // What `to` calls `$2` is the second wildcard of `remote`.
    let mut order = Vec::new();
    let local: Vec<&str> = to
        .split('.')
        .map(|token| {
            let number = token
                .strip_prefix('$')
                .and_then(|n| n.parse::<usize>().ok());
            match number {
                Some(number) => {
                    order.push(number);
                    "*"
                }
                None => {
                    if token == "*" {
                        order.push(order.len() + 1);
                    }
                    token
                }
            }
        })
        .collect();
    let local = local.join(".");
    if !has_wildcard(remote) && !remote.split('.').any(is_reference) {
        return Ok((local, Rewrite::Fixed(remote.as_bytes().into())));
    }
    let mut number = 0;
    let mut unused = false;
    let destination: Vec<String> = remote
        .split('.')
        .map(|token| {
            if token != "*" {
                return token.to_owned();
            }
            number += 1;
            match order.iter().position(|&other| other == number) {
                Some(at) => format!("${}", at + 1),
                None => {
                    unused = true;
                    token.to_owned()
                }
            }
        })
        .collect();
    if unused {
        return Err(RewriteError::Unused(to.to_owned()));
    }
    let destination = destination.join(".");
    Transform::new(local.as_bytes(), destination.as_bytes())
        .map(|transform| (local, Rewrite::Transform(transform)))
        .map_err(RewriteError::Transform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(remote: &str, to: &str, subject: &str) -> Option<String> {
        let (local, rewrite) = service_rewrite(remote, to).expect("good");
        subject::matches(local.as_bytes(), subject.as_bytes()).then_some(())?;
        let out = rewrite.apply(subject.as_bytes())?;
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn requests_are_rewritten() {
        let ask = |remote, to, subject| request(remote, to, subject).unwrap_or_default();
        assert_eq!(ask("req.*", "r.*", "r.x"), "req.x");
        assert_eq!(ask("foo.*.*", "bar.$2.$1", "bar.a.b"), "foo.b.a");
        assert_eq!(ask("foo.$2.$1", "bar.*.*", "bar.a.b"), "foo.b.a");
        assert_eq!(ask("foo.a", "bar.>", "bar.x.y"), "foo.a");
        assert_eq!(ask("foo.>", "bar.>", "bar.x.y"), "foo.x.y");
        assert_eq!(ask("foo", "", "foo"), "foo");
        assert_eq!(
            service_rewrite("foo.*", "bar").map(|_| ()),
            Err(RewriteError::Unused("bar".to_owned()))
        );
    }

    #[test]
    fn streams_are_rewritten() {
        let ask = |remote, to, prefix, subject: &str| {
            let rewrite = stream_rewrite(remote, to, prefix).expect("good");
            let out = rewrite.apply(subject.as_bytes()).expect("matches");
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(ask("ev.>", "", "imp", "ev.a"), "imp.ev.a");
        assert_eq!(ask("ev.*", "x.$1", "", "ev.a"), "x.a");
        assert_eq!(ask("ev.*.*", "x.*.$1", "", "ev.a.b"), "x.a.a");
        assert_eq!(ask("ev", "to", "", "ev"), "to");
        assert_eq!(
            stream_rewrite("foo.*", "bar", "").map(|_| ()),
            Err(RewriteError::Unused("bar".to_owned()))
        );
    }
}
