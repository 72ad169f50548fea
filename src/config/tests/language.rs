//! The configuration language.

use super::super::parser::{MAX_INCLUDE_DEPTH, MAX_NESTING};
use super::support::Memory;

fn error(text: &str) -> String {
    Memory::new(text).test().expect_err(text)
}

/// The digest shows that two files mean the same.
fn same(left: &str, right: &str) {
    let digest = |text: &str| {
        Memory::new(text)
            .test()
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
    };
    assert_eq!(digest(left), digest(right), "{left:?} and {right:?}");
}

#[test]
fn the_digest_is_that_of_nats_server() {
    for (text, digest) in [
        (
            "port 4222",
            "797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e",
        ),
        (
            "max_payload = 1MB",
            "805e8fcac4b17c72405e5f4bef5d73b2dd137a8b3f920d23191ff59feb44d80e",
        ),
        (
            "x = 5\nport = $x",
            "2c5e6fd6870f5614a30d9fa16f626cef8f85600f99dff43b391b62faa056536f",
        ),
        (
            "server_name: \"<&>\"",
            "99d1b7fdecc474394a7930d1a6cfc778552e9aae33eceda9271b1afe15ea5683",
        ),
        (
            "server_tags: [ (\n a\n)\n]",
            "6834982f4ec138c142994689df12bccfe09df7fbbf1ba5d77eefe4e4c48ea3f4",
        ),
        (
            "authorization { timeout: 5.5 }",
            "f8cddfbf0e06b0c2a15a2c10fa8ff437bc66e2becaf825209aceb7ba225a0769",
        ),
    ] {
        let expected = format!("configuration file c.conf is valid (sha256:{digest})");
        assert_eq!(Memory::new(text).test(), Ok(expected), "{text:?}");
    }
}

#[test]
fn separators_comments_and_braces() {
    for text in [
        "port = 5",
        "port:5",
        "port\n5",
        "\"port\" 5",
        "'port' = 5 # comment",
        "port 5 // comment",
        "port 5 /",
        "port: 5,",
        "port: 5;",
        "{ port: 5 }",
        "{ \"port\": 5 }",
        "{{ port: 5 }}",
        "{} port: 5",
        "port: 5 }}",
        "port: 5\n}",
        "//port: 6\nport: 5\r",
        "port: 5\0",
    ] {
        same(text, "port: 5");
    }
    same("port: 5 } debug: true", "port: 5\ndebug: yes");
    same("{ port: 5 \n debug: ON }", "port: 5, debug: true");
    same("server_tags: [a / b]", "server_tags: [a\nb\n]");
    same(
        "server_metadata: {a: b / c: d}",
        "server_metadata: {a: b; c: d}",
    );
    same(
        "server_metadata: {# x\na: b // y\nc: d}",
        "server_metadata {a b, c d}",
    );
}

#[test]
fn strings() {
    same("server_name: \"\\x41\\t\\\\\"", "server_name: 'A\t\\'");
    same("server_name: foo\\\"bar", "server_name: foo\"bar");
    same("server_name: \\x41 # x", "server_name: A");
    same("server_name: foo//c", "server_name: 'foo//c'");
    same("host: (\n foo\n)\n", "host: '\n foo\n'");
    // At the very end of a file the parenthesis belongs to the text.
    same("host: (\n foo\n)", "host: '\n foo\n)'");
    same("host: 1.2.3.4:5", "host: '1.2.3.4:5'");
    same("host: 1foo", "host: '1foo'");
    same(
        "authorization {user a, pass $2a$11$abc}",
        "authorization {user a, pass '$2a$11$abc'}",
    );
}

#[test]
fn numbers() {
    for (text, value) in [
        ("1k", 1000),
        ("1Kb", 1024),
        ("2KI", 2048),
        ("1kib", 1024),
        ("3m", 3_000_000),
        ("1mb", 1 << 20),
        ("1g", 1_000_000_000),
        ("1GiB", 1 << 30),
        ("-5k", -5000),
    ] {
        same(
            &format!("max_pending: {text}"),
            &format!("max_pending: {value}"),
        );
    }
    assert_eq!(
        error("port = 99999999999999999999"),
        "integer '99999999999999999999' is out of the range"
    );
    assert_eq!(
        error("host: \u{663}"),
        "expected integer, but got '\u{663}'"
    );
    assert_eq!(
        error("max_payload: 5kbb"),
        "c.conf: config has no values or is empty"
    );
}

/// Texts and positions, each as nats-server 2.15.1 prints it.
#[test]
fn errors() {
    let parse = |line: u32, message: &str| format!("Parse error on line {line}: '{message}'");
    let top = |c: &str| {
        format!(
            "Expected a top-level value to end with a new line, comment or EOF, but got '{c}' instead."
        )
    };
    let array = |c: &str| {
        format!(
            "Expected an array value terminator \",\" or an array terminator \"]\", but got '{c}' instead."
        )
    };
    let map = |c: &str| {
        format!(
            "Expected a map value terminator \",\" or a map terminator \"}}\", but got '{c}' instead."
        )
    };
    for (text, message) in [
        ("port: 4222 debug: true", parse(1, &top("d"))),
        ("max_payload = 1.5MB", parse(1, &top("M"))),
        ("port: [1", parse(1, &array("\0"))),
        ("server_tags: [a; b]", parse(1, &array(";"))),
        (
            "server_tags: [a, ,b]",
            parse(1, "Unexpected array value terminator ','."),
        ),
        ("port: {a 1", parse(1, &map("\0"))),
        ("foo {\n", parse(2, "Unexpected EOF processing map.")),
        (
            "x: {]",
            parse(1, "Unexpected array end ']' processing map."),
        ),
        ("port:\n5", parse(2, "Expected value but found new line")),
        ("= 5", parse(1, "Unexpected key separator '='")),
        (
            "max_payload = .5",
            parse(1, "Floats must start with a digit"),
        ),
        (
            "max_payload = 1.x",
            parse(
                1,
                "Floats must have a digit after the '.', but got 'x' instead.",
            ),
        ),
        ("port: -a", parse(1, "Expected a digit but got 'a'.")),
        (
            "port: 2019-01-01",
            parse(
                1,
                "Expected 'T' in ISO8601 datetime, but found '\0' instead.",
            ),
        ),
        (
            "host: 1-foo",
            parse(1, "All ISO8601 dates must be in full Zulu form."),
        ),
        (
            "server_name = \"foo\\x4\"",
            parse(
                1,
                "Expected two hexadecimal digits after '\\x', but got '4\"'",
            ),
        ),
        (
            "server_name = (\n foo",
            parse(2, "Unexpected EOF processing block."),
        ),
        (
            "include [a]",
            parse(1, "Expected include value but found start of an array"),
        ),
        (
            "include \"a",
            parse(1, "Unexpected EOF in double quoted include"),
        ),
        (
            "port: 2019-13-01T00:00:00Z",
            "expected Zulu formatted DateTime, but got '2019-13-01T00:00:00Z'".into(),
        ),
        ("port{4222}", "config is invalid (c.conf:1:10)".into()),
        ("port: 5\n]", "config is invalid (c.conf:2:2)".into()),
        (
            "port = $PORT",
            "variable reference for 'PORT' on line 1 can not be found".into(),
        ),
        ("foo=1", "c.conf:1:0: unknown field \"foo\"".into()),
        ("\n foo bar", "c.conf:2:2: unknown field \"foo\"".into()),
        (
            "\"po rt\" 4333",
            "c.conf:1:1: unknown field \"po rt\"".into(),
        ),
        (
            "foo: bar\nbaz: 7",
            "c.conf:1:0: unknown field \"foo\"\nc.conf:2:1: unknown field \"baz\"".into(),
        ),
        (
            "server_metadata: { a: \"x\ny\", b: 5 }",
            "c.conf:2:5: interface conversion: interface {} is int64, not string".into(),
        ),
        ("", "c.conf: config has no values or is empty".into()),
    ] {
        assert_eq!(error(text), message, "{text:?}");
    }
}

#[test]
fn variables_come_from_earlier_keys_then_from_the_environment() {
    let port = |source: &Memory| source.options(&[]).port;
    assert_eq!(port(&Memory::new("x: 5\nport: $x")), 5);
    assert_eq!(port(&Memory::new("port: $P").variable("P", "6 # six")), 6);
    assert_eq!(port(&Memory::new("P: 7\nport: $P").variable("P", "6")), 7);
    assert_eq!(
        port(
            &Memory::new("port: $A")
                .variable("A", "$B")
                .variable("B", "8")
        ),
        8
    );
    let own = Memory::new("server_tags: x\nserver_metadata: { server_tags: y, b: $server_tags }")
        .options(&[]);
    assert_eq!(own.server_metadata["b"], "y");
    assert_eq!(
        Memory::new("port: $A").variable("A", "$A").test(),
        Err("variable reference for 'A' on line 1 could not be parsed: variable reference for 'A' on line 1 \
             could not be parsed: variable reference cycle for 'A'"
            .to_owned())
    );
}

#[test]
fn variables_cannot_fill_the_memory() {
    let mut text = String::from("a0: [xxxxxxxxxxxxxxxx, y]\n");
    for level in 1..40 {
        text.push_str(&format!("a{level}: [$a{}, $a{} ]\n", level - 1, level - 1));
    }
    assert!(error(&text).contains("expand to more than"));
}

#[test]
fn the_environment_cannot_take_forever() {
    let mut source = Memory::new("x: $V30").variable("V0", "1");
    for level in 1..=30 {
        let below = format!("V{}", level - 1);
        source = source.variable(&format!("V{level}"), &format!("[${below}, ${below} ]"));
    }
    assert!(
        source
            .test()
            .expect_err("bounded")
            .contains("expand to more than")
    );
}

#[test]
fn includes_are_relative_to_their_file() {
    let source = Memory::new("include 'sub/a.conf'\nport: $shared")
        .file("sub/a.conf", "include ./b.conf\ndebug: true")
        .file("sub/b.conf", "shared: 5");
    let options = source.options(&[]);
    assert_eq!((options.port, options.log.debug), (5, true));
    let source = Memory::new("include sub/a.conf").file("sub/a.conf", "port: 5\nbad: 1");
    assert_eq!(
        source.test(),
        Err("sub/a.conf:2:1: unknown field \"bad\"".to_owned())
    );
    assert_eq!(
        error("include /etc/x"),
        "error parsing include file '/etc/x', open etc/x: no such file or directory"
    );
}

#[test]
fn a_file_that_includes_itself_ends() {
    let message = error("include c.conf");
    assert!(message.ends_with(&format!(
        "includes are nested deeper than {MAX_INCLUDE_DEPTH} files"
    )));
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("x: {}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(
        error(&nested(MAX_NESTING)),
        "c.conf:1:0: unknown field \"x\""
    );
    assert!(error(&nested(MAX_NESTING + 1)).contains("nested deeper"));
    assert!(error(&nested(100_000)).contains("nested deeper"));
}

proptest::proptest! {
    #[test]
    fn no_input_breaks_the_parser(bytes: Vec<u8>) {
        let _ = Memory::new(bytes).test();
    }

    #[test]
    fn no_mixture_of_tokens_breaks_the_parser(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "[", "]", "(", "\n)\n", ":", "=", ",", ";", "#", "/", "//", "\"", "'", "\\", "\\x4",
                " ", "\n", "\r", "\0", "-", ".", "5", "1k", "1.2", "2019-", "a", "$a", "true", "port ",
                "include ", "c.conf", "users ", "authorization {", "server_tags: ", "ringwire {", "\u{e9}",
            ]),
            0..40,
        )
    ) {
        let _ = Memory::new(tokens.concat()).test();
    }
}
