use super::*;

fn parse_error(text: &str) -> String {
    match parse(text.as_bytes()) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.0,
    }
}

/// Asked of nats-server 2.15.1.
#[test]
fn syntax_errors_have_gos_texts() {
    for (text, expected) in [
        (r#"{"name":"E""#, "unexpected EOF"),
        ("{", "unexpected EOF"),
        ("nul", "unexpected EOF"),
        ("-", "unexpected EOF"),
        (r#"{"name":"E"}{"#, "unexpected EOF"),
        ("[[[[[", "unexpected EOF"),
        (
            r#"{"name":"E"} x"#,
            "invalid character 'x' looking for beginning of value at offset 14",
        ),
        (
            r#"{"name":"E",}"#,
            "invalid character '}' looking for beginning of object key string at offset 13",
        ),
        (
            r#"{"name" "E"}"#,
            "invalid character '\"' after object key at offset 9",
        ),
        (
            "{'name'}",
            r"invalid character '\'' looking for beginning of object key string at offset 2",
        ),
        (
            r#"{"a":tru}"#,
            "invalid character '}' in literal true (expecting 'e') at offset 9",
        ),
        (
            "{\"name\":\"\x01\"}",
            r"invalid character '\x01' in string at offset 10",
        ),
        (
            "{\"name\":\"a\nb\"}",
            r"invalid character '\n' in string at offset 11",
        ),
        (
            r#"{"max_msgs":00}"#,
            "invalid character '0' after object key:value pair at offset 14",
        ),
        (
            r#"{"max_msgs":-}"#,
            "invalid character '}' in numeric literal at offset 14",
        ),
        (
            r#""\x""#,
            r"invalid escape sequence `\x` in string at offset 3",
        ),
        (
            r#""\u12""#,
            "invalid escape sequence `\\u12\"` in string at offset 6",
        ),
        (
            r#"{"a":.5}"#,
            "invalid character '.' looking for beginning of value at offset 6",
        ),
        (
            r#"{"a":1.}"#,
            "invalid character '}' in numeric literal at offset 8",
        ),
        (
            "[1 2]",
            "invalid character '2' after array element at offset 4",
        ),
        (
            "[1,]",
            "invalid character ']' looking for beginning of value at offset 4",
        ),
        (
            r#"{"a":1 "b":2}"#,
            "invalid character '\"' after object key:value pair at offset 8",
        ),
        (
            "trux",
            "invalid character 'x' in literal true (expecting 'e') at offset 4",
        ),
        (r#"{"name":"E"}{}"#, "ok"),
        ("\t\n{} ", "ok"),
        ("  ", "ok"),
    ] {
        assert_eq!(parse_error(text), expected, "{text}");
    }
    let raw = parse(b"\xff").unwrap_err().0;
    assert_eq!(
        raw,
        r"invalid character '\xff' looking for beginning of value at offset 1"
    );
}

#[test]
fn nesting_is_bounded() {
    let deep = "[".repeat(100_000);
    assert_eq!(parse_error(&deep), "exceeded max depth");
}

#[test]
fn strings_are_unescaped() {
    let text = br#"["a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800x", "plain"]"#;
    let Some(Node {
        value: Value::Array(elements),
        ..
    }) = parse(text).unwrap()
    else {
        panic!("no array");
    };
    let Value::Text(first) = &elements[0].value else {
        panic!("no text");
    };
    assert_eq!(first, "a\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x");
}

#[derive(Default, Debug, PartialEq)]
struct Inner {
    name: String,
    start: u64,
}

json_object!(Inner, "server.Inner", { "name" => name, "start" => start });

#[derive(Default, Debug, PartialEq)]
struct Outer {
    name: String,
    count: i64,
    size: i32,
    age: i64,
    on: bool,
    list: Vec<String>,
    inner: Option<Inner>,
    inners: Vec<Inner>,
    map: BTreeMap<String, String>,
}

json_object!(Outer, "server.Outer", {
    "name" => name,
    "count" => count,
    "size" => size,
    "age" => age with duration,
    "on" => on,
    "list" => list,
    "inner" => inner,
    "inners" => inners with pointers,
    "map" => map,
});

fn outer(text: &str, strict: bool) -> Result<Outer, String> {
    let mut outer = Outer::default();
    match decode(&mut outer, text.as_bytes(), "Outer", strict) {
        Ok(()) => Ok(outer),
        Err(error) => Err(error.0),
    }
}

#[test]
fn values_that_do_not_fit_are_named_with_path_and_type() {
    for (text, expected) in [
        (
            "[]",
            "cannot unmarshal array into Go value of type server.Outer",
        ),
        (
            r#"{"name":5}"#,
            "cannot unmarshal number into Go struct field Outer.name of type string",
        ),
        (
            r#"{"count":"x"}"#,
            "cannot unmarshal string into Go struct field Outer.count of type int64",
        ),
        (
            r#"{"count":1.5}"#,
            "cannot unmarshal number 1.5 into Go struct field Outer.count of type int64",
        ),
        (
            r#"{"count":1E2}"#,
            "cannot unmarshal number 1E2 into Go struct field Outer.count of type int64",
        ),
        (
            r#"{"size":3000000000}"#,
            "cannot unmarshal number 3000000000 into Go struct field Outer.size of type int32",
        ),
        (
            r#"{"age":"5s"}"#,
            "cannot unmarshal string into Go struct field Outer.age of type time.Duration",
        ),
        (
            r#"{"on":1}"#,
            "cannot unmarshal number into Go struct field Outer.on of type bool",
        ),
        (
            r#"{"list":"x"}"#,
            "cannot unmarshal string into Go struct field Outer.list of type []string",
        ),
        (
            r#"{"list":[1]}"#,
            "cannot unmarshal number into Outer.list.0 of type string",
        ),
        (
            r#"{"inners":[5]}"#,
            "cannot unmarshal number into Outer.inners.0 of type server.Inner",
        ),
        (
            r#"{"inners":[{},{"name":1}]}"#,
            "cannot unmarshal number into Go struct field Outer.inners.1.name of type string",
        ),
        (
            r#"{"inner":{"start":-1}}"#,
            "cannot unmarshal number -1 into Go struct field Outer.inner.start of type uint64",
        ),
        (
            r#"{"map":{"a":1}}"#,
            "cannot unmarshal number into Go struct field Outer.map.a of type string",
        ),
        (r#"{"foo":1}"#, "unknown field \"foo\""),
        (r#"{"inner":{"x\"y":1}}"#, "unknown field \"x\\\"y\""),
    ] {
        assert_eq!(
            outer(text, true),
            Err(format!("json: {expected}")),
            "{text}"
        );
    }
}

#[test]
fn nulls_and_cases_are_taken_as_go_takes_them() {
    let read = outer(
        r#"{"NAME":"n","Count":-0,"inner":{"name":"i"},"inners":[null],"list":["a",null],"size":null,"name":null}"#,
        true,
    )
    .unwrap();
    assert_eq!(read.name, "n");
    assert_eq!(read.inner.unwrap().name, "i");
    assert_eq!(read.inners, [Inner::default()]);
    assert_eq!(read.list, ["a", ""]);
    assert!(outer(r#"{"foo":1}"#, false).is_ok());
    assert_eq!(outer("", true), Ok(Outer::default()));
}
