use super::*;

const ENDPOINTS: [&str; 12] = [
    "VARZ", "CONNZ", "SUBSZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "ACCOUNTZ", "JSZ", "HEALTHZ",
    "EXPVARZ", "RAFTZ", "PROFILEZ",
];

#[test]
fn servers_answer_together_and_by_id() {
    for cores in [1, 2] {
        let server = start(cores);
        // On every core.
        for _ in 0..cores {
            let mut sys = login(&server, "sys", "");
            let id = id(&sys);
            for endpoint in ENDPOINTS {
                for subject in [
                    format!("$SYS.REQ.SERVER.PING.{endpoint}"),
                    format!("$SYS.REQ.SERVER.{id}.{endpoint}"),
                ] {
                    let answer = ask(&mut sys, &subject, "");
                    assert_eq!(answer["server"]["id"], *id, "{subject}");
                    assert_eq!(answer["server"]["name"], "srv");
                    assert_eq!(answer["server"]["tags"][0], "az:1");
                    assert!(answer["data"].is_object(), "{subject}: {answer}");
                }
            }
            let figures = ask(&mut sys, "$SYS.REQ.SERVER.PING", "");
            assert_eq!(figures["statsz"]["active_servers"], 1);
            let again = ask(&mut sys, &format!("$SYS.REQ.SERVER.{id}.STATSZ"), "");
            assert!(again["statsz"]["mem"].as_u64().expect("bytes") > 0);
            let own = request(&mut sys, "$SYS.REQ.SERVER.PING.IDZ", "");
            let expected = format!(r#"{{"name":"srv","host":"127.0.0.1","id":"{id}"}}"#);
            assert_eq!(own.text(), expected);
            assert_unknown(&mut sys, "$SYS.REQ.SERVER.PING.NOPE");
            assert_unknown(&mut sys, "$SYS.REQ.SERVER.OTHER.VARZ");
        }
    }
}

#[test]
fn requests_may_choose_servers_and_are_checked() {
    let server = start(2);
    let mut sys = login(&server, "sys", "");
    let health = "$SYS.REQ.SERVER.PING.HEALTHZ";
    for chosen in [
        r#"{"server_name":"sr"}"#,
        r#"{"server_name":"srv","exact_match":true}"#,
        r#"{"tags":["AZ:1"]}"#,
        r#"{"host":"127.0"}"#,
    ] {
        let answer = ask(&mut sys, health, chosen);
        assert_eq!(answer["data"]["status_code"], 200, "{chosen}");
    }
    for other in [
        r#"{"server_name":"sr","exact_match":true}"#,
        r#"{"cluster":"x"}"#,
        r#"{"tags":["az:2"]}"#,
        r#"{"domain":"x"}"#,
    ] {
        // Not answered: the answer to the next request comes first.
        let payload = format!("PUB {health} silence {}\r\n{other}\r\n", other.len());
        sys.send(format!("SUB silence 5\r\n{payload}"));
        let answer = ask(&mut sys, "$SYS.REQ.SERVER.PING.IDZ", "");
        assert_eq!(answer["name"], "srv", "{other}");
        sys.send("UNSUB 5\r\n");
    }
    let bad = ask(&mut sys, health, "{bad");
    let text = "invalid character 'b' looking for beginning of object key string";
    assert_eq!(bad["error"]["code"], 400);
    assert_eq!(bad["error"]["description"], text);
    assert!(bad.get("data").is_none());
    let sort = ask(&mut sys, "$SYS.REQ.SERVER.PING.CONNZ", r#"{"sort":"nope"}"#);
    assert_eq!(sort["error"]["code"], 500);
    assert_eq!(sort["error"]["description"], "invalid sorting option: nope");
    assert!(sort["data"].is_null());
}

#[test]
fn accounts_are_told_of() {
    let server = start(2);
    let mut sys = login(&server, "sys", "");
    let mut a = login(&server, "a", r#""name":"alice""#);
    a.send("SUB foo.* 1\r\n");
    a.flush();
    let subject = |name: &str| format!("$SYS.REQ.ACCOUNT.A.{name}");
    let conns = ask(
        &mut sys,
        &subject("CONNZ"),
        r#"{"subscriptions":true,"auth":true}"#,
    );
    assert_eq!(conns["data"]["num_connections"], 1);
    assert_eq!(conns["data"]["connections"][0]["name"], "alice");
    assert_eq!(conns["data"]["connections"][0]["account"], "A");
    assert_eq!(
        conns["data"]["connections"][0]["subscriptions_list"][0],
        "foo.*"
    );
    for (filter, found) in [("foo.1", 1), ("*.1", 1), (">", 1), ("foo", 0), ("x.*", 0)] {
        let payload = format!(r#"{{"acc":"A","filter_subject":"{filter}"}}"#);
        let conns = ask(&mut sys, "$SYS.REQ.SERVER.PING.CONNZ", &payload);
        assert_eq!(conns["data"]["num_connections"], found, "{filter}");
        assert_eq!(conns["data"]["total"], 1, "{filter}");
    }
    let no_account = ask(
        &mut sys,
        "$SYS.REQ.SERVER.PING.CONNZ",
        r#"{"filter_subject":"foo"}"#,
    );
    let text = "filter by subject only valid with account filtering";
    assert_eq!(no_account["error"]["description"], text);
    let info = ask(&mut sys, &subject("INFO"), "");
    assert_eq!(info["data"]["account_name"], "A");
    assert_eq!(info["data"]["client_connections"], 1);
    let subs = ask(&mut sys, &subject("SUBSZ"), "");
    let list = subs["data"]["subscriptions_list"]
        .as_array()
        .expect("a list");
    assert!(list.iter().any(|sub| sub["subject"] == "foo.*"), "{subs}");
    let statz = ask(&mut sys, &subject("STATZ"), "");
    assert_eq!(statz["data"]["account_statz"][0]["acc"], "A");
    assert_eq!(statz["data"]["account_statz"][0]["conns"], 1);
    let event = ask(&mut sys, &subject("CONNS"), "");
    assert_eq!(
        event["type"],
        "io.nats.server.advisory.v1.account_connections"
    );
    assert_eq!(event["conns"], 1);
    let all = ask(
        &mut sys,
        "$SYS.REQ.ACCOUNT.PING.STATZ",
        r#"{"accounts":["A"]}"#,
    );
    assert_eq!(
        all["data"]["account_statz"].as_array().map(Vec::len),
        Some(1)
    );
    let wanted = r#"{"acc":"A","subject":"foo.1"}"#;
    assert_eq!(ask(&mut sys, "$SYS.REQ.ACCOUNT.NSUBS", wanted), 1);
    let unknown = ask(&mut sys, "$SYS.REQ.ACCOUNT.NOPE.INFO", "");
    assert_eq!(
        unknown["error"]["description"],
        "Account NOPE does not exist"
    );
    let js = ask(&mut sys, &subject("JSZ"), "");
    assert_eq!(js["error"]["description"], "jetstream not enabled");
}

#[test]
fn accounts_hear_of_themselves_only() {
    for cores in [1, 2] {
        let server = start(cores);
        let mut b = login(&server, "b", r#""name":"bob""#);
        for _ in 0..cores {
            let mut a = login(&server, "a", r#""name":"alice""#);
            for subject in ["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"] {
                let conns = ask(&mut a, subject, r#"{"acc":"B"}"#);
                let list = conns["data"]["connections"].as_array().expect("a list");
                assert!(list.iter().all(|conn| conn["name"] == "alice"), "{conns}");
                assert!(!list.is_empty());
            }
            let statz = ask(
                &mut a,
                "$SYS.REQ.ACCOUNT.PING.STATZ",
                r#"{"accounts":["B"]}"#,
            );
            let list = statz["data"]["account_statz"].as_array().expect("a list");
            assert_eq!(list.len(), 1);
            assert_eq!(list[0]["acc"], "A");
            let info = ask(&mut a, "$SYS.REQ.USER.INFO", "");
            assert_eq!(info["data"]["user"], "a");
            assert_eq!(info["data"]["account"], "A");
            for subject in [
                "$SYS.REQ.SERVER.PING",
                "$SYS.REQ.SERVER.PING.VARZ",
                "$SYS.REQ.ACCOUNT.A.CONNZ",
                "$SYS.REQ.ACCOUNT.B.INFO",
            ] {
                assert_unknown(&mut a, subject);
            }
        }
        b.flush();
    }
}
