//! Subject mappings: what becomes of the subject that a client publishes to.

use std::collections::HashSet;
use std::fmt;

use super::rules::MappingRule;
use crate::subject::{Transform, TransformError};

/// Why a mapping cannot be, in nats-server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// A destination is listed twice for the same cluster.
    Duplicate(String),
    /// More than a hundred percent.
    Weight,
    Transform(TransformError),
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(subject) => write!(f, "duplicate entry for {subject:?}"),
            Self::Weight => f.write_str("total weight needs to be <= 100"),
            Self::Transform(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MappingError {}

/// Whether the mapping can be.
///
/// # Errors
/// What nats-server refuses.
pub fn check_mapping(rule: &MappingRule) -> Result<(), MappingError> {
    Mapping::new(rule).map(|_| ())
}

/// One way that a subject may go.
#[derive(Debug)]
struct Way {
    /// Below this number of a hundred (and not below the one before).
    below: u8,
    transform: Option<Transform>,
}

/// A compiled mapping.
#[derive(Debug)]
pub struct Mapping {
    source: Box<[u8]>,
    /// Destinations without a cluster; the subject stays as it is above the last one.
    ways: Vec<Way>,
}

impl Mapping {
    /// Compiles a mapping. Destinations for a cluster are checked and of no effect: this server
    /// is in none.
    ///
    /// # Errors
    /// What nats-server refuses.
    pub fn new(rule: &MappingRule) -> Result<Self, MappingError> {
        let mut seen = HashSet::new();
        let mut totals: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
        let mut ways = Vec::new();
        for destination in &rule.destinations {
            if !seen.insert((&destination.cluster, &destination.subject)) {
                return Err(MappingError::Duplicate(destination.subject.clone()));
            }
            let total = totals.entry(&destination.cluster).or_default();
            *total += u32::from(destination.weight);
            if *total > 100 {
                return Err(MappingError::Weight);
            }
            let transform = if destination.subject.is_empty() {
                None
            } else {
                let (source, to) = (rule.source.as_bytes(), destination.subject.as_bytes());
                Some(Transform::new(source, to).map_err(MappingError::Transform)?)
            };
            if destination.cluster.is_empty() {
                ways.push(Way {
                    below: *total as u8,
                    transform,
                });
            }
        }
        Ok(Self {
            source: rule.source.as_bytes().into(),
            ways,
        })
    }

    /// The pattern of the subjects that are mapped.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Appends what `subject` becomes to `out`; false if it stays as it is. `random` picks the
    /// way and feeds `{{random(n)}}`.
    pub fn apply(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) -> bool {
        let drawn = ((u128::from(random) * 100) >> 64) as u8;
        let Some(way) = self.ways.iter().find(|way| drawn < way.below) else {
            return false;
        };
        match &way.transform {
            Some(transform) => transform.apply(subject, random.rotate_left(32), out),
            None => false,
        }
    }
}
