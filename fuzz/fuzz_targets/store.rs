//! What is read back from disk may be anything: no decoder may panic, loop or allocate without
//! bound. The first byte chooses the decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringwire::store::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else {
        return;
    };
    match which % 4 {
        0 => fuzzing::record(rest),
        1 => fuzzing::segment(rest),
        2 => fuzzing::checkpoint(rest),
        _ => fuzzing::journal(rest),
    }
});
