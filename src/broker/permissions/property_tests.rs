//! Random rule sets against an evaluator that knows no trie and no order.

use proptest::prelude::*;

use super::{PermissionRules, Permissions, PublishCache, SubjectRules, SubscribeVerdict};

/// A subject or queue, with wildcards and few distinct tokens, so that they meet.
fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("*")];
    (prop::collection::vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail || tokens.is_empty() {
            tokens.push(">");
        }
        tokens.join(".")
    })
}

fn literal() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..5)
        .prop_map(|tokens| tokens.join("."))
}

fn entry(with_queue: bool) -> BoxedStrategy<String> {
    let plain = pattern();
    if with_queue {
        let queued = (pattern(), pattern()).prop_map(|(subject, queue)| subject + " " + &queue);
        prop_oneof![plain, queued].boxed()
    } else {
        plain.boxed()
    }
}

fn lists(with_queue: bool) -> impl Strategy<Value = SubjectRules> {
    let list = move || prop::collection::vec(entry(with_queue), 0..5);
    (list(), list()).prop_map(|(allow, deny)| SubjectRules {
        allow: Some(allow),
        deny,
    })
}

fn naive_matches(pattern: &[&str], literal: &[&str]) -> bool {
    match (pattern, literal) {
        ([">"], [_, ..]) => true,
        (["*", pattern @ ..], [_, literal @ ..]) => naive_matches(pattern, literal),
        ([a, pattern @ ..], [b, literal @ ..]) => a == b && naive_matches(pattern, literal),
        ([], []) => true,
        _ => false,
    }
}

fn naive_contains(inner: &[&str], outer: &[&str]) -> bool {
    match (inner, outer) {
        ([_, ..], [">"]) => true,
        ([">"], _) => false,
        ([_, inner @ ..], ["*", outer @ ..]) => naive_contains(inner, outer),
        ([a, inner @ ..], [b, outer @ ..]) => a == b && naive_contains(inner, outer),
        ([], []) => true,
        _ => false,
    }
}

fn tokens(text: &str) -> Vec<&str> {
    text.split('.').collect()
}

/// For each entry that matches the subject as text: does it speak of all queues
/// (`None`), or does it name queues, this one among them or not?
fn relevant(entries: &[String], subject: &str, queue: Option<&str>) -> Vec<Option<bool>> {
    entries
        .iter()
        .filter_map(|entry| {
            let mut words = entry.split(' ');
            let matched = naive_matches(&tokens(words.next()?), &tokens(subject));
            let rule = words.next();
            matched.then(|| {
                rule.map(|rule| {
                    queue.is_some_and(|queue| naive_contains(&tokens(queue), &tokens(rule)))
                })
            })
        })
        .collect()
}

fn naive_denied(rules: &SubjectRules, subject: &str, queue: Option<&str>) -> bool {
    relevant(&rules.deny, subject, queue)
        .iter()
        .any(|entry| entry.unwrap_or(true))
}

fn naive_admits(rules: &SubjectRules, subject: &str, queue: Option<&str>) -> bool {
    let allow = rules.allow.as_deref().unwrap_or(&[]);
    let found = relevant(allow, subject, queue);
    let queues_decide = queue.is_some() && found.iter().any(Option::is_some);
    let permitted = allow.is_empty()
        || found.iter().any(|entry| match entry {
            None => !queues_decide,
            Some(this_queue) => *this_queue,
        });
    permitted && !naive_denied(rules, subject, queue)
}

fn naive_passes(rules: &SubjectRules, subject: &str, queue: Option<&str>) -> bool {
    let allow = rules.allow.as_deref().unwrap_or(&[]);
    let permitted = allow.is_empty()
        || relevant(allow, subject, queue)
            .iter()
            .any(|entry| entry.unwrap_or(true));
    permitted && !naive_denied(rules, subject, queue)
}

proptest! {
    #[test]
    fn publishing_with_and_without_memory(
        rules in lists(false),
        subjects in prop::collection::vec(prop_oneof![literal(), pattern()], 1..30),
    ) {
        let permissions = Permissions::new(&PermissionRules {
            publish: Some(rules.clone()),
            ..PermissionRules::default()
        }).unwrap();
        let mut cache = PublishCache::default();
        for subject in &subjects {
            let expected = naive_admits(&rules, subject, None);
            prop_assert_eq!(permissions.can_publish(subject.as_bytes()), expected);
            for _ in 0..2 {
                let answer = cache.can_publish(&permissions, subject.as_bytes());
                prop_assert_eq!(answer, expected, "{}", subject);
            }
        }
    }

    #[test]
    fn subscribing_and_delivering(
        rules in lists(true),
        subject in prop_oneof![literal(), pattern()],
        queue in prop::option::of(prop_oneof![literal(), pattern()]),
        messages in prop::collection::vec(literal(), 1..30),
    ) {
        let permissions = Permissions::new(&PermissionRules {
            subscribe: Some(rules.clone()),
            ..PermissionRules::default()
        }).unwrap();
        let queue = queue.as_deref();
        let queue_bytes = queue.map(str::as_bytes);
        let verdict = permissions.can_subscribe(subject.as_bytes(), queue_bytes);
        let admitted = naive_admits(&rules, &subject, queue);
        prop_assert_eq!(verdict != SubscribeVerdict::Denied, admitted);
        for message in &messages {
            let passes = naive_passes(&rules, message, queue);
            let answer = permissions.can_deliver(message.as_bytes(), queue_bytes);
            prop_assert_eq!(answer, passes, "{}", message);
            // The promise of the verdict: no check needed where none is asked for.
            if verdict == SubscribeVerdict::Allowed
                && naive_matches(&tokens(&subject), &tokens(message))
            {
                prop_assert!(passes, "{} to {}", message, subject);
            }
        }
    }

    #[test]
    fn the_normal_form_means_the_same(rules in lists(true), subject in pattern()) {
        let rules = PermissionRules { subscribe: Some(rules), ..PermissionRules::default() };
        let first = Permissions::new(&rules).unwrap();
        let second = Permissions::new(&first.rules()).unwrap();
        prop_assert_eq!(first.rules(), second.rules());
        prop_assert_eq!(
            first.can_subscribe(subject.as_bytes(), None),
            second.can_subscribe(subject.as_bytes(), None)
        );
    }
}
