//! Text as a JSON string.

use crate::protocol::go_json;

/// Appends `text` as Go's encoder writes it.
pub fn push_json_text(out: &mut Vec<u8>, text: &str) {
    // A string always serializes.
    let _ = go_json::append(out, text);
}
