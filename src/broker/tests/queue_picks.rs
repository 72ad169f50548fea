//! Queue groups: one member each, all equally likely, wherever they are.

use super::driver::{Client, World, settings};

const MESSAGES: usize = 20_000;

fn received(world: &mut World, members: &[Client]) -> Vec<usize> {
    members
        .iter()
        .map(|&member| world.output(member).matches("MSG jobs").count())
        .collect()
}

/// Pearson's statistic of the counts against equal shares.
fn chi_square(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    counts
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum()
}

/// Members on each core, in a group; `limit` is the 99.9 % quantile of
/// chi-square with one degree of freedom less than there are members.
fn assert_uniform(members_on_core: &[usize], limit: f64) {
    let mut world = World::new(members_on_core.len(), settings());
    let publisher = world.client(0);
    let mut members = Vec::new();
    for (core, &count) in members_on_core.iter().enumerate() {
        for _ in 0..count {
            let member = world.client(core);
            world.send(member, "SUB jobs workers 1\r\n");
            members.push(member);
        }
    }
    for _ in 0..MESSAGES / 100 {
        world.send(publisher, "PUB jobs 0\r\n\r\n".repeat(100));
    }
    let counts = received(&mut world, &members);
    assert_eq!(counts.iter().sum::<usize>(), MESSAGES, "one member each");
    let statistic = chi_square(&counts);
    assert!(statistic < limit, "{statistic:.1} for {counts:?}");
}

#[test]
fn members_of_one_core_share_equally() {
    assert_uniform(&[5], 18.47);
}

#[test]
fn members_of_several_cores_share_equally_whatever_their_number() {
    assert_uniform(&[1, 2, 5], 24.32);
}

#[test]
fn members_elsewhere_share_equally() {
    assert_uniform(&[0, 3, 3], 20.52);
}

#[test]
fn each_group_gets_each_message_once_beside_plain_subscriptions() {
    let mut world = World::new(2, settings());
    let publisher = world.client(0);
    let mut members = Vec::new();
    for core in [0, 1, 1] {
        let member = world.client(core);
        world.send(
            member,
            "SUB jobs red r\r\nSUB jobs.> red n\r\nSUB jobs blue b\r\nSUB jobs p\r\n",
        );
        members.push(member);
    }
    world.send(publisher, "PUB jobs 0\r\n\r\n".repeat(1000));
    let outputs: Vec<_> = members.iter().map(|&m| world.output(m)).collect();
    let total = |head: &str| -> usize { outputs.iter().map(|o| o.matches(head).count()).sum() };
    assert_eq!(total("MSG jobs r "), 1000);
    assert_eq!(total("MSG jobs b "), 1000);
    assert_eq!(total("MSG jobs p "), 3000);
    assert_eq!(total("MSG jobs n "), 0);
}

#[test]
fn a_member_that_left_while_its_message_was_under_way_loses_nothing() {
    let mut world = World::new(2, settings());
    let (publisher, stays) = (world.client(0), world.client(0));
    let leaves = world.client(1);
    world.send(stays, "SUB jobs workers 1\r\n");
    world.send(leaves, "SUB jobs workers 1\r\n");
    world.mesh_blocked = true;
    world.send(publisher, "PUB jobs 0\r\n\r\n".repeat(100));
    world.send(leaves, "UNSUB 1\r\n");
    world.mesh_blocked = false;
    world.settle();
    let counts = received(&mut world, &[stays, leaves]);
    assert_eq!(counts, [100, 0]);
    assert!(world.cores[1].counters().handed_on > 0);
    assert_eq!(world.cores[1].counters().queue_orphans, 0);
}
