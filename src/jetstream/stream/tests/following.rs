use super::support::{Bench, SECOND, Sent};
use crate::jetstream::bus::{Incoming, Token};
use crate::jetstream::stream::StreamInfo;

impl Bench {
    fn info(&self) -> StreamInfo {
        let state = self.stream.state(0, false);
        self.stream.info(state, "v", self.bus.now.unix_ns)
    }

    /// Hands a message to the stream's subscription on `to`.
    fn deliver(&mut self, to: &str, subject: &str, reply: &str, header: &str, payload: &str) {
        let tokens: Vec<Token> = (self.bus.subscriptions.iter())
            .filter(|(pattern, _)| pattern == to)
            .map(|(_, token)| *token)
            .collect();
        let message = Incoming {
            account: 0,
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            header: header.as_bytes(),
            payload: payload.as_bytes(),
            origin: 0,
        };
        for token in tokens {
            self.with(|stream, cx| stream.own_message(cx, token.detail(), &message));
        }
    }

    /// The last request for a consumer.
    fn asked(&mut self) -> Sent {
        self.with(|stream, cx| stream.settle(cx));
        let at = self
            .bus
            .sent
            .iter()
            .rposition(|sent| sent.to.contains("CONSUMER.CREATE"));
        self.bus.sent.remove(at.expect("no request"))
    }

    /// Answers the last request; returns the inbox.
    fn accept(&mut self) -> String {
        let asked = self.asked();
        let answer = r#"{"type":"t","stream_name":"OR","name":"n","num_pending":5}"#;
        let identity = "NATS/1.0\r\nNats-Stream-Identity: PaJnOigT\r\n\r\n";
        self.deliver(&asked.reply, &asked.reply, "", identity, answer);
        let body: serde_json::Value = serde_json::from_str(&asked.payload).unwrap();
        body["config"]["deliver_subject"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn message(&mut self, inbox: &str, subject: &str, sequence: u64, delivered: u64, pending: u64) {
        let reply = format!("$JS.ACK.OR.c.1.{sequence}.{delivered}.1795634110929536587.{pending}");
        self.deliver(inbox, subject, &reply, "", "x");
    }
}

/// Captured from nats-server 2.15.1.
#[test]
fn consumers_are_asked_for_as_nats_server_does() {
    let mut bench = Bench::new(r#""name":"MI","mirror":{"name":"OR"}"#);
    assert!(
        bench.stream.has_backlog(),
        "the inbox is not known everywhere"
    );
    let asked = bench.asked();
    assert!(!bench.stream.has_backlog());
    assert_eq!(asked.to, "$JS.API.CONSUMER.CREATE.OR");
    assert!(asked.reply.starts_with("$JSC.R."));
    assert_eq!(
        asked.header,
        "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n"
    );
    let body: serde_json::Value = serde_json::from_str(&asked.payload).unwrap();
    let name = body["config"]["name"].as_str().unwrap();
    let inbox = body["config"]["deliver_subject"].as_str().unwrap();
    assert!(name.starts_with("JS_MIRROR_") && name.len() == 18 && inbox.starts_with("$JS.M."));
    assert_eq!(
        asked.payload,
        format!(
            r#"{{"stream_name":"OR","config":{{"name":"{name}","deliver_policy":"all","ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,"replay_policy":"instant","flow_control":true,"deliver_subject":"{inbox}","idle_heartbeat":1000000000,"inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,"metadata":{{"_nats.mirror.acc":"$G","_nats.mirror.stream":"MI"}}}},"action":""}}"#
        )
    );
    let mut filtered = Bench::new(
        r#""name":"SO","sources":[{"name":"OR","filter_subject":"o.7","opt_start_seq":2,"external":{"api":"$JS.d.API","deliver":"dlv.x"}}]"#,
    );
    let asked = filtered.asked();
    assert!(
        asked.to.starts_with("$JS.d.API.CONSUMER.CREATE.OR.JS_SRC_") && asked.to.ends_with(".o.7")
    );
    assert_eq!(
        asked.header,
        "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n"
    );
    assert!(
        asked
            .payload
            .contains(r#""deliver_policy":"by_start_sequence","opt_start_seq":2,"#)
    );
    assert!(asked.payload.contains(r#""filter_subject":"o.7""#));
    assert!(asked.payload.contains(r#""deliver_subject":"dlv.x.S."#));
    let mut several = Bench::new(
        r#""name":"SP","sources":[{"name":"OR","subject_transforms":[{"src":"o.2","dest":"w.two"},{"src":"o.7","dest":""}]}]"#,
    );
    assert!(
        several
            .asked()
            .payload
            .contains(r#""filter_subjects":["o.2","o.7"],"#)
    );
}

#[test]
fn mirrors_keep_sequences_and_times() {
    let mut bench = Bench::new(r#""name":"MI","mirror":{"name":"OR"}"#);
    let inbox = bench.accept();
    assert_eq!(bench.info().mirror.unwrap().lag, 5);
    bench.message(&inbox, "o.0", 3, 1, 2);
    bench.message(&inbox, "o.2", 5, 2, 0);
    bench.message(&inbox, "o.2", 5, 2, 0);
    assert_eq!(bench.sequences(), [3, 5]);
    assert_eq!(
        bench.stream.log().meta(5).unwrap().unix_ns,
        1_795_634_110_929_536_587
    );
    let state = bench.stream.state(0, false);
    assert_eq!(
        (state.first_seq, state.last_seq, state.num_deleted),
        (3, 5, 1)
    );
    // One is missing: asked for again from where the log ends.
    bench.message(&inbox, "o.2", 9, 4, 0);
    bench.pass(0);
    let again = bench.asked();
    assert!(
        again
            .payload
            .contains(r#""deliver_policy":"by_start_sequence","opt_start_seq":6,"#)
    );
    bench.message(&inbox, "o.2", 7, 3, 0);
    assert_eq!(
        bench.sequences(),
        [3, 5],
        "the old inbox is not heard any more"
    );
    bench.check();
}

/// Headers as they were seen on nats-server 2.15.1.
#[test]
fn sourced_messages_say_where_they_come_from() {
    let mut bench = Bench::new(
        r#""name":"SP","sources":[{"name":"OR","subject_transforms":[{"src":"o.2","dest":"w.two"},{"src":"o.7","dest":""}]}]"#,
    );
    let inbox = bench.accept();
    bench.message(&inbox, "o.2", 3, 1, 4);
    let reply = "$JS.ACK.OR.c.1.4.2.1795634110929536587.3";
    let header =
        "NATS/1.0\r\nA: b\r\nNats-Expected-Stream: OR\r\nNats-Stream-Source: X 1 > > y\r\n\r\n";
    bench.deliver(&inbox, "o.7", reply, header, "q");
    let messages = bench.messages();
    assert_eq!(messages[0].1, "w.two");
    assert_eq!(
        messages[0].2,
        "NATS/1.0\r\nNats-Stream-Source: OR 3 o.2\x0co.7 w.two\x0c> o.2 PaJnOigT\r\n\r\n"
    );
    assert_eq!(messages[1].1, "o.7");
    assert_eq!(
        messages[1].2,
        "NATS/1.0\r\nA: b\r\nNats-Stream-Source: OR 4 o.2\x0co.7 w.two\x0c> o.7 PaJnOigT\r\n\r\n"
    );
    let source = bench.info().sources.remove(0);
    assert_eq!((source.seq, source.lag, source.active), (4, 3, 0));
    // The consumer is gone: on from behind what was taken.
    bench.deliver(
        &inbox,
        &inbox,
        "",
        "NATS/1.0 409 Consumer Deleted\r\n\r\n",
        "",
    );
    bench.pass(0);
    let again = bench.asked();
    assert!(again.payload.contains(r#""opt_start_seq":5,"#));
    assert!(again.header.contains("Nats-Stream-Identity: PaJnOigT\r\n"));
    bench.check();
}

/// Values as they were seen on nats-server 2.15.1.
#[test]
fn sourced_counters_add_up() {
    let mut bench = Bench::new(
        r#""name":"CS","subjects":["t.>"],"allow_msg_counter":true,"sources":[{"name":"C1","subject_transforms":[{"src":"c1.*","dest":"t.{{wildcard(1)}}"}]}]"#,
    );
    let inbox = bench.accept();
    for (sequence, increment, value) in [(1, "5", "5"), (2, "2", "7")] {
        let reply = format!("$JS.ACK.C1.c.1.{sequence}.{sequence}.1.0");
        let header = format!("NATS/1.0\r\nNats-Incr: {increment}\r\n\r\n");
        let payload = format!(r#"{{"val":"{value}"}}"#);
        bench.deliver(&inbox, "c1.x", &reply, &header, &payload);
    }
    let answer = bench.publish("t.x", "", &[("Nats-Incr", "100")]);
    assert_eq!(answer, r#"{"stream":"CS","seq":3,"val":"107"}"#);
    let reply = "$JS.ACK.C1.c.1.3.3.1.0";
    bench.deliver(
        &inbox,
        "c1.x",
        reply,
        "NATS/1.0\r\nNats-Incr: -1\r\n\r\n",
        r#"{"val":"6"}"#,
    );
    let messages = bench.messages();
    assert_eq!(
        messages[1].2,
        "NATS/1.0\r\nNats-Incr: 2\r\nNats-Stream-Source: C1 2 c1.* t.{{wildcard(1)}} c1.x PaJnOigT\r\nNats-Counter-Sources: {\"C1\":{\"c1.x\":\"7\"}}\r\n\r\n"
    );
    assert_eq!(
        messages[2].2,
        "NATS/1.0\r\nNats-Incr: 100\r\nNats-Counter-Sources: {\"C1\":{\"c1.x\":\"7\"}}\r\n\r\n"
    );
    assert!(messages[3].2.starts_with("NATS/1.0\r\nNats-Incr: -1\r\n"));
    assert_eq!(messages[3].3, r#"{"val":"106"}"#);
}

#[test]
fn signs_of_life_are_answered_and_missed() {
    let mut bench = Bench::new(r#""name":"MI","mirror":{"name":"OR"}"#);
    let inbox = bench.accept();
    let flow = "NATS/1.0 100 FlowControl Request\r\n\r\n";
    bench.deliver(&inbox, &inbox, "$JS.FC.OR.c.1", flow, "");
    assert_eq!(bench.bus.sent.pop().unwrap().to, "$JS.FC.OR.c.1");
    let stalled = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 0\r\nNats-Consumer-Stalled: $JS.FC.OR.c.2\r\n\r\n";
    bench.deliver(&inbox, &inbox, "", stalled, "");
    assert_eq!(bench.bus.sent.pop().unwrap().to, "$JS.FC.OR.c.2");
    bench.pass(2 * SECOND);
    let alive =
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 0\r\n\r\n";
    bench.deliver(&inbox, &inbox, "", alive, "");
    bench.pass(2 * SECOND);
    assert!(bench.bus.sent.is_empty());
    bench.pass(SECOND);
    bench.pass(0);
    assert!(bench.asked().payload.contains(r#""deliver_policy":"all""#));
    // A heartbeat that knows of a delivery we have not seen.
    let inbox = {
        bench.pass(6 * SECOND);
        bench.pass(SECOND);
        bench.accept()
    };
    let ahead =
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\nNats-Last-Stream: 3\r\n\r\n";
    bench.deliver(&inbox, &inbox, "", ahead, "");
    bench.pass(0);
    bench.asked();
}

#[test]
fn origins_that_are_not_there_are_asked_again_ever_more_rarely() {
    let mut bench = Bench::new(r#""name":"SO","sources":[{"name":"NOPE"}]"#);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let asked = bench.asked();
        let error = r#"{"type":"t","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        bench.deliver(&asked.reply, &asked.reply, "", "", error);
        let wait = bench.stream.next_deadline(bench.bus.now).unwrap() - bench.bus.now.mono_ns;
        waits.push(wait / 100_000_000);
        bench.pass(wait as i64);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 100, 100]);
    let source = bench.info().sources.remove(0);
    assert_eq!(source.active, -1);
    assert_eq!(source.error.unwrap().code.number(), 10059);
    bench.with(|stream, cx| stream.stop(cx));
    assert!(bench.bus.subscriptions.is_empty());
}

#[test]
fn a_mirror_can_become_a_stream_of_its_own() {
    let mut bench = Bench::new(r#""name":"MI","mirror":{"name":"OR"}"#);
    let inbox = bench.accept();
    bench.message(&inbox, "o.0", 1, 1, 0);
    let mut config = bench.stream.config().clone();
    config.mirror = None;
    config.subjects = vec!["o.>".to_owned()];
    bench.with(|stream, cx| stream.update(cx, config));
    let subjects: Vec<_> = bench
        .bus
        .subscriptions
        .iter()
        .map(|s| s.0.clone())
        .collect();
    assert_eq!(subjects, ["o.>"]);
    bench.store("o.1", 2);
    assert_eq!(bench.sequences(), [1, 2]);
}
