//! Verdicts read off nats-server 2.15.1 over a raw socket, row by row.

use super::SubscribeVerdict::{self, Allowed, AllowedFiltered, Denied};
use super::{PermissionRules, Permissions, SubjectRules};

fn lists(allow: &[&str], deny: &[&str]) -> Option<SubjectRules> {
    let owned = |list: &[&str]| list.iter().map(|&entry| entry.to_owned()).collect();
    Some(SubjectRules {
        allow: Some(owned(allow)),
        deny: owned(deny),
    })
}

fn publish(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions::new(&PermissionRules {
        publish: lists(allow, deny),
        ..PermissionRules::default()
    })
    .unwrap()
}

fn subscribe(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions::new(&PermissionRules {
        subscribe: lists(allow, deny),
        ..PermissionRules::default()
    })
    .unwrap()
}

/// Takes `subject` or `subject queue`.
fn words(text: &str) -> (&[u8], Option<&[u8]>) {
    match text.split_once(' ') {
        Some((subject, queue)) => (subject.as_bytes(), Some(queue.as_bytes())),
        None => (text.as_bytes(), None),
    }
}

#[track_caller]
fn assert_verdicts(permissions: &Permissions, rows: &[(&str, SubscribeVerdict)]) {
    for (text, expected) in rows {
        let (subject, queue) = words(text);
        assert_eq!(
            permissions.can_subscribe(subject, queue),
            *expected,
            "SUB {text}"
        );
    }
}

#[track_caller]
fn assert_publishes(permissions: &Permissions, allowed: &[&str], denied: &[&str]) {
    for subject in allowed {
        assert!(permissions.can_publish(subject.as_bytes()), "PUB {subject}");
    }
    for subject in denied {
        assert!(
            !permissions.can_publish(subject.as_bytes()),
            "PUB {subject}"
        );
    }
}

/// Asks for messages to each subject, delivered to `SUB text`.
#[track_caller]
fn assert_deliveries(permissions: &Permissions, text: &str, passed: &[&str], kept: &[&str]) {
    let (pattern, queue) = words(text);
    assert_eq!(permissions.can_subscribe(pattern, queue), AllowedFiltered);
    for subject in passed {
        assert!(
            permissions.can_deliver(subject.as_bytes(), queue),
            "{subject} to {text}"
        );
    }
    for subject in kept {
        assert!(
            !permissions.can_deliver(subject.as_bytes(), queue),
            "{subject} to {text}"
        );
    }
}

#[test]
fn publish_allow_and_deny() {
    let rules = publish(&["a.*", "b.>"], &["a.x", "b.secret.>"]);
    assert_publishes(
        &rules,
        &["a.b", "b.q.r", "b.secret", "a.*", "a.>"],
        &["a.x", "b.secret.z", "c", "b"],
    );
    assert_publishes(&publish(&[], &["a.x"]), &["a.y", "a.*"], &["a.x"]);
}

#[test]
fn a_subject_with_an_empty_token_is_neither_permitted_nor_denied() {
    assert_publishes(
        &publish(&[">"], &[]),
        &["a", "foo*", ">", "*"],
        &["a..b", "a.", ".a", ".."],
    );
    assert_publishes(
        &publish(&[], &[">"]),
        &["a..b", "a.", ".a", ".."],
        &["a", "foo*", ">", "*"],
    );
}

#[test]
fn subscribe_allow_and_deny() {
    assert_verdicts(
        &subscribe(&["a.*", "b.>"], &["a.x", "b.secret.>"]),
        &[
            ("a.b", Allowed),
            ("a.x", Denied),
            ("a.*", AllowedFiltered),
            ("a.>", AllowedFiltered),
            ("b.>", AllowedFiltered),
            ("b.*", Allowed),
            ("b.secret.*", Denied),
            ("b.secret.>", Denied),
            (">", Denied),
            ("*", Denied),
            ("a.x Q", Denied),
            ("a.* Q", AllowedFiltered),
            ("b.*.z", AllowedFiltered),
        ],
    );
}

#[test]
fn subscribe_deny_alone() {
    assert_verdicts(
        &subscribe(&[], &["a.x", "z.*.q"]),
        &[
            ("a.x", Denied),
            ("z.*.q", Denied),
            ("z.a.q", Denied),
            ("a.*", AllowedFiltered),
            (">", AllowedFiltered),
            ("z.a.*", AllowedFiltered),
            ("a.x.*", Allowed),
        ],
    );
    assert_verdicts(
        &subscribe(&[">"], &["a.>"]),
        &[
            (">", AllowedFiltered),
            ("a.>", Denied),
            ("*.b", AllowedFiltered),
            ("a.b", Denied),
            ("*", Allowed),
            ("a", Allowed),
        ],
    );
}

#[test]
fn empty_lists_permit_everything() {
    for rules in [
        subscribe(&[], &[]),
        Permissions::new(&PermissionRules::default()).unwrap(),
    ] {
        assert_verdicts(&rules, &[("a", Allowed), (">", Allowed), ("a q", Allowed)]);
        assert!(rules.can_publish(b"a") && rules.publishes_freely());
    }
}

#[test]
fn a_tail_passes_as_one_token_when_subscribing() {
    let rules = subscribe(&["a.*"], &[]);
    assert_verdicts(
        &rules,
        &[
            ("a.>", AllowedFiltered),
            ("a.*", Allowed),
            ("*.*", Denied),
            ("a.b.c", Denied),
            ("a.*.>", Denied),
            ("a..b", Denied),
            ("a.", Denied),
        ],
    );
    assert_verdicts(
        &subscribe(&["*", "b.*.c"], &[]),
        &[(">", AllowedFiltered), ("b.>", Denied), ("b.*.>", Denied)],
    );
    assert_verdicts(
        &subscribe(&[], &["a.*"]),
        &[("a.>", Denied), (">", AllowedFiltered)],
    );
}

/// The one place where the verdict is not nats-server's, which delivers `a.b.c`.
#[test]
fn what_no_rule_permits_is_not_delivered() {
    assert_deliveries(&subscribe(&["a.*"], &[]), "a.>", &["a.b"], &["a.b.c"]);
    assert_deliveries(&subscribe(&["*"], &[]), ">", &["a"], &["a.b"]);
}

#[test]
fn queues_in_an_allow_list() {
    assert_verdicts(
        &subscribe(&["q v1"], &[]),
        &[("q", Denied), ("q v1", Allowed), ("q v2", Denied)],
    );
    assert_verdicts(
        &subscribe(&["foo"], &[]),
        &[("foo", Allowed), ("foo x", Allowed)],
    );
    assert_verdicts(
        &subscribe(&["foo", "foo v1"], &[]),
        &[("foo", Allowed), ("foo v1", Allowed), ("foo v2", Denied)],
    );
    assert_verdicts(
        &subscribe(&["foo v1.*", "bar >", "baz.> *.dev"], &[]),
        &[
            ("foo", Denied),
            ("foo v1", Denied),
            ("foo v1.a", Allowed),
            ("foo v1.a.b", Denied),
            ("foo v1.*", Allowed),
            ("foo v1.>", Denied),
            ("bar", Denied),
            ("bar z", Allowed),
            ("baz.q z.dev", Allowed),
            ("baz.q dev", Denied),
            ("baz.> z.dev", Allowed),
        ],
    );
    assert_verdicts(
        &subscribe(&["foo *"], &[]),
        &[
            ("foo", Denied),
            ("foo *", Allowed),
            ("foo v1", Allowed),
            ("foo v1.a", Denied),
            ("foo >", Denied),
        ],
    );
}

#[test]
fn queues_in_a_deny_list() {
    assert_verdicts(
        &subscribe(&[], &["foo v1"]),
        &[
            ("foo", Allowed),
            ("foo v1", Denied),
            ("foo v2", Allowed),
            ("*", Allowed),
            ("* v1", AllowedFiltered),
            ("* v2", Allowed),
            ("> v1", AllowedFiltered),
        ],
    );
    assert_verdicts(
        &subscribe(&[], &["foo", "foo v1"]),
        &[("foo", Denied), ("foo v1", Denied), ("foo v2", Denied)],
    );
    assert_verdicts(
        &subscribe(&[], &["foo v1.*", "bar >"]),
        &[
            ("foo", Allowed),
            ("foo v1", Allowed),
            ("foo v1.a", Denied),
            ("foo v1.*", Denied),
            ("foo v1.>", Allowed),
            ("bar", Allowed),
            ("bar z", Denied),
        ],
    );
}

#[test]
fn queues_in_both_lists() {
    assert_verdicts(
        &subscribe(&["foo.*"], &["foo.a v1"]),
        &[
            ("foo.a", Allowed),
            ("foo.a v1", Denied),
            ("foo.a v2", Allowed),
            ("foo.* v1", AllowedFiltered),
        ],
    );
    assert_verdicts(
        &subscribe(&["foo.> v1", "foo.a"], &["foo.b v1"]),
        &[
            ("foo.a", Allowed),
            ("foo.a v1", Allowed),
            ("foo.a v2", Denied),
            ("foo.b", Denied),
            ("foo.b v1", Denied),
            ("foo.c v1", Allowed),
            ("foo.c v2", Denied),
            ("foo.* v1", AllowedFiltered),
        ],
    );
}

#[test]
fn deliveries_are_filtered() {
    let rules = subscribe(&[], &["a.x", "z.*.q"]);
    assert_deliveries(&rules, "a.*", &["a.y"], &["a.x"]);
    assert_deliveries(&rules, "a.>", &["a.y", "a.x.y"], &["a.x"]);
    assert_deliveries(&rules, "z.a.*", &["z.a.r"], &["z.a.q"]);
    assert_deliveries(&rules, "*.a.q", &["y.a.q"], &["z.a.q"]);
    let rules = subscribe(&[">"], &["a.>"]);
    assert_deliveries(&rules, "*.b", &["c.b"], &["a.b"]);
    assert_deliveries(&rules, ">", &["c.b", "a"], &["a.b"]);
}

#[test]
fn deliveries_to_queues_are_filtered() {
    let rules = subscribe(&[], &["foo.a v1", "bar.a"]);
    assert_deliveries(&rules, "foo.* v1", &["foo.b"], &["foo.a"]);
    assert_deliveries(&rules, "bar.* v1", &["bar.b"], &["bar.a"]);
    assert_deliveries(&rules, "> v1", &["x"], &["bar.a", "foo.a"]);
    assert_eq!(
        rules.can_subscribe(b"foo.*", Some(b"v2")),
        SubscribeVerdict::Allowed
    );
    let rules = subscribe(&[], &["foo v1.*", "bar.> >"]);
    assert_deliveries(&rules, "* v1.a", &["x"], &["foo"]);
    assert_deliveries(&rules, "* v1.*", &["x"], &["foo"]);
    assert_deliveries(&rules, "> v2.a", &["foo"], &["bar.a"]);
    assert_eq!(rules.can_subscribe(b">", None), SubscribeVerdict::Allowed);
}

/// A queue rule for one of the subjects does not take from a queue what the
/// rule by which it subscribed gives.
#[test]
fn deliveries_follow_the_rule_that_admitted_the_subscription() {
    let rules = subscribe(&["foo.*", "foo.a v1", "bar"], &["foo.b"]);
    assert_deliveries(&rules, "foo.* v2", &["foo.a", "foo.c"], &["foo.b"]);
}
