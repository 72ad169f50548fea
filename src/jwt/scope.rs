//! Templates in the permissions of a scoped signing key.

use std::fmt;

use super::user::{SubjectsData, UserLimits};

/// Most subjects that the templates of one list make: tags with several values multiply.
const EXPANDED_MAX: usize = 4096;

/// What templates are filled with.
#[derive(Debug, Clone, Copy)]
pub struct Expansion<'a> {
    /// `{{name()}}`
    pub user_name: &'a str,
    /// `{{subject()}}`
    pub user: &'a str,
    /// `{{account-name()}}`
    pub account_name: &'a str,
    /// `{{account-subject()}}`
    pub account: &'a str,
    /// `{{tag(key)}}`: the values behind `key:`.
    pub user_tags: &'a [String],
    /// `{{account-tag(key)}}`
    pub account_tags: &'a [String],
}

/// Why a user of this scope is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeError {
    /// An operation in a list of denials that is not known, or has no value.
    Undefined(String),
    /// A denial became something that is no subject.
    Subject(String),
    /// More than [`EXPANDED_MAX`].
    TooMany,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined(entry) => write!(f, "template operation in {entry:?} is not defined"),
            Self::Subject(subject) => write!(f, "generated invalid subject {subject:?}"),
            Self::TooMany => f.write_str("templates generate too many subjects"),
        }
    }
}

impl std::error::Error for ScopeError {}

/// The scope's permissions and limits for one user.
///
/// Permissions that cannot be filled in are left out; where that leaves no permission of a list
/// that had some, everything is denied. A denial that cannot be filled in refuses the user.
///
/// # Errors
/// [`ScopeError`].
pub fn expand(template: &UserLimits, with: &Expansion<'_>) -> Result<UserLimits, ScopeError> {
    let mut limits = template.clone();
    for subjects in [&mut limits.publish, &mut limits.subscribe] {
        expand_lists(subjects, with)?;
    }
    Ok(limits)
}

fn expand_lists(subjects: &mut SubjectsData, with: &Expansion<'_>) -> Result<(), ScopeError> {
    let had_some = !subjects.allow.is_empty();
    subjects.allow = expand_list(&subjects.allow, with, false)?;
    subjects.deny = expand_list(&subjects.deny, with, true)?;
    if had_some && subjects.allow.is_empty() {
        subjects.deny.push(">".to_owned());
    }
    Ok(())
}

fn expand_list(
    list: &[String],
    with: &Expansion<'_>,
    must: bool,
) -> Result<Vec<String>, ScopeError> {
    let mut expanded = Vec::with_capacity(list.len());
    for entry in list {
        match expand_entry(entry, with) {
            Some(subjects) => {
                for subject in subjects {
                    if is_subject(&subject) {
                        expanded.push(subject);
                    } else if must {
                        return Err(ScopeError::Subject(subject));
                    }
                    if expanded.len() > EXPANDED_MAX {
                        return Err(ScopeError::TooMany);
                    }
                }
            }
            None if must => return Err(ScopeError::Undefined(entry.clone())),
            None => {}
        }
    }
    Ok(expanded)
}

/// All subjects that an entry stands for; `None` if something in it has no value. More than
/// [`EXPANDED_MAX`] are cut off one above it.
fn expand_entry(entry: &str, with: &Expansion<'_>) -> Option<Vec<String>> {
    let mut results = vec![String::new()];
    let mut rest = entry;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((operation, after)) = after.split_once("}}") else {
            break;
        };
        let values = values(operation.trim(), with)?;
        let mut next = Vec::with_capacity(results.len() * values.len());
        'all: for result in &results {
            for value in &values {
                next.push(format!("{result}{before}{value}"));
                if next.len() > EXPANDED_MAX {
                    break 'all;
                }
            }
        }
        results = next;
        rest = after;
    }
    for result in &mut results {
        result.push_str(rest);
    }
    Some(results)
}

/// The values of one operation; `None` if it is unknown or has none.
fn values(operation: &str, with: &Expansion<'_>) -> Option<Vec<String>> {
    let lower = operation.to_lowercase();
    let one = |text: &str| Some(vec![text.to_owned()]);
    match lower.as_str() {
        "name()" => return one(with.user_name),
        "subject()" => return one(with.user),
        "account-name()" => return one(with.account_name),
        "account-subject()" => return one(with.account),
        _ => {}
    }
    let argument = |name: &str| {
        lower
            .strip_prefix(name)?
            .strip_prefix('(')?
            .strip_suffix(')')
    };
    let (key, tags) = if let Some(key) = argument("tag") {
        (key, with.user_tags)
    } else {
        (argument("account-tag")?, with.account_tags)
    };
    let values: Vec<String> = tags
        .iter()
        .filter_map(|tag| tag.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value.to_owned())
        .collect();
    (!values.is_empty()).then_some(values)
}

/// `subject` or `subject queue`, of tokens that are not empty.
fn is_subject(entry: &str) -> bool {
    let mut parts = entry.split(' ');
    let valid = |part: &str| {
        !part.contains(char::is_whitespace)
            && part.split('.').all(|token| !token.is_empty())
            && !part.contains("{{")
            && !part.contains(">.")
    };
    parts.next().is_some_and(valid) && parts.next().is_none_or(valid) && parts.next().is_none()
}
