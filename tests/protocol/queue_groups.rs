//! Queue groups: one member of each group gets a message.

use std::collections::HashMap;

use crate::common::{Client, Server};

/// Messages by sid.
fn count(client: &mut Client) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for msg in client.sync_messages() {
        *counts.entry(msg.sid).or_default() += 1;
    }
    counts
}

#[test]
fn each_message_goes_to_one_member() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a q 1\r\nSUB a q 2\r\nSUB a q 3\r\n");
    for _ in 0..300 {
        client.publish("a", "x");
    }
    let counts = count(&mut client);
    assert_eq!(counts.values().sum::<usize>(), 300);
    assert_eq!(counts.len(), 3, "each member had some: {counts:?}");
}

#[test]
fn plain_subscriptions_get_their_own_copy_besides() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a q 1\r\nSUB a q 2\r\nSUB a 3\r\n");
    for _ in 0..20 {
        client.publish("a", "x");
    }
    let counts = count(&mut client);
    assert_eq!(counts["3"], 20);
    assert_eq!(counts.values().sum::<usize>(), 40);
}

#[test]
fn every_group_gets_a_copy() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a q1 1\r\nSUB a q1 2\r\nSUB a q2 3\r\n");
    for _ in 0..20 {
        client.publish("a", "x");
    }
    let counts = count(&mut client);
    assert_eq!(counts["3"], 20);
    assert_eq!(counts.values().sum::<usize>(), 40);
}

#[test]
fn members_on_different_patterns_form_one_group() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a.* q 1\r\nSUB a.> q 2\r\nSUB a.b q 3\r\n");
    for _ in 0..30 {
        client.publish("a.b", "x");
    }
    assert_eq!(count(&mut client).values().sum::<usize>(), 30);
}

#[test]
fn the_pick_is_uniform_among_members() {
    let server = Server::builder().cores(2).start();
    let mut members: Vec<Client> = (0..4).map(|_| Client::ready(server.addr())).collect();
    for member in &mut members {
        member.send("SUB a q 1\r\nSUB end 2\r\n");
        member.flush();
    }
    let mut publisher = Client::ready(server.addr());
    for _ in 0..4000 {
        publisher.publish("a", "");
    }
    publisher.publish("end", "");
    let counts: Vec<usize> = members
        .iter_mut()
        .map(|member| {
            std::iter::repeat_with(|| member.msg())
                .take_while(|msg| msg.sid == "1")
                .count()
        })
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 4000);
    // Standard deviation 27: 250 away from 1000 does not happen by chance.
    assert!(counts.iter().all(|n| n.abs_diff(1000) < 250), "{counts:?}");
}

#[test]
fn the_reserved_queue_name_is_refused() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a _sys_ 1\r\n");
    client.expect_err("Permissions Violation for Subscription to \"a\" using queue \"_sys_\"");
    client.flush();
}

#[test]
fn a_member_that_reached_its_maximum_gets_no_more() {
    let server = Server::start();
    let mut client = Client::ready(server.addr());
    client.send("SUB a q 1\r\nUNSUB 1 5\r\nSUB a q 2\r\n");
    for _ in 0..100 {
        client.publish("a", "x");
    }
    let counts = count(&mut client);
    assert_eq!(counts["1"], 5);
    assert_eq!(counts["2"], 95);
}
