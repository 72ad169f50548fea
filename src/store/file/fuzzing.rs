//! Decoders of this format on arbitrary bytes; see [`crate::store::fuzzing`].

use super::image::{Decoder, SECTION_HEAD};
use super::record::{FRAME_HEAD, FrameHead, RECORD_HEAD, Seed, checksum, extent, read_record};
use super::scan::{Limits, Progress, Scan};

const IDENTITY: u64 = 7;

/// Makes the checksum of the record at the start right. Returns its length with padding.
fn mend_record(bytes: &mut [u8]) -> Option<usize> {
    if bytes.len() < RECORD_HEAD {
        return None;
    }
    let claimed = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    let length = RECORD_HEAD + claimed % (bytes.len() - RECORD_HEAD + 1);
    bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    // Few of all kinds are known.
    bytes[30] = 1 + bytes[30] % 3;
    bytes[31] %= 4;
    let sum = Seed::of(IDENTITY).checksum(&bytes[4..length]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    extent(bytes).map(|extent| extent.length)
}

pub(in crate::store) fn record(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    mend_record(&mut bytes);
    let _ = read_record(Seed::of(IDENTITY), &bytes);
}

pub(in crate::store) fn segment(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    let mut commit = 1;
    while at + FRAME_HEAD < bytes.len() {
        let frame = &mut bytes[at..];
        let odd = frame[0];
        let length = (FRAME_HEAD + usize::from(frame[1]) * 8).min(frame.len()) & !7;
        let mut digest = super::record::Digest::default();
        let mut records = 0;
        let mut here = FRAME_HEAD;
        while here < length {
            match mend_record(&mut frame[here..length]) {
                Some(one) => {
                    digest.add(extent(&frame[here..]).map_or(0, |extent| extent.checksum));
                    records += 1;
                    here += one;
                }
                None => break,
            }
        }
        // Some frames stay as they are: damaged.
        if odd > 16 {
            let head = FrameHead {
                identity: IDENTITY,
                commit,
                flushed: commit - 1,
                length: length as u32,
                records,
                last_sequence: 100,
                digest: digest.finish(),
                last_unix_ns: 0,
            };
            head.write(frame);
        }
        commit += 1;
        at += length;
    }
    let length = bytes.len() as u64;
    for (next_commit, compacted_end) in
        [(None, None), (Some(commit + 1), None), (None, Some(length))]
    {
        let limits = Limits {
            identity: IDENTITY,
            next_commit,
            compacted_end,
            headless: false,
            length,
        };
        let mut scan = Scan { at: 0, expected: 1 };
        let mut found = 0u64;
        // In two parts, as it is read.
        let half = bytes.len() / 2;
        let progress = scan.run(&bytes[..half], 0, &limits, &mut |_| found += 1);
        if let Progress::More(wanted) = progress {
            assert!(wanted > half as u64 && wanted <= length);
            let progress = scan.run(&bytes, 0, &limits, &mut |_| found += 1);
            assert!(matches!(progress, Progress::End(_)), "{progress:?}");
        }
        assert!(scan.at <= length.next_multiple_of(8));
        assert!(found <= 3 * length + 8);
    }
}

pub(in crate::store) fn checkpoint(bytes: &[u8]) {
    let mut image = Vec::new();
    let mut rest = bytes;
    while let [kind, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (body, after) = tail.split_at(length);
        rest = after;
        let start = image.len();
        image.extend_from_slice(b"RwC1");
        image.extend_from_slice(&[0; 4]);
        image.extend_from_slice(&u32::from(kind % 10).to_le_bytes());
        image.extend_from_slice(&(length as u32).to_le_bytes());
        image.extend_from_slice(body);
        let sum = checksum(&image[start + 8..]);
        image[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
        image.resize(image.len().next_multiple_of(8), 0);
        debug_assert!(image.len() >= start + SECTION_HEAD);
    }
    let mut decoder = Decoder::new(1);
    if decoder.feed(&image).is_some() {
        decoder.drop_unused();
        let _ = (decoder.is_complete(), decoder.index.state());
    }
    let _ = Decoder::new(1).feed(bytes);
}
