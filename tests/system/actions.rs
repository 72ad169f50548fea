use super::*;
use common::Frame;

#[test]
fn connections_are_asked_to_go_and_kicked() {
    for cores in [1, 2] {
        let server = start(cores);
        let mut sys = login(&server, "sys", "");
        let id = id(&sys);
        let subject = |name: &str| format!("$SYS.REQ.SERVER.{id}.{name}");
        for _ in 0..cores {
            let mut a = login(&server, "a", r#""protocol":1"#);
            let cid = format!(r#"{{"cid":{}}}"#, a.info["client_id"]);
            let done = ask(&mut sys, &subject("LDM"), &cid);
            assert!(done.get("error").is_none(), "{done}");
            // The INFO that follows the first PONG may come before.
            loop {
                match a.frame() {
                    Frame::Info(info) if info["ldm"] == true => break,
                    Frame::Info(_) => {}
                    other => panic!("expected INFO, got {other:?}"),
                }
            }
            let done = ask(&mut sys, &subject("KICK"), &cid);
            assert!(done.get("error").is_none(), "{done}");
            a.expect_closed();
            let again = ask(&mut sys, &subject("KICK"), &cid);
            assert_eq!(again["error"]["code"], 500);
            let text = "no such client or leafnode id";
            assert_eq!(again["error"]["description"], text);
            let again = ask(&mut sys, &subject("LDM"), &cid);
            assert_eq!(again["error"]["description"], "no such client id");
        }
    }
}

#[test]
fn the_configuration_is_read_again() {
    let server = start(2);
    let mut sys = login(&server, "sys", "");
    let reload = format!("$SYS.REQ.SERVER.{}.RELOAD", id(&sys));
    let done = ask(&mut sys, &reload, "");
    assert!(done.get("error").is_none(), "{done}");
    server.rewrite_config(&format!("{CONFIG}\nmax_payload: 1000"));
    let done = ask(&mut sys, &reload, "");
    assert!(done.get("error").is_none(), "{done}");
    common::eventually("the new limit", || {
        let info = Client::connect(server.addr()).info;
        (info["max_payload"] == 1000).then_some(())
    });
    server.rewrite_config("nonsense nonsense {");
    let refused = ask(&mut sys, &reload, "");
    assert_eq!(refused["error"]["code"], 500, "{refused}");
    assert!(refused.get("data").is_none());
}
