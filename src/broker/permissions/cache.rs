//! Decisions about publish subjects, remembered by a connection.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::Permissions;

/// Decisions a connection remembers at most; a power of two.
pub const PUBLISH_CACHE_SLOTS: usize = 128;

/// Longest subject remembered, in bytes; the rules are asked anew about longer
/// ones. With [`PUBLISH_CACHE_SLOTS`] this bounds the cache to 32 KiB of text.
pub const PUBLISH_CACHE_SUBJECT_BYTES: usize = 256;

/// A bounded memory of [`Permissions::can_publish`] answers.
///
/// Each subject has one slot, by its hash; a newcomer overwrites what was there,
/// in the same buffer. So a hit never allocates, a miss only while buffers
/// grow, and a flood of distinct subjects costs one evaluation each and no
/// memory. Nothing is allocated before the first question.
///
/// Answers hold for the one `Permissions` they came from: a connection whose
/// permissions change starts with a new cache.
#[derive(Debug, Default)]
pub struct PublishCache {
    slots: Box<[Slot]>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    /// Empty if the slot was never used: the empty subject is never remembered.
    subject: Vec<u8>,
    allowed: bool,
}

impl PublishCache {
    /// What `permissions.can_publish(subject)` says.
    pub fn can_publish(&mut self, permissions: &Permissions, subject: &[u8]) -> bool {
        if subject.is_empty() || subject.len() > PUBLISH_CACHE_SUBJECT_BYTES {
            return permissions.can_publish(subject);
        }
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); PUBLISH_CACHE_SLOTS].into();
        }
        // Truncated on purpose: the low bits choose the slot.
        let index = self.hasher.hash_one(subject) as usize % PUBLISH_CACHE_SLOTS;
        let slot = &mut self.slots[index];
        if slot.subject != subject {
            slot.subject.clear();
            slot.subject.extend_from_slice(subject);
            slot.allowed = permissions.can_publish(subject);
        }
        slot.allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::permissions::{PermissionRules, SubjectRules};

    fn permissions() -> Permissions {
        Permissions::new(&PermissionRules {
            publish: Some(SubjectRules {
                allow: Some(vec!["a.*".into()]),
                deny: vec!["a.7".into()],
            }),
            ..PermissionRules::default()
        })
        .unwrap()
    }

    #[test]
    fn answers_stay_right_when_subjects_crowd_each_other_out() {
        let permissions = permissions();
        let mut cache = PublishCache::default();
        for round in 0..3 {
            for number in 0..1000 {
                let subject = format!("a.{number}");
                let allowed = cache.can_publish(&permissions, subject.as_bytes());
                assert_eq!(allowed, number != 7, "round {round}");
            }
        }
        assert!(!cache.can_publish(&permissions, b""));
        assert!(!cache.can_publish(&permissions, b"b"));
    }

    #[test]
    fn memory_is_bounded_however_long_the_subjects_are() {
        let permissions = permissions();
        let mut cache = PublishCache::default();
        for length in 0..4096 {
            let subject = [b"a.".as_slice(), &vec![b'x'; length]].concat();
            assert_eq!(cache.can_publish(&permissions, &subject), length > 0);
        }
        let held: usize = cache.slots.iter().map(|slot| slot.subject.capacity()).sum();
        assert!(held <= PUBLISH_CACHE_SLOTS * PUBLISH_CACHE_SUBJECT_BYTES * 2);
    }
}
