//! Promise 3: each message reaches exactly one member of each group, also while members come
//! and go.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Client, Frame, Server};
use crate::on_cores;

on_cores!(
    each_message_reaches_exactly_one_member,
    each_message_reaches_exactly_one_member_while_members_come_and_go,
    each_of_several_groups_gets_each_message_once,
);

/// Receives on sid 1 until the message `end`; returns the payloads.
fn until_end(client: &mut Client) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let msg = client.msg();
        if msg.subject == "end" {
            return texts;
        }
        texts.push(msg.text());
    }
}

fn assert_each_once(received: impl IntoIterator<Item = String>, messages: usize) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for text in received {
        *counts.entry(text).or_default() += 1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_, n)| **n > 1).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let lost: Vec<_> = (0..messages)
        .map(|i| i.to_string())
        .filter(|i| !counts.contains_key(i))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

fn each_message_reaches_exactly_one_member(cores: usize) {
    const MESSAGES: usize = 5000;
    let server = Server::builder().cores(cores).start();
    let mut members: Vec<Client> = (0..6).map(|_| Client::ready(server.addr())).collect();
    for member in &mut members {
        member.send("SUB jobs workers 1\r\nSUB end 2\r\n");
        member.flush();
    }
    let mut publisher = Client::ready(server.addr());
    for i in 0..MESSAGES {
        publisher.publish("jobs", i.to_string());
    }
    publisher.publish("end", "");
    let received: Vec<String> = members.iter_mut().flat_map(until_end).collect();
    assert_each_once(received, MESSAGES);
}

/// Joins and leaves the group over and over; returns what it was given.
///
/// It leaves by UNSUB and PING, as clients drain: a message that was on its way to it at that
/// moment must arrive before the PONG or go to another member.
fn come_and_go(server: std::net::SocketAddr, stop: &AtomicBool) -> Vec<String> {
    let mut received = Vec::new();
    let mut client = Client::ready(server);
    let mut keep = |frames: Vec<Frame>| {
        for frame in frames {
            match frame {
                Frame::Msg(msg) => received.push(msg.text()),
                other => panic!("expected messages only, got {other:?}"),
            }
        }
    };
    let mut sid = 0;
    while !stop.load(Ordering::Relaxed) {
        sid += 1;
        client.send(format!("SUB jobs workers {sid}\r\n"));
        keep(client.sync());
        keep(client.sync());
        client.send(format!("UNSUB {sid}\r\n"));
        keep(client.sync());
    }
    received
}

fn each_message_reaches_exactly_one_member_while_members_come_and_go(cores: usize) {
    const MESSAGES: usize = 3000;
    let server = Server::builder().cores(cores).start();
    let addr = server.addr();
    let mut steady = Client::ready(addr);
    steady.send("SUB jobs workers 1\r\nSUB end 2\r\n");
    steady.flush();
    let stop = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        let fickle: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| come_and_go(addr, &stop)))
            .collect();
        let steady = scope.spawn(move || (until_end(&mut steady), steady));
        let mut publisher = Client::ready(addr);
        for i in 0..MESSAGES {
            publisher.publish("jobs", i.to_string());
            if i % 50 == 0 {
                publisher.flush();
            }
        }
        publisher.flush();
        stop.store(true, Ordering::Relaxed);
        let mut received: Vec<String> = fickle
            .into_iter()
            .flat_map(|member| member.join().unwrap())
            .collect();
        publisher.publish("end", "");
        let (texts, mut steady) = steady.join().unwrap();
        received.extend(texts);
        // A message handed on by one who left may take another way than `end` and come later.
        while received.len() < MESSAGES {
            received.push(steady.msg().text());
        }
        steady.flush();
        received
    });
    assert_each_once(received, MESSAGES);
}

fn each_of_several_groups_gets_each_message_once(cores: usize) {
    const MESSAGES: usize = 1000;
    let server = Server::builder().cores(cores).start();
    let mut groups: Vec<Vec<Client>> = ["red", "green", "blue"]
        .iter()
        .map(|group| {
            (0..3)
                .map(|_| {
                    let mut member = Client::ready(server.addr());
                    member.send(format!("SUB jobs.* {group} 1\r\nSUB end 2\r\n"));
                    member.flush();
                    member
                })
                .collect()
        })
        .collect();
    let mut publisher = Client::ready(server.addr());
    for i in 0..MESSAGES {
        publisher.publish(&format!("jobs.{}", i % 5), i.to_string());
    }
    publisher.publish("end", "");
    for group in &mut groups {
        let received: Vec<String> = group.iter_mut().flat_map(until_end).collect();
        assert_each_once(received, MESSAGES);
    }
}
