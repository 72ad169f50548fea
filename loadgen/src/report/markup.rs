//! Pieces of a page: one HTML file with style and script inside, written so
//! that it is well-formed XML too.

use super::plot::Plot;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Text as content or within a quoted attribute. Control characters, which
/// neither HTML nor XML can hold, become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// The whole page; `body` is markup.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <div id=\"tip\" hidden=\"hidden\"></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(title)
    )
}

/// A plot with its heading and legend; `note` is plain text.
pub fn figure(heading: &str, note: &str, plot: &Plot) -> String {
    let mut legend = String::new();
    for line in plot.lines.iter().filter(|line| !line.label.is_empty()) {
        let _ = write!(
            legend,
            "<span class=\"key {}\"><i></i>{}</span>",
            escape(&line.class),
            escape(&line.label)
        );
    }
    format!(
        "<figure>\n<figcaption><h2>{}</h2><p class=\"legend\">{legend}</p></figcaption>\n{}\n<p class=\"note\">{}</p>\n</figure>\n",
        escape(heading),
        plot.svg(),
        escape(note)
    )
}

/// A large number with its name; `note` below it.
pub fn tile(name: &str, value: &str, note: &str) -> String {
    format!(
        "<div class=\"tile\"><span>{}</span><b>{}</b><small>{}</small></div>\n",
        escape(name),
        escape(value),
        escape(note)
    )
}

/// A table of names and values with a heading.
pub fn facts(heading: &str, rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<section class=\"facts\"><h2>{}</h2><table>",
        escape(heading)
    );
    for (name, value) in rows {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(value)
        );
    }
    out.push_str("</table></section>\n");
    out
}

/// A table with a head. Cells are markup.
pub fn grid(head: &[String], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| format!("<{tag}>{cell}</{tag}>"))
            .collect();
        format!("<tr>{}</tr>", cells.concat())
    };
    let mut out = String::from("<div class=\"scroll\"><table class=\"grid\"><thead>");
    out.push_str(&cells("th", head));
    out.push_str("</thead><tbody>");
    for row in rows {
        out.push_str(&cells("td", row));
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A box with a word on the state of things: `class` is `good`, `bad` or `warn`.
pub fn banner(class: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("<p>{}</p>", escape(line)))
        .collect();
    format!("<div class=\"banner {class}\">{}</div>\n", lines.concat())
}

/// The exact command.
pub fn command(heading: &str, line: &str) -> String {
    format!(
        "<section class=\"command\"><h2>{}</h2><pre><code>{}</code></pre></section>\n",
        escape(heading),
        escape(line)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_from_text() {
        assert_eq!(
            escape("<a href=\"x\">'&\u{1b}[0m\n"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\u{fffd}[0m\n"
        );
    }
}
