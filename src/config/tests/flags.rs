//! The command line.

use super::super::*;
use super::support::{Memory, flags};

fn parsed(arguments: &[&str]) -> Result<Command, CliError> {
    parse_arguments(arguments.iter().copied())
}

fn options(arguments: &[&str]) -> Options {
    load(&flags(arguments), &Memory::default())
        .expect("valid")
        .options
}

#[test]
fn one_dash_or_two_blank_or_equals() {
    for arguments in [
        &["-p", "5"][..],
        &["--p", "5"],
        &["-port=5"],
        &["--port", "0x5"],
        &["-p=0_5", "--"],
    ] {
        assert_eq!(options(arguments).port, 5, "{arguments:?}");
    }
    let read = options(&[
        "-DVV",
        "-T=false",
        "-a",
        "::",
        "-m",
        "-1",
        "-l=x",
        "--user",
        "u",
        "--pass=p=q",
    ]);
    assert!(read.log.debug && read.log.trace && read.log.trace_verbose && !read.log.time);
    assert_eq!(
        (read.host.as_str(), read.http_port, read.log.file.as_str()),
        ("::", -1, "x")
    );
    assert_eq!(
        (
            read.authorization.user.as_str(),
            read.authorization.password.as_str()
        ),
        ("u", "p=q")
    );
    assert_eq!(options(&["--tls=false"]), Options::default());
    let jetstream = options(&["-js", "-sd=x"]).jetstream;
    assert_eq!(
        (jetstream.enabled, jetstream.store_dir.as_str()),
        (true, "x")
    );
}

/// Texts of nats-server 2.15.1.
#[test]
fn wrong_flags() {
    for (arguments, message) in [
        (&["--nope"][..], "flag provided but not defined: -nope"),
        (&["-p"], "flag needs an argument: -p"),
        (
            &["-p", "abc"],
            "invalid value \"abc\" for flag -p: parse error",
        ),
        (
            &["-p", "08"],
            "invalid value \"08\" for flag -p: parse error",
        ),
        (
            &["-p", "99999999999999999999"],
            "invalid value \"99999999999999999999\" for flag -p: value out of range",
        ),
        (
            &["-D=foo"],
            "invalid boolean value \"foo\" for -D: parse error",
        ),
        (&["---x"], "bad flag syntax: ---x"),
        (&["-="], "bad flag syntax: -="),
    ] {
        assert_eq!(
            parsed(arguments),
            Err(CliError::Usage(message.to_owned())),
            "{arguments:?}"
        );
    }
    for (arguments, message) in [
        (&["foo"][..], "nats-server: unrecognized command: \"foo\""),
        (
            &["-p", "1", "--", "-x"],
            "nats-server: unrecognized command: \"-x\"",
        ),
        (
            &["--signal", "foo=1"],
            "nats-server: unknown signal \"foo\"",
        ),
        (
            &["-t"],
            "nats-server: must specify [-c, --config] option to check configuration file syntax",
        ),
        (
            &["--cluster_name", "x"],
            "nats-server: \"--cluster_name\" is not built yet in ringwire",
        ),
        (
            &["--busy_poll", "-1us"],
            "nats-server: busy_poll must be microseconds or a duration, got \"-1us\"",
        ),
        (
            &["--realtime", "-1"],
            "nats-server: realtime must be between 1 and 99, or 0 for none, got -1",
        ),
        (
            &["--accept="],
            "nats-server: accept must be least, round_robin or incoming_cpu, got \"\"",
        ),
        (
            &["--cpus", "1-"],
            "nats-server: cpus \"1-\" is not a list such as 2-5,8",
        ),
    ] {
        let error = parsed(arguments).expect_err("refused");
        assert_eq!(
            (error.to_string().as_str(), error.exit_status()),
            (message, 1)
        );
    }
}

#[test]
fn other_commands() {
    for arguments in [
        &["-v"][..],
        &["--version"],
        &["version"],
        &["-p", "1", "VERSION"],
    ] {
        assert_eq!(parsed(arguments), Ok(Command::Version));
    }
    assert_eq!(parsed(&["help"]), Ok(Command::Help));
    assert_eq!(parsed(&["--help_tls"]), Ok(Command::HelpTls));
    let request = SignalRequest {
        command: SignalCommand::LameDuck,
        target: "12".into(),
    };
    assert_eq!(parsed(&["-sl=ldm=12"]), Ok(Command::Signal(request)));
    assert!(version_text().starts_with("nats-server: v2.15.1\n"));
}

#[test]
fn flags_win_over_the_file_part_by_part() {
    let source = Memory::new("listen: \"localhost:4222\", debug: false, ringwire { cores: 2 }");
    let read = source.options(&["-p", "-1", "-D", "--cpus", "1"]);
    assert_eq!(
        (read.host.as_str(), read.port, read.log.debug),
        ("localhost", -1, true)
    );
    assert_eq!(read.placement, Placement::Cpus(vec![1]));
    assert_eq!(source.options(&["-p", "0"]).port, defaults::PORT);
    let source = Memory::new("ringwire { lock_memory: true, busy_poll: 20, realtime: 3 }");
    let host = source
        .options(&[
            "--lock_memory=false",
            "--busy_poll",
            "1ms",
            "--accept",
            "round_robin",
        ])
        .host_options;
    assert_eq!(
        host,
        HostOptions {
            busy_poll: 1000,
            realtime: 3,
            accept: Accept::RoundRobin,
            ..HostOptions::default()
        }
    );
}

/// As nats-server 2.15.1 says it.
#[test]
fn flags_of_tls_need_a_certificate_and_its_key() {
    for (arguments, text) in [
        (
            &["--tls"][..],
            "TLS Server certificate must be present and valid",
        ),
        (
            &["--tlsverify"],
            "TLS Server certificate must be present and valid",
        ),
        (
            &["--tlscacert", "ca.pem"],
            "TLS Server certificate must be present and valid",
        ),
        (
            &["--tlscert", "cert.pem"],
            "TLS Server private key must be present and valid",
        ),
    ] {
        let error = load(&flags(arguments), &Memory::default()).expect_err("incomplete");
        assert_eq!(error.to_string(), text, "{arguments:?}");
    }
    assert_eq!(options(&["--tls=false"]).tls, None);
    let tls = options(&["--tlscert", "cert.pem", "--tlskey", "key.pem"]).tls;
    let files = ("cert.pem".to_owned(), "key.pem".to_owned());
    assert_eq!(tls.map(|tls| tls.certificates), Some(vec![files]));
}

#[test]
fn a_missing_file_is_named() {
    let error = load(&flags(&["-c", "nope.conf"]), &Memory::default()).expect_err("missing");
    assert_eq!(
        error.to_string(),
        "open nope.conf: no such file or directory"
    );
}

proptest::proptest! {
    #[test]
    fn no_arguments_break_the_parser(arguments: Vec<String>) {
        let _ = parse_arguments(arguments);
    }

    #[test]
    fn numbers_read_back(number: i64) {
        let text = number.to_string();
        proptest::prop_assert_eq!(options(&["--log_size_limit", &text]).log.size_limit, number);
    }
}
