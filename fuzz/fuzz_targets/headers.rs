//! Header blocks come unvalidated from clients: nothing may panic, and what is appended to a
//! well-formed block is found again unless an equal name came before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringwire::protocol::headers;

fuzz_target!(|block: &[u8]| {
    let _ = headers::status(block);
    let before = headers::get(block, b"Fuzz").map(<[u8]>::to_vec);
    let mut kept = Vec::new();
    headers::strip(block, |_| false, &mut kept);
    assert!(kept == block || (kept.is_empty() && block == headers::EMPTY_BLOCK));
    let mut stripped = Vec::new();
    headers::strip(block, |name| name == b"Fuzz", &mut stripped);
    assert!(stripped.len() <= block.len());

    let mut appended = block.to_vec();
    let fields = headers::fields(block).count();
    if headers::append(&mut appended, "Fuzz", b"a\r\nb").is_ok() {
        assert!(appended.ends_with(b"Fuzz: a  b\r\n\r\n"));
        let found = headers::get(&appended, b"Fuzz").map(<[u8]>::to_vec);
        assert!(found == before || found.as_deref() == Some(b"a  b") || found.is_none());
        assert!(headers::fields(&appended).count() >= fields);
    } else {
        assert_eq!(appended, block);
    }
});
