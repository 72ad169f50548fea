//! The page at `/`: links to the endpoints and live rates of each core.

use super::response::Response;

const PAGE: &str = include_str!("index.html");

/// Where the page wants the base path.
const BASE: &str = "{{base}}";

/// The page, its links below `base_path`.
pub fn respond(base_path: &str) -> Response {
    Response::html(PAGE.replace(BASE, &escape(base_path)))
}

/// Text as it may stand in a quoted attribute.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_self_contained_and_below_the_base_path() {
        let page = String::from_utf8(respond("/a\"b").body).unwrap();
        assert!(page.contains("href=\"/a&quot;b/varz\""));
        assert!(!page.contains(BASE));
        for foreign in ["src=", "href=\"http", "href=\"//", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
