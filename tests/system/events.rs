use super::*;

#[test]
fn clients_that_come_and_go_are_told() {
    for cores in [1, 2] {
        let server = start(cores);
        let mut sys = login(&server, "sys", "");
        sys.send("SUB $SYS.ACCOUNT.A.> 1\r\nSUB $SYS.SERVER.ACCOUNT.A.CONNS 2\r\n");
        sys.flush();
        for _ in 0..cores {
            let a = login(&server, "a", r#""name":"alice","lang":"x","version":"1""#);
            let mut subjects = Vec::new();
            for _ in 0..3 {
                let (subject, event) = next(&mut sys);
                assert_eq!(event["server"]["name"], "srv");
                if subject == "$SYS.ACCOUNT.A.CONNECT" {
                    let client = &event["client"];
                    assert_eq!(event["type"], "io.nats.server.advisory.v1.client_connect");
                    assert_eq!(client["user"], "a");
                    assert_eq!(client["acc"], "A");
                    assert_eq!(client["name"], "alice");
                    assert_eq!(client["lang"], "x");
                    assert_eq!(client["ver"], "1");
                    assert_eq!(client["host"], "127.0.0.1");
                    assert_eq!(client["id"], a.info["client_id"]);
                } else {
                    assert_eq!(event["conns"], 1, "{subject}");
                }
                subjects.push(subject);
            }
            // Counts may be told later than what changed them.
            subjects.sort();
            let expected = [
                "$SYS.ACCOUNT.A.CONNECT",
                "$SYS.ACCOUNT.A.SERVER.CONNS",
                "$SYS.SERVER.ACCOUNT.A.CONNS",
            ];
            assert_eq!(subjects, expected);
            drop(a);
            let mut ended = false;
            for _ in 0..3 {
                let (subject, event) = next(&mut sys);
                if subject == "$SYS.ACCOUNT.A.DISCONNECT" {
                    assert_eq!(event["reason"], "Client Closed");
                    assert_eq!(event["client"]["user"], "a");
                    ended = true;
                } else {
                    assert_eq!(event["conns"], 0, "{subject}");
                }
            }
            assert!(ended);
        }
    }
}

#[test]
fn refused_logins_are_told_and_name_no_password() {
    let server = start(2);
    let mut sys = login(&server, "sys", "");
    let id = id(&sys);
    sys.send(format!("SUB $SYS.SERVER.{id}.CLIENT.AUTH.ERR 1\r\n"));
    sys.flush();
    let mut stranger = Client::connect(server.addr());
    stranger.login(r#""user":"nobody","pass":"hidden word""#);
    stranger.expect_err_and_close("Authorization Violation");
    let msg = sys.msg();
    assert!(!msg.text().contains("hidden word"));
    let event: Value = serde_json::from_slice(&msg.payload).expect("JSON");
    assert_eq!(event["reason"], "Authentication Failure");
    assert_eq!(event["client"]["user"], "nobody");
}

/// The subject of the next message that is not about figures, without the server's id.
fn next_but_figures(client: &mut Client, id: &str) -> String {
    loop {
        match client.frame() {
            common::Frame::Msg(msg) if !msg.subject.ends_with(".STATSZ") => {
                let body: Value = serde_json::from_slice(&msg.payload).expect("JSON");
                assert_eq!(body["id"], *id);
                return msg.subject.replace(id, "*");
            }
            _ => {}
        }
    }
}

#[test]
fn the_server_tells_its_figures() {
    let server = start(2);
    let mut sys = login(&server, "sys", "");
    let id = id(&sys);
    sys.send(format!("SUB $SYS.SERVER.{id}.STATSZ 1\r\n"));
    sys.flush();
    let (subject, event) = next(&mut sys);
    assert_eq!(subject, format!("$SYS.SERVER.{id}.STATSZ"));
    assert_eq!(event["server"]["id"], *id);
    assert!(event["statsz"]["connections"].as_u64() >= Some(1));
}

#[test]
fn the_server_tells_its_end() {
    for (signal, told) in [("USR2", "LAMEDUCK"), ("INT", "SHUTDOWN")] {
        let server = start(2);
        let mut sys = login(&server, "sys", "");
        let id = id(&sys);
        sys.send(format!("SUB $SYS.SERVER.{id}.* 1\r\n"));
        sys.flush();
        server.signal(signal);
        let subject = next_but_figures(&mut sys, &id);
        assert_eq!(subject, format!("$SYS.SERVER.*.{told}"));
    }
}
