//! Takes out of a received line what differs between two servers by nature.

/// Fields of INFO whose values are each server's own. Their presence and place still count.
const OWN: [&str; 7] = [
    "server_id",
    "server_name",
    "version",
    "go",
    "port",
    "client_id",
    "xkey",
];

/// The line as it is compared.
pub fn line(line: &str) -> String {
    let mut line = line.to_owned();
    if line.starts_with("INFO ") {
        for field in OWN {
            line = with_value(&line, field, "*");
        }
        line = without(&line, "git_commit");
        // Random, and only there with nkeys.
        line = with_value(&line, "nonce", "*");
    }
    line
}

/// The span of a field's value; values here hold neither commas nor braces.
fn value_span(line: &str, field: &str) -> Option<(usize, usize)> {
    let key = format!("\"{field}\":");
    let start = line.find(&key)? + key.len();
    let length = line[start..].find([',', '}'])?;
    Some((start, start + length))
}

fn with_value(line: &str, field: &str, value: &str) -> String {
    match value_span(line, field) {
        Some((start, end)) => format!("{}{value}{}", &line[..start], &line[end..]),
        None => line.to_owned(),
    }
}

/// The line without the field and the comma after it.
fn without(line: &str, field: &str) -> String {
    let Some((_, end)) = value_span(line, field) else {
        return line.to_owned();
    };
    let start = line.find(&format!("\"{field}\":")).unwrap_or(end);
    let end = if line[end..].starts_with(',') {
        end + 1
    } else {
        end
    };
    format!("{}{}", &line[..start], &line[end..])
}

#[test]
fn own_values_are_starred_and_the_commit_is_left_out() {
    let info = r#"INFO {"server_id":"NA","proto":1,"git_commit":"x","go":"go1","port":4222} "#;
    assert_eq!(
        line(info),
        r#"INFO {"server_id":*,"proto":1,"go":*,"port":*} "#
    );
    assert_eq!(line("MSG port 1 0"), "MSG port 1 0");
}
