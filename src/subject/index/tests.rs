//! The index as a whole, against a naive model and at its edges.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index as Choice;

use super::*;
use crate::subject::matches;

fn matched(index: &Index, subject: &[u8]) -> Vec<PatternId> {
    let mut ids = Vec::new();
    index.match_all(subject, &mut ids);
    ids
}

/// What `subject` matches, as text and sorted.
fn matched_texts(index: &Index, subject: &[u8]) -> Vec<Vec<u8>> {
    let mut texts: Vec<_> = matched(index, subject)
        .into_iter()
        .map(|id| index.pattern(id).to_vec())
        .collect();
    texts.sort();
    texts
}

fn insert(index: &mut Index, pattern: &str) -> PatternId {
    let (id, new) = index.insert(pattern.as_bytes()).unwrap();
    assert!(new, "{pattern}");
    id
}

#[test]
fn a_pattern_has_one_id() {
    let mut index = Index::new();
    let foo = insert(&mut index, "foo");
    let star = insert(&mut index, "foo.*");
    assert_eq!(index.insert(b"foo"), Ok((foo, false)));
    assert_eq!(index.insert(b"foo.*"), Ok((star, false)));
    assert_eq!((index.len(), index.id_bound()), (2, 2));
    assert_eq!(index.find(b"foo"), Some(foo));
    assert_eq!(index.find(b"foo.*"), Some(star));
    assert_eq!(index.find(b"foo.>"), None);
    assert!(!index.is_wildcard(foo));
    assert!(index.is_wildcard(star));
    index.remove(foo);
    assert_eq!(index.find(b"foo"), None);
    assert_eq!(insert(&mut index, "bar"), foo);
    assert_eq!(index.pattern(foo), b"bar");
}

#[test]
fn wildcards_in_a_subject_are_text() {
    let mut index = Index::new();
    for pattern in ["foo.*", "foo.>", "foo.x", ">", "*.>", "foo.*.bar", "*"] {
        insert(&mut index, pattern);
    }
    let both = [b"*.>" as &[u8], b">", b"foo.*", b"foo.>"];
    assert_eq!(matched_texts(&index, b"foo.*"), both);
    assert_eq!(matched_texts(&index, b"foo.>"), both);
    assert_eq!(matched_texts(&index, b">"), [b"*" as &[u8], b">"]);
}

#[test]
fn a_tail_needs_a_token() {
    let mut index = Index::new();
    insert(&mut index, "foo.>");
    assert!(matched(&index, b"foo").is_empty());
    assert!(matched(&index, b"foo.").is_empty());
    assert_eq!(matched(&index, b"foo.a").len(), 1);
    assert_eq!(matched(&index, b"foo.a.b.c").len(), 1);
}

#[test]
fn empty_tokens_match_nothing() {
    let mut index = Index::new();
    for pattern in [">", "*", "*.*", "*.*.*", "a.>", "a.*.b", "*.>"] {
        insert(&mut index, pattern);
    }
    for subject in [b"" as &[u8], b".", b"..", b"a.", b".a", b"a..b", b"a.b.c.."] {
        assert!(matched(&index, subject).is_empty());
    }
}

#[test]
fn the_order_does_not_depend_on_the_seed() {
    let orders: Vec<_> = (0..5)
        .map(|seed| {
            let mut index = Index::with_seed(seed);
            for pattern in ["a.b.c", "*.b.c", "a.*.c", "a.b.*", ">", "a.>", "*.*.*"] {
                insert(&mut index, pattern);
            }
            matched(&index, b"a.b.c")
        })
        .collect();
    assert_eq!(orders[0].len(), 7);
    assert!(orders.iter().all(|order| order == &orders[0]));
}

#[test]
fn a_subject_of_two_thousand_tokens_is_walked_without_a_stack() {
    const TOKENS: usize = 2048;
    let mut index = Index::new();
    let stars = insert(&mut index, &vec!["*"; TOKENS].join("."));
    let half = insert(
        &mut index,
        &format!("{}.>", vec!["a"; TOKENS / 2].join(".")),
    );
    let last = insert(
        &mut index,
        &format!("{}.a", vec!["*"; TOKENS - 1].join(".")),
    );
    let subject = vec!["a"; TOKENS].join(".");
    let mut ids = matched(&index, subject.as_bytes());
    ids.sort();
    assert_eq!(ids, [stars, half, last]);
    for id in [stars, half, last] {
        index.remove(id);
    }
    assert_eq!(index.wildcards.node_count(), 1);
}

/// Every prefix of `a` and `*` up to twelve tokens: the worst that patterns can
/// do to a walk. All 2^12 patterns match, each is visited once.
#[test]
fn a_full_binary_trie_is_visited_once() {
    const DEPTH: u32 = 12;
    let mut index = Index::new();
    for bits in 0..1 << DEPTH {
        let tokens: Vec<_> = (0..DEPTH)
            .map(|bit| if bits >> bit & 1 == 1 { "*" } else { "a" })
            .collect();
        insert(&mut index, &tokens.join("."));
    }
    let mut ids = matched(&index, vec!["a"; DEPTH as usize].join(".").as_bytes());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1 << DEPTH);
}

#[test]
fn a_full_index_says_so_and_is_unchanged() {
    // One page, for strings of five to eight bytes. The first two lack room for
    // their text, the third only for a token, after two nodes were made.
    let mut index = Index::with_arena(1, Arena::with_max_pages(1));
    let kept = insert(&mut index, "orders.*");
    let nodes = index.wildcards.node_count();
    for pattern in ["*.sixteen-bytes-", "orders.new", "*.*.abc"] {
        assert_eq!(
            index.insert(pattern.as_bytes()),
            Err(IndexFull),
            "{pattern}"
        );
        assert_eq!(index.find(pattern.as_bytes()), None);
    }
    assert_eq!(index.wildcards.node_count(), nodes);
    assert_eq!(index.len(), 1);
    assert_eq!(matched(&index, b"orders.new"), [kept]);
    index.insert(b"payments").unwrap();
}

#[test]
#[should_panic(expected = "pattern id 0 is not in use")]
fn a_removed_id_is_refused() {
    let mut index = Index::new();
    let id = insert(&mut index, "foo");
    index.remove(id);
    index.remove(id);
}

/// The budget of the whole broker is 120 bytes a subscription.
#[test]
fn a_literal_costs_few_bytes_beside_its_text() {
    const BOUND: f64 = 26.0;
    let mut index = Index::new();
    let mut text = 0;
    // Four sizes: the shards' load, and so the cost, swings between powers of two.
    for count in [100_000, 300_000, 600_000, 1_000_000] {
        for n in index.len()..count {
            let subject = format!("orders.{:x}.{n}.update", n % 977);
            text += subject.len();
            insert(&mut index, &subject);
        }
        let each = (index.memory_bytes() - text) as f64 / count as f64;
        println!("{count} literals: {each:.1} bytes each beside the text");
        assert!(each < BOUND, "{each} bytes at {count} literals");
    }
    let peak = index.memory_bytes();
    let ids: Vec<_> = index.iter().map(|(id, _)| id).collect();
    for id in ids {
        index.remove(id);
    }
    // The slots and the list of free ids stay: 12 bytes a literal.
    assert!(index.memory_bytes() < peak / 3, "{}", index.memory_bytes());
}

/// Tokens that are easily mistaken for each other, and none that is empty.
fn any_token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "ab", "A", "*", ">"]),
        1 => prop::sample::select(vec!["**", "a*", ">a", ">>", "\0", "\u{e9}", "\u{6771}\u{4eac}", "abcdefgh-ijklmnop"]),
    ]
    .prop_map(|token| token.as_bytes().to_vec())
    .boxed()
    .prop_union(prop::collection::vec(any::<u8>().prop_filter("separator", |&b| b != b'.'), 1..3).boxed())
}

fn any_subject() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any_token(), 1..6).prop_map(|tokens| tokens.join(&b'.'))
}

fn any_pattern() -> impl Strategy<Value = Vec<u8>> {
    any_subject().prop_filter("`>` is last", |pattern| is_valid_subscription(pattern))
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>),
    Remove(Choice),
    Match(Vec<u8>),
    /// Matches a pattern's own text, which random subjects seldom hit.
    MatchPattern(Choice),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_pattern().prop_map(Step::Insert),
        2 => any::<Choice>().prop_map(Step::Remove),
        3 => any_subject().prop_map(Step::Match),
        1 => any::<Choice>().prop_map(Step::MatchPattern),
    ]
}

fn check_match(index: &Index, model: &BTreeMap<Vec<u8>, PatternId>, subject: &[u8]) {
    let mut found = matched(index, subject);
    found.sort();
    let mut expected: Vec<_> = model
        .iter()
        .filter(|(pattern, _)| matches(pattern, subject))
        .map(|(_, &id)| id)
        .collect();
    expected.sort();
    assert_eq!(found, expected, "{}", subject.escape_ascii());
}

proptest! {
    #[test]
    fn behaves_as_a_list_of_patterns(
        seed: u64,
        steps in prop::collection::vec(any_step(), 1..250),
    ) {
        let mut index = Index::with_seed(seed);
        let mut model: BTreeMap<Vec<u8>, PatternId> = BTreeMap::new();
        let choose = |model: &BTreeMap<Vec<u8>, PatternId>, choice: Choice| {
            let pattern = model.keys().nth(choice.index(model.len().max(1)));
            pattern.cloned()
        };
        for step in steps {
            match step {
                Step::Insert(pattern) => {
                    let (id, new) = index.insert(&pattern).unwrap();
                    prop_assert!((id.0 as usize) < index.id_bound());
                    prop_assert_eq!(index.is_wildcard(id), !is_literal(&pattern));
                    match model.insert(pattern, id) {
                        Some(known) => prop_assert_eq!((id, new), (known, false)),
                        None => prop_assert!(new),
                    }
                }
                Step::Remove(choice) => {
                    if let Some(pattern) = choose(&model, choice) {
                        let id = model.remove(&pattern).unwrap();
                        prop_assert_eq!(index.find(&pattern), Some(id));
                        index.remove(id);
                        prop_assert_eq!(index.find(&pattern), None);
                    }
                }
                Step::Match(subject) => check_match(&index, &model, &subject),
                Step::MatchPattern(choice) => {
                    if let Some(pattern) = choose(&model, choice) {
                        check_match(&index, &model, &pattern);
                    }
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        let listed: BTreeMap<_, _> =
            index.iter().map(|(id, pattern)| (pattern.to_vec(), id)).collect();
        prop_assert_eq!(&listed, &model);
        for id in model.into_values() {
            index.remove(id);
        }
        prop_assert!(index.is_empty());
        // The root stays; every other node went with the last pattern that used it.
        prop_assert!(index.wildcards.node_count() <= 1);
    }
}
