//! loadgen against a real nats-server, which it starts: JetStream, requests,
//! queue groups, connections, keys, TLS, comparison and search. Skipped where
//! there is none.

mod common;

use common::{LOADGEN, errors, faults, is_sound, loadgen, nats_server, result, results};
use std::path::Path;
use std::process::Command;

/// A command that starts a server, with `flags` behind.
fn command(flags: &str) -> Option<String> {
    match nats_server() {
        Some(path) => Some(format!(
            "{} -a 127.0.0.1 -p {{port}} {flags}",
            path.display()
        )),
        None => {
            println!("skipped: no nats-server in $NATS_SERVER, on PATH or in target/clients");
            None
        }
    }
}

/// Runs with `arguments` for half a second; a clean result.
fn clean(server: &str, arguments: &str) -> serde_json::Value {
    let mut words: Vec<&str> = arguments.split(' ').collect();
    words.extend(["--warmup", "0.1", "--seconds", "0.5"]);
    let output = loadgen(server, &words);
    let result = result(&output);
    assert!(
        is_sound(&result),
        "{arguments}: {} {} {}",
        faults(&result),
        result["counts"],
        errors(&output)
    );
    // How much of it falls into the measured part depends on the machine.
    assert!(result["cost"].is_object(), "{arguments}: {result}");
    result
}

#[test]
fn core_loads_on_two_threads() {
    let Some(server) = command("") else { return };
    for arguments in [
        "pubsub --pairs 3 --rate 3k --threads 2",
        "pubsub --subs 4 --queue --rate 3k --threads 2",
        "pubsub --subs 4 --queue --asap --threads 2",
        "fanout --pubs 2 --subs 5 --rate 1k --threads 2 --block",
        "fanout --pubs 2 --subs 5 --closed --threads 2 --block",
        "request --conns 3 --responders 2 --rate 1k --threads 2",
        "request --conns 3 --responders 2 --closed --inflight 4",
        "connect --rate 200 --hold 0.1 --threads 2",
    ] {
        clean(&server, arguments);
    }
}

#[test]
fn requests_without_responders_are_lost_and_said() {
    let Some(server) = command("") else { return };
    let line = "request --responders 0 --subject nobody.here --rate 100 --warmup 0 --seconds 0.2";
    let output = loadgen(&server, &line.split(' ').collect::<Vec<_>>());
    let result = result(&output);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(result["counts"]["lost"], 20);
    assert!(
        result["notes"].to_string().contains("no responder"),
        "{result}"
    );
}

#[test]
fn jetstream_publish() {
    let Some(server) = command("-js -sd {store}") else {
        return;
    };
    for arguments in [
        "js pub --rate 2k --window 100",
        "js pub --asap --window 1000 --conns 2 --threads 2",
        "js pub --sync --storage memory",
        "js pub --asap --batch 50 --window 200",
        "js pub --rate 1k --batch 7",
    ] {
        let result = clean(&server, arguments);
        let notes = result["notes"].to_string();
        assert!(notes.contains("the stream has all"), "{arguments}: {notes}");
        assert_eq!(result["counts"]["received"], result["counts"]["sent"]);
    }
}

#[test]
fn jetstream_consume() {
    let Some(server) = command("-js -sd {store}") else {
        return;
    };
    for arguments in [
        "js consume --rate 2k",
        "js consume --rate 2k --conns 3 --pubs 2 --threads 2 --batch 10",
        "js consume --rate 2k --push --ack none",
        "js consume --rate 2k --push --conns 2",
        "js consume --rate 2k --ordered --conns 2 --storage memory",
        "js consume --prefill 2500",
        "js consume --prefill 2500 --conns 2 --batch 100 --ack none --threads 2",
        "js consume --prefill 2500 --push --ack none --expires 1",
        "js consume --prefill 2500 --ordered",
    ] {
        // The warm-up would use up what is there.
        let line = arguments.replace("--prefill 2500", "--prefill 200000");
        let result = clean(&server, &line);
        assert!(result["counts"]["received"].as_u64() > Some(0));
    }
}

#[test]
fn a_server_without_jetstream_is_named() {
    let Some(server) = command("") else { return };
    let output = loadgen(&server, &["js", "pub"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("no JetStream"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_scenario_has_a_result_for_each_load() {
    let Some(server) = command("") else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mix.toml");
    let text = "seconds = 0.5\nwarmup = 0.1\n\
        [[load]]\nname = \"quotes\"\nrun = \"fanout --subs 3 --rate 2k\"\n\
        [[load]]\nrun = \"request --rate 500\"\nstart = 0.2\nstop = 0.4\n";
    std::fs::write(&file, text).unwrap();
    let output = loadgen(&server, &["mix", file.to_str().unwrap()]);
    let results = results(&output);
    assert!(results.iter().all(is_sound), "{results:?}");
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["counts"]["sent"], 1200);
    assert_eq!(results[1]["counts"]["sent"], 100);
}

#[test]
fn a_comparison_has_a_table_and_a_search_a_rate() {
    let Some(server) = command("-js -sd {store}") else {
        return;
    };
    let output = Command::new(LOADGEN)
        .args([
            "compare",
            "--a",
            &server,
            "--b",
            &server,
            "--rows",
            "one,jspub",
        ])
        .args([
            "--repeat",
            "1",
            "--seconds",
            "0.3",
            "--warmup",
            "0.1",
            "--markdown",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("| JetStream publish"), "{table}");
    let search = "find-max --objective p50=1s --from 500 --to 1k --seconds 0.2 --warmup 0.1";
    let output = Command::new(LOADGEN)
        .args(["--server", &server, "--json", "-", "--quiet"])
        .args(search.split(' '))
        .args(["pubsub", "--size", "32"])
        .output()
        .unwrap();
    let result = result(&output);
    assert_eq!(result["figures"][0]["value"], 1000.0, "{result}");
}

#[test]
fn keys_and_tokens_open_the_door() {
    let Some(_) = command("") else { return };
    let key = nkeys::KeyPair::new_user();
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("nkey.conf");
    let text = format!(
        "authorization {{ users = [ {{ nkey: {} }} ] }}",
        key.public_key()
    );
    std::fs::write(&conf, text).unwrap();
    let server = command(&format!("-c {}", conf.display())).unwrap();
    clean(
        &server,
        &format!("pubsub --rate 500 --nkey {}", key.seed().unwrap()),
    );
    let other = nkeys::KeyPair::new_user().seed().unwrap();
    let output = loadgen(&server, &["pub", "--nkey", &other]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("Authorization Violation"),
        "{}",
        errors(&output)
    );
    let server = command("--auth s3cret").unwrap();
    clean(&server, "pubsub --rate 500 --token s3cret");
}

#[test]
fn tls_is_verified_unless_told_otherwise() {
    let Some(_) = command("") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (key, cert) = (path("key.pem"), path("cert.pem"));
    if !self_signed(Path::new(&key), Path::new(&cert)) {
        println!("skipped: no openssl to make a certificate");
        return;
    }
    let server = command(&format!("--tls --tlscert {cert} --tlskey {key}")).unwrap();
    clean(&server, &format!("pubsub --rate 500 --tls-ca {cert}"));
    clean(&server, "fanout --subs 3 --asap --size 5000 --tls-insecure");
    let output = loadgen(&server, &["pub"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("certificate"),
        "{}",
        errors(&output)
    );
}

fn self_signed(key: &Path, cert: &Path) -> bool {
    Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(cert)
        .output()
        .is_ok_and(|output| output.status.success())
}
