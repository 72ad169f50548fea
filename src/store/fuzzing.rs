//! Entry points for the fuzz targets: decoders of what is read back from disk, with checksums made
//! right first, so that what is behind them is reached.

use super::file::fuzzing as file;

/// A record, with its checksum made right.
pub fn record(bytes: &[u8]) {
    file::record(bytes);
}

/// A segment: frames and records whose checksums are made right where their heads allow.
pub fn segment(bytes: &[u8]) {
    file::segment(bytes);
}

/// A checkpoint: each section is a kind (one byte), a length (two) and a body.
pub fn checkpoint(bytes: &[u8]) {
    file::checkpoint(bytes);
}

/// The file of a journal, with the checksum of its first commit made right.
pub fn journal(bytes: &[u8]) {
    super::journal::fuzz(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            super::record(&bytes);
            super::segment(&bytes);
            super::checkpoint(&bytes);
            super::journal(&bytes);
        }
    }
}
